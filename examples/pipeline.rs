//! Inside a `Stream` pipeline: shards beside another source of work, a few at a time, until Ctrl-C.
//!
//! `cargo run --example pipeline` (on an in-process Kinesis; it ends by itself)

use std::time::Duration;

use futures::{FutureExt, StreamExt, future, stream};
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ShardHandle, all_shards};
use tokio::time::{interval, sleep};
use tokio_stream::wrappers::IntervalStream;

#[tokio::main]
async fn main() {
    let kinesis = FakeKinesis::new();
    kinesis.create_stream("orders", 4).split("shardId-000000000000");
    let client = kinesis.client();

    let shards = all_shards(&client, "orders").map(|shard| read(shard).left_future());
    let heartbeats = IntervalStream::new(interval(Duration::from_millis(500)));
    let heartbeats = heartbeats.map(|_| future::ready("still here".to_owned()).right_future());
    let shutdown = future::select(tokio::signal::ctrl_c().boxed(), sleep(Duration::from_secs(2)).boxed());

    stream::select(shards, heartbeats)
        .take_until(shutdown) // what is under way is finished
        .buffer_unordered(3) // three at a time; the other shards wait their turn
        .for_each(|line| async move { println!("{line}") })
        .await;
}

async fn read(shard: ShardHandle) -> String {
    let line = format!("{} after {:?}", shard.id(), shard.parents().collect::<Vec<_>>());
    sleep(Duration::from_millis(100)).await; // ... read it ...
    shard.complete();
    line
}
