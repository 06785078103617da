//! Children released by their parents: no more for each of many than for each of few, and little more than a root.

use std::hint::black_box;

use aws_sdk_kinesis::types::Shard;
use futures::{FutureExt, StreamExt, stream};
use kinesis_shards::{Error, ShardHandle, ShardList, parents_first};

use crate::instructions;
use crate::measure::{count, each, ratio};
use crate::table::Table;

/// No parents at all; a binary tree of splits; one long chain; as many parents as children, all released at once.
pub(crate) const SHAPES: [&str; 4] = ["roots", "tree", "chain", "burst"];
const FEW: usize = 1_000;
const MANY: usize = 100_000;
const PAIRS: usize = 15;

pub(crate) fn cases(table: &mut Table) {
    Table::heading("Lineage: cost of a shard that is released by its parent's completion");
    for shape in &SHAPES[1..] {
        // Few shards are done over and over, so that both sides of a pair take as long.
        let flat = ratio(PAIRS, lists(shape, MANY, 1), lists(shape, FEW, MANY / FEW));
        table.row(&format!("{shape}: each of {MANY} / each of {FEW}: wall time"), 1.3, flat);
        let roots = ratio(PAIRS, lists(shape, MANY, 1), lists("roots", MANY, 1));
        table.row(&format!("{shape}: each of {MANY} / a root of {MANY}: wall time"), 2.0, roots);
    }
    for shape in &SHAPES[1..] {
        let flat = per_shard(shape, 20_000).zip(per_shard(shape, FEW)).map(|(many, few)| many / few);
        table.row_if_any(&format!("{shape}: each of 20000 / each of {FEW}: instructions"), 1.3, flat);
        let roots =
            per_shard(shape, 20_000).zip(per_shard("roots", 20_000)).map(|(child, root)| child / root);
        table.row_if_any(&format!("{shape}: each of 20000 / a root of 20000: instructions"), 2.0, roots);
    }
}

/// The instructions of one shard, without those of the list: both runs make it, copy it twice and drop the copies.
fn per_shard(shape: &str, n: usize) -> Option<f64> {
    // The second run goes through the lineage twice, the first once.
    let (once, twice) = (instructions::count(shape, n)?, instructions::count(shape, n + TWICE)?);
    Some((twice - once) / count(n))
}

/// Added to a number of shards: go through both copies of the list.
const TWICE: usize = 1_000_000_000;

/// The runs of which valgrind counts the instructions.
pub(crate) fn counted(shape: &str, n: usize) {
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

/// Goes through a list so many times; the copies are made before it is timed.
fn lists(shape: &str, n: usize, times: usize) -> impl FnMut() -> f64 {
    let list = list(shape, n);
    move || {
        let copies = vec![list.clone(); times];
        each(n * times, || copies.into_iter().for_each(release))
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
        Shard::builder().shard_id(id(i)).set_parent_shard_id(parent.map(id)).build().expect("a shard")
    });
    ShardList::full("orders", shards.collect()).expect("a sound list")
}

/// Takes all that is ready, completes it, and so on to the end.
fn release(list: ShardList) {
    let mut shards = parents_first(stream::iter([Ok::<_, Error>(list)]));
    let mut out = Vec::<ShardHandle>::new();
    loop {
        while let Some(Some(shard)) = shards.next().now_or_never() {
            out.push(shard.expect("a shard"));
        }
        if out.is_empty() {
            return;
        }
        out.drain(..).for_each(ShardHandle::complete);
    }
}
