//! Reads one shard, from where its handle says to its end.

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use futures::StreamExt;
use kinesis_shards::{ReadOptions, ReaderEnd, ShardHandle};

use crate::common::with_cause;
use crate::ledger::Ledger;

pub(crate) async fn read_to_the_end(
    client: &Client,
    shard: ShardHandle,
    options: ReadOptions,
    ledger: &Ledger,
) {
    ledger.opens(&shard);
    let id = shard.id().to_owned();
    let mut batches = shard.batches(client).with(options);
    while let Some(batch) = batches.next().await {
        match batch {
            Ok(batch) => ledger.reads(&id, batch),
            // The reader has ended, and the shard is offered again.
            Err(error) => ledger.note(&format!("{}; it is tried again", with_cause(&error))),
        }
    }
    match batches.ended() {
        Some(ReaderEnd::EndOfShard { children }) => {
            ledger.ends(&id, children.iter().map(ChildShard::shard_id));
        }
        Some(ReaderEnd::Expired) => ledger.ends(&id, std::iter::empty()),
        _ => {}
    }
}
