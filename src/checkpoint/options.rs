//! Options of checkpoints: when they are saved, and how failures of the store are handled.

use std::fmt;
use std::sync::Arc;

use tokio::time::Duration;

use crate::checkpoint::event::CheckpointEvent;

/// Options of [`Checkpoints::load_with`](super::Checkpoints::load_with): when checkpoints are saved,
/// and how failures of the store are handled.
///
/// ```
/// use std::time::Duration;
///
/// use kinesis_shards::checkpoint::CheckpointOptions;
/// use kinesis_shards::{Checkpoints, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let options = CheckpointOptions::new().save_interval(Duration::from_secs(1)).save_records(100);
/// let checkpoints = Checkpoints::load_with(MemoryStore::new(), "orders", options).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until they are given to Checkpoints::load_with"]
pub struct CheckpointOptions {
    pub(crate) load_timeout: Duration,
    pub(crate) save_interval: Duration,
    pub(crate) save_records: u32,
    pub(crate) save_timeout: Duration,
    pub(crate) store_outage_limit: Option<Duration>,
    pub(crate) on_event: Vec<Arc<OnEvent>>,
}

type OnEvent = dyn Fn(&CheckpointEvent<'_>) + Send + Sync;

impl CheckpointOptions {
    /// Creates options with the default of each setter.
    pub fn new() -> Self {
        Self {
            load_timeout: Duration::from_mins(1),
            save_interval: Duration::from_secs(5),
            save_records: 1_000,
            save_timeout: Duration::from_secs(30),
            store_outage_limit: Some(Duration::from_mins(5)),
            on_event: Vec::new(),
        }
    }

    /// Sets the time within which the store must respond to
    /// [`Checkpoints::load_with`](super::Checkpoints::load_with), which fails otherwise.
    ///
    /// # Default
    ///
    /// 60 s
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn load_timeout(self, timeout: Duration) -> Self {
        assert!(!timeout.is_zero(), "load_timeout is zero: no store responds in no time");
        Self { load_timeout: timeout, ..self }
    }

    /// Sets the longest time from an acknowledgement to the save of the checkpoint. One save covers
    /// all acknowledgements up to it. The start and the end of a shard are saved at once. Zero
    /// saves each acknowledgement as soon as the store has confirmed the last save.
    ///
    /// # Default
    ///
    /// 5 s
    pub fn save_interval(self, interval: Duration) -> Self {
        Self { save_interval: interval, ..self }
    }

    /// Sets the number of acknowledged records after which a shard's checkpoint is saved before the
    /// [interval](Self::save_interval) has passed. After a crash, at most this many acknowledged
    /// records of a shard come again, and those acknowledged during a save.
    ///
    /// # Default
    ///
    /// 1,000
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn save_records(self, records: u32) -> Self {
        assert!(records > 0, "save_records is 0: a checkpoint moves by at least one record");
        Self { save_records: records, ..self }
    }

    /// Sets the time after which a save without a response fails, so that another shard can be
    /// saved: up to 16 saves are in flight. The failed save may have taken effect.
    ///
    /// # Default
    ///
    /// 30 s
    ///
    /// # Panics
    ///
    /// If it is zero.
    #[track_caller]
    pub fn save_timeout(self, timeout: Duration) -> Self {
        assert!(!timeout.is_zero(), "save_timeout is zero: no store responds in no time");
        Self { save_timeout: timeout, ..self }
    }

    /// Sets the time for which a save of a shard may be overdue before reading of the shard pauses,
    /// until the store is back. Other shards are read meanwhile, and no record is lost. With `None`
    /// reading never pauses, and all records since the last save come again after a crash.
    ///
    /// # Default
    ///
    /// 5 min
    pub fn store_outage_limit(self, limit: impl Into<Option<Duration>>) -> Self {
        Self { store_outage_limit: limit.into(), ..self }
    }

    /// Calls `on_event` with each [`CheckpointEvent`], for metrics and alarms. A second call adds a
    /// listener. `on_event` should return quickly. A panic in it is logged, and has no other
    /// effect.
    ///
    /// # Default
    ///
    /// None
    ///
    /// ```
    /// use kinesis_shards::checkpoint::{CheckpointEventKind, CheckpointOptions};
    ///
    /// let options = CheckpointOptions::new().on_event(|event| {
    ///     if let CheckpointEventKind::SaveFailed { error, .. } = &event.kind {
    ///         eprintln!("{}: {error}", event.shard_id);
    ///     }
    /// });
    /// ```
    pub fn on_event(
        mut self,
        on_event: impl Fn(&CheckpointEvent<'_>) + Send + Sync + 'static,
    ) -> Self {
        self.on_event.push(Arc::new(on_event));
        self
    }
}

impl Default for CheckpointOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for CheckpointOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckpointOptions")
            .field("load_timeout", &self.load_timeout)
            .field("save_interval", &self.save_interval)
            .field("save_records", &self.save_records)
            .field("save_timeout", &self.save_timeout)
            .field("store_outage_limit", &self.store_outage_limit)
            .finish_non_exhaustive()
    }
}
