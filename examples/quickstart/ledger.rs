//! The log of records written and read. It prints each event and, at the end, a verdict.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use kinesis_shards::ShardHandle;
use kinesis_shards::records::Batch;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

pub(crate) struct Ledger {
    started: Instant,
    all_read: Notify,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    /// The shards in the order they opened, with the number of records read.
    shards: Vec<(String, usize)>,
    ended: HashSet<String>,
    /// The number of records written with each partition key.
    written: HashMap<String, usize>,
    /// The numbers of the records of each partition key, in the order they were read.
    read: BTreeMap<String, Vec<usize>>,
    /// The number of shards that opened before a parent ended.
    opened_early: usize,
    is_written: bool,
}

/// The faults found in the records of all partition keys.
#[derive(Default, PartialEq, Debug)]
struct Verdict {
    lost: usize,
    duplicated: usize,
    out_of_order: usize,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), all_read: Notify::new(), entries: Mutex::default() }
    }

    pub(crate) fn note(&self, text: &str) {
        println!("{:6.2}s  {text}", self.started.elapsed().as_secs_f64());
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().expect("a lock that no panic has poisoned")
    }

    /// Notes that a shard opens, and checks that all its parents have ended.
    pub(crate) fn shard_opens(&self, shard: &ShardHandle) {
        let parents = shard.parents().map(|(id, outcome)| format!("{id} ({outcome:?})"));
        let parents: Vec<String> = parents.collect();
        let parents = if parents.is_empty() {
            "no parent".to_owned()
        } else {
            format!("after {}", parents.join(" and "))
        };
        self.note(&format!("{} opens at {:?}, {parents}", shard.id(), shard.start()));
        let mut entries = self.entries();
        let known: HashSet<_> = entries.shards.iter().map(|(id, _)| id.clone()).collect();
        let is_open = |id: &str| known.contains(id) && !entries.ended.contains(id);
        if shard.parents().any(|(id, _)| is_open(id)) {
            entries.opened_early += 1;
        }
        if !known.contains(shard.id()) {
            entries.shards.push((shard.id().to_owned(), 0));
        }
    }

    /// Notes the records of a batch.
    pub(crate) fn records_read(&self, shard: &str, batch: Batch) {
        let count = batch.len();
        self.note(&format!("{shard}   {count:>3} records"));
        let mut entries = self.entries();
        if let Some((_, read)) = entries.shards.iter_mut().find(|(id, _)| id == shard) {
            *read += count;
        }
        for record in batch {
            // Records of another producer have no number: only the shard's total counts them.
            let text = std::str::from_utf8(record.data()).ok();
            let number = text.and_then(|text| text.parse::<usize>().ok());
            let key = record.partition_key().unwrap_or_default().to_owned();
            entries.read.entry(key).or_default().extend(number);
        }
        if entries.is_read() {
            self.all_read.notify_one();
        }
    }

    /// Notes that a shard was read to its end.
    pub(crate) fn shard_ends<'a>(&self, shard: &str, children: impl Iterator<Item = &'a str>) {
        let children: Vec<&str> = children.collect();
        let children = if children.is_empty() { "unknown".to_owned() } else { children.join(", ") };
        self.note(&format!("{shard} ends; its children: {children}"));
        self.entries().ended.insert(shard.to_owned());
    }

    /// Returns the number for the next record of a partition key.
    pub(crate) fn next_number(&self, key: &str) -> usize {
        *self.entries().written.entry(key.to_owned()).and_modify(|n| *n += 1).or_insert(1)
    }

    /// Waits until every written record was read, for a minute at most: those that take longer
    /// count as lost. Then waits one more second, so that a duplicate has time to arrive.
    pub(crate) async fn wait_until_read(&self) {
        let is_read = {
            let mut entries = self.entries();
            entries.is_written = true;
            entries.is_read()
        };
        if !is_read {
            let _ = timeout(Duration::from_mins(1), self.all_read.notified()).await;
        }
        sleep(Duration::from_secs(1)).await;
    }

    /// Prints the number of records read from each shard.
    pub(crate) fn print_shards(&self) {
        let entries = self.entries();
        println!("\nShards in the order they opened:");
        for (shard, read) in &entries.shards {
            let state = if entries.ended.contains(shard) { "read to its end" } else { "open" };
            println!("  {shard}  {read:>5} records, {state}");
        }
    }

    /// Prints the verdict. Returns whether there was no fault.
    pub(crate) fn print_summary(&self) -> bool {
        self.print_shards();
        let entries = self.entries();
        let written: usize = entries.written.values().sum();
        let read: usize = entries.read.values().map(Vec::len).sum();
        let verdict = entries.verdict();
        println!("\nRecords: {written} written, {read} read");
        println!("  lost                            {}", verdict.lost);
        println!("  duplicated                      {}", verdict.duplicated);
        println!("  out of order within their key   {}", verdict.out_of_order);
        println!("  shards opened before a parent   {}", entries.opened_early);
        let is_good = written > 0 && verdict == Verdict::default() && entries.opened_early == 0;
        println!("\n{}", if is_good { "All is well." } else { "SOMETHING IS WRONG." });
        is_good
    }
}

impl Entries {
    fn is_read(&self) -> bool {
        self.is_written && self.verdict().lost == 0
    }

    fn verdict(&self) -> Verdict {
        let mut verdict = Verdict::default();
        for (key, &written) in &self.written {
            let read = self.read.get(key).map_or(&[][..], Vec::as_slice);
            let distinct = read.iter().collect::<HashSet<_>>().len();
            verdict.lost += written - distinct.min(written);
            verdict.duplicated += read.len() - distinct;
            verdict.out_of_order += read.windows(2).filter(|pair| pair[1] < pair[0]).count();
        }
        verdict
    }
}
