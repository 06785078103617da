//! The records of a `GetRecords` response, as parts of its body. They allocate nothing.

use std::borrow::Cow;

use aws_smithy_schema::serde::SerdeError;
use bytes::Bytes;

use crate::cbor::decoder::{Decoder, Number};
use crate::cbor::deserializer::MIN_MILLIS;
use crate::cbor::taker::{Item, not_plain, place, read_members, text_place};
use crate::util::page_record::{Encryption, PageRecord};
use crate::util::received_record::ReceivedRecord;

impl Item for ReceivedRecord {
    const LIST: &'static str = "Records";

    /// The names of the two members that each record has, and the heads of the record, of both
    /// names and of both values.
    const MIN_BYTES: usize = "SequenceNumber".len() + "Data".len() + 5;

    fn read(decoder: &mut Decoder<'_>, body: &Bytes) -> Result<Self, SerdeError> {
        let (mut sequence_number, mut partition_key, mut data) = (None, None, None);
        let (mut arrival, mut encryption) = (None, None);
        read_members(decoder, |name, decoder| {
            match name {
                b"SequenceNumber" => sequence_number = Some(text_place(decoder)?),
                b"PartitionKey" => partition_key = Some(text_place(decoder)?),
                b"Data" => {
                    let Cow::Borrowed(bytes) = decoder.bytes()? else { return Err(not_plain()) };
                    data = Some(place(decoder, bytes.len())?);
                }
                b"ApproximateArrivalTimestamp" => match decoder.number()? {
                    Number::Integer(millis) => {
                        let millis =
                            i64::try_from(millis).ok().filter(|millis| *millis >= MIN_MILLIS);
                        arrival = Some(millis.ok_or_else(not_plain)?);
                    }
                    Number::Float(_) => return Err(not_plain()),
                },
                b"EncryptionType" => {
                    encryption = Some(match &*decoder.text()? {
                        "NONE" => Encryption::None,
                        "KMS" => Encryption::Kms,
                        _ => return Err(not_plain()),
                    });
                }
                _ => decoder.skip_member(name)?,
            }
            Ok(())
        })?;
        let sequence_number = sequence_number.ok_or_else(not_plain)?;
        let data = data.ok_or_else(not_plain)?;
        let body = body.clone();
        let parts = PageRecord { body, sequence_number, partition_key, data, arrival, encryption };
        Ok(Self::Page(parts))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
    use fastrand::Rng;

    use super::*;
    use crate::cbor::decoder::major;
    use crate::cbor::deserializer::Deserializer;
    use crate::cbor::serializer::{write_head, write_string};
    use crate::cbor::taker::read_list;
    use crate::cbor::taker::tests::{assert_declared_is_not_allocated, assert_equals_whole, text};

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

    #[test]
    fn a_page_read_in_parts_equals_the_page_that_the_sdk_reads() {
        let read =
            |deserializer: &mut Deserializer<'_>| GetRecordsOutput::deserialize(deserializer);
        assert_equals_whole(write_page, read, |output, records: Vec<ReceivedRecord>| {
            assert!(output.records.is_empty());
            output.records = records.into_iter().map(ReceivedRecord::into_sdk).collect();
        });
    }

    #[test]
    fn records_that_are_declared_and_do_not_come_are_not_allocated() {
        assert_declared_is_not_allocated::<ReceivedRecord>();
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
        let (records, _) = read_list::<ReceivedRecord>(&body).unwrap();
        assert_eq!((records[0].sequence_number(), records[0].data()), ("49", &b"an order"[..]));
        assert!(body.as_ptr_range().contains(&records[0].data().as_ptr()));
        assert_eq!((records[0].partition_key(), records[0].arrival()), (None, None));
    }
}
