//! The subscriptions by enhanced fan-out.

use metrics::{Gauge, Key, SharedString};

use crate::util::metrics::SubscriptionEnd;
use crate::util::metrics::series::{Labels, add, gauge};

/// An open subscription, which is counted until it is dropped. Boxed, since an idle subscription
/// has room for it in several places.
pub(crate) struct OpenSubscription(Box<Inner>);

struct Inner {
    stream: Labels,
    /// The gauge that was incremented. A recorder that is installed meanwhile has another one,
    /// which must not fall below 0.
    count: Gauge,
    end: SubscriptionEnd,
}

impl OpenSubscription {
    pub(crate) fn new(stream: Labels, subscriptions: &Key) -> Self {
        let count = gauge(subscriptions);
        count.increment(1.0);
        Self(Box::new(Inner { stream, count, end: SubscriptionEnd::Closed }))
    }

    /// Sets why the subscription ends, in place of [`SubscriptionEnd::Closed`].
    pub(crate) fn ends_by(&mut self, end: SubscriptionEnd) {
        self.0.end = end;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.count.decrement(1.0);
        let reason = [("reason", SharedString::const_str(self.end.name()))];
        add(&self.stream.key_with("kinesis_shards.subscriptions.ended", reason), 1);
    }
}

impl SubscriptionEnd {
    fn name(self) -> &'static str {
        match self {
            Self::Ended => "ended",
            Self::ShardEnd => "shard_end",
            Self::TakenOver => "taken_over",
            Self::Error => "error",
            Self::Silence => "silence",
            Self::Cut => "cut",
            Self::Closed => "closed",
        }
    }
}
