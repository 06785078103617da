//! The context that all shards of one stream share.

use std::sync::OnceLock;
use std::time::SystemTime;

#[cfg(feature = "metrics")]
use crate::shard::hand_overs::HandOvers;
use crate::shard::stop_at::{RunEnd, StopAt};
use crate::shard::stream_id::StreamId;
use crate::shard::wire_format::WireFormat;
use crate::util::clock::ServerClock;
use crate::util::idle_slots::IdleSlots;
use crate::util::metrics::StreamFigures;

/// A stream, the clock and the wire format of the server that lists it, when its idle shards are
/// read, and the end of the run.
///
/// The source of the lists creates it, and each list and each handle carries it, so that the
/// lineage in between knows no wall clock.
#[derive(Debug)]
pub(crate) struct StreamContext {
    pub(crate) id: StreamId,
    pub(crate) clock: ServerClock,
    pub(crate) wire: WireFormat,
    pub(crate) idle_slots: IdleSlots,
    #[cfg(feature = "metrics")]
    pub(crate) hand_overs: HandOvers,
    figures: OnceLock<StreamFigures>,
    /// Where the run ends, if it does.
    pub(crate) stop_at: Option<StopAt>,
    /// The same as a time, once the first list has come.
    run_end: OnceLock<RunEnd>,
}

impl StreamContext {
    pub(crate) fn new(id: StreamId) -> Self {
        Self {
            id,
            clock: ServerClock::default(),
            wire: WireFormat::default(),
            idle_slots: IdleSlots::default(),
            #[cfg(feature = "metrics")]
            hand_overs: HandOvers::default(),
            figures: OnceLock::new(),
            stop_at: None,
            run_end: OnceLock::new(),
        }
    }

    /// Returns the figures of the stream, for the facade of the crate `metrics`.
    pub(crate) fn figures(&self) -> &StreamFigures {
        self.figures.get_or_init(|| StreamFigures::new(self.id.name()))
    }

    /// Determines the end of the run, by the first list: see [`RunEnd::new`].
    pub(crate) fn determine_end(&self, began: SystemTime, listed: SystemTime) {
        if let Some(stop_at) = self.stop_at {
            self.run_end.get_or_init(|| RunEnd::new(stop_at, &self.clock, began, listed));
        }
    }

    /// Returns the end of the run, if it has one.
    pub(crate) fn run_end(&self) -> Option<&RunEnd> {
        self.run_end.get()
    }
}
