//! What was written and what was read: it prints the events as they come, and tells at the end whether all is well.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Mutex;
use std::time::Duration;

use kinesis_shards::{Batch, ShardHandle};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};

pub(crate) struct Ledger {
    begun: Instant,
    all_read: Notify,
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    /// In the order in which they opened, with what was read of each.
    shards: Vec<(String, usize)>,
    ended: HashSet<String>,
    /// How many records were written of each partition key.
    written: HashMap<String, usize>,
    /// Of each partition key, the numbers of the records in the order they were read.
    read: BTreeMap<String, Vec<usize>>,
    before_parent: usize,
    writing_is_over: bool,
}

/// The verdict on what was read of all keys.
#[derive(Default, PartialEq, Debug)]
struct Verdict {
    lost: usize,
    duplicated: usize,
    out_of_order: usize,
}

impl Ledger {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), all_read: Notify::new(), entries: Mutex::default() }
    }

    pub(crate) fn note(&self, text: &str) {
        println!("{:6.2}s  {text}", self.begun.elapsed().as_secs_f64());
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.entries.lock().expect("nobody panics while holding the ledger")
    }

    pub(crate) fn has_shards(&self) -> bool {
        !self.entries().shards.is_empty()
    }

    /// A shard opens: all its parents must have ended before.
    pub(crate) fn opens(&self, shard: &ShardHandle) {
        let parents: Vec<String> = shard.parents().map(|(id, how)| format!("{id} ({how:?})")).collect();
        let parents = if parents.is_empty() {
            "no parent".to_owned()
        } else {
            format!("after {}", parents.join(" and "))
        };
        self.note(&format!("{} opens at {:?}, {parents}", shard.id(), shard.start()));
        let mut entries = self.entries();
        let known: HashSet<_> = entries.shards.iter().map(|(id, _)| id.clone()).collect();
        let early =
            shard.parents().filter(|(id, _)| known.contains(*id) && !entries.ended.contains(*id)).count();
        entries.before_parent += early;
        if !known.contains(shard.id()) {
            entries.shards.push((shard.id().to_owned(), 0));
        }
    }

    /// Records of a shard were read.
    pub(crate) fn reads(&self, shard: &str, batch: Batch) {
        let count = batch.as_sdk().len();
        self.note(&format!("{shard}   {count:>3} records"));
        let mut entries = self.entries();
        if let Some((_, read)) = entries.shards.iter_mut().find(|(id, _)| id == shard) {
            *read += count;
        }
        for record in batch {
            // Records that are not ours carry no number; they count as read all the same.
            let number = std::str::from_utf8(record.data()).ok().and_then(|text| text.parse::<usize>().ok());
            let key = record.partition_key().unwrap_or_default().to_owned();
            entries.read.entry(key).or_default().extend(number);
        }
        if entries.all_is_read() {
            self.all_read.notify_one();
        }
    }

    /// A shard has been read to its end.
    pub(crate) fn ends<'a>(&self, shard: &str, children: impl Iterator<Item = &'a str>) {
        let children: Vec<&str> = children.collect();
        let children = if children.is_empty() { "no child named".to_owned() } else { children.join(", ") };
        self.note(&format!("{shard} ends; its children: {children}"));
        self.entries().ended.insert(shard.to_owned());
    }

    /// The number of the next record of a key.
    pub(crate) fn next_number(&self, key: &str) -> usize {
        *self.entries().written.entry(key.to_owned()).and_modify(|n| *n += 1).or_insert(1)
    }

    /// Waits until all that was written has been read, or for 3 s, after which it counts as lost. And then a moment longer: a record that comes
    /// once more would come late.
    pub(crate) async fn all_read_or_late(&self) {
        let all_is_read = {
            let mut entries = self.entries();
            entries.writing_is_over = true;
            entries.all_is_read()
        };
        if !all_is_read {
            let _ = timeout(Duration::from_secs(3), self.all_read.notified()).await;
        }
        sleep(Duration::from_secs(1)).await;
    }

    /// What was read of each shard.
    pub(crate) fn totals(&self) {
        let entries = self.entries();
        println!("\nShards in the order they opened:");
        for (shard, read) in &entries.shards {
            let state = if entries.ended.contains(shard) { "read to its end" } else { "open" };
            println!("  {shard}  {read:>5} records, {state}");
        }
    }

    /// Prints the verdict; whether all is well.
    pub(crate) fn summary(&self) -> bool {
        self.totals();
        let entries = self.entries();
        let written: usize = entries.written.values().sum();
        let read: usize = entries.read.values().map(Vec::len).sum();
        let verdict = entries.verdict();
        println!("\nRecords: {written} written, {read} read");
        println!("  lost                            {}", verdict.lost);
        println!("  duplicated                      {}", verdict.duplicated);
        println!("  out of order within their key   {}", verdict.out_of_order);
        println!("  shards opened before a parent   {}", entries.before_parent);
        let well = written > 0 && verdict == Verdict::default() && entries.before_parent == 0;
        println!("\n{}", if well { "All is well." } else { "SOMETHING IS WRONG." });
        well
    }
}

impl Entries {
    fn all_is_read(&self) -> bool {
        self.writing_is_over && self.verdict().lost == 0
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
