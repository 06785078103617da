//! One side of a comparison: a client, and the values of its responses that later calls refer to.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::StreamStatus;

use super::call::{Call, From, List, Named, Sequence, Time, Token};

pub(super) const PAUSE: Duration = Duration::from_millis(5);
/// The time between a mark and the calls before and after it. The fake reads the system's clock
/// once and then tokio's, so the two may drift apart a little.
pub(super) const MARGIN: Duration = Duration::from_millis(25);
const GARBAGE: &str = "AAAAAAAAAAGarbage";
const HOUR: i64 = 3600;

/// The shard and the sequence number of a record.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) shard: String,
    pub(crate) sequence: String,
    /// The times before the request and after the response.
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
    /// The records that were written, by their data.
    pub(crate) records: HashMap<String, Stored>,
    /// The times before and after the creation of the stream.
    pub(super) creation: (SystemTime, SystemTime),
    /// The `StartingSequenceNumber` of each shard when it was first listed.
    pub(super) starts: BTreeMap<String, String>,
}

impl Side {
    pub(crate) fn new(client: &Client) -> Self {
        // Every response counts, also one that the SDK would retry.
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

    /// Returns whether the side has every value that the call refers to.
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

    /// Returns the stream's own creation time, or another time.
    pub(super) fn created(&self, own: bool) -> Option<DateTime> {
        if own { self.created } else { Some(DateTime::from_secs(1_000_000_000)) }
    }

    /// Waits until the stream is `ACTIVE` or gone.
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

/// Returns a time after all earlier calls and before all later ones. A whole second has no calls
/// within it, for a server that rounds times to seconds.
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

/// Reports whether a time lies between two others, give or take `slack`.
pub(super) fn when(
    time: &DateTime,
    (first, last): (SystemTime, SystemTime),
    slack: Duration,
) -> &'static str {
    let Ok(time) = SystemTime::try_from(*time) else { return "at an invalid time" };
    if time + slack < first {
        "before it happened"
    } else if time > last + slack {
        "after it happened"
    } else {
        "when it happened"
    }
}
