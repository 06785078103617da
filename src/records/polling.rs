//! Reads a shard by `GetShardIterator` and `GetRecords`.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, Instant};

use super::event::ReadEventKind;
use super::exchange::{Answer, Exchange, ShardIterator};
use super::opened::Opened;
use super::pace::Pace;
use super::permits::RequestPermits;
use super::source::{Page, Source, Stop};
use super::{ReadError, ReadEvent, ReadOptions};
use crate::StartPosition;
use crate::client_time::now;
use crate::handle::Offer;
use crate::task::Task;

/// A client's clock may be so far ahead of Kinesis's. With more, AWS refuses its signatures.
const SKEW: Duration = Duration::from_mins(5);

pub(super) struct Polling {
    client: Client,
    offer: Arc<Offer>,
    options: Arc<ReadOptions>,
    permits: RequestPermits,
    /// Where the next iterator begins, should that in hand be lost: after the last record that was read.
    from: StartPosition,
    opened: Opened,
    iterator: Option<ShardIterator>,
    pace: Pace,
    failures: u32,
    /// The last exchange ended with Kinesis saying that there is no such shard. There is no iterator then, so the next
    /// iterator resets it.
    was_not_found: bool,
    /// The exchange in flight, its pause before it included. It is made anew each time, so that a
    /// shard that rests takes little.
    request: Option<BoxFuture<'static, Answer>>,
    /// What came of it, while nobody takes the page.
    answer: Option<Answer>,
}

impl Polling {
    pub(super) fn new(
        client: Client,
        offer: Arc<Offer>,
        from: StartPosition,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
        opened: Opened,
    ) -> Self {
        Self {
            client,
            from,
            opened,
            offer,
            options,
            permits,
            iterator: None,
            pace: Pace::default(),
            failures: 0,
            was_not_found: false,
            request: None,
            answer: None,
        }
    }

    /// Begins the next exchange, in this task or in one of its own.
    fn ask(&mut self) -> BoxFuture<'static, Answer> {
        let exchange = Exchange {
            client: self.client.clone(),
            offer: Arc::clone(&self.offer),
            from: self.from.clone(),
            opened: self.opened,
            iterator: self.iterator.take(),
            limit: self.options.max_records,
            permits: self.permits.clone(),
        };
        let answer = exchange.run(self.pace.next());
        match &self.options.runtime {
            None => answer.boxed(),
            Some(runtime) => Task::spawn(runtime, answer).boxed(),
        }
    }

    /// A second LATEST would skip what was written since the first, whether that was answered or not.
    fn take_iterator(&mut self, made_for: StartPosition) {
        self.from = self.opened.not_latest(made_for);
        self.was_not_found = false;
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        if let Some(answer) = self.answer.take() {
            return Poll::Ready(answer);
        }
        // It is dropped if it panics: the next poll begins another.
        let mut request = self.request.take().unwrap_or_else(|| self.ask());
        let answer = request.as_mut().poll(cx);
        if answer.is_pending() {
            self.request = Some(request);
        }
        answer
    }

    fn take_records(
        &mut self,
        asked_at: Instant,
        came: Instant,
        received_at: SystemTime,
        output: GetRecordsOutput,
    ) -> Page {
        let GetRecordsOutput { records, next_shard_iterator, millis_behind_latest, child_shards, .. } =
            output;
        let lag = millis_behind_latest.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let bytes = if self.options.counts_bytes() { records.iter().map(size).sum() } else { 0 };
        let is_full = i32::try_from(records.len()).is_ok_and(|len| len >= self.options.max_records);
        let is_behind = is_full || lag.is_some_and(|lag| !lag.is_zero());
        self.pace.page(came, bytes, is_behind, &self.options);
        self.failures = 0;
        if let Some(last) = records.last() {
            self.from = StartPosition::After(last.sequence_number.clone());
        }
        self.iterator = next_shard_iterator.map(|token| ShardIterator { token, asked_at });
        let end = self.iterator.is_none().then(|| child_shards.unwrap_or_default());
        if end.is_none() && self.options.runtime.is_some() {
            // One page ahead.
            self.request = Some(self.ask());
        }
        self.tell(ReadEventKind::Page { records: records.len(), bytes, lag });
        Page { records, lag, received_at, end }
    }

    /// Sees to it that the request is made again, if there is hope.
    fn fail(&mut self, error: ReadError) -> Result<(), Stop> {
        let not_found = error.is_not_found();
        let (stream, shard) = (error.stream().name(), error.shard_id());
        if not_found && self.was_not_found {
            tracing::warn!(stream, shard, %error, "Kinesis does not know the shard any more: its reader ends");
            return Err(Stop::Expired);
        }
        self.was_not_found = not_found;
        if not_found || error.is_expired_iterator() {
            self.iterator = None;
        } else if !error.is_retryable() && !self.is_ahead_of_kinesis(&error) {
            return Err(Stop::Failed(error));
        }
        let wait =
            if not_found { self.pace.not_found(&self.options) } else { self.pace.failure(&self.options) };
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

    /// Kinesis refuses a timestamp that is to come: by the clock of a client that is ahead of it, now is one.
    fn is_ahead_of_kinesis(&self, error: &ReadError) -> bool {
        let StartPosition::Timestamp(from) = self.from else { return false };
        let Ok(from) = SystemTime::try_from(from) else { return false };
        let now = now(&self.client);
        self.iterator.is_none()
            && error.code() == Some("InvalidArgumentException")
            && from < now + SKEW
            && now < from + SKEW
    }

    fn tell(&self, kind: ReadEventKind<'_>) {
        if let Some(on_event) = &self.options.on_event {
            on_event(&ReadEvent { stream: &self.offer.stream, shard_id: self.offer.shard.shard_id(), kind });
        }
    }
}

impl Source for Polling {
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page, Stop>> {
        loop {
            let answer = ready!(self.poll_answer(cx));
            let Answer { result, iterator, made_for, asked_at, came, came_at } = answer;
            self.iterator = iterator;
            if let Some(made_for) = made_for {
                self.take_iterator(made_for);
            }
            match result {
                Ok(output) => return Poll::Ready(Ok(self.take_records(asked_at, came, came_at, output))),
                Err(error) => {
                    if self.iterator.is_none() {
                        self.from = self.opened.not_latest(self.from.clone());
                    }
                    self.fail(error)?;
                }
            }
        }
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
fn size(record: &aws_sdk_kinesis::types::Record) -> usize {
    record.data.as_ref().len() + record.partition_key.as_ref().map_or(0, String::len)
}
