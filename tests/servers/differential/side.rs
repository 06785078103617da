//! One of the two sides of a comparison: a client, and what it was told so far that later calls
//! refer to.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::StreamStatus;

use super::call::{Call, From, List, Named, Sequence, Time, Token};

pub(super) const PAUSE: Duration = Duration::from_millis(5);
/// Between a mark and what happens before and after it. The fake reads the system's clock once and
/// then counts, so that the two clocks may differ by a little.
pub(super) const MARGIN: Duration = Duration::from_millis(25);
const GARBAGE: &str = "AAAAAAAAAAGarbage";
const HOUR: i64 = 3600;

/// Where a record went.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) shard: String,
    pub(crate) sequence: String,
    /// Before the request, and after the answer.
    pub(super) put: (SystemTime, SystemTime),
}

pub(crate) struct Side {
    pub(super) client: Client,
    pub(super) stream: String,
    pub(super) arn: Option<String>,
    created: Option<DateTime>,
    pub(super) iterators: BTreeMap<usize, String>,
    /// The number of the next iterator, the same on both sides.
    pub(crate) next_iterator: usize,
    pub(super) token: Option<String>,
    /// What became of each record, by its data.
    pub(crate) records: HashMap<String, Stored>,
    /// Before and after the stream was made.
    pub(super) creation: (SystemTime, SystemTime),
    /// The `StartingSequenceNumber` of each shard when it was first listed.
    pub(super) starts: BTreeMap<String, String>,
}

impl Side {
    pub(crate) fn new(client: &Client) -> Self {
        // Every answer counts, also those that would be tried again.
        let config = client.config().to_builder().retry_config(RetryConfig::disabled());
        Self {
            client: Client::from_conf(config.build()),
            stream: String::new(),
            arn: None,
            created: None,
            iterators: BTreeMap::new(),
            next_iterator: 0,
            token: None,
            records: HashMap::new(),
            creation: (SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH),
            starts: BTreeMap::new(),
        }
    }

    /// Whether all that the call refers to is there.
    pub(crate) fn can(&self, call: &Call) -> bool {
        match call {
            Call::GetRecords { from: From::Iterator(slot), .. } => {
                self.iterators.contains_key(slot)
            }
            Call::ListShards(List { token: Some(Token::Last), .. }) => self.token.is_some(),
            Call::GetShardIterator { start, .. } => match &start.sequence {
                Some(Sequence::Of(data)) => self.records.contains_key(data),
                Some(Sequence::StartOf(shard)) => self.starts.contains_key(shard),
                Some(Sequence::Text(_)) | None => true,
            },
            _ => true,
        }
    }

    pub(super) fn name(&self, named: Named) -> Option<String> {
        match named {
            Named::ByName | Named::ByBoth => Some(self.stream.clone()),
            Named::Unknown => Some(format!("{}-unknown", self.stream)),
            Named::Invalid => Some("no spaces".to_owned()),
            Named::ByArn | Named::NotAtAll => None,
        }
    }

    pub(super) fn arn(&self, named: Named) -> Option<String> {
        if matches!(named, Named::ByArn | Named::ByBoth) { self.arn.clone() } else { None }
    }

    pub(super) fn sequence(&self, sequence: &Sequence) -> String {
        match sequence {
            Sequence::Of(data) => self.records[data].sequence.clone(),
            Sequence::StartOf(shard) => self.starts[shard].clone(),
            Sequence::Text(text) => (*text).to_owned(),
        }
    }

    pub(super) fn token(&self, token: Token) -> String {
        match token {
            Token::Last => self.token.clone().unwrap_or_default(),
            Token::Garbage => GARBAGE.to_owned(),
            Token::Empty => String::new(),
        }
    }

    pub(super) fn iterator(&self, from: From) -> Option<String> {
        match from {
            From::Iterator(slot) => self.iterators.get(&slot).cloned(),
            From::Garbage => Some(GARBAGE.to_owned()),
            From::Empty => Some(String::new()),
            From::Nothing => None,
        }
    }

    /// The stream's own time of creation, or another.
    pub(super) fn created(&self, own: bool) -> Option<DateTime> {
        if own { self.created } else { Some(DateTime::from_secs(1_000_000_000)) }
    }

    /// Waits until the stream can be changed again, or is gone.
    pub(crate) async fn settle(&mut self) {
        loop {
            match self.client.describe_stream_summary().stream_name(&self.stream).send().await {
                Ok(described) => {
                    if let Some(summary) = described.stream_description_summary
                        && summary.stream_status == StreamStatus::Active
                    {
                        self.created = Some(summary.stream_creation_timestamp);
                        self.arn = Some(summary.stream_arn);
                        return;
                    }
                }
                Err(error) => {
                    if error.into_service_error().is_resource_not_found_exception() {
                        return;
                    }
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

pub(super) fn date(time: Time, marks: &[DateTime]) -> DateTime {
    let now = DateTime::from(SystemTime::now()).secs();
    match time {
        Time::Mark(mark) => marks[mark],
        Time::HourAgo => DateTime::from_secs(now - HOUR),
        Time::WeekAgo => DateTime::from_secs(now - 7 * 24 * HOUR),
        Time::InAnHour => DateTime::from_secs(now + HOUR),
    }
}

/// A moment before which is all that happened so far, and after which is all that happens next; for
/// a server that knows whole seconds only, nothing happens in that second either.
pub(crate) async fn mark(whole_second: bool) -> DateTime {
    let now = || DateTime::from(SystemTime::now());
    tokio::time::sleep(MARGIN).await;
    let mark = if whole_second {
        next_second().await;
        let second = now().secs();
        next_second().await;
        DateTime::from_secs(second)
    } else {
        DateTime::from_millis(now().to_millis().unwrap_or_default())
    };
    tokio::time::sleep(MARGIN).await;
    mark
}

pub(crate) async fn next_second() {
    let now = || DateTime::from(SystemTime::now()).secs();
    let second = now();
    while now() == second {
        tokio::time::sleep(PAUSE).await;
    }
}

/// Whether a moment lies between two others, or so little beside them.
pub(super) fn when(
    moment: &DateTime,
    (first, last): (SystemTime, SystemTime),
    slack: Duration,
) -> &'static str {
    let Ok(moment) = SystemTime::try_from(*moment) else { return "at no time" };
    if moment + slack < first {
        "before it happened"
    } else if moment > last + slack {
        "after it happened"
    } else {
        "when it happened"
    }
}
