//! Where a shard's pages come from: the seam behind which they are polled for, or pushed.

pub(crate) mod continuity;
pub(crate) mod exchange;
pub(crate) mod latest;
pub(crate) mod pacing;
pub(crate) mod polling;
pub(crate) mod requests;

use std::task::{Context, Poll};
use std::time::SystemTime;

use aws_sdk_kinesis::types::{ChildShard, Record};
use tokio::time::Duration;

use crate::records::error::ReadError;

/// What came of one shard in one go.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) records: Vec<Record>,
    /// `MillisBehindLatest`.
    pub(crate) lag: Option<Duration>,
    /// When the answer came, by the client's clock.
    pub(crate) received_at: SystemTime,
    /// Nothing follows: the shard's children.
    pub(crate) end: Option<Vec<ChildShard>>,
}

impl Page {
    /// The end of a shard that a list shows as closed, and of which no response names the children.
    pub(crate) fn end_of_closed_shard(received_at: SystemTime) -> Self {
        Self { records: Vec::new(), lag: None, received_at, end: Some(Vec::new()) }
    }
}

/// Why no page will come any more.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Kinesis does not know the shard any more.
    Expired,
    /// The shard is another, of the same name and sequence numbers: the server was restarted without
    /// its data.
    Replaced,
    Failed(ReadError),
}

/// Pages of one shard, each following the one before: none left out, none twice.
pub(crate) trait Source {
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page, Stop>>;

    /// Drives what is in flight to its response, and keeps that for [`poll_page`](Self::poll_page).
    ///
    /// A reader that takes no page now, but is polled, must call it: a request that nobody polls
    /// would keep the permit that others wait for.
    fn poll_in_flight(&mut self, cx: &mut Context<'_>);
}
