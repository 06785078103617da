//! The message of an aggregated record: `AggregatedRecord` of the Kinesis Producer Library's
//! `aggregation-format.md`.
//!
//! Anyone who may write to the stream can send a message with millions of tiny user records. So the
//! whole message is checked before the first user record is yielded, but user records are decoded
//! one at a time: the additional memory is at most a fifth of the message, and the work for each
//! user record is bounded.

use bytes::Bytes;

use crate::records::kpl::wire::{Fields, Malformed, Value};
use crate::records::user_record::UserRecord;

// Fields of AggregatedRecord.
const PARTITION_KEYS: u32 = 1;
const EXPLICIT_HASH_KEYS: u32 = 2;
const RECORDS: u32 = 3;
// Fields of Record.
const PARTITION_KEY_INDEX: u32 = 1;
const EXPLICIT_HASH_KEY_INDEX: u32 = 2;
const DATA: u32 = 3;

/// The maximum length of a partition key in Kinesis, in characters. A longer key would be copied
/// for each of its user records, and could expand a record of 1 MiB to many GiB.
const MAX_KEY_CHARS: usize = 256;

/// The maximum number of fields between a mark and a key that is found from it.
pub(crate) const MARK_EVERY: usize = 32;

/// A checked message, and the position of its next user record.
pub(crate) struct Aggregate {
    message: Bytes,
    marks: Vec<Mark>,
    /// The offset from which the next user record is searched.
    at: usize,
    taken: u64,
    records: u64,
}

/// A place between two fields, with the number of keys of each table before it. A key is searched
/// from the last mark before it.
#[derive(Clone, Copy, Default)]
struct Mark {
    at: u32,
    partition_keys: u32,
    explicit_hash_keys: u32,
}

/// An encoded user record.
#[derive(Default)]
struct EncodedRecord<'a> {
    partition_key: Option<u64>,
    explicit_hash_key: Option<u64>,
    data: Option<&'a [u8]>,
}

impl From<Malformed> for &'static str {
    fn from(_: Malformed) -> Self {
        "not an AggregatedRecord"
    }
}

impl Aggregate {
    /// Checks the whole message, in one pass.
    pub(crate) fn new(message: Bytes) -> Result<Self, &'static str> {
        let mut marks = Vec::new();
        let mut here = Mark::default();
        let (mut records, mut steps) = (0, 0);
        // The greatest index into each table. The tables may follow the user records.
        let (mut partition_key, mut explicit_hash_key) = (None, None);
        let mut is_too_long = false;
        let mut fields = Fields::new(&message);
        while let Some((tag, value)) = fields.next()? {
            match (tag, value) {
                (PARTITION_KEYS, Value::Bytes(key)) => {
                    is_too_long |= is_longer_than_a_key(key)?;
                    here.partition_keys += 1;
                }
                (EXPLICIT_HASH_KEYS, Value::Bytes(key)) => {
                    is_too_long |= is_longer_than_a_key(key)?;
                    here.explicit_hash_keys += 1;
                }
                (RECORDS, Value::Bytes(record)) => {
                    let encoded = EncodedRecord::read(record)?;
                    encoded.data.ok_or("a user record has no data")?;
                    let index =
                        encoded.partition_key.ok_or("a user record has no partition key")?;
                    partition_key = partition_key.max(Some(index));
                    explicit_hash_key = explicit_hash_key.max(encoded.explicit_hash_key);
                    records += 1;
                }
                (PARTITION_KEYS | EXPLICIT_HASH_KEYS | RECORDS, _) => return Err(Malformed.into()),
                _ => {}
            }
            if fields.steps >= steps + MARK_EVERY {
                steps = fields.steps;
                here.at =
                    u32::try_from(message.len() - fields.remaining()).map_err(|_| Malformed)?;
                marks.push(here);
            }
        }
        if records == 0 {
            return Err("no user records");
        }
        if is_too_long {
            return Err("a key is longer than 256 characters");
        }
        let is_outside =
            |index: Option<u64>, keys: u32| index.is_some_and(|index| index >= u64::from(keys));
        if is_outside(partition_key, here.partition_keys)
            || is_outside(explicit_hash_key, here.explicit_hash_keys)
        {
            return Err("an index points outside its table");
        }
        marks.shrink_to_fit();
        Ok(Self { message, marks, at: 0, taken: 0, records })
    }

    /// Returns the number of user records that are left.
    pub(crate) fn remaining(&self) -> usize {
        usize::try_from(self.records - self.taken).unwrap_or(usize::MAX)
    }

    /// Decodes the next user record.
    pub(crate) fn next(&mut self) -> Option<UserRecord> {
        let mut fields = Fields::new(&self.message[self.at..]);
        let record = loop {
            if let (RECORDS, Value::Bytes(record)) = fields.next().ok()?? {
                break record;
            }
        };
        let encoded = EncodedRecord::read(record).ok()?;
        let explicit_hash_key = encoded.explicit_hash_key;
        let user_record = UserRecord {
            partition_key: self.key(PARTITION_KEYS, encoded.partition_key?)?,
            sub_sequence_number: self.taken,
            explicit_hash_key: explicit_hash_key
                .and_then(|index| self.key(EXPLICIT_HASH_KEYS, index)),
            data: self.message.slice_ref(encoded.data?),
        };
        self.at = self.message.len() - fields.remaining();
        self.taken += 1;
        Some(user_record)
    }

    #[cfg(test)]
    pub(crate) fn bytes_of_marks(&self) -> usize {
        self.marks.capacity() * size_of::<Mark>()
    }

    /// Returns the key at this index of a table.
    fn key(&self, table: u32, index: u64) -> Option<String> {
        let before = |mark: &Mark| {
            u64::from(if table == PARTITION_KEYS {
                mark.partition_keys
            } else {
                mark.explicit_hash_keys
            })
        };
        let after = self.marks.partition_point(|mark| before(mark) <= index);
        let mark = after.checked_sub(1).map_or(Mark::default(), |at| self.marks[at]);
        let mut left = index - before(&mark);
        let mut fields = Fields::new(&self.message[usize::try_from(mark.at).ok()?..]);
        loop {
            match fields.next().ok()?? {
                (tag, Value::Bytes(key)) if tag == table => {
                    if left == 0 {
                        return std::str::from_utf8(key).ok().map(str::to_owned);
                    }
                    left -= 1;
                }
                _ => {}
            }
        }
    }
}

impl<'a> EncodedRecord<'a> {
    /// Decodes a user record. The last occurrence of a repeated field counts.
    fn read(record: &'a [u8]) -> Result<Self, Malformed> {
        let mut encoded = Self::default();
        let mut fields = Fields::nested(record);
        while let Some((tag, value)) = fields.next()? {
            match (tag, value) {
                (PARTITION_KEY_INDEX, Value::Varint(index)) => encoded.partition_key = Some(index),
                (EXPLICIT_HASH_KEY_INDEX, Value::Varint(index)) => {
                    encoded.explicit_hash_key = Some(index);
                }
                (DATA, Value::Bytes(data)) => encoded.data = Some(data),
                (PARTITION_KEY_INDEX | EXPLICIT_HASH_KEY_INDEX | DATA, _) => return Err(Malformed),
                _ => {}
            }
        }
        Ok(encoded)
    }
}

fn is_longer_than_a_key(key: &[u8]) -> Result<bool, Malformed> {
    let key = std::str::from_utf8(key).map_err(|_| Malformed)?;
    Ok(key.len() > MAX_KEY_CHARS && key.chars().nth(MAX_KEY_CHARS).is_some())
}
