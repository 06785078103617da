//! A record as a response holds it.

use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types;
#[cfg(feature = "kpl")]
use bytes::Bytes;

#[cfg(feature = "cbor")]
use crate::util::page_record::PageRecord;

/// A record of a page: of the SDK, or a part of the body of a response in CBOR.
#[derive(Clone, Debug)]
pub(crate) enum ReceivedRecord {
    Sdk(types::Record),
    #[cfg(feature = "cbor")]
    Page(PageRecord),
}

impl From<types::Record> for ReceivedRecord {
    fn from(record: types::Record) -> Self {
        Self::Sdk(record)
    }
}

impl ReceivedRecord {
    #[inline]
    pub(crate) fn sequence_number(&self) -> &str {
        match self {
            Self::Sdk(record) => &record.sequence_number,
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.sequence_number(),
        }
    }

    #[inline]
    pub(crate) fn partition_key(&self) -> Option<&str> {
        match self {
            Self::Sdk(record) => record.partition_key.as_deref(),
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.partition_key(),
        }
    }

    #[inline]
    pub(crate) fn data(&self) -> &[u8] {
        match self {
            Self::Sdk(record) => record.data.as_ref(),
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.data(),
        }
    }

    /// Returns `ApproximateArrivalTimestamp`.
    #[inline]
    pub(crate) fn arrival(&self) -> Option<DateTime> {
        match self {
            Self::Sdk(record) => record.approximate_arrival_timestamp,
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.arrival(),
        }
    }

    /// Returns `ApproximateArrivalTimestamp` in milliseconds since the Unix epoch. It is called for
    /// each record: `DateTime::to_millis` costs more.
    #[inline]
    pub(crate) fn arrival_millis(&self) -> Option<i64> {
        match self {
            Self::Sdk(record) => {
                let time = record.approximate_arrival_timestamp?;
                let millis = i64::from(time.subsec_nanos() / 1_000_000);
                Some(time.secs().saturating_mul(1_000).saturating_add(millis))
            }
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.arrival,
        }
    }

    /// Returns the bytes that count against AWS's limits.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Sdk(record) => {
                record.data.as_ref().len() + record.partition_key.as_ref().map_or(0, String::len)
            }
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.size(),
        }
    }

    pub(crate) fn into_data(self) -> Vec<u8> {
        match self {
            Self::Sdk(record) => record.data.into_inner(),
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.data().to_vec(),
        }
    }

    pub(crate) fn into_sdk(self) -> types::Record {
        match self {
            Self::Sdk(record) => record,
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.to_sdk(),
        }
    }

    /// Returns the data without a copy. It may be missing from the record afterwards: see
    /// [`restore_data`](Self::restore_data).
    #[cfg(feature = "kpl")]
    pub(crate) fn take_data(&mut self) -> Bytes {
        match self {
            Self::Sdk(record) => {
                let data = std::mem::replace(&mut record.data, Vec::new().into());
                Bytes::from(data.into_inner())
            }
            #[cfg(feature = "cbor")]
            Self::Page(record) => record.shared_data(),
        }
    }

    /// Gives back the data that was taken. If no other handle to the data exists, it is not copied.
    #[cfg(feature = "kpl")]
    pub(crate) fn restore_data(&mut self, data: Bytes) {
        match self {
            Self::Sdk(record) => record.data = Vec::from(data).into(),
            #[cfg(feature = "cbor")]
            Self::Page(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_received_record_is_as_large_as_one_of_the_sdk() {
        // So the records of a page in JSON are converted in place.
        assert_eq!(size_of::<ReceivedRecord>(), size_of::<types::Record>());
    }
}
