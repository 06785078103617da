//! A larger `Stream` pipeline: records merged with another source, three at a time, until Ctrl-C.
//!
//! `cargo run --example pipeline` runs on an in-process Kinesis and ends by itself.

use std::time::Duration;

use futures::{FutureExt, StreamExt, future, stream};
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadError, Record, ShardStreamExt, all_shards};
use tokio::time::{interval, sleep};
use tokio_stream::wrappers::IntervalStream;

#[tokio::main]
async fn main() {
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 4);
    let write = |numbers: std::ops::Range<u32>| {
        for n in numbers {
            orders.put(&format!("customer {}", n % 4), format!("order {n}"));
        }
    };
    write(0..8);
    orders.split("shardId-000000000000");
    write(8..16);
    let client = kinesis.client();

    let records = all_shards(&client, "orders").records(&client);
    let records = records.map(|record| handle(record).left_future());
    let heartbeats = IntervalStream::new(interval(Duration::from_millis(500)));
    let heartbeats = heartbeats.map(|_| future::ready("heartbeat".to_owned()).right_future());
    let time_limit = sleep(Duration::from_secs(3));
    let shutdown = future::select(tokio::signal::ctrl_c().boxed(), time_limit.boxed());

    stream::select(records, heartbeats)
        .take_until(shutdown) // work in flight is finished
        // Runs three at a time and yields each when it is done; `buffered` would keep the order.
        // No shard is read while all three are busy.
        .buffer_unordered(3)
        .for_each(|line| async move { println!("{line}") })
        .await;
}

async fn handle(record: Result<Record, ReadError>) -> String {
    match record {
        Ok(record) => {
            sleep(Duration::from_millis(50)).await; // ... a database, a service ...
            let key = record.partition_key().unwrap_or_default();
            let data = String::from_utf8_lossy(record.data());
            format!("{}  {key}  {data}", record.shard_id())
        }
        Err(error) => format!("{error}; retrying, and the other shards continue"),
    }
}
