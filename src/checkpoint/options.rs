//! When checkpoints are saved, and what happens if the store fails.

use std::fmt;
use std::sync::Arc;

use tokio::time::Duration;

use crate::checkpoint::event::CheckpointEvent;

/// When checkpoints are saved, and what happens if the store fails.
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

    /// Fails [`Checkpoints::load_with`](super::Checkpoints::load_with) if the store does not
    /// respond within this time.
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

    /// Saves a shard's checkpoint this time after an acknowledgement, at the latest. Later
    /// acknowledgements are saved with it. The start and the end of a shard are saved at once. Zero
    /// saves after each acknowledgement, as fast as the store responds.
    ///
    /// # Default
    ///
    /// 5 s
    pub fn save_interval(self, interval: Duration) -> Self {
        Self { save_interval: interval, ..self }
    }

    /// Saves a shard's checkpoint before the interval has passed, once this many of its records
    /// were acknowledged. At most this many records, and those acknowledged during a save, come
    /// again after a crash.
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

    /// Fails a save that gets no response within this time, so that another shard can be saved: up
    /// to 16 saves are in flight. The save may or may not have taken effect.
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

    /// Pauses the reading of a shard when a save of it has been overdue for this time, until the
    /// store is back. Other shards are read meanwhile, and no record is lost. With `None` reading
    /// never pauses, and all records since the last save come again after a crash.
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
