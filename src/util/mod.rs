//! Helpers that are independent of shards.

pub(crate) mod abort_on_drop;
pub(crate) mod backoff;
pub(crate) mod clock;
pub(crate) mod coarse_clock;
pub(crate) mod idle_slots;
pub(crate) mod lock;
pub(crate) mod metrics;
#[cfg(feature = "cbor")]
pub(crate) mod page_record;
#[cfg(feature = "cbor")]
pub(crate) mod page_shard;
#[cfg(feature = "cbor")]
pub(crate) mod place;
pub(crate) mod received_record;
pub(crate) mod received_shard;
pub(crate) mod request_timeout;
pub(crate) mod runtime;
pub(crate) mod sdk_error;
