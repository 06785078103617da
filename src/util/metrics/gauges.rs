//! Gauges that hold for as long as what they show.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use metrics::{Gauge, Key, SharedString};
use tokio::time::Duration;

use crate::util::metrics::series::{Labels, gauge};

/// The gauges of one owner. Those that its last round has not set are 0, and all are once it is
/// dropped.
#[derive(Default)]
pub(crate) struct Gauges(Mutex<HashMap<Key, Current>>);

/// A gauge, as the recorder of the last round knows it.
struct Current {
    gauge: Gauge,
    is_set: bool,
}

/// One round, which sets the gauges that hold now.
pub(crate) struct Round<'a>(&'a mut HashMap<Key, Current>);

impl Gauges {
    /// Sets the gauges that hold now.
    pub(crate) fn record(&self, set: impl FnOnce(&mut Round<'_>)) {
        let mut gauges = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        gauges.values_mut().for_each(|current| current.is_set = false);
        set(&mut Round(&mut gauges));
        gauges.retain(|_, current| {
            if !current.is_set {
                current.gauge.set(0.0);
            }
            current.is_set
        });
    }
}

impl Drop for Gauges {
    fn drop(&mut self) {
        let gauges = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        for current in gauges.values() {
            current.gauge.set(0.0);
        }
    }
}

impl fmt::Debug for Gauges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gauges").finish_non_exhaustive()
    }
}

impl Round<'_> {
    pub(crate) fn set(&mut self, key: &Key, value: f64) {
        // The recorder may be another one than that of the last round.
        let current = Current { gauge: gauge(key), is_set: true };
        current.gauge.set(value);
        match self.0.get_mut(key) {
            Some(known) => *known = current,
            None => {
                self.0.insert(key.clone(), current);
            }
        }
    }

    pub(crate) fn set_count(&mut self, key: &Key, count: u64) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        self.set(key, count as f64);
    }

    pub(crate) fn set_time(&mut self, key: &Key, time: Duration) {
        self.set(key, time.as_secs_f64());
    }

    /// Sets the greatest lag of a stream, and the shards that are read.
    pub(crate) fn set_readers(&mut self, stream: &str, max_lag: Duration, readers: u64) {
        let labels = Labels::new([("stream", stream)]);
        self.set_time(&labels.key("kinesis_shards.lag.max"), max_lag);
        self.set_shards(&labels, "reading", readers);
    }

    pub(crate) fn set_shards(&mut self, stream: &Labels, state: &'static str, shards: u64) {
        let state = [("state", SharedString::const_str(state))];
        self.set_count(&stream.key_with("kinesis_shards.shards", state), shards);
    }

    /// Sets the lag of one shard.
    pub(crate) fn set_lag(&mut self, stream: &str, shard_id: &str, lag: Duration) {
        let labels = Labels::new([("stream", stream), ("shard", shard_id)]);
        self.set_time(&labels.key("kinesis_shards.lag"), lag);
    }
}
