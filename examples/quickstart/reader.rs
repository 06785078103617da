//! Reads one shard with the SDK, from where its handle says to its end.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::DisplayErrorContext;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_shards::ShardHandle;
use tokio::time::sleep;

use crate::ledger::Ledger;

/// AWS allows five reads a second of each shard.
const PAUSE: Duration = Duration::from_millis(250);
const PAUSE_AFTER_ERROR: Duration = Duration::from_secs(1);

pub(crate) async fn read_to_the_end(client: &Client, shard: ShardHandle, ledger: &Ledger) {
    ledger.opens(&shard);
    let mut iterator = None;
    let mut last_read: Option<String> = None;
    loop {
        match read_on(client, &shard, iterator.take(), last_read.as_deref()).await {
            Ok(page) => {
                let records =
                    page.records.iter().map(|r| (r.partition_key().unwrap_or_default(), r.data().as_ref()));
                ledger.reads(shard.id(), records);
                if let Some(last) = page.records.last() {
                    last_read = Some(last.sequence_number.clone());
                }
                iterator = page.next_shard_iterator;
                if iterator.is_none() {
                    let children = page.child_shards.unwrap_or_default();
                    let ids: Vec<String> = children.iter().map(|child| child.shard_id.clone()).collect();
                    ledger.ends(shard.id(), &ids);
                    return shard.complete_with(children);
                }
                sleep(PAUSE).await;
            }
            Err(error) => {
                // An expired iterator, throttling, a server that is away: go on after the last record read.
                ledger.note(&format!("{}: {error}; reading on in a second", shard.id()));
                sleep(PAUSE_AFTER_ERROR).await;
            }
        }
    }
}

/// One page, by the iterator of the page before or by a new one.
async fn read_on(
    client: &Client,
    shard: &ShardHandle,
    iterator: Option<String>,
    last_read: Option<&str>,
) -> Result<GetRecordsOutput, String> {
    let iterator = if iterator.is_some() {
        iterator
    } else {
        let mut request = shard.get_shard_iterator(client);
        if let Some(last) = last_read {
            request = request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .set_timestamp(None)
                .starting_sequence_number(last);
        }
        request.send().await.map_err(|error| DisplayErrorContext(error).to_string())?.shard_iterator
    };
    let request = client.get_records().set_shard_iterator(iterator);
    request.send().await.map_err(|error| DisplayErrorContext(error).to_string())
}
