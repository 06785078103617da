//! Every shard of an Amazon Kinesis data stream as a [`futures::Stream`], parents before children.
#[cfg(feature = "testing")]
pub mod testing;
