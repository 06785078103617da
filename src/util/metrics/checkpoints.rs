//! The checkpoints of one consumer.

use metrics::{Key, SharedString};
use tokio::time::Duration;

use crate::util::metrics::gauges::{Gauges, Round};
use crate::util::metrics::requests::{FAILURE, OK};
use crate::util::metrics::series::{Labels, add};

/// The figures of one consumer's checkpoints.
#[derive(Debug)]
pub(crate) struct CheckpointFigures {
    stream: Labels,
    saved: Key,
    failed: Key,
    gaps: Key,
    pauses: Key,
    gauges: Gauges,
}

/// The totals over the shards of one consumer, at one time.
#[derive(Debug, Default)]
pub(crate) struct ShardTotals {
    pub(crate) max_lag: Duration,
    pub(crate) reading: u64,
    pub(crate) finished: u64,
    pub(crate) waiting: u64,
    pub(crate) unacknowledged: u64,
    pub(crate) oldest_unacknowledged: Duration,
    pub(crate) unsaved_for: Duration,
}

impl CheckpointFigures {
    pub(crate) fn new(stream: &str) -> Self {
        let labels = Labels::new([("stream", stream)]);
        let saves = |outcome| {
            let outcome = [("outcome", SharedString::const_str(outcome))];
            labels.key_with("kinesis_shards.checkpoint.saves", outcome)
        };
        Self {
            saved: saves(OK),
            failed: saves(FAILURE),
            gaps: labels.key("kinesis_shards.checkpoint.gaps"),
            pauses: labels.key("kinesis_shards.checkpoint.pauses"),
            gauges: Gauges::default(),
            stream: labels,
        }
    }

    pub(crate) fn record_save(&self, is_ok: bool) {
        add(if is_ok { &self.saved } else { &self.failed }, 1);
    }

    pub(crate) fn record_gap(&self) {
        add(&self.gaps, 1);
    }

    pub(crate) fn record_pause(&self) {
        add(&self.pauses, 1);
    }

    /// Sets the gauges.
    pub(crate) fn show(&self, now: &ShardTotals) {
        self.gauges.record(|round| self.set(round, now));
    }

    fn set(&self, round: &mut Round<'_>, now: &ShardTotals) {
        let key = |name| self.stream.key(name);
        round.set_time(&key("kinesis_shards.lag.max"), now.max_lag);
        let states =
            [("reading", now.reading), ("finished", now.finished), ("waiting", now.waiting)];
        for (state, shards) in states {
            round.set_shards(&self.stream, state, shards);
        }
        round.set_count(&key("kinesis_shards.unacknowledged"), now.unacknowledged);
        round.set_time(&key("kinesis_shards.unacknowledged.age"), now.oldest_unacknowledged);
        round.set_time(&key("kinesis_shards.checkpoint.unsaved.age"), now.unsaved_for);
    }
}
