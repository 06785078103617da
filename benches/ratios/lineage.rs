//! The cost of a child that its parents release: it must not grow with the number of shards, and
//! must be little more than that of a root.

use std::hint::black_box;

use aws_sdk_kinesis::types::Shard;
use futures::{FutureExt, StreamExt, stream};
use kinesis_shards::lineage::parents_first;
use kinesis_shards::listing::ShardList;
use kinesis_shards::{ListError, ShardHandle};

use crate::common::instructions;
use crate::common::measure::{ratio, seconds_per_item, to_f64};
use crate::common::table::Table;

/// The shapes of the lineage: no parents at all; a binary tree of splits; one long chain; as many
/// parents as children, all of them released at once.
pub(crate) const SHAPES: [&str; 4] = ["roots", "tree", "chain", "burst"];
const FEW: usize = 1_000;
const MANY: usize = 100_000;
/// The shards of a run under valgrind, which is slow.
const COUNTED: usize = 20_000;
const PAIRS: usize = 15;

pub(crate) fn measure(table: &mut Table) {
    Table::heading("ParentsFirst: cost of a shard that is released by its parent's completion");
    for shape in &SHAPES[1..] {
        // The small list is released many times, so that both runs of a pair take as long.
        let growth = ratio(PAIRS, timed(shape, MANY, 1), timed(shape, FEW, MANY / FEW));
        table.row(&format!("{shape}: each of {MANY} / each of {FEW}: wall time"), 1.3, growth);
        let beside_root = ratio(PAIRS, timed(shape, MANY, 1), timed("roots", MANY, 1));
        let what = format!("{shape}: each of {MANY} / a root of {MANY}: wall time");
        table.row(&what, 2.0, beside_root);
    }
    for shape in &SHAPES[1..] {
        let each = instructions_per_shard(shape, COUNTED);
        let divide = |(a, b)| a / b;
        let growth = each.zip(instructions_per_shard(shape, FEW)).map(divide);
        let what = format!("{shape}: each of {COUNTED} / each of {FEW}: instructions");
        table.valgrind_row(&what, 1.3, growth);
        let beside_root = each.zip(instructions_per_shard("roots", COUNTED)).map(divide);
        let what = format!("{shape}: each of {COUNTED} / a root of {COUNTED}: instructions");
        table.valgrind_row(&what, 2.0, beside_root);
    }
}

/// Returns the instructions for one shard, without those for the list: the difference of two runs
/// that both make the list and two copies of it. The first releases one copy, the second both.
fn instructions_per_shard(shape: &str, n: usize) -> Option<f64> {
    let (once, twice) = (instructions::count(shape, n)?, instructions::count(shape, n + TWICE)?);
    Some((twice - once) / to_f64(n))
}

/// Added to the number of shards, it makes [`run_counted`] release both copies.
const TWICE: usize = 1_000_000_000;

/// Runs a case whose instructions valgrind counts.
pub(crate) fn run_counted(shape: &str, n: usize) {
    let (n, is_twice) = if n > TWICE { (n - TWICE, true) } else { (n, false) };
    let list = list(shape, n);
    release(black_box(list.clone()));
    let copy = black_box(list.clone());
    if is_twice {
        release(copy);
    } else {
        drop(black_box(copy));
    }
}

/// Returns a run that releases a list `times` times. Copying the list is not timed.
fn timed(shape: &str, n: usize, times: usize) -> impl FnMut() -> f64 {
    let list = list(shape, n);
    move || {
        let copies = vec![list.clone(); times];
        seconds_per_item(n * times, || copies.into_iter().for_each(release))
    }
}

fn list(shape: &str, n: usize) -> ShardList {
    let shards = (0..n).map(|i| {
        let parent = match shape {
            "tree" => i.checked_sub(1).map(|i| i / 2),
            "chain" => i.checked_sub(1),
            "burst" => i.checked_sub(n / 2),
            _ => None,
        };
        let id = |i| format!("shardId-{i:012}");
        let shard = Shard::builder().shard_id(id(i)).set_parent_shard_id(parent.map(id));
        shard.build().expect("a shard")
    });
    ShardList::full("orders", shards.collect()).expect("a valid list")
}

/// Takes and completes every ready shard until none is left.
fn release(list: ShardList) {
    let mut shards = parents_first(stream::iter([Ok::<_, ListError>(list)]));
    let mut open = Vec::<ShardHandle>::new();
    loop {
        while let Some(Some(shard)) = shards.next().now_or_never() {
            open.push(shard.expect("a shard"));
        }
        if open.is_empty() {
            return;
        }
        open.drain(..).for_each(ShardHandle::complete);
    }
}
