//! One counter, gauge or histogram, whose labels are made once.

use std::sync::Arc;

use metrics::{Gauge, Key, Label, Level, Metadata, SharedString, with_recorder};
use tokio::time::Duration;

static METADATA: Metadata<'static> =
    Metadata::new("kinesis_shards", Level::INFO, Some("kinesis_shards"));

/// The labels that all figures of one owner have, such as a stream.
#[derive(Clone, Debug)]
pub(crate) struct Labels(Arc<[Label]>);

impl Labels {
    pub(crate) fn new<const N: usize>(labels: [(&'static str, &str); N]) -> Self {
        let shared = |text: &str| SharedString::from_shared(Arc::from(text));
        Self(labels.into_iter().map(|(name, value)| Label::new(name, shared(value))).collect())
    }

    /// Returns the key of a figure with these labels.
    pub(crate) fn key(&self, name: &'static str) -> Key {
        Key::from_parts(name, self.0.to_vec())
    }

    /// Returns the key of a figure with these labels and others.
    pub(crate) fn key_with<const N: usize>(
        &self,
        name: &'static str,
        others: [(&'static str, SharedString); N],
    ) -> Key {
        let others = others.into_iter().map(|(name, value)| Label::new(name, value));
        Key::from_parts(name, self.0.iter().cloned().chain(others).collect::<Vec<_>>())
    }
}

/// Adds to a counter.
pub(crate) fn add(key: &Key, count: u64) {
    with_recorder(|recorder| recorder.register_counter(key, &METADATA).increment(count));
}

/// Records a duration, in seconds.
pub(crate) fn record(key: &Key, duration: Duration) {
    with_recorder(|recorder| recorder.register_histogram(key, &METADATA).record(duration));
}

/// Returns a gauge of the recorder that is installed now.
pub(crate) fn gauge(key: &Key) -> Gauge {
    with_recorder(|recorder| recorder.register_gauge(key, &METADATA))
}
