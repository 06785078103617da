//! A comparison with prost, which decodes the whole message: both must agree on every message.

use proptest::collection::vec;
use proptest::prelude::*;
use prost::Message;

use super::*;
use crate::records::kpl::aggregate::Aggregate;

const MAX_KEY_CHARS: usize = 256;

#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    explicit_hash_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<EncodedRecord>,
}

/// Fields that the format requires are optional here, so that a missing one is detected.
#[derive(Clone, PartialEq, Message)]
struct EncodedRecord {
    #[prost(uint64, optional, tag = "1")]
    partition_key_index: Option<u64>,
    #[prost(uint64, optional, tag = "2")]
    explicit_hash_key_index: Option<u64>,
    #[prost(bytes = "bytes", optional, tag = "3")]
    data: Option<Bytes>,
}

type Decoded = Vec<UserRecord>;

fn decode_with_prost(message: &Bytes) -> Result<Decoded, &'static str> {
    let aggregated =
        AggregatedRecord::decode(message.clone()).map_err(|_| "not an AggregatedRecord")?;
    let at = |table: &[String], index: u64| {
        let entry = usize::try_from(index).ok().and_then(|index| table.get(index));
        entry.cloned().ok_or("an index points outside its table")
    };
    let AggregatedRecord { partition_key_table, explicit_hash_key_table, records } = aggregated;
    if records.is_empty() {
        return Err("no user records");
    }
    let is_too_long = |key: &String| key.chars().nth(MAX_KEY_CHARS).is_some();
    if partition_key_table.iter().chain(&explicit_hash_key_table).any(is_too_long) {
        return Err("a key is longer than 256 characters");
    }
    let records = records.into_iter().zip(0..).map(|(encoded, sub_sequence_number)| {
        let key = encoded.partition_key_index.ok_or("a user record has no partition key")?;
        let explicit = encoded.explicit_hash_key_index;
        let explicit_hash_key =
            explicit.map(|index| at(&explicit_hash_key_table, index)).transpose()?;
        let data = encoded.data.ok_or("a user record has no data")?;
        let partition_key = at(&partition_key_table, key)?;
        Ok(UserRecord { partition_key, sub_sequence_number, explicit_hash_key, data })
    });
    records.collect()
}

fn decode(message: &Bytes) -> Result<Decoded, &'static str> {
    let mut aggregate = Aggregate::new(message.clone())?;
    let records: Vec<_> = std::iter::from_fn(|| aggregate.next()).collect();
    assert_eq!(aggregate.remaining(), 0, "every counted user record is yielded");
    Ok(records)
}

fn varint(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    out.push(u8::try_from(number).unwrap());
}

/// Generates a field of any type, including nested groups.
fn field() -> impl Strategy<Value = Vec<u8>> {
    let tag =
        prop_oneof![8 => 1..4_u64, 2 => 0..20_u64, 1 => any::<u64>().prop_map(|tag| tag >> 29)];
    let number = prop_oneof![8 => 0..4_u64, 1 => any::<u64>()];
    let bytes = vec(any::<u8>(), 0..6);
    let leaf = (
        tag,
        prop_oneof![Just(0_u64), Just(1), Just(2), Just(2), Just(5), 0..8_u64],
        number,
        bytes,
    )
        .prop_map(|(tag, wire_type, number, bytes)| {
            let mut out = Vec::new();
            varint(tag << 3 | wire_type, &mut out);
            match wire_type {
                0 => varint(number, &mut out),
                1 => out.extend([7; 8]),
                2 => {
                    varint(bytes.len() as u64, &mut out);
                    out.extend(bytes);
                }
                5 => out.extend([7; 4]),
                _ => {}
            }
            out
        });
    leaf.prop_recursive(3, 8, 3, |inner| {
        (vec(inner, 0..3), 1..20_u64).prop_map(|(inner, tag)| {
            let mut out = Vec::new();
            varint(tag << 3 | 3, &mut out);
            out.extend(inner.concat());
            varint(tag << 3 | 4, &mut out);
            out
        })
    })
}

fn delimited(tag: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![tag << 3 | 2];
    varint(bytes.len() as u64, &mut out);
    out.extend(bytes);
    out
}

/// Generates a well-formed user record, sometimes with an additional field.
fn record() -> impl Strategy<Value = Vec<u8>> {
    let extra = prop_oneof![200 => Just(Vec::new()), 1 => field()];
    let explicit = prop_oneof![2 => Just(None), 1 => (0..3_u8).prop_map(Some)];
    (0..5_u8, explicit, vec(any::<u8>(), 0..20), extra).prop_map(|(key, explicit, data, extra)| {
        let explicit = explicit.map_or(Vec::new(), |key| vec![0x10, key]);
        delimited(3, &[&[0x08, key][..], &explicit, &delimited(3, &data), &extra].concat())
    })
}

fn part() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![200 => ".{0,5}", 1 => "k{255,258}"];
    prop_oneof![
        100 => record(),
        40 => (1..3_u8, key).prop_map(|(table, key)| delimited(table, key.as_bytes())),
        1 => field(),
    ]
}

/// Generates a message with its parts in any order. Most have all keys that their records name, and
/// some are damaged.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let tables = prop_oneof![
        4 => Just((5, 3)),
        1 => (0..6_usize, 0..4_usize),
    ];
    let damage = prop_oneof![
        3 => Just(None),
        1 => (any::<prop::sample::Index>(), any::<u8>()).prop_map(Some),
    ];
    (vec(part(), 0..120), tables, damage, any::<prop::sample::Index>()).prop_map(
        |(mut parts, (keys, explicit), damage, at)| {
            let tables = (0..keys).map(|key| delimited(1, format!("key {key}").as_bytes()));
            let explicit = (0..explicit).map(|key| delimited(2, key.to_string().as_bytes()));
            let at = at.index(parts.len() + 1);
            parts.splice(at..at, tables.chain(explicit));
            let mut message = parts.concat();
            if let Some((at, byte)) = damage.filter(|_| !message.is_empty()) {
                let at = at.index(message.len());
                match byte % 3 {
                    0 => message.truncate(at),
                    1 => message[at] ^= byte,
                    _ => message.insert(at, byte),
                }
            }
            message
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn both_decoders_agree_on_generated_messages(message in message()) {
        let message = Bytes::from(message);
        prop_assert_eq!(decode(&message).ok(), decode_with_prost(&message).ok());
    }

    #[test]
    fn both_decoders_agree_on_random_bytes(message in vec(any::<u8>(), 0..40)) {
        let message = Bytes::from(message);
        prop_assert_eq!(decode(&message).ok(), decode_with_prost(&message).ok());
    }
}

/// The comparison would mean nothing if nearly all messages were malformed, or nearly none.
#[test]
fn many_generated_messages_are_well_formed() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let mut messages = (0..300).map(|_| message().new_tree(&mut runner).unwrap().current());
    let well_formed = messages
        .by_ref()
        .filter(|message| decode_with_prost(&message.clone().into()).is_ok())
        .count();
    assert!((60..280).contains(&well_formed), "{well_formed} of 300");
}

#[test]
fn both_decoders_limit_nested_groups_to_the_same_depth() {
    for depth in 95..105 {
        let group = [vec![0x4b; depth], vec![0x4c; depth]].concat();
        let right = [&b"\x0a\x01a"[..], b"\x1a\x04\x08\x00\x1a\x00"].concat();
        let outside = Bytes::from([&right[..], &group].concat());
        let inside = [&b"\x08\x00\x1a\x00"[..], &group].concat();
        let inside = Bytes::from([&right[..], &delimited(3, &inside)].concat());
        for message in [outside, inside] {
            assert_eq!(decode(&message).ok(), decode_with_prost(&message).ok(), "{depth}");
        }
    }
}
