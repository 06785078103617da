//! The shards of a `ListShards` response, as parts of its body. They allocate nothing.

use aws_smithy_schema::serde::SerdeError;
use bytes::Bytes;

use crate::cbor::decoder::{Decoder, major};
use crate::cbor::taker::{Item, not_plain, text_place};
use crate::util::page_shard::PageShard;
use crate::util::place::Place;
use crate::util::received_shard::ReceivedShard;

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
                b"HashKeyRange" => shard.hash_keys = Some(read_hash_keys(decoder)?),
                b"SequenceNumberRange" => {
                    shard.sequence_numbers = Some(read_sequence_numbers(decoder)?);
                }
                _ => decoder.skip_member(name)?,
            }
            Ok(())
        })?;
        let id = id.ok_or_else(not_plain)?;
        Ok(Self::Page(PageShard { id, ..shard }))
    }
}

fn read_hash_keys(decoder: &mut Decoder<'_>) -> Result<(Place, Place), SerdeError> {
    let (mut first, mut last) = (None, None);
    read_members(decoder, |name, decoder| {
        match name {
            b"StartingHashKey" => first = Some(text_place(decoder)?),
            b"EndingHashKey" => last = Some(text_place(decoder)?),
            _ => decoder.skip_member(name)?,
        }
        Ok(())
    })?;
    first.zip(last).ok_or_else(not_plain)
}

fn read_sequence_numbers(decoder: &mut Decoder<'_>) -> Result<(Place, Option<Place>), SerdeError> {
    let (mut first, mut last) = (None, None);
    read_members(decoder, |name, decoder| {
        match name {
            b"StartingSequenceNumber" => first = Some(text_place(decoder)?),
            b"EndingSequenceNumber" => last = Some(text_place(decoder)?),
            _ => decoder.skip_member(name)?,
        }
        Ok(())
    })?;
    Ok((first.ok_or_else(not_plain)?, last))
}

/// Reads the members of a map, except those that are `null`.
#[inline]
fn read_members<'a>(
    decoder: &mut Decoder<'a>,
    mut read: impl FnMut(&[u8], &mut Decoder<'a>) -> Result<(), SerdeError>,
) -> Result<(), SerdeError> {
    let mut members = decoder.open(major::MAP)?;
    while decoder.has_next(&mut members)? {
        let name = decoder.member_name()?;
        if decoder.is_null() {
            decoder.skip_member(&name)?;
        } else {
            read(&name, decoder)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
    use fastrand::Rng;

    use super::*;
    use crate::cbor::deserializer::Deserializer;
    use crate::cbor::serializer::{write_head, write_string};
    use crate::cbor::taker::read_list;

    fn text(body: &mut Vec<u8>, text: &str) {
        write_string(body, major::TEXT, text.as_bytes());
    }

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

    /// Reads a body as the protocol does.
    fn read_in_parts(body: &[u8]) -> Option<Result<ListShardsOutput, String>> {
        let (shards, part) = read_list::<ReceivedShard>(&Bytes::copy_from_slice(body))?;
        let output = ListShardsOutput::deserialize(&mut Deserializer::new(body).without(part));
        Some(output.map_err(|error| error.to_string()).map(|mut output| {
            assert_eq!(output.shards, None);
            output.shards = Some(shards.iter().map(ReceivedShard::to_sdk).collect());
            shards.iter().for_each(assert_equals_sdk);
            output
        }))
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
            let whole = ListShardsOutput::deserialize(&mut Deserializer::new(&body));
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
    fn shards_that_are_declared_and_do_not_come_are_not_allocated() {
        let mut body = Vec::new();
        write_head(&mut body, major::MAP, 1);
        text(&mut body, "Shards");
        for count in [1, 1_000_000, u64::MAX] {
            let mut body = body.clone();
            write_head(&mut body, major::ARRAY, count);
            assert!(read_list::<ReceivedShard>(&Bytes::from(body)).is_none(), "{count}");
        }
    }
}
