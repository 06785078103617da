//! The service: its settings and its streams, which it creates, finds and deletes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::limits::Meters;
use crate::testing::model::status::Change;
use crate::testing::model::stream::{
    DEFAULT_RECORD_KIB, MAX_RETENTION_HOURS, MIN_RETENTION_HOURS, Mode, Stream,
};
use crate::testing::model::time::Millis;
use crate::testing::model::token::{LIFETIME, StreamsToken};

/// The number of shards of a new stream in on-demand mode.
pub(crate) const ON_DEMAND_SHARDS: u32 = 4;
/// The largest value for the maximum record size of a stream.
const MAX_RECORD_KIB: u32 = 10_240;

/// A reference to a stream: a name, an ARN, or both.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StreamRef<'a> {
    pub(crate) name: Option<&'a str>,
    pub(crate) arn: Option<&'a str>,
}

impl<'a> StreamRef<'a> {
    pub(crate) fn named(name: &'a str) -> Self {
        Self { name: Some(name), arn: None }
    }

    /// Returns the name of a stream in the region and the account of `service`.
    pub(crate) fn resolve(self, service: &Service) -> Result<&'a str, ApiError> {
        let from_arn = self.arn.map(|arn| name_in_arn(arn, service)).transpose()?;
        match (self.name, from_arn) {
            (Some(name), Some(other)) if name != other => Err(ApiError::invalid(format!(
                "StreamName {name} and StreamARN of {other} name different streams."
            ))),
            (Some(name), _) | (None, Some(name)) => {
                check_name(name)?;
                Ok(name)
            }
            (None, None) => {
                Err(ApiError::invalid("Either StreamName or StreamARN should be provided."))
            }
        }
    }
}

pub(crate) fn name_in_arn<'a>(arn: &'a str, service: &Service) -> Result<&'a str, ApiError> {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "kinesis", region, account, resource]
            if partition.starts_with("aws")
                && account.len() == 12
                && resource.starts_with("stream/") =>
        {
            if region != service.region || account != service.account {
                return Err(ApiError::not_found(format!("Stream {arn} not found.")));
            }
            Ok(&resource["stream/".len()..])
        }
        _ => Err(ApiError::constraint(
            arn,
            "streamARN",
            "satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{12}:stream/\\S+",
        )),
    }
}

fn check_name(name: &str) -> Result<(), ApiError> {
    if name.is_empty() || name.len() > 128 {
        return Err(ApiError::constraint(name, "streamName", "have length between 1 and 128"));
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte)) {
        return Err(ApiError::constraint(
            name,
            "streamName",
            "satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        ));
    }
    Ok(())
}

/// The settings that decide how a shard ends for its readers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EndRules {
    /// Whether the end of a closed shard comes with its last records, or in one more response.
    pub(crate) with_last_records: bool,
    /// Whether the end of a closed shard names its children.
    pub(crate) child_shards: bool,
    pub(crate) kinesalite: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Service {
    /// The region of every stream.
    pub(crate) region: String,
    /// The account of every stream.
    pub(crate) account: String,
    pub(crate) streams: BTreeMap<String, Stream>,
    /// The latest generation of shards of any stream. A generation is the second in which it
    /// begins, or the next second that no other generation has.
    last_generation: u64,
    /// The last number of a consumer or a subscription.
    last_number: u64,
    /// The generations of streams that a restart without data removed, by name.
    lost: BTreeMap<String, u64>,
    /// Whether the sequence number of a record contains the time.
    pub(crate) time_in_numbers: bool,
    /// How long a stream stays `CREATING`, `UPDATING` or `DELETING` after a request.
    pub(crate) transition: Duration,
    pub(crate) end_rules: EndRules,
    /// The maximum number of shards in one response to `ListShards`.
    pub(crate) page_size: usize,
    pub(crate) meters: Meters,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
            streams: BTreeMap::new(),
            last_generation: 0,
            last_number: 0,
            lost: BTreeMap::new(),
            time_in_numbers: true,
            transition: Duration::ZERO,
            end_rules: EndRules { with_last_records: true, child_shards: true, kinesalite: false },
            page_size: 1000,
            meters: Meters::default(),
        }
    }
}

impl Service {
    pub(crate) fn new_generation(&mut self, now: Millis) -> u64 {
        self.last_generation = (now.0 / 1000).max(self.last_generation + 1);
        self.last_generation
    }

    /// Returns a number that no consumer and no subscription has had.
    pub(crate) fn new_number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    pub(crate) fn create_stream(
        &mut self,
        name: &str,
        mode: Mode,
        shards: u32,
        now: Millis,
    ) -> Result<(), ApiError> {
        check_name(name)?;
        if shards == 0 {
            return Err(ApiError::constraint(
                shards,
                "shardCount",
                "have value greater than or equal to 1",
            ));
        }
        self.remove_deleted(now);
        if self.streams.contains_key(name) {
            let message = format!("Stream {name} under account {} already exists.", self.account);
            return Err(ApiError::new(Code::ResourceInUse, message));
        }
        let arn = format!("arn:aws:kinesis:{}:{}:stream/{name}", self.region, self.account);
        let lost = self.lost.remove(name);
        let generation = lost.unwrap_or_else(|| self.new_generation(now));
        let mut stream = Stream::new((name, arn, &self.account), generation, mode, shards, now);
        stream.time_in_numbers = self.time_in_numbers;
        self.streams.insert(name.to_owned(), stream);
        Ok(())
    }

    /// Deletes a stream as a request does: it stays `DELETING` for the transition time.
    pub(crate) fn delete_stream(
        &mut self,
        stream: StreamRef<'_>,
        now: Millis,
    ) -> Result<(), ApiError> {
        let until = now.plus(self.transition);
        let stream = self.stream_mut(stream, now)?;
        if !matches!(stream.change, Change::Deleting(_)) {
            stream.change = Change::Deleting(until);
            stream.end_subscriptions();
        }
        self.remove_deleted(now);
        Ok(())
    }

    /// Deletes a stream at once.
    pub(crate) fn remove_stream(
        &mut self,
        stream: StreamRef<'_>,
        now: Millis,
    ) -> Result<(), ApiError> {
        self.stream_mut(stream, now)?.change = Change::Deleting(now);
        self.remove_deleted(now);
        Ok(())
    }

    /// Removes every stream. A stream that is created again under its name repeats the generation.
    pub(crate) fn restart_empty(&mut self) {
        let streams = std::mem::take(&mut self.streams).into_values();
        self.lost.extend(streams.map(|stream| (stream.name, stream.id)));
    }

    /// Removes the streams whose deletion is complete.
    fn remove_deleted(&mut self, now: Millis) {
        self.streams.retain(|_, stream| !stream.change.is_deleted(now));
    }

    /// Returns the streams whose names follow `after`, or those that a token has left to list.
    pub(crate) fn list_streams(
        &mut self,
        after: Option<&str>,
        token: Option<&str>,
        now: Millis,
    ) -> Result<impl Iterator<Item = &Stream> + use<'_>, ApiError> {
        let token: Option<StreamsToken> = token
            .map(|text| text.parse().map_err(|()| ApiError::invalid("Invalid NextToken.")))
            .transpose()?;
        if token.as_ref().is_some_and(|token| now.since(token.issued) > LIFETIME) {
            return Err(ApiError::new(Code::ExpiredNextToken, "The pagination token has expired."));
        }
        self.remove_deleted(now);
        let after = token.map(|token| token.after).or(after.map(str::to_owned)).unwrap_or_default();
        Ok(self.streams.values().filter(move |stream| stream.name > after))
    }

    /// Returns a stream in any status, after its expired shards are removed.
    pub(crate) fn stream(
        &mut self,
        stream: StreamRef<'_>,
        now: Millis,
    ) -> Result<&Stream, ApiError> {
        Ok(self.stream_mut(stream, now)?)
    }

    pub(crate) fn stream_mut(
        &mut self,
        stream: StreamRef<'_>,
        now: Millis,
    ) -> Result<&mut Stream, ApiError> {
        let name = stream.resolve(self)?;
        match self.streams.get_mut(name) {
            Some(stream) if !stream.change.is_deleted(now) => {
                stream.expire(now);
                Ok(stream)
            }
            _ => Err(not_found(name, &self.account)),
        }
    }

    pub(crate) fn increase_retention(
        &mut self,
        stream: StreamRef<'_>,
        hours: u32,
        now: Millis,
    ) -> Result<(), ApiError> {
        let stream = self.stream_mut(stream, now)?;
        check_retention(hours)?;
        if hours < stream.retention_hours {
            return Err(retention_rejected(stream, hours, "shorter", "Decrease"));
        }
        stream.set_retention(hours, now);
        Ok(())
    }

    pub(crate) fn decrease_retention(
        &mut self,
        stream: StreamRef<'_>,
        hours: u32,
        now: Millis,
    ) -> Result<(), ApiError> {
        let stream = self.stream_mut(stream, now)?;
        check_retention(hours)?;
        if hours > stream.retention_hours {
            return Err(retention_rejected(stream, hours, "longer", "Increase"));
        }
        stream.set_retention(hours, now);
        Ok(())
    }

    /// Sets the maximum record size of the stream.
    pub(crate) fn set_record_size(
        &mut self,
        stream: StreamRef<'_>,
        kib: u32,
        now: Millis,
    ) -> Result<(), ApiError> {
        let stream = self.stream_mut(stream, now)?;
        stream.record_kib = check_record_size(kib)?;
        Ok(())
    }
}

pub(crate) fn not_found(name: &str, account: &str) -> ApiError {
    ApiError::not_found(format!("Stream {name} under account {account} not found."))
}

pub(crate) fn check_record_size(kib: u32) -> Result<u32, ApiError> {
    let constraint = if kib < DEFAULT_RECORD_KIB {
        format!("have value greater than or equal to {DEFAULT_RECORD_KIB}")
    } else if kib > MAX_RECORD_KIB {
        format!("have value less than or equal to {MAX_RECORD_KIB}")
    } else {
        return Ok(kib);
    };
    Err(ApiError::constraint(kib, "maxRecordSizeInKiB", &constraint))
}

fn check_retention(hours: u32) -> Result<(), ApiError> {
    let (bound, limit) = if hours < MIN_RETENTION_HOURS {
        ("Minimum", MIN_RETENTION_HOURS)
    } else if hours > MAX_RETENTION_HOURS {
        ("Maximum", MAX_RETENTION_HOURS)
    } else {
        return Ok(());
    };
    Err(ApiError::invalid(format!(
        "{bound} allowed retention period is {limit} hours. Requested retention period was \
         {hours} hours."
    )))
}

fn retention_rejected(stream: &Stream, hours: u32, how: &str, other: &str) -> ApiError {
    ApiError::invalid(format!(
        "Requested retention period ({hours} hours) for stream {} can not be {how} than existing \
         retention period ({} hours). Use {other}RetentionPeriod API.",
        stream.name, stream.retention_hours
    ))
}
