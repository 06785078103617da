//! A consumer of a stream, and the service's end of its subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Notify;

use crate::testing::model::status::{Change, Status};
use crate::testing::model::time::Millis;

/// A registered consumer.
#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) name: String,
    pub(crate) arn: String,
    /// Distinguishes the consumers that have had this name.
    pub(crate) id: u64,
    pub(crate) created: Millis,
    pub(crate) change: Change,
    /// The subscriptions, by the index of the shard.
    pub(crate) subscriptions: BTreeMap<u32, Subscription>,
}

impl Consumer {
    pub(crate) fn status(&self, now: Millis) -> Status {
        self.change.status(now)
    }
}

/// The service's end of a subscription. Removing it wakes the reading end.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) number: u64,
    pub(crate) since: Millis,
    pub(crate) change: Arc<Notify>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.change.notify_one();
    }
}
