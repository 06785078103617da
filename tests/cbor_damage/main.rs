//! Damaged responses in CBOR: no input panics, and none allocates more than its size allows.
//!
//! The inputs are determined by a seed: `CBOR_DAMAGE_INPUTS=1000000` tests more of them. There is
//! one test, since the allocations of others would count.

#[path = "../cbor/canned.rs"]
mod canned;

use std::alloc::System;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ShardIteratorType;
use fastrand::Rng;
use futures::StreamExt;
use kinesis_shards::listing::shard_lists;
use stats_alloc::{INSTRUMENTED_SYSTEM, Stats, StatsAlloc};

use canned::{Canned, Response};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const INPUTS: u64 = 20_000;
/// The SDK allocates some 20 KiB for a request and its response.
const BYTES_OF_A_REQUEST: usize = 64 << 10;
/// A record without members takes one byte of a response, and 200 in memory; the list of records
/// grows by doubling.
const BYTES_PER_BYTE: usize = 1_000;

/// A response that the SDK for Java reads.
struct Valid {
    operation: &'static str,
    status: u16,
    body: Vec<u8>,
}

fn valid() -> Vec<Valid> {
    let lines = include_str!("../cbor/responses.txt").lines();
    let responses = lines.filter(|line| !line.starts_with('#')).map(|line| {
        let [_, operation, status, _, hex, _] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal");
        let body = (0..hex.len()).step_by(2).map(byte).collect();
        Valid { operation, status: status.parse().expect("a status"), body }
    });
    responses.collect()
}

/// Returns a byte that begins an item: often one with a length that the input does not have.
fn first_byte(rng: &mut Rng) -> u8 {
    rng.u8(0..8) << 5 | *rng.choice(&[0, 1, 23, 24, 25, 26, 27, 28, 31]).expect("a choice")
}

/// Damages a body in one way.
fn damage(rng: &mut Rng, body: &mut Vec<u8>, other: &[u8]) {
    let at = rng.usize(0..=body.len());
    match rng.u8(0..8) {
        0 => body.truncate(at),
        1 if at < body.len() => body[at] ^= 1 << rng.u8(0..8),
        2 if at < body.len() => body[at] = first_byte(rng),
        3 => body.insert(at, first_byte(rng)),
        4 if at < body.len() => drop(body.remove(at)),
        // A length of 64 bits.
        5 => {
            let head = [rng.u8(2..6) << 5 | 0x1b];
            let length = rng.u64(..) >> rng.u8(0..64);
            body.splice(at..at, head.into_iter().chain(length.to_be_bytes()));
        }
        // Many levels, or many empty items.
        6 => {
            let levels = rng.usize(1..400);
            body.splice(at..at, std::iter::repeat_n(first_byte(rng), levels));
        }
        7 => {
            body.truncate(at);
            body.extend_from_slice(&other[rng.usize(0..=other.len())..]);
        }
        _ => body.push(rng.u8(..)),
    }
}

fn damaged(rng: &mut Rng, valid: &[Valid], body: &[u8]) -> Vec<u8> {
    if rng.u8(0..16) == 0 {
        return (0..rng.usize(0..300)).map(|_| rng.u8(..)).collect();
    }
    let mut body = body.to_vec();
    for _ in 0..rng.usize(1..=3) {
        let other = &rng.choice(valid).expect("a response").body;
        damage(rng, &mut body, other);
    }
    body
}

/// Sends a request. Returns whether the response was read.
async fn send(client: &Client, operation: &str) -> bool {
    match operation {
        "GetShardIterator" => {
            let iterator = client.get_shard_iterator().stream_name("orders").shard_id("shard");
            iterator.shard_iterator_type(ShardIteratorType::Latest).send().await.is_ok()
        }
        "ListShards" => client.list_shards().stream_name("orders").send().await.is_ok(),
        "DescribeStreamSummary" => {
            client.describe_stream_summary().stream_name("orders").send().await.is_ok()
        }
        "GetRecords" => client.get_records().shard_iterator("A").send().await.is_ok(),
        other => panic!("{other} is not known"),
    }
}

/// Sends a response, and returns whether the client read it.
///
/// # Panics
///
/// If the client panics, or allocates too much.
async fn is_read(name: &str, operation: &str, status: u16, body: Vec<u8>) -> bool {
    let length = body.len();
    let canned = Canned::new(Response { status, headers: Vec::new(), body });
    let client = canned.client();
    let assert_allocated = |before: Stats, responses: usize| {
        let allocated = (HEAP.stats() - before).bytes_allocated;
        assert!(
            allocated <= responses * (BYTES_OF_A_REQUEST + BYTES_PER_BYTE * length),
            "{name}: {allocated} bytes for {responses} responses of {length}"
        );
    };
    let before = HEAP.stats();
    let is_read = send(&client, operation).await;
    assert_allocated(before, 1);
    if operation == "ListShards" {
        let before = HEAP.stats();
        let list = shard_lists(&client, "orders", Duration::from_secs(30)).next().await;
        // A second page, or a second request in JSON, gets the same response.
        assert_allocated(before, 2);
        // A list may be invalid although its response is read.
        assert!(is_read || list.is_some_and(|list| list.is_err()), "{name}");
    }
    is_read
}

/// Returns a page whose array of records begins with these bytes.
fn page(array: &[u8], records: impl IntoIterator<Item = u8>) -> Vec<u8> {
    let mut body = b"\xa1\x67Records".to_vec();
    body.extend_from_slice(array);
    body.extend(records);
    body
}

#[tokio::test]
async fn no_response_panics_or_allocates_without_bound() {
    // The most records in the fewest bytes.
    let empty = || std::iter::repeat_n(0xa0, 50_000).chain([0xff]);
    assert!(is_read("empty records", "GetRecords", 200, page(b"\x9f", empty())).await);
    // Lengths that the response does not have.
    for head in [0x9b, 0xbb, 0x5b, 0x7b] {
        for length in [1 << 32, i64::MAX as u64, u64::MAX] {
            let array = [&[head], &length.to_be_bytes()[..]].concat();
            let body = page(&array, [0xa0]);
            assert!(!is_read("a long array", "GetRecords", 200, body).await);
        }
    }
    let levels = std::iter::repeat_n(0x9f, 1 << 20);
    assert!(!is_read("levels", "GetRecords", 200, page(b"\x80\x61a", levels)).await);

    let inputs = std::env::var("CBOR_DAMAGE_INPUTS").ok();
    let inputs = inputs.map_or(INPUTS, |inputs| inputs.parse().expect("a number"));
    let valid = valid();
    let mut read = 0;
    for seed in 0..inputs {
        let mut rng = Rng::with_seed(seed);
        let Valid { operation, status, body } = rng.choice(&valid).expect("a response");
        let body = damaged(&mut rng, &valid, body);
        let status = if rng.u8(0..16) == 0 { 600 - status } else { *status };
        read += u64::from(is_read(&format!("seed {seed}"), operation, status, body).await);
    }
    println!("{read} of {inputs} damaged responses were read");
    assert!(read > inputs / 40 && read < inputs / 2, "{read} of {inputs} were read");
}
