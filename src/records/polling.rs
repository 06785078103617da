//! Reads a shard by `GetShardIterator` and `GetRecords`.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, Instant, sleep_until};

use super::event::ReadEventKind;
use super::opened::Opened;
use super::pace::Pace;
use super::requests::{get_records, get_shard_iterator};
use super::source::{Page, Source, Stop};
use super::turns::{Turn, Turns};
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
    turns: Turns,
    /// Where the next iterator begins, should that in hand be lost: after the last record that was read.
    from: StartPosition,
    opened: Opened,
    iterator: Option<String>,
    pace: Pace,
    failures: u32,
    /// Kinesis has said, last time, that there is no such shard.
    was_not_found: bool,
    /// What is under way, its pause before it included. It is made anew each time, so that a shard that rests takes little.
    request: Option<BoxFuture<'static, Answer>>,
}

struct Answer {
    content: Content,
    came: Instant,
    /// The same by the client's clock.
    came_at: SystemTime,
    /// Held until the answer is taken: there are no more answers in memory than there are turns.
    _turn: Turn,
}

enum Content {
    Iterator { asked: StartPosition, result: Result<Option<String>, SdkError<GetShardIteratorError>> },
    Records(Result<GetRecordsOutput, SdkError<GetRecordsError>>),
}

impl Polling {
    pub(super) fn new(
        client: Client,
        offer: Arc<Offer>,
        from: StartPosition,
        options: Arc<ReadOptions>,
        turns: Turns,
        opened: Opened,
    ) -> Self {
        Self {
            client,
            from,
            opened,
            offer,
            options,
            turns,
            iterator: None,
            pace: Pace::default(),
            failures: 0,
            was_not_found: false,
            request: None,
        }
    }

    fn ask(&self) -> BoxFuture<'static, Answer> {
        let (pause, turns) = (self.pace.next(), self.turns.clone());
        let (client, offer) = (self.client.clone(), Arc::clone(&self.offer));
        // What is sent, and what is awaited of it, exists only once the pause is over.
        if let Some(iterator) = self.iterator.clone() {
            let limit = self.options.max_records;
            return self.place(async move {
                wait(pause).await;
                let turn = turns.next().await;
                let time = client.clone();
                let result = Box::pin(get_records(client, offer, iterator, limit)).await;
                Answer::now(&time, Content::Records(result), turn)
            });
        }
        let (from, opened) = (self.from.clone(), self.opened);
        self.place(async move {
            wait(pause).await;
            let turn = turns.next().await;
            let _one_of_many = turns.iterator().await;
            let from = if opened.is_past(now(&client)) { opened.not_latest(from) } else { from };
            let (time, asked) = (client.clone(), from.clone());
            let result = Box::pin(get_shard_iterator(client, offer, from)).await;
            Answer::now(&time, Content::Iterator { asked, result }, turn)
        })
    }

    /// In this task, or in one of its own.
    fn place(&self, answer: impl Future<Output = Answer> + Send + 'static) -> BoxFuture<'static, Answer> {
        match &self.options.runtime {
            None => answer.boxed(),
            Some(runtime) => Task::spawn(runtime, answer).boxed(),
        }
    }

    /// A second LATEST would skip what was written since the first, whether that was answered or not. So would one that was late in coming: it is not used.
    fn take_iterator(&mut self, asked: StartPosition, came_at: SystemTime, iterator: String) {
        let skips = asked == StartPosition::Latest && self.opened.is_past(came_at);
        self.from = self.opened.not_latest(asked);
        self.iterator = (!skips).then_some(iterator);
        self.was_not_found = false;
        self.pace.iterator();
    }

    fn take_records(&mut self, came: Instant, received_at: SystemTime, output: GetRecordsOutput) -> Page {
        let GetRecordsOutput { records, next_shard_iterator, millis_behind_latest, child_shards, .. } =
            output;
        let lag = millis_behind_latest.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let bytes = if self.options.counts_bytes() { records.iter().map(size).sum() } else { 0 };
        let is_full = i32::try_from(records.len()).is_ok_and(|len| len >= self.options.max_records);
        let is_behind = is_full || lag.is_some_and(|lag| !lag.is_zero());
        self.pace.page(came, bytes, is_behind, &self.options);
        self.failures = 0;
        self.was_not_found = false;
        if let Some(last) = records.last() {
            self.from = StartPosition::After(last.sequence_number.clone());
        }
        self.iterator = next_shard_iterator;
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
            let Some(request) = &mut self.request else {
                self.request = Some(self.ask());
                continue;
            };
            let Answer { content, came, came_at, _turn } = ready!(request.as_mut().poll(cx));
            self.request = None;
            let (stream, shard) = (&self.offer.stream, self.offer.shard.shard_id());
            let error = match content {
                Content::Records(Ok(output)) => {
                    return Poll::Ready(Ok(self.take_records(came, came_at, output)));
                }
                Content::Records(Err(error)) => ReadError::get_records(stream, shard, error),
                Content::Iterator { asked, result: Ok(Some(iterator)) } => {
                    self.take_iterator(asked, came_at, iterator);
                    continue;
                }
                Content::Iterator { result: Ok(None), .. } => ReadError::no_iterator(stream, shard),
                Content::Iterator { result: Err(error), .. } => {
                    ReadError::get_shard_iterator(stream, shard, error)
                }
            };
            if self.iterator.is_none() {
                self.from = self.opened.not_latest(self.from.clone());
            }
            self.fail(error)?;
        }
    }
}

impl Answer {
    fn now(client: &Client, content: Content, turn: Turn) -> Self {
        Self { content, came: Instant::now(), came_at: now(client), _turn: turn }
    }
}

async fn wait(until: Option<Instant>) {
    if let Some(until) = until {
        sleep_until(until).await;
    }
}

/// What counts against AWS's limits.
fn size(record: &aws_sdk_kinesis::types::Record) -> usize {
    record.data.as_ref().len() + record.partition_key.as_ref().map_or(0, String::len)
}
