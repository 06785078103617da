//! Records that the Kinesis Producer Library has packed into one: its `aggregation-format.md`.

use std::sync::Arc;

use aws_sdk_kinesis::types;
use bytes::Bytes;
use md5::{Digest, Md5};
use prost::Message;

use super::Record;
use super::record::AGGREGATED;
use crate::handle::Offer;

const CHECKSUM: usize = 16;
/// Kinesis takes no partition key that is longer, in characters. A long one that many user records share would be copied for each: a record of 1 MiB could come to many GiB.
const LONGEST_KEY: usize = 256;

/// What is done about aggregated records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Deaggregation {
    #[default]
    Off,
    /// They come out as their user records.
    All,
    /// As their user records, but for those whose hash key is not in the shard's range.
    OwnRange,
}

/// Which of an aggregated record's user records a record is.
#[derive(Clone, Debug)]
pub(super) struct UserRecord {
    pub(super) sub_sequence_number: u64,
    pub(super) explicit_hash_key: Option<String>,
    /// A part of the aggregated record's data, not a copy.
    pub(super) data: Bytes,
}

#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<Packed>,
}

/// Those that the format requires are optional here, so that it is seen when they are missing.
#[derive(Clone, PartialEq, Message)]
struct Packed {
    #[prost(uint64, optional, tag = "1")]
    partition_key_index: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
}

impl Deaggregation {
    /// The user records of an aggregated record.
    ///
    /// # Errors
    ///
    /// Any other record comes back as it is, and so does a broken one.
    #[expect(clippy::result_large_err, reason = "a record that comes back is moved, not made")]
    pub(super) fn user_records(
        self,
        mut record: types::Record,
        offer: &Arc<Offer>,
    ) -> Result<Vec<Record>, types::Record> {
        let data = record.data.as_ref();
        if self == Self::Off || data.len() < AGGREGATED.len() + CHECKSUM || !data.starts_with(&AGGREGATED) {
            return Err(record);
        }
        let data = Bytes::from(std::mem::replace(&mut record.data, Vec::new().into()).into_inner());
        match unpack(&data) {
            Ok(user_records) => {
                let user_records = user_records.into_iter().filter(|(partition_key, user)| {
                    self != Self::OwnRange || is_in_range(partition_key, user, offer)
                });
                let like = |(partition_key, user_record)| {
                    let mut record = record.clone();
                    record.partition_key = Some(partition_key);
                    Record { sdk: record, offer: Arc::clone(offer), user: Some(Box::new(user_record)) }
                };
                Ok(user_records.map(like).collect())
            }
            Err(reason) => {
                tracing::warn!(
                    stream = offer.stream.name(),
                    shard = offer.shard.shard_id(),
                    sequence_number = record.sequence_number,
                    reason,
                    "an aggregated record is broken; it is given as it is"
                );
                // None of its parts is left, so that this is no copy.
                record.data = Vec::from(data).into();
                Err(record)
            }
        }
    }
}

fn unpack(data: &Bytes) -> Result<Vec<(String, UserRecord)>, &'static str> {
    let message = data.slice(AGGREGATED.len()..data.len() - CHECKSUM);
    if Md5::digest(&message)[..] != data[data.len() - CHECKSUM..] {
        return Err("the checksum is another");
    }
    let aggregated = AggregatedRecord::decode(message).map_err(|_| "it is no AggregatedRecord")?;
    let at = |table: &[String], index: u64| {
        let entry = usize::try_from(index).ok().and_then(|index| table.get(index));
        entry.cloned().ok_or("an index points outside its table")
    };
    let AggregatedRecord { partition_key_table, explicit_hash_key_table, records } = aggregated;
    if records.is_empty() {
        return Err("there are no user records in it");
    }
    let is_too_long = |key: &String| key.chars().nth(LONGEST_KEY).is_some();
    if partition_key_table.iter().chain(&explicit_hash_key_table).any(is_too_long) {
        return Err("a key is longer than 256 characters");
    }
    let records = records.into_iter().zip(0..).map(|(packed, sub_sequence_number)| {
        let key = packed.partition_key_index.ok_or("a user record has no partition key")?;
        let explicit = packed.explicit_hash_key_index;
        let explicit_hash_key = explicit.map(|index| at(&explicit_hash_key_table, index)).transpose()?;
        let data = packed.data.ok_or("a user record has no data")?;
        Ok((at(&partition_key_table, key)?, UserRecord { sub_sequence_number, explicit_hash_key, data }))
    });
    records.collect()
}

/// Whether Kinesis would have put it into this shard: as it does it, by the explicit hash key, or by the MD5 of the partition key.
fn is_in_range(partition_key: &str, user_record: &UserRecord, offer: &Offer) -> bool {
    let Some(range) = offer.shard.hash_key_range() else { return true };
    let (Ok(first), Ok(last)) = (range.starting_hash_key().parse(), range.ending_hash_key().parse()) else {
        return true;
    };
    let explicit = user_record.explicit_hash_key.as_ref().and_then(|key| key.parse::<u128>().ok());
    let key = explicit.unwrap_or_else(|| u128::from_be_bytes(Md5::digest(partition_key).into()));
    (first..=last).contains(&key)
}

#[cfg(test)]
mod tests;
