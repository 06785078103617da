//! The request log of a [`FakeKinesis`].

use std::collections::BTreeMap;

use serde_json::Value;

use crate::testing::fake::FakeKinesis;
use crate::testing::request::Request;

/// # The request log
impl FakeKinesis {
    /// Returns every request in the log, in the order of arrival. [`Request`] has an example.
    #[must_use]
    pub fn requests(&self) -> Vec<Request> {
        self.server().state().log.requests.clone()
    }

    /// Returns every request in the log, in the order of arrival, and clears the log.
    #[must_use]
    pub fn take_requests(&self) -> Vec<Request> {
        std::mem::take(&mut self.server().state().log.requests)
    }

    /// Clears the log. The later events of a subscription whose request is cleared are not counted.
    pub fn clear_requests(&self) {
        self.server().state().log.requests.clear();
    }

    /// Returns the number of requests of `operation` in the log.
    #[must_use]
    pub fn count(&self, operation: &str) -> usize {
        let state = self.server().state();
        state.log.requests.iter().filter(|request| request.operation() == operation).count()
    }

    /// Returns the number of requests of each operation in the log.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for request in &self.server().state().log.requests {
            *counts.entry(request.operation().to_owned()).or_default() += 1;
        }
        counts
    }

    /// Returns the body of every request of `operation`, in the order of arrival.
    #[must_use]
    pub fn bodies(&self, operation: &str) -> Vec<Value> {
        let state = self.server().state();
        let requests = state.log.requests.iter().filter(|request| request.operation() == operation);
        requests.map(|request| request.body().clone()).collect()
    }

    /// Returns every request of `operation`, in the order of arrival.
    #[must_use]
    pub fn requests_of(&self, operation: &str) -> Vec<Request> {
        let state = self.server().state();
        let requests = state.log.requests.iter();
        requests.filter(|request| request.operation() == operation).cloned().collect()
    }

    /// Returns every `GetShardIterator`, `GetRecords` and `SubscribeToShard` of one shard, in the
    /// order of arrival.
    #[must_use]
    pub fn requests_of_shard(&self, stream: &str, shard_id: &str) -> Vec<Request> {
        let state = self.server().state();
        let of_shard = |request: &&Request| {
            request.stream_name() == Some(stream) && request.shard_id() == Some(shard_id)
        };
        state.log.requests.iter().filter(of_shard).cloned().collect()
    }
}
