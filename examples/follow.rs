//! The smallest real program: every shard of a stream in your AWS account, as it opens, and its records.
//!
//! `cargo run --example follow -- orders`

use aws_config::BehaviorVersion;
use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::{StartAt, all_shards};

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().init(); // listings and reads that fail are logged
    let stream = std::env::args().nth(1).expect("usage: follow STREAM-NAME-OR-ARN");
    let client = &Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);

    all_shards(client, stream)
        .start_at(StartAt::Latest)
        .for_each_concurrent(None, |shard| async move {
            println!(
                "{} opens at {:?}, after {:?}",
                shard.id(),
                shard.start(),
                shard.parents().collect::<Vec<_>>()
            );
            let mut records = shard.records(client);
            while let Some(record) = records.next().await {
                match record {
                    Ok(record) => println!(
                        "{} {:?} {} bytes",
                        record.shard_id(),
                        record.partition_key(),
                        record.data().len()
                    ),
                    Err(error) => eprintln!("{error}"), // the last item; the shard is offered again
                }
            }
            // At its end the shard is complete: its children open now.
        })
        .await;
}
