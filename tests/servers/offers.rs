//! The stream of shards under test. It logs what it yields.

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

    /// Returns the next shard.
    ///
    /// # Panics
    ///
    /// Panics if an error comes first.
    pub(crate) async fn next(&mut self) -> ShardHandle {
        self.next_or_error().await.expect("a shard instead of an error")
    }

    /// Returns the next `n` shards in the order of their ids.
    pub(crate) async fn next_sorted(&mut self, n: usize) -> Vec<ShardHandle> {
        let mut shards = Vec::with_capacity(n);
        for _ in 0..n {
            shards.push(self.next().await);
        }
        shards.sort_by(|a, b| a.id().cmp(b.id()));
        shards
    }

    /// Returns the next shards, which must be these in any order, in the given order.
    pub(crate) async fn these<const N: usize>(&mut self, ids: [&str; N]) -> [ShardHandle; N] {
        let mut shards = self.next_sorted(N).await;
        ids.map(|id| {
            let at = shards.iter().position(|shard| shard.id() == id);
            shards.swap_remove(at.unwrap_or_else(|| panic!("{id} is not among {shards:?}")))
        })
    }

    /// Returns the next shard, which must be this one.
    pub(crate) async fn this(&mut self, id: &str) -> ShardHandle {
        let [shard] = self.these([id]).await;
        shard
    }

    pub(crate) async fn error(&mut self) -> ListError {
        self.next_or_error().await.expect_err("an error")
    }

    /// Polls until `listings` more listings have completed, and panics if they yield a shard or an
    /// error. Another listing may be in flight when it returns.
    pub(crate) async fn nothing_more(&mut self, listings: usize) {
        // The next listing begins only after these have completed.
        let enough = self.requests.list_shards() + listings + 1;
        while self.requests.list_shards() < enough {
            let pause = Duration::from_millis(5);
            if let Ok(next) = tokio::time::timeout(pause, self.next_or_error()).await {
                panic!("unexpected: {next:?}");
            }
        }
    }

    /// Polls until `list_shards` requests have ended in all, and panics if they yield a shard or an
    /// error, or if another one is sent.
    pub(crate) async fn nothing_but(&mut self, list_shards: usize) {
        while self.requests.ended_list_shards() < list_shards {
            let pause = Duration::from_millis(5);
            if let Ok(next) = tokio::time::timeout(pause, self.next_or_error()).await {
                panic!("unexpected: {next:?}");
            }
        }
        // The response has reached the SDK, and the next poll handles it.
        self.nothing_for(SHORT).await;
        assert_eq!(self.requests.list_shards(), list_shards, "ListShards");
    }

    /// Polls for `duration`, and panics if that yields a shard or an error.
    pub(crate) async fn nothing_for(&mut self, duration: Duration) {
        if let Ok(next) = tokio::time::timeout(duration, self.next_or_error()).await {
            panic!("unexpected: {next:?}");
        }
    }

    /// Polls once and returns the shard that is ready, if any.
    pub(crate) async fn poll_once(&mut self) -> Option<ShardHandle> {
        let next = futures::poll!(std::pin::pin!(self.next()));
        if let Poll::Ready(shard) = next { Some(shard) } else { None }
    }

    /// Returns the next shard and skips the errors before it.
    pub(crate) async fn next_past_errors(&mut self) -> ShardHandle {
        loop {
            if let Ok(shard) = self.next_or_error().await {
                return shard;
            }
        }
    }

    /// Returns the number of shards that the stream remembers.
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
