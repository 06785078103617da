//! A shard's batches up to its end. The shard's handle is somebody else's business.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use tokio::time::Duration;

use crate::records::batch::Batch;
use crate::records::error::ReadError;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::source::latest::LatestAnchor;
use crate::records::source::polling::Polling;
use crate::records::source::{Source, Stop};
use crate::shard::handle::Offer;
use crate::shard::position::StartPosition;

pub(crate) struct ShardReader {
    client: Client,
    options: Arc<ReadOptions>,
    permits: RequestPermits,
    offer: Arc<Offer>,
    from: StartPosition,
    /// Whether a reader of this shard has read the record at the start.
    is_resumed: bool,
    /// It is a time that was found out for `LATEST`.
    is_estimate: bool,
    opened: LatestAnchor,
    /// Made with the first poll.
    source: Option<Polling>,
    /// The last page was given. Once more is asked for, it has been taken.
    end: Option<Vec<ChildShard>>,
    lag: Option<Duration>,
    /// A page came, with records or without.
    is_answered: bool,
}

/// What follows. After anything but a batch, nothing does.
pub(crate) enum Next {
    Batch(Batch),
    /// The last record was taken: the shard's children.
    End(Vec<ChildShard>),
    /// Kinesis does not know the shard any more.
    Expired,
    /// The shard is another, of the same name and sequence numbers, whose records were not read.
    Replaced,
    Failed(ReadError),
}

impl ShardReader {
    pub(crate) fn new(
        client: &Client,
        offer: Arc<Offer>,
        from: StartPosition,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
    ) -> Self {
        let (client, opened) = (client.clone(), LatestAnchor::now(client, &offer));
        let is_estimate = offer.is_estimate;
        Self {
            is_estimate,
            is_resumed: false,
            client,
            options,
            permits,
            offer,
            from,
            opened,
            source: None,
            end: None,
            lag: None,
            is_answered: false,
        }
    }

    /// The same from there.
    pub(crate) fn begun_again(&self, from: StartPosition) -> Self {
        let (offer, options, permits) =
            (Arc::clone(&self.offer), Arc::clone(&self.options), self.permits.clone());
        let is_resumed = self.is_resumed && from == self.from;
        Self { is_resumed, ..Self::new(&self.client, offer, from, options, permits) }
    }

    /// The same, whose start was found out for `LATEST`, or was not.
    pub(crate) fn estimated(self, is_estimate: bool) -> Self {
        Self { is_estimate, ..self }
    }

    /// Expects the record at the start, which a reader of this shard has read before.
    pub(crate) fn resumed(self) -> Self {
        Self { is_resumed: true, ..self }
    }

    /// Returns the earlier time from which the shard is read since Kinesis refused its start, once.
    pub(crate) fn take_earlier_start(&mut self) -> Option<StartPosition> {
        self.source.as_mut()?.take_earlier_start()
    }

    pub(crate) fn options(&self) -> &ReadOptions {
        &self.options
    }

    pub(crate) fn set_options(&mut self, options: Arc<ReadOptions>) {
        self.options = options;
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.source.is_some()
    }

    /// Returns whether Kinesis has accepted the position: a page came.
    pub(crate) fn is_answered(&self) -> bool {
        self.is_answered
    }

    /// `MillisBehindLatest` of the last answer.
    pub(crate) fn lag(&self) -> Option<Duration> {
        self.lag
    }

    /// Drives a request in flight to its response, whose page is left for
    /// [`poll_next`](Self::poll_next).
    pub(crate) fn poll_in_flight(&mut self, cx: &mut Context<'_>) {
        if let Some(source) = &mut self.source {
            source.poll_in_flight(cx);
        }
    }

    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if let Some(children) = self.end.take() {
            return Poll::Ready(Next::End(children));
        }
        let source = self.source.get_or_insert_with(|| {
            let (client, offer) = (self.client.clone(), Arc::clone(&self.offer));
            let (options, permits) = (Arc::clone(&self.options), self.permits.clone());
            let from = self.from.clone();
            Polling::new(client, offer, from, options, permits, self.opened)
                .estimated(self.is_estimate)
                .resumed(self.is_resumed)
        });
        let page = match ready!(source.poll_page(cx)) {
            Ok(page) => page,
            Err(Stop::Expired) => return Poll::Ready(Next::Expired),
            Err(Stop::Replaced) => {
                let (stream, shard) = (self.offer.stream().name(), self.offer.shard.shard_id());
                tracing::warn!(
                    stream,
                    shard,
                    "the last record of the shard is missing, and older ones are new: the server \
                     lost its data, and the shard is read from its oldest record"
                );
                return Poll::Ready(Next::Replaced);
            }
            Err(Stop::Failed(error)) => return Poll::Ready(Next::Failed(error)),
        };
        self.lag = page.lag;
        self.is_answered = true;
        if page.records.is_empty() {
            if let Some(children) = page.end {
                return Poll::Ready(Next::End(children));
            }
            // Others have their turn, should the server have nothing but empty pages.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.end = page.end;
        Poll::Ready(Next::Batch(Batch {
            records: page.records,
            offer: Arc::clone(&self.offer),
            lag: page.lag,
            received_at: page.received_at,
            #[cfg(feature = "kpl")]
            deaggregation: self.options.deaggregation,
        }))
    }
}
