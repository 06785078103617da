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
use super::pace::Pace;
use super::source::{Page, Source, Stop};
use super::{ReadError, ReadEvent, ReadOptions};
use crate::StartPosition;
use crate::client_time::now;
use crate::handle::{Offer, get_shard_iterator};
use crate::task::Task;

/// A reader that asks for its first iterator within this time reads from LATEST, if it is to.
const PROMPT: Duration = Duration::from_secs(1);

/// A client's clock may be so far ahead of Kinesis's. With more, AWS refuses its signatures.
const SKEW: Duration = Duration::from_mins(5);

pub(super) struct Polling {
    client: Client,
    offer: Arc<Offer>,
    options: Arc<ReadOptions>,
    /// Where the next iterator begins, should that in hand be lost: after the last record that was read.
    from: StartPosition,
    /// When the reader was made.
    opened: SystemTime,
    iterator: Option<String>,
    pace: Pace,
    failures: u32,
    /// Kinesis has said, last time, that there is no such shard.
    was_not_found: bool,
    /// What is under way, its pause before it included. It is made anew each time, so that a shard that rests takes little.
    request: Option<BoxFuture<'static, Answer>>,
}

enum Answer {
    Iterator { asked: SystemTime, result: Result<Option<String>, SdkError<GetShardIteratorError>> },
    Records { asked: Instant, result: Result<GetRecordsOutput, SdkError<GetRecordsError>> },
}

impl Polling {
    pub(super) fn new(
        client: Client,
        offer: Arc<Offer>,
        from: StartPosition,
        options: Arc<ReadOptions>,
        opened: SystemTime,
    ) -> Self {
        Self {
            client,
            from,
            opened,
            offer,
            options,
            iterator: None,
            pace: Pace::default(),
            failures: 0,
            was_not_found: false,
            request: None,
        }
    }

    fn ask(&mut self) -> BoxFuture<'static, Answer> {
        let (pause, client) = (self.pace.next(), self.client.clone());
        if now(&client).duration_since(self.opened).is_ok_and(|late| late > PROMPT) {
            self.no_longer_latest(self.opened);
        }
        let Some(iterator) = self.iterator.clone() else {
            let request = get_shard_iterator(&client, &self.offer, &self.from);
            return self.place(async move {
                wait(pause).await;
                let asked = now(&client);
                let result = Box::pin(request.send()).await.map(|output| output.shard_iterator);
                Answer::Iterator { asked, result }
            });
        };
        let arn = self.offer.stream.name_or_arn().1;
        let request =
            client.get_records().set_stream_arn(arn).shard_iterator(iterator).limit(self.options.max_records);
        self.place(async move {
            wait(pause).await;
            let asked = Instant::now();
            Answer::Records { asked, result: Box::pin(request.send()).await }
        })
    }

    /// In this task, or in one of its own.
    fn place(&self, answer: impl Future<Output = Answer> + Send + 'static) -> BoxFuture<'static, Answer> {
        match &self.options.runtime {
            None => answer.boxed(),
            Some(runtime) => Task::spawn(runtime, answer).boxed(),
        }
    }

    /// A second LATEST, or a late one, would skip what was written since the first, whether that was answered, has expired, or had to wait.
    fn no_longer_latest(&mut self, since: SystemTime) {
        if self.from == StartPosition::Latest {
            self.from = StartPosition::Timestamp(since.into());
        }
    }

    fn take_iterator(&mut self, iterator: String) {
        self.iterator = Some(iterator);
        self.was_not_found = false;
        self.pace.iterator();
    }

    fn take_records(&mut self, asked: Instant, output: GetRecordsOutput) -> Page {
        let GetRecordsOutput { records, next_shard_iterator, millis_behind_latest, child_shards, .. } =
            output;
        let lag = millis_behind_latest.map(|ms| Duration::from_millis(u64::try_from(ms).unwrap_or(0)));
        let bytes = if self.options.counts_bytes() { records.iter().map(size).sum() } else { 0 };
        let is_full = i32::try_from(records.len()).is_ok_and(|len| len >= self.options.max_records);
        let is_behind = is_full || lag.is_some_and(|lag| !lag.is_zero());
        self.pace.page(asked, bytes, is_behind, &self.options);
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
        Page { records, lag, end }
    }

    /// Sees to it that the request is made again, if there is hope.
    fn fail(&mut self, error: ReadError) -> Result<(), Stop> {
        let not_found = error.is_not_found();
        if not_found && self.was_not_found {
            return Err(Stop::Expired);
        }
        self.was_not_found = not_found;
        if not_found || error.is_expired_iterator() {
            self.iterator = None;
        } else if !error.is_retryable() && !self.is_ahead_of_kinesis(&error) {
            return Err(Stop::Failed(error));
        }
        let wait = self.pace.failure(&self.options);
        self.failures = self.failures.saturating_add(1);
        let (stream, shard, failures) = (error.stream().name(), error.shard_id(), self.failures);
        if error.is_expired_iterator() {
            tracing::debug!(stream, shard, "an iterator has expired; another is made");
        } else {
            tracing::warn!(stream, shard, %error, failures, ?wait, "reading a shard failed; it is tried again");
        }
        self.tell(ReadEventKind::Retry { error: &error, failures: self.failures, wait });
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
            let answer = ready!(request.as_mut().poll(cx));
            self.request = None;
            if let Answer::Iterator { asked, .. } = answer {
                self.no_longer_latest(asked);
            }
            let (stream, shard) = (&self.offer.stream, self.offer.shard.shard_id());
            let error = match answer {
                Answer::Iterator { result: Ok(Some(iterator)), .. } => {
                    self.take_iterator(iterator);
                    continue;
                }
                Answer::Iterator { result: Ok(None), .. } => {
                    // As good as no answer.
                    self.pace.failure(&self.options);
                    continue;
                }
                Answer::Records { asked, result: Ok(output) } => {
                    return Poll::Ready(Ok(self.take_records(asked, output)));
                }
                Answer::Iterator { result: Err(error), .. } => {
                    ReadError::get_shard_iterator(stream, shard, error)
                }
                Answer::Records { result: Err(error), .. } => ReadError::get_records(stream, shard, error),
            };
            self.fail(error)?;
        }
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
