//! The shards of a `ListShards` response, as parts of its body. They allocate nothing.

use aws_smithy_schema::serde::SerdeError;
use bytes::Bytes;

use crate::cbor::decoder::Decoder;
use crate::cbor::taker::{Item, not_plain, read_members, text_place};
use crate::util::page_shard::PageShard;
use crate::util::place::Place;
use crate::util::received_shard::ReceivedShard;

const HASH_KEYS: [&[u8]; 2] = [b"StartingHashKey", b"EndingHashKey"];
const SEQUENCE_NUMBERS: [&[u8]; 2] = [b"StartingSequenceNumber", b"EndingSequenceNumber"];

impl Item for ReceivedShard {
    const LIST: &'static str = "Shards";

    /// The name of the member that each shard has, and the heads of the shard, of the name and of
    /// the value.
    const MIN_BYTES: usize = "ShardId".len() + 3;

    fn read(decoder: &mut Decoder<'_>, body: &Bytes) -> Result<Self, SerdeError> {
        let mut id = None;
        let mut shard = PageShard { body: body.clone(), ..PageShard::default() };
        read_members(decoder, |name, decoder| {
            match name {
                b"ShardId" => id = Some(text_place(decoder)?),
                b"ParentShardId" => shard.parents[0] = Some(text_place(decoder)?),
                b"AdjacentParentShardId" => shard.parents[1] = Some(text_place(decoder)?),
                b"HashKeyRange" => {
                    let (first, last) = read_range(decoder, HASH_KEYS)?;
                    shard.hash_keys = Some((first, last.ok_or_else(not_plain)?));
                }
                b"SequenceNumberRange" => {
                    shard.sequence_numbers = Some(read_range(decoder, SEQUENCE_NUMBERS)?);
                }
                _ => decoder.skip_member(name)?,
            }
            Ok(())
        })?;
        let id = id.ok_or_else(not_plain)?;
        Ok(Self::Page(PageShard { id, ..shard }))
    }
}

/// Reads the first and the last text of a range, which have these names.
#[inline]
fn read_range(
    decoder: &mut Decoder<'_>,
    names: [&[u8]; 2],
) -> Result<(Place, Option<Place>), SerdeError> {
    let (mut first, mut last) = (None, None);
    read_members(decoder, |name, decoder| {
        if name == names[0] {
            first = Some(text_place(decoder)?);
        } else if name == names[1] {
            last = Some(text_place(decoder)?);
        } else {
            decoder.skip_member(name)?;
        }
        Ok(())
    })?;
    Ok((first.ok_or_else(not_plain)?, last))
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
    use fastrand::Rng;

    use super::*;
    use crate::cbor::decoder::major;
    use crate::cbor::deserializer::Deserializer;
    use crate::cbor::serializer::write_head;
    use crate::cbor::taker::tests::{assert_declared_is_not_allocated, assert_equals_whole, text};

    /// Writes a map of these members in random order, some of which are missing, `null`, doubled or
    /// of another type. Most maps are as AWS writes them.
    fn write_map(rng: &mut Rng, members: &[(&str, Vec<u8>)]) -> Vec<u8> {
        let mut entries = Vec::new();
        let mut entry = |name: &str, value: &[u8]| {
            let mut entry = Vec::new();
            text(&mut entry, name);
            entry.extend_from_slice(value);
            entries.push(entry);
        };
        for (name, value) in members {
            match rng.u8(0..100) {
                0 => {}
                1 => entry(name, b"\xf6"),
                2 => entry(name, b"\x07"),
                3 => entry(name, b"\x60"),
                4 => entry(name, b"\x7f\x61a\x61b\xff"),
                5 => {
                    entry(name, b"\x61x");
                    entry(name, value);
                }
                6 => {
                    entry(name, value);
                    entry("неизвестный", b"\xa1\x61a\x01");
                }
                _ => entry(name, value),
            }
        }
        if rng.u8(0..4) == 0 {
            rng.shuffle(&mut entries);
        }
        let mut map = Vec::new();
        if rng.bool() {
            write_head(&mut map, major::MAP, entries.len() as u64);
            map.extend(entries.concat());
        } else {
            map.push(0xbf);
            map.extend(entries.concat());
            map.push(0xff);
        }
        map
    }

    fn value(content: &str) -> Vec<u8> {
        let mut value = Vec::new();
        text(&mut value, content);
        value
    }

    fn write_shard(rng: &mut Rng, number: usize) -> Vec<u8> {
        let mut members = vec![("ShardId", value(&format!("shardId-{number:012}")))];
        if rng.bool() {
            members.push(("ParentShardId", value("shardId-000000000007")));
        }
        if rng.u8(0..4) == 0 {
            members.push(("AdjacentParentShardId", value("ключ")));
        }
        let keys = [("StartingHashKey", value("0")), ("EndingHashKey", value("340"))];
        members.push(("HashKeyRange", write_map(rng, &keys)));
        let mut numbers = vec![("StartingSequenceNumber", value("49"))];
        if rng.bool() {
            numbers.push(("EndingSequenceNumber", value("50")));
        }
        members.push(("SequenceNumberRange", write_map(rng, &numbers)));
        write_map(rng, &members)
    }

    fn write_page(rng: &mut Rng) -> Vec<u8> {
        let mut shards = Vec::new();
        let count = rng.usize(0..4);
        write_head(&mut shards, major::ARRAY, count as u64);
        for number in 0..count {
            shards.extend(write_shard(rng, number));
        }
        write_map(rng, &[("Shards", shards), ("NextToken", value("token"))])
    }

    /// Asserts that all that the crate asks of a shard is that of the SDK's type.
    fn assert_equals_sdk(page: &ReceivedShard) {
        assert!(matches!(page, ReceivedShard::Page(_)));
        let sdk = ReceivedShard::from(page.to_sdk());
        assert_eq!(page.sdk(), sdk.sdk());
        assert_eq!(page.shard_id(), sdk.shard_id());
        assert_eq!(page.id_bytes(), sdk.id_bytes());
        assert_eq!(page.parent_ids(), sdk.parent_ids());
        assert_eq!(page.hash_key_range(), sdk.hash_key_range());
        assert_eq!(page.starting_sequence_number(), sdk.starting_sequence_number());
        assert_eq!(page.is_closed(), sdk.is_closed());
        assert_eq!(format!("{page:?}"), format!("{sdk:?}"));
    }

    #[test]
    fn a_page_read_in_parts_equals_the_page_that_the_sdk_reads() {
        let read =
            |deserializer: &mut Deserializer<'_>| ListShardsOutput::deserialize(deserializer);
        assert_equals_whole(write_page, read, |output, shards: Vec<ReceivedShard>| {
            assert_eq!(output.shards, None);
            output.shards = Some(shards.iter().map(ReceivedShard::to_sdk).collect());
            shards.iter().for_each(assert_equals_sdk);
        });
    }

    #[test]
    fn shards_that_are_declared_and_do_not_come_are_not_allocated() {
        assert_declared_is_not_allocated::<ReceivedShard>();
    }
}
