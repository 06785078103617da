//! Reads a shard by `GetShardIterator` and `GetRecords`.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, Instant};

use crate::records::error::ReadError;
use crate::records::event::ReadEventKind;
use crate::records::page_limit::PageLimit;
use crate::records::source::continuity::{Continuity, Finding, Tip};
use crate::records::source::exchange::{Content, Exchange, ExchangeOutcome, ShardIterator};
use crate::records::source::pacing::Pacing;
use crate::records::source::reader_context::ReaderContext;
use crate::records::source::requests::RecordsResponse;
use crate::records::source::{Page, Source, Stop};
use crate::shard::end_claim::Standing;
use crate::shard::position::StartPosition;
use crate::util::abort_on_drop::AbortOnDrop;
use crate::util::clock::{MAX_SKEW, now};
use crate::util::received_record::ReceivedRecord;
use crate::util::runtime::LastRuntime;

/// The number of consecutive unconfirmed ends after which a closed shard has ended, if the server
/// reports a `MillisBehindLatest` of zero. Only requests sent while the shard was known to be
/// closed count.
const MIN_ENDS_AT_TIP: u32 = 1;
/// The same number if the server reports another lag, or none.
const MIN_ENDS_OF_UNKNOWN_LAG: u32 = 7;
/// The number of unconfirmed ends after which the reader lists the shards itself, if the stream of
/// shards has not heard its claim.
const LIST_IF_UNHEARD: u32 = 4;
/// The same number if the stream of shards has heard the claim, but no list confirms it.
const LIST_IF_UNCONFIRMED: u32 = 20;

/// A shard has expired after this number of reads in a row that do not find it, although Kinesis
/// returned an iterator for each.
const MAX_NOT_FOUND_READS: u32 = 8;

/// The origin of the position to start at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StartKind {
    /// The user or a checkpoint has set the position.
    Given,
    /// The position is `LATEST`, or a time that stands for it.
    Estimate,
    /// Kinesis has refused the estimate, and the reader starts at an earlier time. That was not
    /// reported yet.
    MovedBack,
}

/// Whether the shard was open at the end of the run.
#[derive(Clone, Copy, PartialEq, Eq)]
enum AtRunEnd {
    Unknown,
    /// The next list shows it.
    Checked,
    Open,
}

/// The source that requests each page.
pub(crate) struct Polling {
    pub(crate) context: Arc<ReaderContext>,
    /// The position to start at until a record is read.
    from: StartPosition,
    pub(crate) continuity: Continuity,
    start_kind: StartKind,
    iterator: Option<ShardIterator>,
    pacing: Pacing,
    limit: PageLimit,
    failures: u32,
    /// Whether the last exchange did not find the shard. The iterator is discarded then, so the
    /// next iterator resets this.
    was_not_found: bool,
    /// The number of reads since the last page that did not find the shard.
    not_found_reads: u32,
    /// The number of consecutive responses that may be the end of the shard but do not confirm it.
    unconfirmed_ends: u32,
    /// The number of them that were requested while the shard was known to be closed. `None` if it
    /// is not known to be.
    ends_when_closed: Option<u32>,
    /// Whether the next request lists the shards, to confirm the end of the shard, or that the
    /// shard is open at the end of the run.
    lists_shards_next: bool,
    /// Whether the shard was open at the end of the run.
    at_run_end: AtRunEnd,
    /// The exchange in flight, with the pause before it. Each exchange is a new future, so an idle
    /// shard takes little memory.
    in_flight: Option<BoxFuture<'static, ExchangeOutcome>>,
    /// The outcome of an exchange whose page is not taken yet. Boxed, since it is large and rare.
    completed: Option<Box<ExchangeOutcome>>,
    runtime: LastRuntime,
}

impl Polling {
    pub(crate) fn new(context: Arc<ReaderContext>, from: StartPosition) -> Self {
        let limit = PageLimit::new(context.options.max_records);
        let is_latest = from == StartPosition::Latest;
        Self {
            context,
            from,
            continuity: Continuity::default(),
            start_kind: if is_latest { StartKind::Estimate } else { StartKind::Given },
            iterator: None,
            pacing: Pacing::default(),
            limit,
            failures: 0,
            was_not_found: false,
            not_found_reads: 0,
            unconfirmed_ends: 0,
            ends_when_closed: None,
            lists_shards_next: false,
            at_run_end: AtRunEnd::Unknown,
            in_flight: None,
            completed: None,
            runtime: LastRuntime::default(),
        }
    }

    /// Sets whether the start is a time that stands for `LATEST`.
    pub(crate) fn estimated_start(self, is_estimate: bool) -> Self {
        let start_kind = if is_estimate { StartKind::Estimate } else { self.start_kind };
        Self { start_kind, ..self }
    }

    /// Expects the record at the start, which a reader of this shard has read before.
    pub(crate) fn resumed(mut self, is_resumed: bool) -> Self {
        if is_resumed {
            self.continuity = Continuity::of_start(&self.from);
        }
        self
    }

    /// Creates a source of the same shard that continues at `from`, or at the last record that
    /// `continuity` remembers.
    pub(crate) fn restarted(&mut self, from: StartPosition, continuity: Continuity) -> Self {
        let is_estimate = self.start_kind == StartKind::Estimate && from.timestamp().is_some();
        let polling = Self::new(Arc::clone(&self.context), from);
        // The next read keeps to the shard's limits, too.
        let pacing = std::mem::take(&mut self.pacing);
        Self { continuity, pacing, ..polling.estimated_start(is_estimate) }
    }

    /// Returns the position of the next iterator.
    pub(crate) fn position(&self) -> StartPosition {
        self.continuity.position().unwrap_or_else(|| self.from.clone())
    }

    /// Begins the next exchange, in this task or in a new one.
    fn begin_exchange(&mut self) -> BoxFuture<'static, ExchangeOutcome> {
        let limit = self.limit.next();
        let exchange = Exchange {
            context: Arc::clone(&self.context),
            from: self.position(),
            iterator: self.iterator.take(),
            lists_shards: self.lists_shards_next,
            limit,
            first_limit: self.continuity.limit(limit),
        };
        let outcome = exchange.run(self.pacing.next());
        match &self.context.options.runtime {
            None => outcome.boxed(),
            Some(runtime) => AbortOnDrop::spawn(runtime, outcome).boxed(),
        }
    }

    /// Notes that a new iterator starts at `position`.
    ///
    /// A second `LATEST` would skip the records written since the first, whether or not the first
    /// got a response.
    fn note_iterator(&mut self, position: StartPosition) {
        self.continuity.expect(&position);
        if self.continuity.position().is_none() {
            self.from = self.context.latest_anchor.replace_latest(position);
        }
        self.was_not_found = false;
    }

    fn poll_exchange(&mut self, cx: &mut Context<'_>) -> Poll<ExchangeOutcome> {
        if let Some(outcome) = self.completed.take() {
            return Poll::Ready(*outcome);
        }
        let is_on_other_runtime =
            self.runtime.has_changed() && self.context.options.runtime.is_none();
        if is_on_other_runtime && self.in_flight.take().is_some() {
            // The exchange is dropped: its timers belong to the former runtime. A LATEST iterator
            // may have been created by it.
            self.from = self.context.latest_anchor.replace_latest(self.from.clone());
        }
        // An exchange that panics is dropped, and the next poll begins another.
        let mut exchange = self.in_flight.take().unwrap_or_else(|| self.begin_exchange());
        let outcome = exchange.as_mut().poll(cx);
        if outcome.is_pending() {
            self.in_flight = Some(exchange);
        }
        outcome
    }

    /// Returns the page of a response, or `None` if the response is inconclusive and the next
    /// request replaces it.
    fn handle_records(
        &mut self,
        sent_at: Instant,
        completed_at: Instant,
        received_at: SystemTime,
        response: RecordsResponse,
    ) -> Result<Option<Page>, Stop> {
        let RecordsResponse { mut records, next_iterator, millis_behind_latest, children } =
            response;
        let lag =
            millis_behind_latest.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let is_unconfirmed = next_iterator.is_none() && children.is_empty();
        let bytes = self.context.options.count_bytes(&records);
        let received = records.len();
        let is_full = self.limit.is_full(received);
        let is_continuous = (is_unconfirmed && received == 0)
            || self.is_continuous(&mut records, lag, !children.is_empty())?;
        // Before the pacing learns of a page: the delays of these retries grow.
        if is_continuous && is_unconfirmed && records.is_empty() {
            let has_ended = self.count_unconfirmed_end(self.unconfirmed_end(), lag)?;
            return self.end_of_closed_shard(has_ended, received_at);
        }
        self.limit.received(received, completed_at - sent_at);
        let is_last = children.is_empty() && received == 0 && is_continuous;
        let requested_at = received_at.checked_sub(completed_at - sent_at).unwrap_or(received_at);
        let is_at_run_end = is_last && self.is_at_run_end(lag, requested_at);
        // No record arrives in a closed shard, so its end is requested at once.
        let is_ending =
            self.checks_run_end() || (records.is_empty() && self.ends_when_closed.is_some());
        let is_behind = is_full || is_ending || lag.is_some_and(|lag| !lag.is_zero());
        self.schedule_read(completed_at, bytes, is_behind);
        if !is_continuous {
            return Ok(None);
        }
        self.failures = 0;
        self.not_found_reads = 0;
        if !records.is_empty() {
            // A page without records does not show that the shard continues: kinesalite sends one
            // before each end of an empty shard.
            self.reset_unconfirmed_ends();
        }
        self.iterator = next_iterator.map(|token| ShardIterator { token, sent_at });
        let end = (self.iterator.is_none() && !is_unconfirmed).then_some(children);
        let page_event = ReadEventKind::Page { records: records.len(), bytes, lag };
        if is_unconfirmed {
            self.emit(page_event);
            self.count_unconfirmed_end(self.unconfirmed_end(), lag)?;
            self.read_ahead();
        } else {
            if end.is_none() && !is_at_run_end {
                self.read_ahead();
            }
            self.emit(page_event);
            if self.checks_run_end() {
                return Ok(None);
            }
        }
        Ok(Some(Page { records, lag, received_at, end, is_at_run_end }))
    }

    /// Returns whether the shard holds no further record that arrived before the end of the run,
    /// after a response without records and without an end.
    ///
    /// A closed shard sends such responses too, and its children may hold records that arrived
    /// before the end of the run. So a shard that was listed as closed is read to its end. If the
    /// shard may have been closed since, a list must show that it is open.
    fn is_at_run_end(&mut self, lag: Option<Duration>, requested_at: SystemTime) -> bool {
        let offer = &self.context.offer;
        let Some(run_end) = offer.context.run_end() else { return false };
        let server_time = offer.to_server_time(requested_at);
        if !run_end.is_reached(lag, server_time)
            || offer.is_known_to_be_closed()
            || self.continuity.is_expecting()
        {
            return false;
        }
        if run_end.may_follow_closing() && self.at_run_end == AtRunEnd::Unknown {
            (self.at_run_end, self.lists_shards_next) = (AtRunEnd::Checked, true);
        }
        !self.checks_run_end()
    }

    fn checks_run_end(&self) -> bool {
        self.at_run_end == AtRunEnd::Checked
    }

    /// Returns the end of a shard that a list shows as closed, unless the shard must be searched.
    fn end_of_closed_shard(
        &mut self,
        has_ended: bool,
        received_at: SystemTime,
    ) -> Result<Option<Page>, Stop> {
        if !has_ended {
            return Ok(None);
        }
        if self.is_continuous(&mut Vec::new(), None, true)? {
            return Ok(Some(Page::end_of_closed_shard(received_at)));
        }
        // The search begins within the shard's limits, too.
        self.schedule_read(Instant::now(), 0, true);
        Ok(None)
    }

    /// Schedules the next read after a page.
    fn schedule_read(&mut self, received_at: Instant, bytes: usize, is_behind: bool) {
        let ReaderContext { options, offer, .. } = &*self.context;
        self.pacing.page(received_at, bytes, is_behind, options, &offer.context.idle_slots);
    }

    /// Removes the records that were yielded before, and returns whether the others come next. If
    /// the last record is missing, the next request searches the shard.
    fn is_continuous(
        &mut self,
        records: &mut Vec<ReceivedRecord>,
        lag: Option<Duration>,
        is_end: bool,
    ) -> Result<bool, Stop> {
        let tip = match lag {
            _ if is_end => Tip::End,
            Some(lag) if !lag.is_zero() => Tip::Ahead,
            _ => Tip::Reached,
        };
        match self.continuity.examine(records, tip) {
            Finding::Continues => Ok(true),
            Finding::Missing => {
                self.iterator = None;
                self.reset_unconfirmed_ends();
                Ok(false)
            }
            Finding::Replaced => Err(Stop::Replaced),
        }
    }

    /// Begins to read the next page in a task, if the reader has a runtime.
    fn read_ahead(&mut self) {
        if self.context.options.runtime.is_some() {
            self.in_flight = Some(self.begin_exchange());
        }
    }

    fn unconfirmed_end(&self) -> ReadError {
        ReadError::unconfirmed_end(self.context.stream(), self.context.shard_id())
    }

    /// Forgets the unconfirmed ends, since the shard continues.
    fn reset_unconfirmed_ends(&mut self) {
        if self.unconfirmed_ends > 0 {
            self.unconfirmed_ends = 0;
            self.ends_when_closed = None;
            self.lists_shards_next = false;
            self.context.offer.withdraw_end();
        }
    }

    /// Counts a response that may be the end of the shard but does not confirm it. Returns whether
    /// the shard has ended.
    ///
    /// A response confirms an end by naming child shards. Some servers name none, so a list of
    /// shards decides. The response must then be repeated: the first may be damaged, or may have
    /// been sent before the shard was closed.
    fn count_unconfirmed_end(
        &mut self,
        error: ReadError,
        lag: Option<Duration>,
    ) -> Result<bool, Stop> {
        self.iterator = None;
        self.unconfirmed_ends = self.unconfirmed_ends.saturating_add(1);
        self.ends_when_closed = self.ends_when_closed.map(|ends| ends.saturating_add(1));
        let ends = self.unconfirmed_ends;
        let min_ends =
            if lag == Some(Duration::ZERO) { MIN_ENDS_AT_TIP } else { MIN_ENDS_OF_UNKNOWN_LAG };
        match self.context.offer.claim_end() {
            Standing::Closed if self.ends_when_closed >= Some(min_ends) => return Ok(true),
            Standing::Closed => {
                self.ends_when_closed = self.ends_when_closed.or(Some(0));
                // This is not a failure, so the next request follows soon. With growing delays, the
                // ends of kinesalite, which have a lag and name no children, would take half a
                // minute.
                self.pacing.forget_failures();
            }
            Standing::Unheard if ends >= LIST_IF_UNHEARD => self.lists_shards_next = true,
            _ => self.lists_shards_next = ends >= LIST_IF_UNCONFIRMED,
        }
        self.retry(error)?;
        Ok(false)
    }

    /// Handles the list that the reader requested. `None` means that the list omits the shard.
    fn handle_list(&mut self, is_closed: Option<bool>) -> Result<(), Stop> {
        self.lists_shards_next = false;
        if is_closed.ok_or(Stop::Expired)? {
            self.context.offer.confirm_end();
            self.ends_when_closed = self.ends_when_closed.or(Some(0));
            self.at_run_end = AtRunEnd::Unknown;
        } else if self.checks_run_end() {
            self.at_run_end = AtRunEnd::Open;
        }
        Ok(())
    }

    /// Schedules a retry of the request, or returns why none would succeed.
    fn retry(&mut self, error: ReadError) -> Result<(), Stop> {
        let not_found = error.is_not_found();
        let (stream, shard) = (error.stream().name(), error.shard_id());
        self.not_found_reads += u32::from(not_found);
        if not_found && (self.was_not_found || self.not_found_reads >= MAX_NOT_FOUND_READS) {
            tracing::warn!(stream, shard, %error, "the shard no longer exists; its reader ends");
            return Err(Stop::Expired);
        }
        self.was_not_found = not_found;
        if not_found || error.is_expired_iterator() {
            self.iterator = None;
        } else if error.is_connection_lost() {
            // The server may have restarted, and the iterator may have been issued before that.
            self.iterator = None;
        } else if !error.is_retryable()
            && !self.start_earlier(&error)
            && !self.is_clock_ahead(&error)
        {
            return Err(Stop::Failed(error));
        }
        let wait = if not_found {
            self.pacing.not_found(&self.context.options)
        } else {
            self.pacing.failure(&self.context.options)
        };
        self.failures = self.failures.saturating_add(1);
        let failures = self.failures;
        if error.is_expired_iterator() {
            tracing::debug!(stream, shard, "iterator expired; requesting a new one");
        } else {
            tracing::warn!(stream, shard, %error, failures, ?wait, "read failed; retrying");
        }
        self.emit(ReadEventKind::Retry { error: &error, failures, wait });
        Ok(())
    }

    /// Moves a start that stands for `LATEST` and that Kinesis refused back by [`MAX_SKEW`], once.
    /// Returns whether the start was moved.
    ///
    /// Kinesis refuses such a time if the clock it was taken from is ahead of the shard's. Waiting
    /// for that time would skip the records that are written until then.
    fn start_earlier(&mut self, error: &ReadError) -> bool {
        let StartPosition::Timestamp(refused) = self.from else { return false };
        let is_refused = error.operation() == "GetShardIterator"
            && error.code() == Some("InvalidArgumentException");
        let earlier =
            SystemTime::try_from(refused).ok().and_then(|from| from.checked_sub(MAX_SKEW));
        let is_estimate = self.start_kind == StartKind::Estimate;
        let Some(earlier) = earlier.filter(|_| is_refused && is_estimate) else {
            return false;
        };
        self.start_kind = StartKind::MovedBack;
        self.from = StartPosition::Timestamp(earlier.into());
        true
    }

    /// Returns whether Kinesis refused a timestamp because it lies in the future, but within
    /// [`MAX_SKEW`] of the client's clock, which may be ahead.
    fn is_clock_ahead(&self, error: &ReadError) -> bool {
        let StartPosition::Timestamp(from) = self.from else { return false };
        let Ok(from) = SystemTime::try_from(from) else { return false };
        let now = now(&self.context.client);
        self.iterator.is_none()
            && error.code() == Some("InvalidArgumentException")
            && from < now + MAX_SKEW
            && now < from + MAX_SKEW
    }

    fn emit(&self, kind: ReadEventKind<'_>) {
        self.context.options.emit(&self.context.offer.context, self.context.shard_id(), kind);
    }
}

impl Source for Polling {
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page, Stop>> {
        loop {
            let ExchangeOutcome {
                result,
                iterator,
                iterator_start,
                sent_at,
                completed_at,
                received_at,
            } = ready!(self.poll_exchange(cx));
            self.iterator = iterator;
            if let Some(position) = iterator_start {
                self.note_iterator(position);
            }
            match result {
                Ok(Content::Records(output)) => {
                    if let Some(page) =
                        self.handle_records(sent_at, completed_at, received_at, output)?
                    {
                        return Poll::Ready(Ok(page));
                    }
                }
                Ok(Content::Listed(is_closed)) => self.handle_list(is_closed)?,
                Err(error) => {
                    if error.is_lost_page() {
                        self.limit.lost(completed_at - sent_at);
                    }
                    if self.iterator.is_none() {
                        self.from = self.context.latest_anchor.replace_latest(self.from.clone());
                    }
                    // A closed shard without unread records may have no iterator.
                    if error.is_no_iterator() {
                        let has_ended = self.count_unconfirmed_end(error, None)?;
                        if let Some(page) = self.end_of_closed_shard(has_ended, received_at)? {
                            return Poll::Ready(Ok(page));
                        }
                    } else {
                        self.retry(error)?;
                    }
                }
            }
        }
    }

    fn take_earlier_start(&mut self) -> Option<StartPosition> {
        let was_moved = self.start_kind == StartKind::MovedBack;
        was_moved.then(|| {
            self.start_kind = StartKind::Given;
            self.from.clone()
        })
    }

    fn poll_in_flight(&mut self, cx: &mut Context<'_>) {
        if self.in_flight.is_some()
            && let Poll::Ready(outcome) = self.poll_exchange(cx)
        {
            self.completed = Some(Box::new(outcome));
        }
    }
}
