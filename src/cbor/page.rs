//! The records of a `GetRecords` response, as parts of its body.
//!
//! The SDK allocates each text and each blob of a record. These records allocate nothing.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_smithy_schema::serde::SerdeError;
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use crate::cbor::decoder::{Decoder, Number, invalid, major};
use crate::cbor::deserializer::MIN_MILLIS;
use crate::util::page_record::{Encryption, PageRecord, Place};
use crate::util::received_record::ReceivedRecord;

/// Takes the records of a response before the SDK reads the rest of it. Clones share the records.
#[derive(Clone, Debug, Default)]
pub(crate) struct RecordTaker(Arc<Mutex<Option<Vec<ReceivedRecord>>>>);

impl RecordTaker {
    /// Takes the records of a response, and returns the part of the body that they fill.
    ///
    /// Returns `None` for any other response, and for one with records that are not plain: the SDK
    /// then reads the whole body, and decides whether it is valid.
    pub(crate) fn take_from(&self, response: &HttpResponse) -> Option<Range<usize>> {
        let body = Bytes::from_owner(Body(response.body().try_clone()?));
        let (records, part) = read_page(&body)?;
        self.replace(Some(records));
        Some(part)
    }

    /// Returns the records that were taken since the last call.
    pub(crate) fn taken(&self) -> Option<Vec<ReceivedRecord>> {
        self.replace(None)
    }

    fn replace(&self, records: Option<Vec<ReceivedRecord>>) -> Option<Vec<ReceivedRecord>> {
        std::mem::replace(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner), records)
    }
}

/// A body in memory.
struct Body(SdkBody);

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        self.0.bytes().unwrap_or_default()
    }
}

/// Returns the records of a page, and the part of the body that they fill.
fn read_page(body: &Bytes) -> Option<(Vec<ReceivedRecord>, Range<usize>)> {
    u32::try_from(body.len()).ok()?;
    let mut decoder = Decoder::new(body);
    let mut found = None;
    let mut members = decoder.open(major::MAP).ok()?;
    while decoder.has_next(&mut members).ok()? {
        if decoder.text().ok()? != "Records" {
            decoder.skip().ok()?;
            continue;
        }
        if found.is_some() {
            return None;
        }
        let start = decoder.position();
        let records = read_records(&mut decoder, body).ok()?;
        found = Some((records, start..decoder.position()));
    }
    found
}

/// The length of the shortest record: the names of the two members that each one has, and the heads
/// of the record, of both names and of both values. It bounds what is allocated for the number of
/// records that a page declares.
const MIN_RECORD_BYTES: usize = "SequenceNumber".len() + "Data".len() + 5;

fn read_records(
    decoder: &mut Decoder<'_>,
    body: &Bytes,
) -> Result<Vec<ReceivedRecord>, SerdeError> {
    let mut remaining = decoder.open(major::ARRAY)?;
    let rest = body.len() - decoder.position();
    let count = remaining.and_then(|count| usize::try_from(count).ok()).unwrap_or(0);
    let mut records = Vec::with_capacity(count.min(rest / MIN_RECORD_BYTES));
    while decoder.has_next(&mut remaining)? {
        records.push(read_record(decoder, body)?);
    }
    Ok(records)
}

/// Reads a record. Fails for one whose texts or data are not in one piece, as they would have to be
/// copied.
fn read_record(decoder: &mut Decoder<'_>, body: &Bytes) -> Result<ReceivedRecord, SerdeError> {
    let (mut sequence_number, mut partition_key, mut data) = (None, None, None);
    let (mut arrival, mut encryption) = (None, None);
    let mut members = decoder.open(major::MAP)?;
    while decoder.has_next(&mut members)? {
        let member = match decoder.short_ascii() {
            Some(name) => Member::of(name),
            None => Member::of(decoder.text()?.as_bytes()),
        };
        if decoder.skip_null() {
            continue;
        }
        match member {
            Member::SequenceNumber => sequence_number = Some(text_place(decoder)?),
            Member::PartitionKey => partition_key = Some(text_place(decoder)?),
            Member::Data => {
                let Cow::Borrowed(bytes) = decoder.bytes()? else { return Err(not_plain()) };
                data = Some(place(decoder, bytes.len())?);
            }
            Member::ApproximateArrivalTimestamp => match decoder.number()? {
                Number::Integer(millis) => {
                    let millis = i64::try_from(millis).ok().filter(|millis| *millis >= MIN_MILLIS);
                    arrival = Some(millis.ok_or_else(not_plain)?);
                }
                Number::Float(_) => return Err(not_plain()),
            },
            Member::EncryptionType => {
                encryption = Some(match &*decoder.text()? {
                    "NONE" => Encryption::None,
                    "KMS" => Encryption::Kms,
                    _ => return Err(not_plain()),
                });
            }
            Member::Unknown => decoder.skip()?,
        }
    }
    let sequence_number = sequence_number.ok_or_else(not_plain)?;
    let data = data.ok_or_else(not_plain)?;
    let body = body.clone();
    let parts = PageRecord { body, sequence_number, partition_key, data, arrival, encryption };
    Ok(ReceivedRecord::Page(parts))
}

/// The members of a record.
enum Member {
    SequenceNumber,
    PartitionKey,
    Data,
    ApproximateArrivalTimestamp,
    EncryptionType,
    Unknown,
}

impl Member {
    fn of(name: &[u8]) -> Self {
        match name {
            b"SequenceNumber" => Self::SequenceNumber,
            b"PartitionKey" => Self::PartitionKey,
            b"Data" => Self::Data,
            b"ApproximateArrivalTimestamp" => Self::ApproximateArrivalTimestamp,
            b"EncryptionType" => Self::EncryptionType,
            _ => Self::Unknown,
        }
    }
}

fn text_place(decoder: &mut Decoder<'_>) -> Result<Place, SerdeError> {
    if let Some(text) = decoder.short_ascii() {
        return place(decoder, text.len());
    }
    match decoder.text()? {
        Cow::Borrowed(text) => place(decoder, text.len()),
        Cow::Owned(_) => Err(not_plain()),
    }
}

/// Returns the place of the last `len` bytes that were read.
fn place(decoder: &Decoder<'_>, len: usize) -> Result<Place, SerdeError> {
    let end = decoder.position();
    let index = |at: usize| u32::try_from(at).map_err(|_| not_plain());
    Ok(Place { start: index(end - len)?, end: index(end)? })
}

fn not_plain() -> SerdeError {
    invalid("the record is not plain")
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
    use fastrand::Rng;

    use super::*;
    use crate::cbor::deserializer::Deserializer;
    use crate::cbor::serializer::{write_head, write_string};

    fn text(body: &mut Vec<u8>, text: &str) {
        write_string(body, major::TEXT, text.as_bytes());
    }

    fn bytes(body: &mut Vec<u8>, bytes: &[u8]) {
        write_string(body, major::BYTES, bytes);
    }

    /// Writes a record whose form is chosen at random: most are as AWS writes them.
    fn write_record(rng: &mut Rng, body: &mut Vec<u8>, number: usize) {
        let mut members: Vec<Vec<u8>> = Vec::new();
        let mut member = |name: &str, write: &dyn Fn(&mut Vec<u8>)| {
            let mut encoded = Vec::new();
            text(&mut encoded, name);
            write(&mut encoded);
            members.push(encoded);
        };
        member("SequenceNumber", &|body| text(body, &number.to_string()));
        // Rarely in seconds, which are left to the deserializer.
        let millis = rng.u64(1_000_000_000_000..2_000_000_000_000);
        let time = if rng.u8(..) == 0 { millis / 1_000 } else { millis };
        member("ApproximateArrivalTimestamp", &|body| {
            body.push(0xc1);
            body.push(0x1b);
            body.extend_from_slice(&time.to_be_bytes());
        });
        let data = vec![7; rng.usize(0..40)];
        let form = rng.u8(0..24);
        member("Data", &|body| match form {
            0 => text(body, "b3JkZXI="),
            1 => {
                body.push(0x5f);
                bytes(body, &data);
                bytes(body, b"rest");
                body.push(0xff);
            }
            _ => bytes(body, &data),
        });
        match rng.u8(0..8) {
            0 => {}
            1 => member("PartitionKey", &|body| body.push(0xf6)),
            _ => member("PartitionKey", &|body| text(body, "ключ")),
        }
        match rng.u8(0..24) {
            0 => member("EncryptionType", &|body| text(body, "NEW")),
            1..6 => member("EncryptionType", &|body| text(body, "KMS")),
            6..12 => member("EncryptionType", &|body| text(body, "NONE")),
            12 => member("Unknown", &|body| bytes(body, b"ignored")),
            13 => member("SequenceNumber", &|body| text(body, "again")),
            14 => member("неизвестный", &|body| bytes(body, b"ignored")),
            15 => {
                // A known name that is not short.
                let mut encoded = b"\x7f".to_vec();
                text(&mut encoded, "Encryption");
                text(&mut encoded, "Type");
                encoded.push(0xff);
                text(&mut encoded, "KMS");
                members.push(encoded);
            }
            _ => {}
        }
        rng.shuffle(&mut members);
        if rng.u8(0..24) == 0 {
            members.pop();
        }
        write_head(body, major::MAP, members.len() as u64);
        body.extend(members.concat());
    }

    fn write_page(rng: &mut Rng) -> Vec<u8> {
        let mut body = Vec::new();
        write_head(&mut body, major::MAP, 3);
        let mut records = Vec::new();
        let count = rng.usize(0..4);
        text(&mut records, "Records");
        write_head(&mut records, major::ARRAY, count as u64);
        for number in 0..count {
            write_record(rng, &mut records, number);
        }
        let mut lag = Vec::new();
        text(&mut lag, "MillisBehindLatest");
        write_head(&mut lag, major::UNSIGNED, 17);
        let mut next = Vec::new();
        text(&mut next, "NextShardIterator");
        text(&mut next, "iterator");
        let mut members = [records, lag, next];
        rng.shuffle(&mut members);
        body.extend(members.concat());
        body
    }

    /// Reads a body as the protocol does.
    fn read_in_parts(body: &[u8]) -> Option<Result<GetRecordsOutput, String>> {
        let (records, part) = read_page(&Bytes::copy_from_slice(body))?;
        let output = GetRecordsOutput::deserialize(&mut Deserializer::new(body).without(part));
        Some(output.map_err(|error| error.to_string()).map(|mut output| {
            assert!(output.records.is_empty());
            output.records = records.into_iter().map(ReceivedRecord::into_sdk).collect();
            output
        }))
    }

    #[test]
    fn a_page_read_in_parts_equals_the_page_that_the_sdk_reads() {
        let mut rng = Rng::with_seed(1);
        let (mut plain, mut failed) = (0, 0);
        for input in 0..40_000 {
            let mut body = write_page(&mut rng);
            if input % 2 == 1 {
                let at = rng.usize(0..body.len());
                match rng.u8(0..3) {
                    0 => body.truncate(at),
                    1 => body[at] ^= 1 << rng.u8(0..8),
                    _ => body.insert(at, rng.u8(..)),
                }
            }
            let whole = GetRecordsOutput::deserialize(&mut Deserializer::new(&body));
            let whole = whole.map_err(|error| error.to_string());
            failed += u32::from(whole.is_err());
            if let Some(parts) = read_in_parts(&body) {
                plain += 1;
                assert_eq!(parts, whole, "{body:02x?}");
            }
        }
        assert!(plain > 15_000 && failed > 2_000, "{plain} plain, {failed} failed");
    }

    #[test]
    fn records_that_are_declared_and_do_not_come_are_not_allocated() {
        let mut body = Vec::new();
        write_head(&mut body, major::MAP, 1);
        text(&mut body, "Records");
        for count in [1, 1_000_000, u64::MAX] {
            let mut body = body.clone();
            write_head(&mut body, major::ARRAY, count);
            assert!(read_page(&Bytes::from(body)).is_none(), "{count}");
        }
    }

    #[test]
    fn the_members_of_a_record_are_slices_of_the_body() {
        let mut body = Vec::new();
        write_head(&mut body, major::MAP, 1);
        text(&mut body, "Records");
        write_head(&mut body, major::ARRAY, 1);
        write_head(&mut body, major::MAP, 2);
        text(&mut body, "SequenceNumber");
        text(&mut body, "49");
        text(&mut body, "Data");
        bytes(&mut body, b"an order");
        let body = Bytes::from(body);
        let (records, _) = read_page(&body).unwrap();
        assert_eq!((records[0].sequence_number(), records[0].data()), ("49", &b"an order"[..]));
        assert!(body.as_ptr_range().contains(&records[0].data().as_ptr()));
        assert_eq!((records[0].partition_key(), records[0].arrival()), (None, None));
    }
}
