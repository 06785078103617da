//! What happens to one stream.

use metrics::{Key, SharedString};
use tokio::time::Duration;

use crate::util::metrics::requests::{FAILURE, Observed, Requests};
use crate::util::metrics::series::{Labels, add, record};
use crate::util::metrics::subscriptions::OpenSubscription;

/// The counters and durations of one stream.
#[derive(Debug)]
pub(crate) struct StreamFigures {
    labels: Labels,
    requests: Requests,
    records: Key,
    bytes: Key,
    expired_iterators: Key,
    hand_overs: Key,
    subscriptions: Key,
}

impl StreamFigures {
    pub(crate) fn new(stream: &str) -> Self {
        let labels = Labels::new([("stream", stream)]);
        let names = ["kinesis_shards.requests", "kinesis_shards.request.duration"];
        let frequent = ["GetRecords", "GetShardIterator", "ListShards", "SubscribeToShard"];
        Self {
            requests: Requests::new(labels.clone(), names, &frequent),
            records: labels.key("kinesis_shards.records"),
            bytes: labels.key("kinesis_shards.bytes"),
            expired_iterators: labels.key("kinesis_shards.iterators.expired"),
            hand_overs: labels.key("kinesis_shards.hand_over.duration"),
            subscriptions: labels.key("kinesis_shards.subscriptions"),
            labels,
        }
    }

    /// Waits for the response to a request, and records the outcome and the duration.
    pub(crate) fn observe<F>(&self, operation: &'static str, request: F) -> Observed<'_, F> {
        self.requests.observe(operation, request)
    }

    pub(crate) fn record_page(&self, records: usize, bytes: usize) {
        add(&self.records, records as u64);
        add(&self.bytes, bytes as u64);
    }

    pub(crate) fn record_retry(&self, code: Option<&str>, is_expired_iterator: bool) {
        let code = [("code", code.unwrap_or(FAILURE).to_owned().into())];
        add(&self.labels.key_with("kinesis_shards.retries", code), 1);
        if is_expired_iterator {
            add(&self.expired_iterators, 1);
        }
    }

    pub(crate) fn record_end(&self, reason: &'static str) {
        let reason = [("reason", SharedString::const_str(reason))];
        add(&self.labels.key_with("kinesis_shards.readers.ended", reason), 1);
    }

    pub(crate) fn record_hand_over(&self, duration: Duration) {
        record(&self.hand_overs, duration);
    }

    /// Counts a subscription that is open, until it is dropped.
    pub(crate) fn subscribed(&self) -> OpenSubscription {
        OpenSubscription::new(self.labels.clone(), &self.subscriptions)
    }
}
