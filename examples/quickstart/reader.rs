//! Reads one shard to its end.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use futures::StreamExt;
use kinesis_shards::records::EndReason;
use kinesis_shards::{ReadOptions, ShardHandle};

use crate::common::error::with_cause;
use crate::ledger::Ledger;

pub(crate) async fn read_shard_to_end(
    client: &Client,
    shard: ShardHandle,
    options: ReadOptions,
    ledger: &Ledger,
) {
    ledger.shard_opens(&shard);
    let id = shard.id().to_owned();
    let mut batches = shard.batches(client).with_options(options);
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => ledger.records_read(&id, batch),
            // This is the last item of the reader. The shard is offered again.
            Err(error) => ledger.note(&format!("{}; retrying", with_cause(&error))),
        }
    }
    match batches.ended() {
        Some(EndReason::EndOfShard { children }) => {
            ledger.shard_ends(&id, children.iter().map(ChildShard::shard_id));
        }
        Some(EndReason::Expired) => ledger.shard_ends(&id, std::iter::empty()),
        _ => {}
    }
}
