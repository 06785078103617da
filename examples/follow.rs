//! The smallest real program: prints every shard of a stream as it opens, and its records.
//!
//! `cargo run --example follow -- orders`

use aws_config::BehaviorVersion;
use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::{StartAt, all_shards};

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().init(); // failed listings and reads are logged and retried
    let Some(stream) = std::env::args().nth(1) else {
        return eprintln!("usage: follow STREAM-NAME-OR-ARN");
    };
    let client = &Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);

    all_shards(client, stream)
        .start_at(StartAt::Latest)
        .for_each_concurrent(None, |shard| async move {
            let parents: Vec<_> = shard.parents().collect();
            println!("{} opens at {:?}, after {parents:?}", shard.id(), shard.start());
            let mut records = shard.records(client);
            while let Some(record) = records.next().await {
                match record {
                    Ok(record) => {
                        let (shard, key) = (record.shard_id(), record.partition_key());
                        println!("{shard} {key:?} {} bytes", record.data().len());
                    }
                    Err(error) => eprintln!("{error}"), // the last item; the shard is offered again
                }
            }
            // At the end of the shard the reader completes it, and its children open.
        })
        .await;
}
