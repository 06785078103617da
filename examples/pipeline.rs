//! Inside a `Stream` pipeline: records beside another source of work, a few at a time, until Ctrl-C.
//!
//! `cargo run --example pipeline` (on an in-process Kinesis; it ends by itself)

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

    let records = all_shards(&client, "orders").records(&client).map(|record| handle(record).left_future());
    let heartbeats = IntervalStream::new(interval(Duration::from_millis(500)));
    let heartbeats = heartbeats.map(|_| future::ready("still here".to_owned()).right_future());
    let shutdown = future::select(tokio::signal::ctrl_c().boxed(), sleep(Duration::from_secs(3)).boxed());

    stream::select(records, heartbeats)
        .take_until(shutdown) // what is under way is finished
        .buffer_unordered(3) // three at a time, as they end (`buffered` keeps their order); meanwhile no shard is read
        .for_each(|line| async move { println!("{line}") })
        .await;
}

async fn handle(record: Result<Record, ReadError>) -> String {
    match record {
        Ok(record) => {
            sleep(Duration::from_millis(50)).await; // ... a database, a service ...
            let key = record.partition_key().unwrap_or_default();
            format!("{}  {key}  {}", record.shard_id(), String::from_utf8_lossy(record.data()))
        }
        Err(error) => format!("{error}; the other shards go on"),
    }
}
