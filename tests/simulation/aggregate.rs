//! The memory that an aggregated record of many small user records takes.
//!
//! The test counts allocations of the whole process, so it runs after the simulations.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};

use crate::heap;

/// The checksum of the message in [`aggregate`].
const MD5: [u8; 16] = *b"\xac\x55\x12\x68\x69\xae\x2c\x46\x6c\xd1\x3a\x35\x95\x89\xdf\xe9";

const USER_RECORDS: u64 = 174_752;

/// Returns a record of 1 MiB: one partition key, and as many empty user records as fit.
fn aggregate() -> Vec<u8> {
    let count = usize::try_from(USER_RECORDS).unwrap_or(usize::MAX);
    let message = [b"\x0a\x00".to_vec(), b"\x1a\x04\x08\x00\x1a\x00".repeat(count)].concat();
    [&b"\xf3\x89\x9a\xc2"[..], &message, &MD5].concat()
}

/// Checks that reading the user records one by one takes a bounded multiple of the record's size,
/// and a bounded number of allocations for each.
pub(crate) fn check() -> Result<String, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.map_err(|error| error.to_string())?.block_on(read_aggregate())
}

async fn read_aggregate() -> Result<String, String> {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    let aggregate = aggregate();
    let max_bytes = 6 * isize::try_from(aggregate.len()).map_err(|error| error.to_string())?;
    orders.put_to("shardId-000000000000", aggregate);
    let client = fake.client();
    let options = ReadOptions::new().deaggregate().idle_interval(Duration::from_secs(1));
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);

    let before = heap::live_bytes();
    let mut peak = 0;
    for sub in 0..USER_RECORDS {
        let allocations = heap::allocations();
        let record = records.next().await.ok_or("the stream ended")?;
        let record = record.map_err(|error| error.to_string())?;
        let allocations = heap::allocations() - allocations;
        if (record.sub_sequence_number(), record.data().len()) != (Some(sub), 0) {
            return Err(format!("{record:?} is not user record {sub}"));
        }
        // The first user record comes with the requests and the copy of the aggregate.
        if sub > 0 && allocations > 8 {
            return Err(format!("{allocations} allocations for user record {sub}"));
        }
        if sub.is_multiple_of(1_000) {
            peak = peak.max(heap::live_bytes() - before);
        }
    }
    if peak >= max_bytes {
        return Err(format!("{peak} bytes for a record of {} bytes", max_bytes / 6));
    }
    Ok(format!("{USER_RECORDS} user records"))
}
