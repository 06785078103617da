//! Reads a shard by `GetShardIterator` and `GetRecords`.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::Record;
use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, Instant};

use crate::records::error::ReadError;
use crate::records::event::ReadEventKind;
use crate::records::options::ReadOptions;
use crate::records::page_limit::PageLimit;
use crate::records::permits::RequestPermits;
use crate::records::source::continuity::{Continuity, Finding, Tip};
use crate::records::source::exchange::{Answer, Content, Exchange, ShardIterator};
use crate::records::source::latest::LatestAnchor;
use crate::records::source::pacing::Pacing;
use crate::records::source::{Page, Source, Stop};
use crate::shard::end_claim::Standing;
use crate::shard::offer::Offer;
use crate::shard::position::StartPosition;
use crate::util::abort_on_drop::AbortOnDrop;
use crate::util::clock::{MAX_SKEW, now};
use crate::util::runtime::LastRuntime;

/// So many unconfirmed ends in a row are believed of a shard that was known to be closed when they
/// were requested: of a server that says that nothing is left, and of one that does not say that.
const ENDS_AT_THE_TIP: u32 = 1;
const ENDS_OF_UNKNOWN_LAG: u32 = 7;
/// After so many, the reader lists the shards itself: if the stream of shards has not heard its
/// claim, and if no list that the stream of shards got has confirmed the claim.
const ENDS_UNHEARD: u32 = 4;
const ENDS_HEARD: u32 = 20;

/// A shard has expired if this number of reads in a row do not find it, although each of their
/// iterators was made.
const MAX_NOT_FOUND_READS: u32 = 8;

pub(crate) struct Polling {
    client: Client,
    offer: Arc<Offer>,
    options: Arc<ReadOptions>,
    permits: RequestPermits,
    /// The start of the shard, until a record was read.
    from: StartPosition,
    continuity: Continuity,
    opened: LatestAnchor,
    /// `from` is `LATEST`, or a time that was found out for it.
    is_estimate: bool,
    /// Where the shard is read from since its start was refused.
    earlier_start: Option<StartPosition>,
    iterator: Option<ShardIterator>,
    pacing: Pacing,
    limit: PageLimit,
    failures: u32,
    /// The last exchange ended with Kinesis saying that there is no such shard. There is no
    /// iterator then, so the next iterator resets it.
    was_not_found: bool,
    /// The number of reads since the last page to which Kinesis said that there is no such shard.
    not_found_reads: u32,
    /// How many responses in a row may have been the end of the shard without saying so.
    unconfirmed_ends: u32,
    /// How many of them were requested when the shard was known to be closed; none while it is not.
    ends_when_closed: Option<u32>,
    /// Whether the next request lists the shards, to confirm the end.
    lists_next: bool,
    /// The exchange in flight, its pause before it included. It is made anew each time, so that a
    /// shard that rests takes little.
    request: Option<BoxFuture<'static, Answer>>,
    /// What came of it, while nobody takes the page.
    answer: Option<Answer>,
    runtime: LastRuntime,
}

impl Polling {
    pub(crate) fn new(
        client: Client,
        offer: Arc<Offer>,
        from: StartPosition,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
        opened: LatestAnchor,
    ) -> Self {
        let limit = PageLimit::new(options.max_records);
        let is_estimate = from == StartPosition::Latest;
        Self {
            is_estimate,
            earlier_start: None,
            client,
            from,
            continuity: Continuity::default(),
            opened,
            offer,
            options,
            permits,
            iterator: None,
            pacing: Pacing::default(),
            limit,
            failures: 0,
            was_not_found: false,
            not_found_reads: 0,
            unconfirmed_ends: 0,
            ends_when_closed: None,
            lists_next: false,
            request: None,
            answer: None,
            runtime: LastRuntime::default(),
        }
    }

    /// The same, whose start was found out for `LATEST`, or was not.
    pub(crate) fn estimated(self, is_estimate: bool) -> Self {
        Self { is_estimate: self.is_estimate || is_estimate, ..self }
    }

    /// Expects the record at the start, which a reader of this shard has read before.
    pub(crate) fn resumed(mut self, is_resumed: bool) -> Self {
        if is_resumed {
            self.continuity = Continuity::of_start(&self.from);
        }
        self
    }

    /// Begins the next exchange, in this task or in one of its own.
    fn ask(&mut self) -> BoxFuture<'static, Answer> {
        let exchange = Exchange {
            client: self.client.clone(),
            offer: Arc::clone(&self.offer),
            from: self.continuity.position().unwrap_or_else(|| self.from.clone()),
            opened: self.opened,
            iterator: self.iterator.take(),
            lists: self.lists_next,
            limit: self.limit,
            first_limit: self.continuity.limit(self.limit),
            permits: self.permits.clone(),
        };
        let answer = exchange.run(self.pacing.next());
        match &self.options.runtime {
            None => answer.boxed(),
            Some(runtime) => AbortOnDrop::spawn(runtime, answer).boxed(),
        }
    }

    /// A second LATEST would skip what was written since the first, whether that was answered or
    /// not.
    fn take_iterator(&mut self, made_for: StartPosition) {
        self.continuity.expect(&made_for);
        if self.continuity.position().is_none() {
            self.from = self.opened.not_latest(made_for);
        }
        self.was_not_found = false;
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        if let Some(answer) = self.answer.take() {
            return Poll::Ready(answer);
        }
        let is_elsewhere = self.runtime.has_changed() && self.options.runtime.is_none();
        if is_elsewhere && self.request.take().is_some() {
            // Its timers are those of the other runtime. It may have been answered there.
            self.from = self.opened.not_latest(self.from.clone());
        }
        // It is dropped if it panics: the next poll begins another.
        let mut request = self.request.take().unwrap_or_else(|| self.ask());
        let answer = request.as_mut().poll(cx);
        if answer.is_pending() {
            self.request = Some(request);
        }
        answer
    }

    /// None if the response says nothing that can be believed: the request is made again.
    fn take_records(
        &mut self,
        asked_at: Instant,
        came: Instant,
        received_at: SystemTime,
        output: GetRecordsOutput,
    ) -> Result<Option<Page>, Stop> {
        let GetRecordsOutput {
            mut records,
            next_shard_iterator,
            millis_behind_latest,
            child_shards,
            ..
        } = output;
        let lag =
            millis_behind_latest.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let next_iterator = next_shard_iterator.filter(|iterator| !iterator.is_empty());
        let children = child_shards.unwrap_or_default();
        let is_unconfirmed = next_iterator.is_none() && children.is_empty();
        let bytes = if self.options.counts_bytes() { records.iter().map(size).sum() } else { 0 };
        let is_full = self.limit.is_full(records.len());
        self.limit.arrived(records.len(), came - asked_at);
        let is_continued = (is_unconfirmed && records.is_empty())
            || self.is_continued(&mut records, lag, !children.is_empty())?;
        // Nothing arrives in a closed shard, so its end is requested at once.
        let is_ending = records.is_empty() && self.ends_when_closed.is_some();
        let is_behind = is_full || is_ending || lag.is_some_and(|lag| !lag.is_zero());
        self.pacing.page(came, bytes, is_behind, &self.options);
        if !is_continued {
            return Ok(None);
        }
        if is_unconfirmed && records.is_empty() {
            let has_ended = self.doubt_end(self.unconfirmed_end(), lag)?;
            return self.take_end_of_closed_shard(has_ended, received_at);
        }
        self.failures = 0;
        self.not_found_reads = 0;
        if !records.is_empty() {
            // A page without records does not show that the shard goes on: kinesalite yields one
            // before each end of an empty shard.
            self.go_on();
        }
        self.iterator = next_iterator.map(|token| ShardIterator { token, asked_at });
        let end = (self.iterator.is_none() && !is_unconfirmed).then_some(children);
        let page_event = ReadEventKind::Page { records: records.len(), bytes, lag };
        if is_unconfirmed {
            self.tell(page_event);
            self.doubt_end(self.unconfirmed_end(), lag)?;
            self.read_ahead();
        } else {
            if end.is_none() {
                self.read_ahead();
            }
            self.tell(page_event);
        }
        Ok(Some(Page { records, lag, received_at, end }))
    }

    /// Returns the end of a shard that a list shows as closed, unless the shard has to be searched.
    fn take_end_of_closed_shard(
        &mut self,
        has_ended: bool,
        received_at: SystemTime,
    ) -> Result<Option<Page>, Stop> {
        let is_end = has_ended && self.is_continued(&mut Vec::new(), None, true)?;
        Ok(is_end.then(|| Page::end_of_closed_shard(received_at)))
    }

    /// Returns whether the page continues after the last one, and removes the records that were
    /// yielded before. If it does not, the next request searches the shard.
    fn is_continued(
        &mut self,
        records: &mut Vec<Record>,
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
                self.go_on();
                Ok(false)
            }
            Finding::Replaced => Err(Stop::Replaced),
        }
    }

    /// Begins to read one page ahead, in a task.
    fn read_ahead(&mut self) {
        if self.options.runtime.is_some() {
            self.request = Some(self.ask());
        }
    }

    fn unconfirmed_end(&self) -> ReadError {
        ReadError::unconfirmed_end(self.offer.stream(), self.offer.shard.shard_id())
    }

    /// Forgets the ends that were not confirmed: the shard goes on.
    fn go_on(&mut self) {
        if self.unconfirmed_ends > 0 {
            self.unconfirmed_ends = 0;
            self.ends_when_closed = None;
            self.lists_next = false;
            self.offer.withdraw_end();
        }
    }

    /// Counts a response that may be the end of the shard and does not say so; true if it is the
    /// end.
    ///
    /// An end is confirmed by its child shards. Some servers name none, so a list of shards
    /// decides. The response must be repeated after that: it may be damaged, or from before the
    /// shard was closed.
    fn doubt_end(&mut self, error: ReadError, lag: Option<Duration>) -> Result<bool, Stop> {
        self.iterator = None;
        self.unconfirmed_ends = self.unconfirmed_ends.saturating_add(1);
        self.ends_when_closed = self.ends_when_closed.map(|ends| ends.saturating_add(1));
        let ends = self.unconfirmed_ends;
        let enough =
            if lag == Some(Duration::ZERO) { ENDS_AT_THE_TIP } else { ENDS_OF_UNKNOWN_LAG };
        match self.offer.claim_end() {
            Standing::Closed if self.ends_when_closed >= Some(enough) => return Ok(true),
            Standing::Closed => {
                self.ends_when_closed = self.ends_when_closed.or(Some(0));
                // Nothing is wrong with a closed shard: its end is requested again soon. Kinesalite,
                // whose ends have a lag and name no children, would take half a minute.
                self.pacing.forget_failures();
            }
            Standing::Unheard if ends >= ENDS_UNHEARD => self.lists_next = true,
            _ => self.lists_next = ends >= ENDS_HEARD,
        }
        self.fail(error)?;
        Ok(false)
    }

    /// Takes the reader's own list: whether it shows the shard as closed, if it names the shard.
    fn take_list(&mut self, is_closed: Option<bool>) -> Result<(), Stop> {
        self.lists_next = false;
        if is_closed.ok_or(Stop::Expired)? {
            self.offer.confirm_end();
            self.ends_when_closed = self.ends_when_closed.or(Some(0));
        }
        Ok(())
    }

    /// Sees to it that the request is made again, if there is hope.
    fn fail(&mut self, error: ReadError) -> Result<(), Stop> {
        let not_found = error.is_not_found();
        let (stream, shard) = (error.stream().name(), error.shard_id());
        self.not_found_reads += u32::from(not_found);
        if not_found && (self.was_not_found || self.not_found_reads >= MAX_NOT_FOUND_READS) {
            tracing::warn!(stream, shard, %error, "Kinesis does not know the shard any more: its reader ends");
            return Err(Stop::Expired);
        }
        self.was_not_found = not_found;
        if not_found || error.is_expired_iterator() {
            self.iterator = None;
        } else if error.is_connection_lost() {
            // The server may have been restarted, and the iterator may be of its former life.
            self.iterator = None;
        } else if !error.is_retryable()
            && !self.start_earlier(&error)
            && !self.is_ahead_of_kinesis(&error)
        {
            return Err(Stop::Failed(error));
        }
        let wait = if not_found {
            self.pacing.not_found(&self.options)
        } else {
            self.pacing.failure(&self.options)
        };
        self.failures = self.failures.saturating_add(1);
        let failures = self.failures;
        if error.is_expired_iterator() {
            tracing::debug!(stream, shard, "an iterator has expired; another is made");
        } else {
            tracing::warn!(stream, shard, %error, failures, ?wait, "reading a shard failed; it is tried again");
        }
        self.tell(ReadEventKind::Retry { error: &error, failures, wait });
        Ok(())
    }

    /// Kinesis refused a time that was found out for `LATEST`: the clock that told it is ahead of
    /// the shard's. Waiting for that time would skip what is written until then, so the shard is
    /// read from before it by as much as a clock may be off. Returns whether it was such a time,
    /// once.
    fn start_earlier(&mut self, error: &ReadError) -> bool {
        let StartPosition::Timestamp(refused) = self.from else { return false };
        let is_refused = error.operation() == "GetShardIterator"
            && error.code() == Some("InvalidArgumentException");
        let earlier =
            SystemTime::try_from(refused).ok().and_then(|from| from.checked_sub(MAX_SKEW));
        let Some(earlier) = earlier.filter(|_| is_refused && self.is_estimate) else {
            return false;
        };
        self.is_estimate = false;
        self.from = StartPosition::Timestamp(earlier.into());
        self.earlier_start = Some(self.from.clone());
        true
    }

    /// Kinesis refuses a timestamp that is to come: by the clock of a client that is ahead of it,
    /// now is one.
    fn is_ahead_of_kinesis(&self, error: &ReadError) -> bool {
        let StartPosition::Timestamp(from) = self.from else { return false };
        let Ok(from) = SystemTime::try_from(from) else { return false };
        let now = now(&self.client);
        self.iterator.is_none()
            && error.code() == Some("InvalidArgumentException")
            && from < now + MAX_SKEW
            && now < from + MAX_SKEW
    }

    fn tell(&self, kind: ReadEventKind<'_>) {
        self.options.tell(self.offer.stream(), self.offer.shard.shard_id(), kind);
    }
}

impl Source for Polling {
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page, Stop>> {
        loop {
            // What is read by its id from now on is of another stream, which has readers of its
            // own.
            if self.offer.poll_gone(cx) {
                let (stream, shard) = (self.offer.stream().name(), self.offer.shard.shard_id());
                tracing::warn!(
                    stream,
                    shard,
                    "the stream was created again: the reader of its old shard ends"
                );
                return Poll::Ready(Err(Stop::Expired));
            }
            let answer = ready!(self.poll_answer(cx));
            let Answer { result, iterator, made_for, asked_at, came, came_at } = answer;
            self.iterator = iterator;
            if let Some(made_for) = made_for {
                self.take_iterator(made_for);
            }
            match result {
                Ok(Content::Records(output)) => {
                    if let Some(page) = self.take_records(asked_at, came, came_at, output)? {
                        return Poll::Ready(Ok(page));
                    }
                }
                Ok(Content::Listed(is_closed)) => self.take_list(is_closed)?,
                Err(error) => {
                    if error.is_of_a_page_that_was_lost() {
                        self.limit.lost(came - asked_at);
                    }
                    if self.iterator.is_none() {
                        self.from = self.opened.not_latest(self.from.clone());
                    }
                    // Of a shard that is closed it may mean that nothing is left.
                    if error.is_no_iterator() {
                        let has_ended = self.doubt_end(error, None)?;
                        if let Some(page) = self.take_end_of_closed_shard(has_ended, came_at)? {
                            return Poll::Ready(Ok(page));
                        }
                    } else {
                        self.fail(error)?;
                    }
                }
            }
        }
    }

    fn take_earlier_start(&mut self) -> Option<StartPosition> {
        self.earlier_start.take()
    }

    fn poll_in_flight(&mut self, cx: &mut Context<'_>) {
        if self.request.is_some()
            && let Poll::Ready(answer) = self.poll_answer(cx)
        {
            self.answer = Some(answer);
        }
    }
}

/// What counts against AWS's limits.
fn size(record: &Record) -> usize {
    record.data.as_ref().len() + record.partition_key.as_ref().map_or(0, String::len)
}
