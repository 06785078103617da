//! The store under test.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use aws_sdk_kinesis::types::{ChildShard, HashKeyRange, SequenceNumberRange, Shard};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use tokio::time::{Duration, timeout};

use crate::checkpoint::store::{CheckpointStore, Save, StoreError};
use crate::checkpoint::value::Checkpoint;
use crate::shard::position::StartPosition;
use crate::shard::stream_id::StreamId;

const CALL_TIMEOUT: Duration = Duration::from_mins(1);
/// The number of shards that [`Checkpoints`](crate::Checkpoints) saves at a time.
const MAX_CONCURRENT_CALLS: usize = 16;

/// The children of every shard whose end is saved.
pub(crate) const CHILDREN: [&str; 2] = ["shardId-000000000902", "shardId-000000000903"];

/// How long a call runs before it is dropped.
#[derive(Clone, Copy, Debug)]
pub(crate) enum DropAfter {
    /// This many polls, between which other tasks run.
    Polls(u32),
    /// This many milliseconds.
    Millis(u64),
}

/// The checkpoints of a stream, by shard.
pub(crate) type Rows = BTreeMap<String, Checkpoint>;

/// The store under test. Each of its calls has a time limit, and a failed call panics with the
/// promise that it breaks.
pub(crate) struct StoreUnderTest<'a, S: ?Sized> {
    store: &'a S,
    run_id: u64,
    /// Every stream and shard that was saved, for [`clean_up`](Self::clean_up).
    saved_shards: Mutex<Vec<(StreamId, String)>>,
}

impl<'a, S: CheckpointStore + ?Sized> StoreUnderTest<'a, S> {
    pub(crate) fn new(store: &'a S, run_id: u64) -> Self {
        Self { store, run_id, saved_shards: Mutex::default() }
    }

    /// Returns a stream that only this run uses.
    pub(crate) fn stream(&self, name: &str) -> StreamId {
        StreamId::from(format!("kinesis-shards-check-{:016x}{name}", self.run_id))
    }

    pub(crate) async fn load(&self, stream: &StreamId, promise: &str) -> Rows {
        let mut rows = self.expect_ok("load", promise, self.store.load(stream)).await;
        // The store may add the children that an end names, at the trim horizon.
        let start = Checkpoint::Start(StartPosition::TrimHorizon);
        rows.retain(|(id, checkpoint)| !(CHILDREN.contains(&id.as_str()) && *checkpoint == start));
        let count = rows.len();
        let rows: Rows = rows.into_iter().collect();
        assert_eq!(
            rows.len(),
            count,
            "{promise}: load returned a shard of {stream} more than once"
        );
        rows
    }

    pub(crate) async fn try_load(
        &self,
        stream: &StreamId,
        promise: &str,
    ) -> Result<Vec<(String, Checkpoint)>, StoreError> {
        let load = async { Ok(self.store.load(stream).await) };
        self.expect_ok("load", promise, load).await
    }

    pub(crate) async fn save(
        &self,
        stream: &StreamId,
        id: &str,
        checkpoint: &Checkpoint,
        promise: &str,
    ) {
        self.track(stream, id);
        if *checkpoint == Checkpoint::End {
            for child in CHILDREN {
                self.track(stream, child);
            }
        }
        let (shard, children) = (shard(id), children(id, checkpoint));
        let save = Save::new(stream, &shard, checkpoint).with_children(&children);
        self.expect_ok("save", promise, self.store.save(save)).await;
    }

    /// Saves an invalid checkpoint, which the store must reject.
    pub(crate) async fn save_invalid(
        &self,
        stream: &StreamId,
        id: &str,
        checkpoint: &Checkpoint,
        promise: &str,
    ) {
        self.track(stream, id);
        let shard = shard(id);
        let save = self.store.save(Save::new(stream, &shard, checkpoint));
        let Ok(response) = timeout(CALL_TIMEOUT, save).await else {
            panic!("{promise}: save took more than {CALL_TIMEOUT:?}");
        };
        assert!(response.is_err(), "{promise}: save confirmed {checkpoint:?}");
    }

    pub(crate) async fn save_all(&self, stream: &StreamId, rows: &Rows, promise: &str) {
        let saves = rows.iter().map(|(id, checkpoint)| self.save(stream, id, checkpoint, promise));
        stream::iter(saves).for_each_concurrent(MAX_CONCURRENT_CALLS, |save| save).await;
    }

    /// Starts a save and drops it.
    pub(crate) async fn save_and_drop(
        &self,
        stream: &StreamId,
        id: &str,
        checkpoint: &Checkpoint,
        drop_after: DropAfter,
    ) {
        self.track(stream, id);
        let shard = shard(id);
        poll_and_drop(self.store.save(Save::new(stream, &shard, checkpoint)), drop_after).await;
    }

    /// Starts a forget and drops it.
    pub(crate) async fn forget_and_drop(&self, stream: &StreamId, id: &str, drop_after: DropAfter) {
        poll_and_drop(self.store.forget(stream, id), drop_after).await;
    }

    pub(crate) async fn forget(&self, stream: &StreamId, id: &str, promise: &str) {
        self.expect_ok("forget", promise, self.store.forget(stream, id)).await;
    }

    pub(crate) async fn forget_all(&self, stream: &StreamId, rows: &Rows, promise: &str) {
        let forgets = rows.keys().map(|id| self.forget(stream, id, promise));
        stream::iter(forgets).for_each_concurrent(MAX_CONCURRENT_CALLS, |forget| forget).await;
    }

    async fn expect_ok<T>(
        &self,
        call: &str,
        promise: &str,
        response: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> T {
        let Ok(response) = timeout(CALL_TIMEOUT, response).await else {
            panic!("{promise}: {call} took more than {CALL_TIMEOUT:?}");
        };
        response.unwrap_or_else(|error| panic!("{promise}: {call} failed: {error}"))
    }

    fn track(&self, stream: &StreamId, id: &str) {
        let mut saved_shards = self.saved_shards.lock().unwrap_or_else(PoisonError::into_inner);
        saved_shards.push((stream.clone(), id.to_owned()));
    }

    /// Forgets every shard that was saved. It ignores errors, because a check has reported them.
    pub(crate) async fn clean_up(&self) {
        let mut saved_shards =
            std::mem::take(&mut *self.saved_shards.lock().unwrap_or_else(PoisonError::into_inner));
        saved_shards.sort_by(|(a, a_id), (b, b_id)| (a.as_str(), a_id).cmp(&(b.as_str(), b_id)));
        saved_shards.dedup();
        let forgets = saved_shards
            .iter()
            .map(|(stream, id)| timeout(CALL_TIMEOUT, self.store.forget(stream, id)));
        stream::iter(forgets)
            .for_each_concurrent(MAX_CONCURRENT_CALLS, |forget| async { drop(forget.await) })
            .await;
    }
}

async fn poll_and_drop(call: BoxFuture<'_, Result<(), StoreError>>, drop_after: DropAfter) {
    let mut call = call;
    match drop_after {
        DropAfter::Polls(polls) => {
            for _ in 0..polls {
                let is_done = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
                if is_done {
                    return;
                }
                tokio::task::yield_now().await;
            }
        }
        DropAfter::Millis(millis) => drop(timeout(Duration::from_millis(millis), call).await),
    }
}

/// Returns the shard as Kinesis describes it. Some stores keep more than the id.
fn shard(id: &str) -> Shard {
    let numbers = SequenceNumberRange::builder()
        .starting_sequence_number("49590338271490256608559692538361571095921575989136588898")
        .build();
    Shard::builder()
        .shard_id(id)
        .parent_shard_id("shardId-000000000900")
        .adjacent_parent_shard_id("shardId-000000000901")
        .hash_key_range(hash_keys())
        .sequence_number_range(numbers.expect("every required member is set"))
        .build()
        .expect("every required member is set")
}

/// Returns the children that a save of `checkpoint` names: those of a shard that has ended.
fn children(id: &str, checkpoint: &Checkpoint) -> Vec<ChildShard> {
    let child = |child: &str| {
        let child =
            ChildShard::builder().shard_id(child).parent_shards(id).hash_key_range(hash_keys());
        child.build().expect("every required member is set")
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
    all.build().expect("every required member is set")
}
