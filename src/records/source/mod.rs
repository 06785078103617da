//! The sources of a shard's pages: [`Polling`](polling::Polling) requests each page, and Kinesis
//! pushes pages to a [`Subscription`](fan_out::Subscription).

pub(crate) mod continuity;
pub(crate) mod exchange;
pub(crate) mod fan_out;
pub(crate) mod latest;
pub(crate) mod pacing;
pub(crate) mod polling;
pub(crate) mod reader_context;
pub(crate) mod requests;

use std::task::{Context, Poll};
use std::time::SystemTime;

use aws_sdk_kinesis::types::ChildShard;
use tokio::time::Duration;

use crate::records::error::ReadError;
use crate::shard::position::StartPosition;
use crate::shard::stop_at::RunEnd;
use crate::util::received_record::ReceivedRecord;

/// Records of one shard that arrived together.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<ReceivedRecord>,
    /// `MillisBehindLatest`.
    pub(crate) lag: Option<Duration>,
    /// The time at which the response arrived, by the client's clock.
    pub(crate) received_at: SystemTime,
    /// The shard's children, if no page follows.
    pub(crate) end: Option<Vec<ChildShard>>,
    /// Whether no record follows that arrived before the end of the run.
    pub(crate) is_at_run_end: bool,
}

impl Page {
    /// Creates the last page of a shard that a list shows as closed, if no response names its
    /// children.
    pub(crate) fn end_of_closed_shard(received_at: SystemTime) -> Self {
        let end = Some(Vec::new());
        Self { records: Vec::new(), lag: None, received_at, end, is_at_run_end: false }
    }

    /// Removes the records that arrived at the end of the run or later, and those that follow them.
    /// The shard was open at the end of the run then, so its own end is of no concern.
    pub(crate) fn cut_at(&mut self, run_end: &RunEnd) {
        let is_excluded = |record: &ReceivedRecord| {
            record.arrival().is_some_and(|arrived| run_end.excludes(arrived))
        };
        if let Some(first) = self.records.iter().position(is_excluded) {
            self.records.truncate(first);
            (self.end, self.is_at_run_end) = (None, true);
        }
    }
}

/// Why a source yields no further page.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Kinesis does not find the shard.
    Expired,
    /// The shard is another with the same id and sequence numbers: the server restarted without its
    /// data.
    Replaced,
    /// An error that no retry would resolve.
    Failed(ReadError),
}

/// The pages of one shard. Each page continues where the one before it ended.
pub(crate) trait Source: Send {
    /// Polls for the next page. After an end or an error, the source is not polled.
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page, Stop>>;

    /// Polls the request in flight, and keeps its response for [`poll_page`](Self::poll_page).
    ///
    /// A reader that is polled but takes no page must call this: a request that is not polled would
    /// hold a permit that other shards wait for.
    fn poll_in_flight(&mut self, cx: &mut Context<'_>);

    /// Polls as [`poll_in_flight`](Self::poll_in_flight) does, and lets another reader have the
    /// shard: a subscription ends, and a later page is received by another one.
    fn yield_shard(&mut self, cx: &mut Context<'_>) {
        self.poll_in_flight(cx);
    }

    /// Returns whether another subscriber has taken over since the last call.
    fn take_takeover(&mut self) -> bool {
        false
    }

    /// Returns the earlier time at which the source started because Kinesis refused the start. The
    /// time is returned once.
    fn take_earlier_start(&mut self) -> Option<StartPosition> {
        None
    }
}
