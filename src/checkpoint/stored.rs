//! The checkpoints in a store, for a program that does not consume.

use std::collections::BTreeMap;

use aws_sdk_kinesis::types::Shard;
use tokio::time::Duration;

use crate::checkpoint::checkpoints::{LoadError, load_from};
use crate::checkpoint::options::CheckpointOptions;
use crate::checkpoint::store::{CheckpointStore, Save, StoreError, respond_within};
use crate::checkpoint::value::Checkpoint;
use crate::shard::position::{StartAt, StartPosition};
use crate::shard::stream_id::StreamId;

/// The checkpoints of one stream in a store, to look at and to change while no consumer runs.
///
/// ```
/// use aws_sdk_kinesis::primitives::DateTime;
/// use kinesis_shards::checkpoint::{Checkpoint, StoredCheckpoints};
/// use kinesis_shards::shard::StartPosition;
/// use kinesis_shards::{MemoryStore, StartAt};
/// # use futures::TryStreamExt;
/// # use kinesis_shards::testing::FakeKinesis;
/// # use kinesis_shards::{Checkpoints, ShardStreamExt, all_shards};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kinesis = FakeKinesis::new();
/// # kinesis.create_stream("orders", 2).put("customer 1", "an order");
/// # let client = kinesis.client();
/// # let store = MemoryStore::new();
/// # let consumer = Checkpoints::load(store.clone(), "orders").await?;
/// # let mut records = all_shards(&client, "orders").checkpoints(&consumer).records(&client);
/// # records.try_next().await?.expect("an order").ack();
/// # let _ = tokio::time::timeout(std::time::Duration::from_secs(5), records.try_next()).await;
/// # consumer.flush().await;
/// # drop((records, consumer));
/// let mut stored = StoredCheckpoints::load(store, "orders").await?;
/// for (shard_id, checkpoint) in stored.iter() {
///     println!("{shard_id} {checkpoint}");
/// }
/// # assert_eq!(stored.iter().count(), 2);
///
/// // The next run reads one shard from a record on, ...
/// let from = StartPosition::At("49590338271490256608559692538361571095921575989136588898".into());
/// stored.set("shardId-000000000000", Checkpoint::Start(from)).await?;
/// // ... or all shards from a time on.
/// stored.reset(StartAt::Timestamp(DateTime::from_secs(1_700_000_000))).await?;
/// # let start = StartPosition::Timestamp(DateTime::from_secs(1_700_000_000));
/// # assert!(stored.iter().all(|(_, checkpoint)| *checkpoint == Checkpoint::Start(start.clone())));
/// # Ok(())
/// # }
/// ```
///
/// Stop the consumers of the stream first, all workers of a fleet included. A change that a running
/// consumer knows nothing of is overwritten by its next save, or makes that save fail. A
/// `FileStore` refuses a second process, and a `DynamoDbStore` a shard whose lease another consumer
/// moves.
///
/// # Cancel safety
///
/// A call that is dropped may have changed some of the shards. Repeat it before a consumer starts.
#[derive(Debug)]
pub struct StoredCheckpoints<S> {
    store: S,
    stream: StreamId,
    checkpoints: BTreeMap<String, Checkpoint>,
    save_timeout: Duration,
}

impl<S: CheckpointStore> StoredCheckpoints<S> {
    /// Loads the checkpoints of the stream from the store.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not respond within 60 s.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn load(store: S, stream: impl Into<StreamId>) -> Result<Self, LoadError> {
        let CheckpointOptions { load_timeout, save_timeout, .. } = CheckpointOptions::new();
        let stream = stream.into();
        let loaded = load_from(&store, &stream, load_timeout).await?;
        Ok(Self { store, stream, checkpoints: loaded.into_iter().collect(), save_timeout })
    }

    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Returns the shards that have a checkpoint, in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Checkpoint)> {
        self.checkpoints.iter().map(|(shard_id, checkpoint)| (shard_id.as_str(), checkpoint))
    }

    /// Returns the checkpoint of a shard. `None` if the shard has none.
    #[must_use]
    pub fn get(&self, shard_id: &str) -> Option<&Checkpoint> {
        self.checkpoints.get(shard_id)
    }

    /// Replaces the checkpoint of a shard, also by an earlier one.
    ///
    /// [`Checkpoint::Start`] reads the shard from a position, and [`Checkpoint::End`] skips the
    /// rest of it. A store only moves forward, so an earlier [`Checkpoint::After`] takes two saves,
    /// the first of them at the trim horizon.
    ///
    /// # Errors
    ///
    /// If the shard has no checkpoint (see [`insert`](Self::insert)), if the checkpoint is not
    /// [valid](Checkpoint::validate), or if the store fails or does not respond within 30 s. Repeat
    /// the call after an error: the shard may be left at its trim horizon.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn set(
        &mut self,
        shard_id: &str,
        checkpoint: Checkpoint,
    ) -> Result<(), SetCheckpointError> {
        if !self.checkpoints.contains_key(shard_id) {
            let source = "the store has no checkpoint of it; insert one with its shard";
            return Err(self.error(shard_id, source.into()));
        }
        let shard = Shard::builder().shard_id(shard_id).build();
        let shard = shard.map_err(|source| self.error(shard_id, source.into()))?;
        self.insert(&shard, checkpoint).await
    }

    /// Adds or replaces the checkpoint of a shard, such as that of another consumer library.
    ///
    /// The shard is that of `ListShards`. A `DynamoDbStore` writes its parents and its hash keys,
    /// which the Kinesis Client Library reads.
    ///
    /// ```
    /// use aws_sdk_kinesis::types::Shard;
    /// use kinesis_shards::MemoryStore;
    /// use kinesis_shards::checkpoint::{Checkpoint, StoredCheckpoints};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut stored = StoredCheckpoints::load(MemoryStore::new(), "orders").await?;
    /// let shard = Shard::builder().shard_id("shardId-000000000000").build()?;
    /// let sequence_number = "49590338271490256608559692538361571095921575989136588898".into();
    /// let checkpoint = Checkpoint::After { sequence_number, sub_sequence_number: None };
    /// stored.insert(&shard, checkpoint).await?;
    /// # assert_eq!(stored.iter().count(), 1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As those of [`set`](Self::set), except for a shard without a checkpoint.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn insert(
        &mut self,
        shard: &Shard,
        checkpoint: Checkpoint,
    ) -> Result<(), SetCheckpointError> {
        let shard_id = shard.shard_id();
        if let Err(invalid) = checkpoint.validate() {
            return Err(self.error(shard_id, invalid.into()));
        }
        let is_start = matches!(checkpoint, Checkpoint::Start(_));
        let known = self.checkpoints.get(shard_id);
        if !is_start && known.is_some_and(|known| known.is_further_than(&checkpoint)) {
            // Only a start may replace a checkpoint that is further on.
            self.save(shard, Checkpoint::Start(StartPosition::TrimHorizon)).await?;
        }
        self.save(shard, checkpoint).await
    }

    /// Sets all shards that have a checkpoint to one start, finished shards too.
    ///
    /// From [`StartAt::Latest`], finished shards stay finished, and the others begin with the
    /// records that are written after the next run has begun, or up to about a second earlier.
    /// Kinesis refuses a time in the future once the shards are read.
    ///
    /// # Errors
    ///
    /// At the first shard that cannot be set; see [`set`](Self::set). Repeat the call then: a
    /// consumer that starts before may skip records of the shards that were not set.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn reset(&mut self, to: StartAt) -> Result<(), SetCheckpointError> {
        let position = match to {
            StartAt::TrimHorizon => StartPosition::TrimHorizon,
            StartAt::Latest => StartPosition::Latest,
            StartAt::Timestamp(time) => StartPosition::Timestamp(time),
        };
        let is_reset =
            |checkpoint: &Checkpoint| to != StartAt::Latest || *checkpoint != Checkpoint::End;
        let shards = self.checkpoints.iter().filter(|(_, checkpoint)| is_reset(checkpoint));
        let shards: Vec<_> = shards.map(|(shard_id, _)| shard_id.clone()).collect();
        for shard_id in shards {
            self.set(&shard_id, Checkpoint::Start(position.clone())).await?;
        }
        Ok(())
    }

    /// Removes the checkpoint of a shard. Nothing is done if the shard has none.
    ///
    /// The next run takes the shard for a new one. If one of its descendants has a processed
    /// record, the shard counts as finished.
    ///
    /// # Errors
    ///
    /// If the store fails, or does not respond within 30 s.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn forget(&mut self, shard_id: &str) -> Result<(), SetCheckpointError> {
        let forget = self.store.forget(&self.stream, shard_id);
        let forgotten = respond_within(self.save_timeout, forget).await;
        forgotten.map_err(|source| self.error(shard_id, source))?;
        self.checkpoints.remove(shard_id);
        Ok(())
    }

    async fn save(
        &mut self,
        shard: &Shard,
        checkpoint: Checkpoint,
    ) -> Result<(), SetCheckpointError> {
        let save = Save::new(&self.stream, shard, &checkpoint);
        let saved = respond_within(self.save_timeout, self.store.save(save)).await;
        saved.map_err(|source| self.error(shard.shard_id(), source))?;
        self.checkpoints.insert(shard.shard_id().to_owned(), checkpoint);
        Ok(())
    }

    fn error(&self, shard_id: &str, source: StoreError) -> SetCheckpointError {
        SetCheckpointError { stream: self.stream.clone(), shard_id: shard_id.to_owned(), source }
    }
}

/// The error of a change of [`StoredCheckpoints`]: see the example there. The error of the store is
/// its [`source`](std::error::Error::source).
#[derive(Debug, thiserror::Error)]
#[error("cannot change the checkpoint of shard {shard_id} of stream {stream}")]
pub struct SetCheckpointError {
    stream: StreamId,
    shard_id: String,
    source: StoreError,
}

impl SetCheckpointError {
    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Returns the id of the shard.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        &self.shard_id
    }
}
