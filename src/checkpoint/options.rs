use std::fmt;
use std::sync::Arc;

use tokio::time::Duration;

use crate::checkpoint::event::CheckpointEvent;

/// How often checkpoints are saved, and what happens if they cannot be.
#[derive(Clone)]
#[must_use = "options do nothing until they are given to Checkpoints::load_with"]
pub struct CheckpointOptions {
    pub(crate) load_timeout: Duration,
    pub(crate) save_interval: Duration,
    pub(crate) save_records: u32,
    pub(crate) save_timeout: Duration,
    pub(crate) store_outage_limit: Option<Duration>,
    pub(crate) on_event: Option<Arc<OnEvent>>,
}

type OnEvent = dyn Fn(&CheckpointEvent<'_>) + Send + Sync;

impl CheckpointOptions {
    /// The defaults, as each setter names them.
    pub fn new() -> Self {
        Self {
            load_timeout: Duration::from_mins(1),
            save_interval: Duration::from_secs(5),
            save_records: 1_000,
            save_timeout: Duration::from_secs(30),
            store_outage_limit: Some(Duration::from_mins(5)),
            on_event: None,
        }
    }

    /// Fails [`Checkpoints::load_with`](super::Checkpoints::load_with) if the store gives no answer
    /// within this time.
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
        assert!(!timeout.is_zero(), "load_timeout is zero: no store would be in time");
        Self { load_timeout: timeout, ..self }
    }

    /// How long after an acknowledgement its shard's checkpoint is saved, at the latest; what is
    /// acknowledged meanwhile is saved with it. The start and the end of a shard are saved at once.
    /// Zero saves after each acknowledgement, as fast as the store answers.
    ///
    /// # Default
    ///
    /// 5 s
    pub fn save_interval(self, interval: Duration) -> Self {
        Self { save_interval: interval, ..self }
    }

    /// A shard's checkpoint is saved before the interval is over once so many of its records were
    /// acknowledged: at most this many, and those acknowledged while the store answers, are
    /// repeated after a crash.
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
        assert!(records > 0, "save_records is 0: a checkpoint moves by one record at least");
        Self { save_records: records, ..self }
    }

    /// A save that the store has not answered by then is dropped and counts as failed, so that
    /// other shards have their turn: 16 are saved at a time. It may have taken effect, or may not.
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
        assert!(!timeout.is_zero(), "save_timeout is zero: no store would be in time");
        Self { save_timeout: timeout, ..self }
    }

    /// A shard of which nothing could be saved for so long after it was due is not read on until
    /// the store is back. Meanwhile the others go on, and nothing is lost; `None` reads on for as
    /// long as it takes, and after a crash repeats as much.
    ///
    /// # Default
    ///
    /// 5 min
    pub fn store_outage_limit(self, limit: impl Into<Option<Duration>>) -> Self {
        Self { store_outage_limit: limit.into(), ..self }
    }

    /// Calls this for whatever happens to checkpoints: for metrics and alarms. It should be quick.
    /// If it panics, that is logged, and nothing else comes of it.
    pub fn on_event(self, on_event: impl Fn(&CheckpointEvent<'_>) + Send + Sync + 'static) -> Self {
        Self { on_event: Some(Arc::new(on_event)), ..self }
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
