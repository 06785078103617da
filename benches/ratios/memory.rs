//! The heap that a shard takes once its handle is closed, and once it is forgotten.

use aws_sdk_kinesis::types::Shard;
use futures::channel::mpsc::{self, UnboundedReceiver, UnboundedSender};
use futures::{FutureExt, StreamExt};
use kinesis_shards::lineage::{ParentsFirst, parents_first};
use kinesis_shards::listing::ShardList;
use kinesis_shards::{ListError, ShardHandle};

use crate::common::measure::to_f64;
use crate::common::table::Table;
use crate::heap::allocated_bytes;

const SHARDS: usize = 100_000;
/// The shards that stay open in the second case.
const OPEN: usize = 10;

type Lists = UnboundedSender<Result<ShardList, ListError>>;
type Shards = ParentsFirst<UnboundedReceiver<Result<ShardList, ListError>>>;

pub(crate) fn measure(table: &mut Table) {
    Table::heading(&format!("Heap kept, in bytes per shard, of {SHARDS} shards"));
    let (closed, forgotten) = bytes_per_shard(0);
    table.row("closed, and still listed", 200.0, closed);
    table.row("forgotten", 0.0, forgotten);
    let (closed, forgotten) = bytes_per_shard(OPEN);
    table.row(&format!("closed, and still listed, with {OPEN} that stay open"), 200.0, closed);
    table.row(&format!("forgotten, with {OPEN} that stay open"), 0.2, forgotten);
}

/// Returns the bytes kept per shard when all but the last `open` shards are closed, and when the
/// closed ones are forgotten.
fn bytes_per_shard(open: usize) -> (f64, f64) {
    let (lists, receiver): (Lists, _) = mpsc::unbounded();
    let mut shards: Shards = parents_first(receiver);
    // A list without shards is ignored: one more shard is in every list, and stays open.
    send(&lists, SHARDS..=SHARDS);
    let _last = next_ready(&mut shards).expect("a shard");
    assert!(next_ready(&mut shards).is_none());
    let before = allocated_bytes();

    send(&lists, 0..=SHARDS);
    let mut still_open = Vec::new();
    for n in 0..SHARDS {
        let shard = next_ready(&mut shards).expect("a shard");
        if n < SHARDS - open { shard.complete() } else { still_open.push(shard) }
    }
    assert!(next_ready(&mut shards).is_none());
    let closed = allocated_bytes();

    // A shard is forgotten when two lists in a row do not have it.
    for _ in 0..2 {
        send(&lists, SHARDS - open..=SHARDS);
        assert!(next_ready(&mut shards).is_none());
    }
    assert_eq!(shards.tracked(), open + 1);
    let forgotten = allocated_bytes();
    ((closed - before) / to_f64(SHARDS), (forgotten - before).max(0.0) / to_f64(SHARDS))
}

fn send(lists: &Lists, shards: std::ops::RangeInclusive<usize>) {
    let shard = |n| Shard::builder().shard_id(format!("shardId-{n:012}")).build().expect("a shard");
    let list = ShardList::full("orders", shards.map(shard).collect());
    lists.unbounded_send(list).expect("a receiver that is not dropped");
}

fn next_ready(shards: &mut Shards) -> Option<ShardHandle> {
    shards.next().now_or_never().flatten().map(|shard| shard.expect("a shard"))
}
