//! Checkpoints in memory.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use futures::future::{BoxFuture, FutureExt, ready};

use crate::checkpoint::store::{CheckpointStore, Save, StoreError};
use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;

/// A store that keeps checkpoints in memory, for tests and for consumers that start over with each
/// process. Clones share the same checkpoints.
///
/// The key of a stream is its ARN, or the bare name where no ARN is given: see
/// [`StreamId::check_unambiguous`].
///
/// ```
/// use futures::TryStreamExt;
/// use kinesis_shards::checkpoint::Checkpoint;
/// use kinesis_shards::{Checkpoints, MemoryStore, ShardStreamExt, all_shards};
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kinesis = FakeKinesis::new();
/// # kinesis.create_stream("orders", 1).put("customer 1", "an order");
/// # let client = kinesis.client();
/// let store = MemoryStore::new();
/// let checkpoints = Checkpoints::load(store.clone(), "orders").await?;
/// let mut records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
///
/// let record = records.try_next().await?.expect("an order").ack();
/// checkpoints.flush().await;
/// let saved = store.get("orders", record.shard_id());
/// assert!(matches!(saved, Some(Checkpoint::After { .. })));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryStore {
    streams: Arc<Mutex<BTreeMap<String, BTreeMap<String, Checkpoint>>>>,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the checkpoint of a shard. `stream` is the name or ARN by which the stream was
    /// loaded.
    #[must_use]
    pub fn get(&self, stream: &str, shard_id: &str) -> Option<Checkpoint> {
        self.with(|streams| streams.get(stream)?.get(shard_id).cloned())
    }

    fn with<T>(
        &self,
        f: impl FnOnce(&mut BTreeMap<String, BTreeMap<String, Checkpoint>>) -> T,
    ) -> T {
        f(&mut self.streams.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl CheckpointStore for MemoryStore {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        let rows = self.with(|streams| {
            let kept = streams.iter().filter(|(_, shards)| !shards.is_empty());
            stream.check_unambiguous(kept.map(|(of, _)| of.as_str()))?;
            let shards = streams.get(stream.as_str()).into_iter().flatten();
            Ok(shards.map(|(shard, checkpoint)| (shard.clone(), checkpoint.clone())).collect())
        });
        ready(rows).boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        if let Err(error) = save.checkpoint.validate() {
            return ready(Err(error.into())).boxed();
        }
        self.with(|streams| {
            let shards = streams.entry(save.stream.as_str().to_owned()).or_default();
            shards.insert(save.shard_id().to_owned(), save.checkpoint.clone());
        });
        ready(Ok(())).boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.with(|streams| {
            if let Some(shards) = streams.get_mut(stream.as_str()) {
                shards.remove(shard_id);
            }
        });
        ready(Ok(())).boxed()
    }

    fn identity(&self) -> Option<usize> {
        Some(Arc::as_ptr(&self.streams).addr())
    }
}
