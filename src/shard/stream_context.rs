//! The context that all shards of one stream share.

#[cfg(feature = "metrics")]
use crate::shard::hand_overs::HandOvers;
use crate::shard::stream_id::StreamId;
use crate::shard::wire_format::WireFormat;
use crate::util::clock::ServerClock;

/// A stream, and the clock and the wire format of the server that lists it.
///
/// The source of the lists creates it, and each list and each handle carries it, so that the
/// lineage in between knows no wall clock.
#[derive(Debug)]
pub(crate) struct StreamContext {
    pub(crate) id: StreamId,
    pub(crate) clock: ServerClock,
    pub(crate) wire: WireFormat,
    #[cfg(feature = "metrics")]
    pub(crate) hand_overs: HandOvers,
}

impl StreamContext {
    pub(crate) fn new(id: StreamId) -> Self {
        Self {
            id,
            clock: ServerClock::default(),
            wire: WireFormat::default(),
            #[cfg(feature = "metrics")]
            hand_overs: HandOvers::default(),
        }
    }
}
