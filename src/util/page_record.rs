//! A record that is a part of the body of its page.

use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types;
use bytes::Bytes;

use crate::util::place::Place;

/// The places of a record's members in the body of its page. The record allocates nothing.
#[derive(Clone, Debug)]
pub(crate) struct PageRecord {
    pub(crate) body: Bytes,
    pub(crate) sequence_number: Place,
    pub(crate) partition_key: Option<Place>,
    pub(crate) data: Place,
    /// Milliseconds since the epoch.
    pub(crate) arrival: Option<i64>,
    pub(crate) encryption: Option<Encryption>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encryption {
    None,
    Kms,
}

impl PageRecord {
    pub(crate) fn sequence_number(&self) -> &str {
        self.sequence_number.text(&self.body)
    }

    pub(crate) fn partition_key(&self) -> Option<&str> {
        self.partition_key.map(|key| key.text(&self.body))
    }

    pub(crate) fn data(&self) -> &[u8] {
        self.data.of(&self.body)
    }

    /// Returns the data without a copy.
    #[cfg(feature = "kpl")]
    pub(crate) fn shared_data(&self) -> Bytes {
        self.body.slice(self.data.start as usize..self.data.end as usize)
    }

    /// Returns the bytes of the data and the partition key.
    pub(crate) fn size(&self) -> usize {
        self.data.len() + self.partition_key.map_or(0, Place::len)
    }

    pub(crate) fn arrival(&self) -> Option<DateTime> {
        self.arrival.map(DateTime::from_millis)
    }

    /// Copies the record into one of the SDK.
    pub(crate) fn to_sdk(&self) -> types::Record {
        let encryption = self.encryption.map(|encryption| match encryption {
            Encryption::None => types::EncryptionType::None,
            Encryption::Kms => types::EncryptionType::Kms,
        });
        types::Record::builder()
            .sequence_number(self.sequence_number())
            .set_approximate_arrival_timestamp(self.arrival())
            .data(Blob::new(self.data()))
            .set_partition_key(self.partition_key().map(str::to_owned))
            .set_encryption_type(encryption)
            .build()
            .expect("the builder gets each required member")
    }
}
