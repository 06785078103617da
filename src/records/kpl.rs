//! Records that the Kinesis Producer Library has packed into one: its `aggregation-format.md`.

pub(crate) mod aggregate;
pub(crate) mod wire;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use aws_sdk_kinesis::types;
use bytes::Bytes;
use md5::{Digest, Md5};

use crate::records::kpl::aggregate::Aggregate;
use crate::records::record::{AGGREGATED, Record};
use crate::shard::offer::Offer;

const CHECKSUM: usize = 16;

/// What is done about aggregated records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deaggregation {
    #[default]
    Off,
    /// They come out as their user records.
    All,
    /// As their user records, but for those whose hash key is not in the shard's range.
    OwnRange,
}

/// Which of an aggregated record's user records a record is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct UserRecord {
    pub(crate) sub_sequence_number: u64,
    pub(crate) explicit_hash_key: Option<String>,
    /// A part of the aggregated record's data, not a copy.
    pub(crate) data: Bytes,
}

/// The user records of one aggregated record, unpacked as they are taken.
pub(crate) struct UserRecords {
    /// The aggregated record without its data.
    record: types::Record,
    offer: Arc<Offer>,
    aggregate: Aggregate,
    own_range: Option<RangeInclusive<u128>>,
}

impl Deaggregation {
    /// Returns the user records of an aggregated record.
    ///
    /// # Errors
    ///
    /// Any other record comes back as it is, and so does a broken one.
    #[expect(clippy::result_large_err, reason = "a record that comes back is moved, not made")]
    pub(crate) fn user_records(
        self,
        mut record: types::Record,
        offer: &Arc<Offer>,
    ) -> Result<UserRecords, types::Record> {
        let data = record.data.as_ref();
        if self == Self::Off
            || data.len() < AGGREGATED.len() + CHECKSUM
            || !data.starts_with(&AGGREGATED)
        {
            return Err(record);
        }
        let data = Bytes::from(std::mem::replace(&mut record.data, Vec::new().into()).into_inner());
        match check(&data) {
            Ok(aggregate) => {
                let own_range = (self == Self::OwnRange).then(|| hash_key_range(offer)).flatten();
                Ok(UserRecords { record, offer: Arc::clone(offer), aggregate, own_range })
            }
            Err(reason) => {
                tracing::warn!(
                    stream = offer.stream().name(),
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

fn check(data: &Bytes) -> Result<Aggregate, &'static str> {
    let message = data.slice(AGGREGATED.len()..data.len() - CHECKSUM);
    if Md5::digest(&message)[..] != data[data.len() - CHECKSUM..] {
        return Err("checksum mismatch");
    }
    Aggregate::new(message)
}

impl UserRecords {
    /// How many are left, before those of other hash ranges are left out.
    pub(crate) fn left(&self) -> usize {
        self.aggregate.left()
    }

    /// Whether all that are left come out.
    pub(crate) fn is_exact(&self) -> bool {
        self.own_range.is_none()
    }
}

impl Iterator for UserRecords {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let (partition_key, user_record) = self.aggregate.next()?;
            if self
                .own_range
                .as_ref()
                .is_none_or(|range| is_in_range(&partition_key, &user_record, range))
            {
                let mut record = self.record.clone();
                record.partition_key = Some(partition_key);
                let offer = Arc::clone(&self.offer);
                return Some(Record { sdk: record, offer, user: Some(Box::new(user_record)) });
            }
        }
    }
}

impl fmt::Debug for UserRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRecords").field("left", &self.left()).finish_non_exhaustive()
    }
}

/// The shard's range of hash keys; `None` if the server does not say.
fn hash_key_range(offer: &Offer) -> Option<RangeInclusive<u128>> {
    let range = offer.shard.hash_key_range()?;
    Some(range.starting_hash_key().parse().ok()?..=range.ending_hash_key().parse().ok()?)
}

/// Whether Kinesis would have put it into a shard of this range: as it does it, by the explicit
/// hash key, or by the MD5 of the partition key.
fn is_in_range(
    partition_key: &str,
    user_record: &UserRecord,
    range: &RangeInclusive<u128>,
) -> bool {
    let explicit = user_record.explicit_hash_key.as_ref().and_then(|key| key.parse::<u128>().ok());
    let key = explicit.unwrap_or_else(|| u128::from_be_bytes(Md5::digest(partition_key).into()));
    range.contains(&key)
}

#[cfg(test)]
pub(crate) mod former;
#[cfg(test)]
mod tests;
