//! The stream of shards under test, with a record of what it gave.

use std::task::Poll;
use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::shard::{ParentOutcome, StartPosition};
use kinesis_shards::{ListError, ShardHandle, TryAllShards};

use crate::client::Requests;
use crate::server::{Seen, Server};

const SHORT: Duration = Duration::from_millis(60);

pub(crate) struct Offers {
    shards: TryAllShards,
    requests: Requests,
    seen: Seen,
}

impl Offers {
    pub(crate) fn new(server: &Server, shards: TryAllShards) -> Self {
        Self { shards, requests: server.requests.clone(), seen: server.seen.clone() }
    }

    pub(crate) async fn next_or_error(&mut self) -> Result<ShardHandle, ListError> {
        let next = self.shards.next().await.expect("the stream of shards never ends");
        match &next {
            Ok(shard) => self.seen.note(format_args!("offered {shard:?}")),
            Err(error) => self.seen.note(format_args!("error: {error}")),
        }
        next
    }

    /// The next shard. An error is none.
    pub(crate) async fn next(&mut self) -> ShardHandle {
        self.next_or_error().await.expect("a shard, no error")
    }

    /// The next `n` shards, by their ids.
    pub(crate) async fn next_sorted(&mut self, n: usize) -> Vec<ShardHandle> {
        let mut shards = Vec::with_capacity(n);
        for _ in 0..n {
            shards.push(self.next().await);
        }
        shards.sort_by(|a, b| a.id().cmp(b.id()));
        shards
    }

    /// The next shards, which are these in some order; here they come in the order asked for.
    pub(crate) async fn these<const N: usize>(&mut self, ids: [&str; N]) -> [ShardHandle; N] {
        let mut shards = self.next_sorted(N).await;
        ids.map(|id| {
            let at = shards.iter().position(|shard| shard.id() == id);
            shards.swap_remove(at.unwrap_or_else(|| panic!("{id} is not among {shards:?}")))
        })
    }

    /// The next shard, which is this one.
    pub(crate) async fn this(&mut self, id: &str) -> ShardHandle {
        let [shard] = self.these([id]).await;
        shard
    }

    pub(crate) async fn error(&mut self) -> ListError {
        self.next_or_error().await.expect_err("an error")
    }

    /// Polls until so many more listings have come; they bring neither a shard nor an error. One
    /// may be under way when it returns.
    pub(crate) async fn nothing_more(&mut self, listings: usize) {
        // One more begins only when these have been answered and taken in.
        let enough = self.requests.list_shards() + listings + 1;
        while self.requests.list_shards() < enough {
            let pause = Duration::from_millis(5);
            if let Ok(next) = tokio::time::timeout(pause, self.next_or_error()).await {
                panic!("nothing more was to come, but: {next:?}");
            }
        }
    }

    /// Polls until so many `ListShards` were answered in all; they bring neither a shard nor an
    /// error, and no other is sent.
    pub(crate) async fn nothing_but(&mut self, list_shards: usize) {
        while self.requests.answered_list_shards() < list_shards {
            let pause = Duration::from_millis(5);
            if let Ok(next) = tokio::time::timeout(pause, self.next_or_error()).await {
                panic!("nothing was to come, but: {next:?}");
            }
        }
        // By now the answer has reached the SDK; it is taken in when it is polled.
        self.nothing_for(SHORT).await;
        assert_eq!(self.requests.list_shards(), list_shards, "ListShards");
    }

    /// Polls for so long; there is neither a shard nor an error.
    pub(crate) async fn nothing_for(&mut self, duration: Duration) {
        if let Ok(next) = tokio::time::timeout(duration, self.next_or_error()).await {
            panic!("nothing was to come, but: {next:?}");
        }
    }

    /// What is ready in one poll.
    pub(crate) async fn poll_once(&mut self) -> Option<ShardHandle> {
        let next = futures::poll!(std::pin::pin!(self.next()));
        if let Poll::Ready(shard) = next { Some(shard) } else { None }
    }

    /// The next shard, whatever errors come before it.
    pub(crate) async fn next_past_errors(&mut self) -> ShardHandle {
        loop {
            if let Ok(shard) = self.next_or_error().await {
                return shard;
            }
        }
    }

    /// How many shards are remembered.
    pub(crate) fn tracked(&self) -> usize {
        self.shards.tracked()
    }
}

pub(crate) fn parents(shard: &ShardHandle) -> Vec<(&str, ParentOutcome)> {
    shard.parents().collect()
}

#[track_caller]
pub(crate) fn assert_starts(shard: &ShardHandle, start: &StartPosition) {
    assert_eq!(shard.start(), start, "{shard:?}");
}
