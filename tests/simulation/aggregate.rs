//! The memory that an aggregated record of many small user records takes.
//!
//! The test counts allocations of the whole process, so it runs after the simulations.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};

use crate::heap;

/// The number of user records in an aggregate, and the checksum of its message.
type Size = (u64, [u8; 16]);

/// As many empty user records as fit into 1 MiB, and into 10 MiB, the most that AWS allows.
const SIZES: [Size; 2] = [
    (174_752, 0xac55_1268_69ae_2c46_6cd1_3a35_9589_dfe9_u128.to_be_bytes()),
    (1_747_620, 0x42e7_1ba6_1069_c04a_502c_7bda_fcd1_3f07_u128.to_be_bytes()),
];

/// Returns a record with one partition key and empty user records.
fn aggregate((user_records, md5): Size) -> Vec<u8> {
    let count = usize::try_from(user_records).unwrap_or(usize::MAX);
    let message = [b"\x0a\x00".to_vec(), b"\x1a\x04\x08\x00\x1a\x00".repeat(count)].concat();
    [&b"\xf3\x89\x9a\xc2"[..], &message, &md5].concat()
}

/// Checks that reading the user records one by one takes a bounded multiple of the record's size,
/// and a bounded number of allocations for each.
pub(crate) fn check() -> Result<String, String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    SIZES.into_iter().try_for_each(|size| runtime.block_on(read_aggregate(size)))?;
    let total: u64 = SIZES.iter().map(|(user_records, _)| user_records).sum();
    Ok(format!("{total} user records"))
}

async fn read_aggregate(size: Size) -> Result<(), String> {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    orders.set_max_record_size(10_240);
    let aggregate = aggregate(size);
    let max_bytes = 6 * isize::try_from(aggregate.len()).map_err(|error| error.to_string())?;
    orders.put_to("shardId-000000000000", aggregate);
    let client = fake.client();
    let options = ReadOptions::new().deaggregate().idle_interval(Duration::from_secs(1));
    let mut records = all_shards(&client, "orders").records(&client).with_options(options);

    let before = heap::live_bytes();
    let mut peak = 0;
    for sub in 0..size.0 {
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
    Ok(())
}
