//! What was asked of the fake.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::fake::FakeKinesis;
use super::fault::Fault;
use super::wire::{shard_of, stream_of};

/// One request that reached the fake; the SDK's retries are requests of their own.
#[derive(Clone, Debug)]
pub struct Request {
    operation: String,
    body: Arc<Value>,
    at: Instant,
    stream: Option<String>,
    shard: Option<String>,
    pub(super) error: Option<String>,
    pub(super) fault: Option<Fault>,
}

impl Request {
    pub(super) fn new(operation: &str, body: Value, at: Instant) -> Self {
        let (stream, shard) = (stream_of(&body), shard_of(&body));
        let (operation, body) = (operation.to_owned(), Arc::new(body));
        Self { operation, body, at, stream, shard, error: None, fault: None }
    }

    /// The operation, as in AWS's API reference: `ListShards`.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The JSON body: `request.body()["StreamName"]`.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// When it came, on tokio's clock.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// The stream it was about, whether by name, by ARN, by an iterator, or by a token.
    #[must_use]
    pub fn stream_name(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// The shard it was about, for `GetShardIterator` and `GetRecords`.
    #[must_use]
    pub fn shard_id(&self) -> Option<&str> {
        self.shard.as_deref()
    }

    /// The error code it was refused with; `None` if it was not refused.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// The fault that befell it.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }
}

/// The most of these, which are in order, within any one second.
fn peak(times: impl IntoIterator<Item = Instant>) -> usize {
    let (mut within, mut peak) = (VecDeque::new(), 0);
    for time in times {
        within.push_back(time);
        while within.front().is_some_and(|&first| time.duration_since(first) >= Duration::from_secs(1)) {
            within.pop_front();
        }
        peak = peak.max(within.len());
    }
    peak
}

/// # The log of requests
impl FakeKinesis {
    /// Every request so far, in the order they came.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.server().state().log.clone()
    }

    /// Every request so far, and forgets them.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.server().state().log)
    }

    /// Forgets the requests so far.
    pub fn clear_requests(&self) {
        self.server().state().log.clear();
    }

    /// How often `operation` was asked for.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        self.server().state().log.iter().filter(|request| request.operation == operation).count()
    }

    /// How often each operation was asked for.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.server().state().log {
            *counts.entry(request.operation.clone()).or_default() += 1;
        }
        counts
    }

    /// The bodies of every request of `operation`, in the order they came.
    #[must_use]
    pub fn bodies(&self, operation: &str) -> Vec<Value> {
        let state = self.server().state();
        let requests = state.log.iter().filter(|request| request.operation == operation);
        requests.map(|request| Value::clone(&request.body)).collect()
    }

    /// The most `GetRecords` of one shard within any second, refused ones among them.
    #[must_use]
    pub fn reads_per_second(&self, stream: &str, shard_id: &str) -> usize {
        let state = self.server().state();
        let reads = state.log.iter().filter(|request| {
            request.operation == "GetRecords"
                && request.stream_name() == Some(stream)
                && request.shard_id() == Some(shard_id)
        });
        peak(reads.map(|request| request.at))
    }

    /// Asserts that no shard of any stream was read more than `most` times within any second. AWS's limit is 5.
    ///
    /// # Panics
    ///
    /// If one was, with its name.
    #[track_caller]
    pub fn assert_read_rate_at_most(&self, most: usize) {
        let requests = self.requests();
        let reads = requests.iter().filter(|request| request.operation == "GetRecords");
        let shards: BTreeSet<_> =
            reads.filter_map(|read| Some((read.stream_name()?, read.shard_id()?))).collect();
        for (stream, shard) in shards {
            let rate = self.reads_per_second(stream, shard);
            assert!(
                rate <= most,
                "{shard} of stream {stream} was read {rate} times within a second, not {most}"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_of_any_second() {
        let start = Instant::now();
        let at = |millis: &u64| start + Duration::from_millis(*millis);
        assert_eq!(peak([]), 0);
        assert_eq!(peak([0, 200, 400, 600, 800, 1000].iter().map(at)), 5);
        assert_eq!(peak([0, 900, 950, 1850, 1899, 1949].iter().map(at)), 4);
    }
}
