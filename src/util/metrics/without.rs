//! Empty types that replace the figures if the feature `metrics` is off.

use crate::util::metrics::SubscriptionEnd;

/// The figures of a stream.
#[derive(Debug)]
pub(crate) struct StreamFigures;

#[expect(clippy::unused_self, reason = "the feature `metrics` needs it")]
impl StreamFigures {
    pub(crate) fn new(_: &str) -> Self {
        Self
    }

    pub(crate) fn observe<F>(&self, _: &'static str, request: F) -> F {
        request
    }

    pub(crate) fn subscribed(&self) -> OpenSubscription {
        OpenSubscription
    }
}

/// An open subscription.
#[derive(Debug)]
pub(crate) struct OpenSubscription;

#[expect(clippy::unused_self, reason = "the feature `metrics` needs it")]
impl OpenSubscription {
    pub(crate) fn ends_by(&mut self, _: SubscriptionEnd) {}
}

/// The figures of a table of DynamoDB.
#[cfg(feature = "dynamodb")]
#[derive(Debug)]
pub(crate) struct TableFigures;

#[cfg(feature = "dynamodb")]
#[expect(clippy::unused_self, reason = "the feature `metrics` needs it")]
impl TableFigures {
    pub(crate) fn new(_: &str) -> Self {
        Self
    }

    pub(crate) fn observe<F>(&self, _: &'static str, request: F) -> F {
        request
    }
}
