//! Inside a `Stream` pipeline: shards beside another source of events, a few at a time, until Ctrl-C.
//!
//! `cargo run --example pipeline` (on an in-process Kinesis; it ends by itself)

use std::time::Duration;

use futures::{FutureExt, StreamExt, future, stream};
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ShardHandle, all_shards};
use tokio::time::sleep;
use tokio_stream::wrappers::IntervalStream;

enum Event {
    Shard(ShardHandle),
    Heartbeat,
}

#[tokio::main]
async fn main() {
    let kinesis = FakeKinesis::new();
    kinesis.create_stream("orders", 4).split("shardId-000000000000");
    let client = kinesis.client();

    let shutdown = future::select(tokio::signal::ctrl_c().boxed(), sleep(Duration::from_secs(2)).boxed());
    let heartbeat = IntervalStream::new(tokio::time::interval(Duration::from_millis(500)));

    stream::select(all_shards(&client, "orders").map(Event::Shard), heartbeat.map(|_| Event::Heartbeat))
        .take_until(shutdown)
        .map(handle)
        .buffer_unordered(3) // three events at a time: the others wait, and nothing is lost
        .for_each(|line| async move { println!("{line}") })
        .await;
}

async fn handle(event: Event) -> String {
    match event {
        Event::Heartbeat => "still here".to_owned(),
        Event::Shard(shard) => {
            let line = format!("{} after {:?}", shard.id(), shard.parents().collect::<Vec<_>>());
            sleep(Duration::from_millis(100)).await; // ... read it ...
            shard.complete();
            line
        }
    }
}
