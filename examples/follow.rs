//! The smallest real program: every shard of a stream in your AWS account, as it opens.
//!
//! `cargo run --example follow -- orders`

use aws_config::BehaviorVersion;
use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::{StartAt, all_shards};

#[tokio::main]
async fn main() {
    tracing_subscriber::fmt().init(); // listings that fail are logged
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
            match read_to_the_end(client, &shard).await {
                Ok(()) => shard.complete(), // its children open now
                Err(error) => {
                    eprintln!("{}: {error:?}; trying again", shard.id());
                    shard.abandon();
                }
            }
        })
        .await;
}

async fn read_to_the_end(
    client: &Client,
    shard: &kinesis_shards::ShardHandle,
) -> Result<(), aws_sdk_kinesis::Error> {
    let mut iterator = shard.get_shard_iterator(client).send().await?.shard_iterator;
    while let Some(current) = iterator {
        let page = client.get_records().shard_iterator(current).send().await?;
        for record in &page.records {
            println!("{} {:?} {} bytes", shard.id(), record.partition_key(), record.data().as_ref().len());
        }
        iterator = page.next_shard_iterator; // none at the end of a closed shard
        tokio::time::sleep(std::time::Duration::from_secs(1)).await; // AWS allows 5 reads a second and shard
    }
    Ok(())
}
