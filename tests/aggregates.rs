//! What a hostile aggregated record costs: counted by the allocator, so alone in its process.
#![cfg(all(feature = "testing", feature = "kpl"))]

use std::alloc::System;
use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The checksum of the message that `bomb` makes.
const MD5_OF_BOMB: [u8; 16] = *b"\xac\x55\x12\x68\x69\xae\x2c\x46\x6c\xd1\x3a\x35\x95\x89\xdf\xe9";

const RECORDS: usize = 174_752;

/// A record of 1 MiB: one key, and as many empty user records as there is room for.
fn bomb() -> Vec<u8> {
    let message = [b"\x0a\x00".to_vec(), b"\x1a\x04\x08\x00\x1a\x00".repeat(RECORDS)].concat();
    [&b"\xf3\x89\x9a\xc2"[..], &message, &MD5_OF_BOMB].concat()
}

fn live() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated - stats.bytes_deallocated
}

#[tokio::test(start_paused = true)]
async fn an_aggregate_of_many_small_user_records_takes_the_memory_of_the_record() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    let bomb = bomb();
    orders.put_to("shardId-000000000000", bomb.as_slice());
    let client = fake.client();
    let options = ReadOptions::new().deaggregate().idle_interval(Duration::from_secs(1));
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);

    let before = live();
    let first = records.next().await.unwrap().unwrap();
    assert_eq!(
        (first.sub_sequence_number(), first.data().len()),
        (Some(0), 0),
        "the checksum is right"
    );
    let held = live() - before;
    assert!(held < 6 * bomb.len(), "{held} bytes are held while the first is in hand");

    let mut most = held;
    for sub in 1..RECORDS as u64 {
        let allocations = HEAP.stats().allocations;
        let record = records.next().await.unwrap().unwrap();
        let allocations = HEAP.stats().allocations - allocations;
        assert_eq!(record.sub_sequence_number(), Some(sub));
        assert!(allocations <= 8, "{allocations} allocations for user record {sub}");
        if sub.is_multiple_of(1_000) {
            most = most.max(live() - before);
        }
    }
    assert!(most < 6 * bomb.len(), "{most} bytes are held in between");
}
