//! What is kept of a shard once its handle is closed, and once it is forgotten.

use aws_sdk_kinesis::types::Shard;
use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures::{FutureExt, StreamExt};
use kinesis_shards::{Error, Lineage, ShardHandle, ShardList, parents_first};

use crate::heap::heap;
use crate::measure::count;
use crate::table::Table;

const SHARDS: usize = 100_000;
const OPEN: usize = 10;

type Lists = UnboundedSender<Result<ShardList, Error>>;
type Shards = Lineage<UnboundedReceiver<Result<ShardList, Error>>>;

pub(crate) fn cases(table: &mut Table) {
    Table::heading("Heap kept, in bytes per shard, of 100000 shards");
    for open in [0, OPEN] {
        let (closed, forgotten) = kept(open);
        let beside = if open == 0 { String::new() } else { format!(", beside {open} that stay open") };
        table.row(&format!("closed, and still listed{beside}"), 200.0, closed);
        table.row(&format!("forgotten{beside}"), if open == 0 { 0.0 } else { 0.2 }, forgotten);
    }
}

/// Per shard: with all closed but the last `open`, and with those forgotten that were closed.
fn kept(open: usize) -> (f64, f64) {
    let (lists, receiver): (Lists, _) = mpsc::unbounded();
    let mut shards: Shards = parents_first(receiver);
    assert!(shards.next().now_or_never().is_none());
    let nothing = heap();

    send(&lists, 0..SHARDS);
    let mut still_open = Vec::new();
    for n in 0..SHARDS {
        let shard = taken(&mut shards).expect("a shard");
        if n < SHARDS - open { shard.complete() } else { still_open.push(shard) }
    }
    assert!(taken(&mut shards).is_none());
    let closed = heap();

    for _ in 0..2 {
        send(&lists, SHARDS - open..SHARDS);
        assert!(taken(&mut shards).is_none());
    }
    assert_eq!(shards.tracked(), open);
    let forgotten = heap();
    ((closed - nothing) / count(SHARDS), (forgotten - nothing).max(0.0) / count(SHARDS))
}

fn send(lists: &Lists, shards: std::ops::Range<usize>) {
    let shard = |n| Shard::builder().shard_id(format!("shardId-{n:012}")).build().expect("a shard");
    lists
        .unbounded_send(ShardList::full("orders", shards.map(shard).collect()))
        .expect("a lineage that listens");
}

fn taken(shards: &mut Shards) -> Option<ShardHandle> {
    shards.next().now_or_never().flatten().map(|shard| shard.expect("a shard"))
}
