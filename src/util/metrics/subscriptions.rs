//! The subscriptions by enhanced fan-out.

use std::fmt;

use metrics::{Gauge, Key, SharedString};

use crate::util::metrics::SubscriptionEnd;
use crate::util::metrics::series::{Labels, add, gauge};

/// An open subscription, which is counted until it is dropped.
pub(crate) struct OpenSubscription {
    stream: Labels,
    /// The gauge that was incremented: a recorder that is installed meanwhile has another, which
    /// must not fall below 0.
    open: Gauge,
    end: SubscriptionEnd,
}

impl OpenSubscription {
    pub(crate) fn new(stream: Labels, subscriptions: &Key) -> Self {
        let open = gauge(subscriptions);
        open.increment(1.0);
        Self { stream, open, end: SubscriptionEnd::Closed }
    }

    /// Sets why the subscription ends, in place of [`SubscriptionEnd::Closed`].
    pub(crate) fn ends_by(&mut self, end: SubscriptionEnd) {
        self.end = end;
    }
}

impl Drop for OpenSubscription {
    fn drop(&mut self) {
        self.open.decrement(1.0);
        let reason = [("reason", SharedString::const_str(self.end.name()))];
        add(&self.stream.key_with("kinesis_shards.subscriptions.ended", reason), 1);
    }
}

impl fmt::Debug for OpenSubscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenSubscription").field("end", &self.end).finish_non_exhaustive()
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
