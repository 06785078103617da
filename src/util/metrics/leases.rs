//! The leases of one worker.

use metrics::{Key, SharedString};

use crate::util::metrics::gauges::Gauges;
use crate::util::metrics::series::{Labels, add};

/// The figures of one worker. Its gauges are 0 once it is dropped.
#[derive(Debug)]
pub(crate) struct LeaseFigures {
    labels: Labels,
    held: Key,
    workers: Key,
    gauges: Gauges,
}

impl LeaseFigures {
    pub(crate) fn new(stream: &str, application: &str, worker: &str) -> Self {
        let labels =
            Labels::new([("stream", stream), ("application", application), ("worker", worker)]);
        Self {
            held: labels.key("kinesis_shards.leases"),
            workers: labels.key("kinesis_shards.lease.workers"),
            gauges: Gauges::default(),
            labels,
        }
    }

    /// Sets the number of leases that the worker holds, and of live workers that it sees.
    pub(crate) fn show(&self, held: usize, workers: usize) {
        self.gauges.record(|round| {
            round.set_count(&self.held, held as u64);
            round.set_count(&self.workers, workers as u64);
        });
    }

    pub(crate) fn record_event(&self, kind: &'static str) {
        let kind = [("kind", SharedString::const_str(kind))];
        add(&self.labels.key_with("kinesis_shards.lease.events", kind), 1);
    }
}
