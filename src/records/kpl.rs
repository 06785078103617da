//! The aggregated records of the Kinesis Producer Library, as its `aggregation-format.md` defines
//! them.

pub(crate) mod aggregate;
pub(crate) mod wire;

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use md5::{Digest, Md5};

use crate::records::kpl::aggregate::Aggregate;
use crate::records::record::{AGGREGATED, Record};
use crate::records::user_record::UserRecord;
use crate::shard::offer::Offer;
use crate::util::received_record::ReceivedRecord;

/// The length of the MD5 checksum at the end.
const CHECKSUM_LEN: usize = 16;

/// How aggregated records are split.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Deaggregation {
    /// An aggregated record is yielded whole.
    #[default]
    Off,
    /// All user records are yielded.
    All,
    /// The user records whose hash key is in the shard's range are yielded.
    OwnRange,
}

/// An iterator over the user records of one aggregated record, which decodes each as it is taken.
pub(crate) struct UserRecords {
    /// The aggregated record, possibly without its data.
    record: ReceivedRecord,
    offer: Arc<Offer>,
    aggregate: Aggregate,
    own_range: Option<RangeInclusive<u128>>,
}

impl Deaggregation {
    /// Returns the user records of an aggregated record.
    ///
    /// # Errors
    ///
    /// Returns any other record unchanged, and also a malformed one.
    #[expect(clippy::result_large_err, reason = "the record is the argument, returned")]
    pub(crate) fn user_records(
        self,
        mut record: ReceivedRecord,
        offer: &Arc<Offer>,
    ) -> Result<UserRecords, ReceivedRecord> {
        let data = record.data();
        if self == Self::Off
            || data.len() < AGGREGATED.len() + CHECKSUM_LEN
            || !data.starts_with(&AGGREGATED)
        {
            return Err(record);
        }
        let data = record.take_data();
        match check(&data) {
            Ok(aggregate) => {
                let own_range = (self == Self::OwnRange).then(|| hash_key_range(offer)).flatten();
                Ok(UserRecords { record, offer: Arc::clone(offer), aggregate, own_range })
            }
            Err(reason) => {
                tracing::warn!(
                    stream = offer.stream().name(),
                    shard = offer.shard.shard_id(),
                    sequence_number = record.sequence_number(),
                    reason,
                    "malformed aggregated record; yielding it whole"
                );
                record.restore_data(data);
                Err(record)
            }
        }
    }
}

/// Checks the checksum and the message of an aggregated record.
fn check(data: &Bytes) -> Result<Aggregate, &'static str> {
    let message = data.slice(AGGREGATED.len()..data.len() - CHECKSUM_LEN);
    if Md5::digest(&message)[..] != data[data.len() - CHECKSUM_LEN..] {
        return Err("checksum mismatch");
    }
    Aggregate::new(message)
}

impl UserRecords {
    /// Returns the number of user records left, including those of other hash key ranges.
    pub(crate) fn remaining(&self) -> usize {
        self.aggregate.remaining()
    }

    /// Returns whether all user records that are left will be yielded.
    pub(crate) fn is_exact(&self) -> bool {
        self.own_range.is_none()
    }
}

impl Iterator for UserRecords {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        loop {
            let user_record = self.aggregate.next()?;
            if self.own_range.as_ref().is_none_or(|range| is_in_range(&user_record, range)) {
                let (received, offer) = (self.record.clone(), Arc::clone(&self.offer));
                return Some(Record { received, offer, user: Some(Box::new(user_record)) });
            }
        }
    }
}

impl fmt::Debug for UserRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserRecords").field("left", &self.remaining()).finish_non_exhaustive()
    }
}

/// Returns the shard's hash key range, if the server reports it.
fn hash_key_range(offer: &Offer) -> Option<RangeInclusive<u128>> {
    let range = offer.shard.hash_key_range()?;
    Some(range.starting_hash_key().parse().ok()?..=range.ending_hash_key().parse().ok()?)
}

/// Returns whether Kinesis assigns a user record to a shard of this range, by its explicit hash key
/// or by the MD5 of its partition key.
fn is_in_range(user_record: &UserRecord, range: &RangeInclusive<u128>) -> bool {
    let explicit = user_record.explicit_hash_key.as_ref().and_then(|key| key.parse::<u128>().ok());
    let key = explicit
        .unwrap_or_else(|| u128::from_be_bytes(Md5::digest(&user_record.partition_key).into()));
    range.contains(&key)
}

#[cfg(test)]
pub(crate) mod reference;
#[cfg(test)]
mod tests;
