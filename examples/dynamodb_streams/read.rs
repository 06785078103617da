//! The changes in one shard, from its start to its end.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodbstreams::Error;
use aws_sdk_dynamodbstreams::operation::get_records::GetRecordsOutput;
use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_sdk_dynamodbstreams::types::{Record, ShardIteratorType};
use futures::{Stream, stream};
use kinesis_shards::shard::StartPosition;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep};

use super::retry::retried;
use super::table_stream::{BoxError, TableStream};

/// A shard may be read 5 times a second, by all its consumers together, as in Kinesis. The
/// reference of the API does not say so: <https://github.com/aws/aws-sdk-java-v2/issues/470>
const READ_INTERVAL: Duration = Duration::from_millis(200);
/// How long to wait after a read that returned nothing. Two processes may read a shard:
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Limits.html>. If the other one
/// is Lambda, it reads 4 times a second: <https://docs.aws.amazon.com/lambda/latest/dg/with-ddb.html>
const IDLE_INTERVAL: Duration = Duration::from_secs(1);
/// How late the response to a request for `LATEST` may come.
const MAX_LATEST_DELAY: Duration = Duration::from_secs(1);
/// By how much the client's clock may be ahead of the times of changes, in seconds.
const MAX_CLOCK_SKEW: i64 = 60;

/// What a shard yields.
#[derive(Debug)]
pub(crate) enum Event {
    Changes(Vec<Record>),
    /// Changes after this sequence number were trimmed unread: they were more than 24 hours old.
    /// The oldest changes that are left come next.
    Gap(String),
}

/// Reads a shard to its end. An error is one that no retry mends.
pub(crate) fn read(
    stream: Arc<TableStream>,
    shard_id: String,
    start: StartPosition,
) -> impl Stream<Item = Result<Event, BoxError>> {
    let mut pace = interval(READ_INTERVAL);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let reader = Reader { stream, shard_id, from: start, iterator: None, has_ended: false, pace };
    stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|event| (event, reader)))
    })
}

struct Reader {
    stream: Arc<TableStream>,
    shard_id: String,
    /// Where to read if there is no iterator. `Timestamp` stands for a `Latest` that was used.
    from: StartPosition,
    iterator: Option<String>,
    has_ended: bool,
    pace: Interval,
}

impl Reader {
    async fn next(&mut self) -> Result<Option<Event>, BoxError> {
        while !self.has_ended {
            match self.read_page().await {
                Ok(page) => {
                    let is_idle = page.records().is_empty();
                    let records = self.take_page(page);
                    if !records.is_empty() {
                        return Ok(Some(Event::Changes(records)));
                    }
                    if is_idle && !self.has_ended {
                        sleep(IDLE_INTERVAL).await;
                    }
                }
                // After 15 minutes, such as in a consumer that was stopped for so long.
                Err(Error::ExpiredIteratorException(_)) => self.iterator = None,
                Err(Error::TrimmedDataAccessException(_)) => {
                    self.iterator = None;
                    match self.take_gap() {
                        Some(gap) => return Ok(Some(gap)),
                        // Nothing of the shard was read yet, and its oldest change was trimmed.
                        None => sleep(IDLE_INTERVAL).await,
                    }
                }
                // The shard is no longer listed: all its changes were trimmed.
                Err(Error::ResourceNotFoundException(_)) => {
                    self.has_ended = true;
                    return Ok(self.take_gap());
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(None)
    }

    /// Continues with the oldest change that is left. Returns the gap, if any change was read.
    fn take_gap(&mut self) -> Option<Event> {
        let after = self.from.sequence_number()?.to_owned();
        self.from = StartPosition::TrimHorizon;
        Some(Event::Gap(after))
    }

    async fn read_page(&mut self) -> Result<GetRecordsOutput, Error> {
        self.pace.tick().await;
        let iterator = match &self.iterator {
            Some(iterator) => iterator.clone(),
            None => self.get_iterator().await?,
        };
        self.iterator = Some(iterator.clone());
        let request = self.stream.client.get_records().shard_iterator(iterator);
        retried("GetRecords", || request.clone().send()).await
    }

    async fn get_iterator(&mut self) -> Result<String, Error> {
        loop {
            let (requested_at, sent_at) = (SystemTime::now(), Instant::now());
            let iterator = self.request_iterator().await?;
            if self.from != StartPosition::Latest {
                return Ok(iterator);
            }
            // Another `LATEST`, or one that is late, would skip what was written meanwhile.
            self.from = StartPosition::Timestamp(DateTime::from(requested_at));
            if sent_at.elapsed() <= MAX_LATEST_DELAY {
                return Ok(iterator);
            }
        }
    }

    async fn request_iterator(&self) -> Result<String, Error> {
        // The API knows no `AT_TIMESTAMP`: changes that are older are skipped.
        let kind = match &self.from {
            StartPosition::Latest => ShardIteratorType::Latest,
            StartPosition::At(_) => ShardIteratorType::AtSequenceNumber,
            StartPosition::After(_) => ShardIteratorType::AfterSequenceNumber,
            _ => ShardIteratorType::TrimHorizon,
        };
        let request = self.stream.client.get_shard_iterator().stream_arn(&self.stream.arn);
        let request = request.shard_id(&self.shard_id).shard_iterator_type(kind);
        let request = request.set_sequence_number(self.from.sequence_number().map(str::to_owned));
        let response = retried("GetShardIterator", || request.clone().send()).await?;
        Ok(response.shard_iterator.unwrap_or_default())
    }

    /// Moves behind a page, and returns its changes.
    fn take_page(&mut self, page: GetRecordsOutput) -> Vec<Record> {
        self.iterator = page.next_shard_iterator;
        self.has_ended = self.iterator.is_none();
        let mut records = page.records.unwrap_or_default();
        if let Some(since) = self.from.timestamp() {
            records.retain(|record| {
                let change = record.dynamodb.as_ref();
                let created = change.and_then(|it| it.approximate_creation_date_time);
                created.is_none_or(|created| created.secs() + MAX_CLOCK_SKEW >= since.secs())
            });
        }
        let last = records.iter().rev().find_map(|it| it.dynamodb.as_ref()?.sequence_number());
        if let Some(last) = last {
            self.from = StartPosition::After(last.to_owned());
        }
        records
    }
}
