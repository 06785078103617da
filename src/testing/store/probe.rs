//! The store under test: every call has a time limit, and every answer a promise that it is to keep.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, SequenceNumberRange, Shard};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use tokio::time::{Duration, timeout};

use crate::{Checkpoint, CheckpointStore, Save, StartPosition, StoreError, StreamId};

const ANSWERS_WITHIN: Duration = Duration::from_mins(1);
/// As many as are saved side by side by [`Checkpoints`](crate::Checkpoints).
const AT_ONCE: usize = 16;

/// Those of every shard that has ended.
pub(super) const CHILDREN: [&str; 2] = ["shardId-000000000902", "shardId-000000000903"];

/// How far a call goes that is dropped.
#[derive(Clone, Copy, Debug)]
pub(super) enum Until {
    /// So many polls, with all else in between.
    Polls(u32),
    /// For so long.
    Millis(u64),
}

/// What is kept of a stream.
pub(super) type Rows = BTreeMap<String, Checkpoint>;

pub(super) struct Probe<'a, S: ?Sized> {
    store: &'a S,
    run: u64,
    /// What was saved, of which stream and shard: for the end.
    used: Mutex<Vec<(StreamId, String)>>,
}

impl<'a, S: CheckpointStore + ?Sized> Probe<'a, S> {
    pub(super) fn new(store: &'a S, run: u64) -> Self {
        Self { store, run, used: Mutex::default() }
    }

    /// A stream of this run alone.
    pub(super) fn stream(&self, name: &str) -> StreamId {
        StreamId::from(format!("kinesis-shards-check-{:016x}{name}", self.run))
    }

    pub(super) async fn load(&self, stream: &StreamId, promise: &str) -> Rows {
        let mut rows = self.answer("load", promise, self.store.load(stream)).await;
        // It may name the children that an end has named, which nobody has begun to read.
        let begin = Checkpoint::Start(StartPosition::TrimHorizon);
        rows.retain(|(id, checkpoint)| !(CHILDREN.contains(&id.as_str()) && *checkpoint == begin));
        let count = rows.len();
        let rows: Rows = rows.into_iter().collect();
        assert_eq!(rows.len(), count, "{promise}: load names a shard of {stream} more than once");
        rows
    }

    pub(super) async fn save(&self, stream: &StreamId, id: &str, checkpoint: &Checkpoint, promise: &str) {
        self.note(stream, id);
        if *checkpoint == Checkpoint::End {
            for child in CHILDREN {
                self.note(stream, child);
            }
        }
        let (shard, children) = (shard(id), children(id, checkpoint));
        let save = Save::new(stream, &shard, checkpoint).with_children(&children);
        self.answer("save", promise, self.store.save(save)).await;
    }

    /// Saves a checkpoint that the store must refuse.
    pub(super) async fn save_invalid(
        &self,
        stream: &StreamId,
        id: &str,
        checkpoint: &Checkpoint,
        promise: &str,
    ) {
        self.note(stream, id);
        let shard = shard(id);
        let save = self.store.save(Save::new(stream, &shard, checkpoint));
        let Ok(answer) = timeout(ANSWERS_WITHIN, save).await else {
            panic!("{promise}: save did not answer within {ANSWERS_WITHIN:?}");
        };
        assert!(answer.is_err(), "{promise}: save confirmed {checkpoint:?}");
    }

    pub(super) async fn save_all(&self, stream: &StreamId, rows: &Rows, promise: &str) {
        let saves = rows.iter().map(|(id, checkpoint)| self.save(stream, id, checkpoint, promise));
        stream::iter(saves).for_each_concurrent(AT_ONCE, |save| save).await;
    }

    /// Begins a save, and drops it.
    pub(super) async fn begin_save(
        &self,
        stream: &StreamId,
        id: &str,
        checkpoint: &Checkpoint,
        until: Until,
    ) {
        self.note(stream, id);
        let shard = shard(id);
        begin(self.store.save(Save::new(stream, &shard, checkpoint)), until).await;
    }

    /// Begins to forget, and drops that.
    pub(super) async fn begin_forget(&self, stream: &StreamId, id: &str, until: Until) {
        begin(self.store.forget(stream, id), until).await;
    }

    pub(super) async fn forget(&self, stream: &StreamId, id: &str, promise: &str) {
        self.answer("forget", promise, self.store.forget(stream, id)).await;
    }

    pub(super) async fn forget_all(&self, stream: &StreamId, rows: &Rows, promise: &str) {
        let forgets = rows.keys().map(|id| self.forget(stream, id, promise));
        stream::iter(forgets).for_each_concurrent(AT_ONCE, |forget| forget).await;
    }

    async fn answer<T>(
        &self,
        call: &str,
        promise: &str,
        answer: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> T {
        let Ok(answer) = timeout(ANSWERS_WITHIN, answer).await else {
            panic!("{promise}: {call} did not answer within {ANSWERS_WITHIN:?}");
        };
        answer.unwrap_or_else(|error| panic!("{promise}: {call} failed: {error}"))
    }

    fn note(&self, stream: &StreamId, id: &str) {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.push((stream.clone(), id.to_owned()));
    }

    /// Forgets all that was saved. What fails here was told of already.
    pub(super) async fn clean_up(&self) {
        let mut used = std::mem::take(&mut *self.used.lock().unwrap_or_else(PoisonError::into_inner));
        used.sort_by(|(a, a_id), (b, b_id)| (a.name(), a_id).cmp(&(b.name(), b_id)));
        used.dedup();
        let forgets = used.iter().map(|(stream, id)| timeout(ANSWERS_WITHIN, self.store.forget(stream, id)));
        stream::iter(forgets).for_each_concurrent(AT_ONCE, |forget| async { drop(forget.await) }).await;
    }
}

async fn begin(call: BoxFuture<'_, Result<(), StoreError>>, until: Until) {
    let mut call = call;
    match until {
        Until::Polls(polls) => {
            for _ in 0..polls {
                let is_done = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
                if is_done {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
        Until::Millis(millis) => drop(timeout(Duration::from_millis(millis), call).await),
    }
}

/// As Kinesis would describe it: some stores keep more than the id.
fn shard(id: &str) -> Shard {
    let numbers = SequenceNumberRange::builder()
        .starting_sequence_number("49590338271490256608559692538361571095921575989136588898")
        .build();
    Shard::builder()
        .shard_id(id)
        .parent_shard_id("shardId-000000000900")
        .adjacent_parent_shard_id("shardId-000000000901")
        .hash_key_range(hash_keys())
        .sequence_number_range(numbers.expect("it is complete"))
        .build()
        .expect("it is complete")
}

/// Those of a shard that has ended.
fn children(id: &str, checkpoint: &Checkpoint) -> Vec<ChildShard> {
    let child = |child: &str| {
        let child = ChildShard::builder().shard_id(child).parent_shards(id).hash_key_range(hash_keys());
        child.build().expect("it is complete")
    };
    match checkpoint {
        Checkpoint::End => CHILDREN.map(child).to_vec(),
        _ => Vec::new(),
    }
}

fn hash_keys() -> HashKeyRange {
    let all = HashKeyRange::builder()
        .starting_hash_key("0")
        .ending_hash_key("340282366920938463463374607431768211455");
    all.build().expect("it is complete")
}
