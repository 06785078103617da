//! Writes numbered records to the stream, and splits a shard.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::DisplayErrorContext;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::StreamStatus;
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;

use crate::client::unthrottled;
use crate::servers::STREAM;

const INTERVAL: Duration = Duration::from_millis(25);
const KEYS: u64 = 50;

/// Creates the stream, and waits until it can be written.
pub(crate) async fn create_stream(client: &Client, shards: i32) -> Result<(), String> {
    let create = client.create_stream().stream_name(STREAM).shard_count(shards);
    create.send().await.map_err(|error| DisplayErrorContext(error).to_string())?;
    wait_until_active(client).await
}

async fn wait_until_active(client: &Client) -> Result<(), String> {
    loop {
        let summary =
            unthrottled(|| client.describe_stream_summary().stream_name(STREAM).send()).await;
        let summary = summary.map_err(|error| DisplayErrorContext(error).to_string())?;
        let status = summary.stream_description_summary.map(|summary| summary.stream_status);
        if status == Some(StreamStatus::Active) {
            return Ok(());
        }
        tokio::time::sleep(INTERVAL).await;
    }
}

/// Writes records with the numbers 0, 1, 2, ... until `stop` resolves. Returns how many.
pub(crate) async fn write(client: Client, mut stop: Receiver<()>) -> Result<u64, String> {
    let mut written = 0;
    // The request in flight is not cancelled: it would be open whether its record was written.
    while stop.try_recv() == Err(TryRecvError::Empty) {
        let put = || {
            let put = client.put_record().stream_name(STREAM);
            let put = put.partition_key(format!("customer {}", written % KEYS));
            put.data(Blob::new(written.to_string())).send()
        };
        unthrottled(put).await.map_err(|error| DisplayErrorContext(error).to_string())?;
        written += 1;
        tokio::time::sleep(INTERVAL).await;
    }
    Ok(written)
}

/// Splits a shard in the middle.
pub(crate) async fn split(client: &Client, shard_id: &str) -> Result<(), String> {
    let shards = unthrottled(|| client.list_shards().stream_name(STREAM).send()).await;
    let shards = shards.map_err(|error| DisplayErrorContext(error).to_string())?.shards;
    let shard = shards.iter().flatten().find(|shard| shard.shard_id == shard_id);
    let range = shard.and_then(|shard| shard.hash_key_range()).ok_or("the shard is not listed")?;
    let bound = |key: &str| key.parse::<u128>().map_err(|error| error.to_string());
    let (first, last) = (bound(range.starting_hash_key())?, bound(range.ending_hash_key())?);
    let middle = (first + (last - first) / 2).to_string();
    let split = || {
        let split = client.split_shard().stream_name(STREAM).shard_to_split(shard_id);
        split.new_starting_hash_key(&middle).send()
    };
    unthrottled(split).await.map_err(|error| DisplayErrorContext(error).to_string())?;
    wait_until_active(client).await
}
