use std::time::SystemTime;

use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{self, HashKeyRange, Shard};

use super::*;
use crate::records::batch::Batch;
use crate::records::kpl::aggregate::MARK_EVERY;
use crate::records::kpl::wire::steps;
use crate::shard::outcome::ParentOutcome;
use crate::shard::position::StartPosition;
use crate::shard::stream_context::StreamContext;
use crate::shard::stream_id::StreamId;

// From AWS's aggregator for Python: see tests/kpl/make.py.
const THREE: &[u8] = include_bytes!("../../../tests/kpl/three.bin");
const ODD: &[u8] = include_bytes!("../../../tests/kpl/odd.bin");
const MANY: &[u8] = include_bytes!("../../../tests/kpl/many.bin");
const TAGGED: &[u8] = include_bytes!("../../../tests/kpl/tagged.bin");
// From AWS's aggregator for Node.js: see tests/kpl/make.js.
const NODE: &[u8] = include_bytes!("../../../tests/kpl/node.bin");

fn record(data: &[u8]) -> ReceivedRecord {
    let record =
        types::Record::builder().sequence_number("49").partition_key("a").data(Blob::new(data));
    record.build().unwrap().into()
}

/// Creates the offer of a shard with this hash key range.
fn offer(first: u128, last: u128) -> Arc<Offer> {
    let range = HashKeyRange::builder()
        .starting_hash_key(first.to_string())
        .ending_hash_key(last.to_string());
    let shard =
        Shard::builder().shard_id("0").hash_key_range(range.build().unwrap()).build().unwrap();
    let none: [Option<ParentOutcome>; 2] = [None, None];
    let context = Arc::new(StreamContext::new(StreamId::from("orders")));
    Arc::new(Offer::new(shard, context, StartPosition::TrimHorizon, none))
}

fn all(data: &[u8]) -> Vec<Record> {
    Deaggregation::All.user_records(record(data), &offer(0, u128::MAX)).unwrap().collect()
}

#[test]
fn user_records_have_their_own_keys_data_and_sub_sequence_numbers() {
    let records = all(THREE);
    let seen: Vec<_> = records
        .iter()
        .map(|r| {
            (r.partition_key().unwrap(), r.data(), r.explicit_hash_key(), r.sub_sequence_number())
        })
        .collect();
    let greatest = u128::MAX.to_string();
    assert_eq!(
        seen,
        [
            ("customer 1", &b"first"[..], None, Some(0)),
            ("customer 2", b"second", Some("0"), Some(1)),
            ("customer 1", b"third", Some(&*greatest), Some(2)),
        ]
    );
    assert!(records.iter().all(|record| record.sequence_number() == "49"));
    assert_eq!(records[1].clone().into_data(), b"second");
    assert_eq!(records[1].clone().into_sdk().data.as_ref(), b"second");
}

#[test]
fn unicode_keys_empty_data_and_all_byte_values_are_decoded() {
    let records = all(ODD);
    assert_eq!(records[0].partition_key(), Some("clé – 鍵"));
    assert_eq!(records[0].data(), "naïve – 記録".as_bytes());
    assert_eq!((records[1].partition_key().unwrap().len(), records[1].data().len()), (256, 0));
    assert_eq!(records[2].data(), (0..=255).collect::<Vec<u8>>().repeat(100));
}

#[test]
fn a_record_of_the_node_js_aggregator_is_split() {
    let records = all(NODE);
    let seen: Vec<_> = records
        .iter()
        .map(|r| (r.partition_key().unwrap(), r.data(), r.explicit_hash_key()))
        .collect();
    let half = (1_u128 << 127).to_string();
    assert_eq!(
        seen,
        [
            ("customer 1", &b"first"[..], None),
            ("clé – 鍵", &[0, 255, 128], Some(&*half)),
            ("customer 1", "naïve – 記録".as_bytes(), None),
        ]
    );
}

#[test]
fn tags_are_skipped() {
    let records = all(TAGGED);
    let seen: Vec<_> = records.iter().map(|r| (r.partition_key().unwrap(), r.data())).collect();
    assert_eq!(seen, [("customer 2", &b"first"[..]), ("customer 1", b"second")]);
}

#[test]
fn the_data_is_not_copied() {
    let records = all(MANY);
    assert_eq!(records.len(), 1_000);
    let addresses: Vec<usize> =
        records.iter().map(|record| record.data().as_ptr() as usize).collect();
    assert!(
        addresses.windows(2).all(|pair| pair[0] < pair[1]),
        "all data lies in one buffer, in order"
    );
    assert!(addresses[999] - addresses[0] < MANY.len());
}

#[test]
fn other_records_and_malformed_ones_are_returned_unchanged() {
    let mut malformed: Vec<Vec<u8>> = (0..THREE.len())
        .map(|at| {
            let mut data = THREE.to_vec();
            data[at] ^= 0x10;
            data
        })
        .collect();
    malformed.extend((0..THREE.len()).map(|len| THREE[..len].to_vec()));
    malformed.extend([vec![], b"an order".to_vec(), AGGREGATED.to_vec()]);
    // Messages with a correct checksum.
    for message in [
        &b"\x0a\x05cut"[..],
        // User records without a partition key, without data, and with keys outside their table.
        b"\x1a\x02\x1a\x00",
        b"\x0a\x01a\x1a\x02\x08\x00",
        b"\x0a\x01a\x1a\x04\x08\x01\x1a\x00",
        b"\x0a\x01a\x1a\x06\x08\x00\x10\x00\x1a\x00",
        // An empty message, and a key without a user record.
        b"",
        b"\x0a\x01a",
        // Partition keys and an explicit hash key that are too long for Kinesis.
        &with_key(b'\x0a', &"k".repeat(257)),
        &with_key(b'\x0a', &"k".repeat(512 << 10)),
        &with_key(b'\x12', &"k".repeat(257)),
    ] {
        malformed.push(aggregated(message));
    }
    for data in malformed {
        let back =
            Deaggregation::All.user_records(record(&data), &offer(0, u128::MAX)).unwrap_err();
        assert_eq!(back.into_sdk(), record(&data).into_sdk());
    }
}

fn aggregated(message: &[u8]) -> Vec<u8> {
    [&AGGREGATED, message, &Md5::digest(message)[..]].concat()
}

/// Creates a message with one user record of the partition key "a", and with a further key in the
/// table of this tag.
fn with_key(tag: u8, key: &str) -> Vec<u8> {
    let mut message = b"\x0a\x01a".to_vec();
    message.push(tag);
    let mut rest = key.len();
    while rest >= 0x80 {
        message.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    message.push(u8::try_from(rest).unwrap());
    message.extend(key.as_bytes());
    message.extend(b"\x1a\x04\x08\x00\x1a\x00");
    message
}

#[test]
fn a_key_may_have_256_characters_of_any_length() {
    for character in ["k", "é", "鍵"] {
        for tag in *b"\x0a\x12" {
            let message = |characters: usize| with_key(tag, &character.repeat(characters)).into();
            assert!(Aggregate::new(message(256)).is_ok());
            let refused = Aggregate::new(message(257)).err();
            assert_eq!(refused, Some("a key is longer than 256 characters"));
        }
    }
}

#[test]
fn the_shortest_aggregated_record_is_split() {
    let shortest = aggregated(b"\x0a\x00\x1a\x04\x08\x00\x1a\x00");
    let records = all(&shortest);
    let [record] = &records[..] else { panic!("{} user records", records.len()) };
    assert_eq!((record.partition_key(), record.data()), (Some(""), &b""[..]));
}

#[test]
fn a_message_that_is_no_aggregated_record_is_refused_for_its_first_fault() {
    for (message, reason) in [
        (&b""[..], "no user records"),
        (b"\x0a\x01a", "no user records"),
        (b"\x0a\x05cut", "not an AggregatedRecord"),
        (b"\x0a\x01\xff", "not an AggregatedRecord"),
        (b"\x08\x00", "not an AggregatedRecord"),
        (b"\x1a\x02\x1a\x00", "a user record has no partition key"),
        (b"\x0a\x01a\x1a\x02\x08\x00", "a user record has no data"),
        (b"\x0a\x01a\x1a\x04\x08\x01\x1a\x00", "an index points outside its table"),
    ] {
        let refused = Aggregate::new(Bytes::from_static(message)).err();
        assert_eq!(refused, Some(reason), "{message:?}");
    }
}

#[test]
fn no_record_is_split_by_default() {
    let back = Deaggregation::Off.user_records(record(THREE), &offer(0, u128::MAX)).unwrap_err();
    assert_eq!(back.data(), THREE);
}

#[test]
fn user_records_of_another_hash_key_range_are_dropped_only_if_requested() {
    // The hash key of "customer 1" is 0x2c96…; the others are explicit: the least and the greatest.
    let half = u128::MAX / 2;
    let count = |how: Deaggregation, first, last| {
        let records = how.user_records(record(THREE), &offer(first, last)).unwrap();
        records.map(|record| record.sub_sequence_number().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(count(Deaggregation::All, half + 1, u128::MAX), [0, 1, 2]);
    let first = u128::from_be_bytes(Md5::digest("customer 1").into());
    assert_eq!(count(Deaggregation::OwnRange, first, first), [0]);
    assert_eq!(count(Deaggregation::OwnRange, 0, 0), [1]);
    assert_eq!(count(Deaggregation::OwnRange, u128::MAX, u128::MAX), [2]);
    assert_eq!(count(Deaggregation::OwnRange, 0, u128::MAX), [0, 1, 2]);
}

#[test]
fn a_batch_counts_the_user_records_that_are_left_unless_some_may_be_dropped() {
    for (deaggregation, left) in [(Deaggregation::All, 2), (Deaggregation::OwnRange, 0)] {
        let mut records = Batch {
            records: vec![record(THREE)],
            offer: offer(0, u128::MAX),
            lag: None,
            received_at: SystemTime::UNIX_EPOCH,
            progress: None,
            deaggregation,
        }
        .into_iter();
        assert_eq!(records.size_hint(), (0, None));
        assert!(records.next().is_some());
        assert_eq!(records.size_hint(), (left, None), "{deaggregation:?}");
    }
}

/// Creates a message of up to `len` bytes that is full of empty user records.
fn empty_user_records(len: usize) -> Vec<u8> {
    let mut message = b"\x0a\x00".to_vec();
    while message.len() + 6 <= len {
        message.extend(b"\x1a\x04\x08\x00\x1a\x00");
    }
    message
}

#[test]
fn the_work_for_each_user_record_is_bounded() {
    let group = |fields: usize| [&[0x4b][..], &b"\x50\x00".repeat(fields), &[0x4c]].concat();
    let records =
        |count: usize, key: &[u8]| [b"\x1a\x05\x08", key, b"\x1a\x00"].concat().repeat(count);
    let keys = b"\x0a\x01k".repeat(16_384);
    // Each user record names the last but one of 16,384 keys.
    let far = records(20_000, b"\xfe\x7f");
    for message in [
        empty_user_records(1 << 20),
        [&keys[..], &far].concat(),
        [&far[..], &keys].concat(),
        // A long group between two keys, and unknown fields before the keys.
        [&keys[..16_383 * 3], &group(100_000), b"\x0a\x01k", &far].concat(),
        [&b"\x50\x00".repeat(100_000)[..], &keys, &far].concat(),
        [&b"\x0a\x01k".repeat(16_383)[..], &records(20_000, b"\xfe\x7f"), b"\x0a\x01k"].concat(),
    ] {
        steps::take();
        let data = aggregated(&message);
        let offer = offer(0, u128::MAX);
        let mut records = Deaggregation::All.user_records(record(&data), &offer).unwrap();
        let checked = steps::take();
        assert!(
            checked <= message.len() / 2 + 1,
            "{checked} steps to check {} bytes",
            message.len()
        );
        let count = records.remaining();
        let mut greatest = Vec::new();
        while records.next().is_some() {
            greatest.push(steps::take());
        }
        assert_eq!(greatest.len(), count);
        // The fields before the first user record, and a long group, are each skipped once.
        greatest.sort_unstable();
        assert!(greatest[count - 3] <= 2 * (MARK_EVERY + 8), "{:?}", &greatest[count - 3..]);
        assert!(greatest[count - 1] <= message.len(), "{greatest:?}");
    }
}

#[test]
fn the_marks_take_at_most_a_fifth_of_the_message() {
    for message in [
        empty_user_records(1 << 20),
        [b"\x0a\x00".repeat(300_000), empty_user_records(1 << 10)].concat(),
    ] {
        let aggregate = Aggregate::new(message.clone().into()).unwrap();
        assert!(aggregate.bytes_of_marks() * 5 <= message.len(), "{}", aggregate.bytes_of_marks());
    }
    assert_eq!(
        Aggregate::new(empty_user_records(100).into()).unwrap().bytes_of_marks(),
        0,
        "a short message has no marks"
    );
}
