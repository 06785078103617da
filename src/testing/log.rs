//! What was asked of the fake.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use super::fake::FakeKinesis;
use super::fault::Fault;
use super::wire::{Read, shard_of, stream_of};

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
    pub(super) read: Option<Read>,
}

impl Request {
    pub(super) fn new(operation: &str, body: Value, at: Instant) -> Self {
        let (stream, shard) = (stream_of(&body), shard_of(&body));
        let (operation, body) = (operation.to_owned(), Arc::new(body));
        Self { operation, body, at, stream, shard, error: None, fault: None, read: None }
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

    /// How many records its answer gave: of a `GetRecords` whose answer came, or was to come, whole.
    #[must_use]
    pub fn records_read(&self) -> usize {
        self.read.as_ref().map_or(0, |read| read.records)
    }

    /// How many bytes of data and partition keys its answer gave.
    #[must_use]
    pub fn bytes_read(&self) -> usize {
        self.read.as_ref().map_or(0, |read| read.bytes)
    }

    /// Whether its answer was the end of a closed shard.
    #[must_use]
    pub fn read_the_end(&self) -> bool {
        self.read.as_ref().is_some_and(|read| read.ended)
    }

    /// The fault that befell it.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }
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

    /// The requests of `operation` so far, in the order they came.
    #[must_use]
    pub fn requests_of(&self, operation: &str) -> Vec<Request> {
        let state = self.server().state();
        state.log.iter().filter(|request| request.operation == operation).cloned().collect()
    }

    /// The `GetShardIterator` and `GetRecords` of one shard so far, in the order they came.
    #[must_use]
    pub fn requests_of_shard(&self, stream: &str, shard_id: &str) -> Vec<Request> {
        let state = self.server().state();
        let of_shard = |request: &&Request| {
            request.stream_name() == Some(stream) && request.shard_id() == Some(shard_id)
        };
        state.log.iter().filter(of_shard).cloned().collect()
    }
}
