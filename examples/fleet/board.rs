//! The messages of the workers, summed up: which worker has which shard, and what was read.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::Message;

#[derive(Default)]
pub(crate) struct Board {
    /// The owner of each shard that has one.
    owners: BTreeMap<String, String>,
    /// The last owner of each shard.
    last_owners: BTreeMap<String, String>,
    /// The workers that have left, and whether their shutdown was complete.
    left: BTreeMap<String, bool>,
    moved: usize,
    read: BTreeSet<u64>,
    repeated: usize,
}

impl Board {
    /// Takes in a message of a worker. Returns a line for people, if it is worth one.
    pub(crate) fn note(&mut self, worker: &str, message: Message) -> Option<String> {
        match message {
            Message::Granted { shard } => {
                let last = self.last_owners.insert(shard.clone(), worker.to_owned());
                self.moved += usize::from(last.is_some_and(|last| last != worker));
                self.owners.insert(shard, worker.to_owned());
            }
            Message::Ended { shard } => {
                // The next owner may have told first.
                if self.owner(&shard) == Some(worker) {
                    self.owners.remove(&shard);
                }
            }
            Message::Fenced { worker: dead } => {
                return Some(format!("{worker} declares {dead} dead"));
            }
            Message::Read { number } => self.repeated += usize::from(!self.read.insert(number)),
            Message::Left { is_complete } => {
                self.left.insert(worker.to_owned(), is_complete);
                let how = if is_complete { "" } else { ", not completely" };
                return Some(format!("{worker} has left{how}"));
            }
        }
        None
    }

    pub(crate) fn owner(&self, shard: &str) -> Option<&str> {
        self.owners.get(shard).map(String::as_str)
    }

    /// Returns the shards of a worker.
    pub(crate) fn shards_of(&self, worker: &str) -> Vec<&str> {
        let owned = self.owners.iter().filter(|(_, owner)| *owner == worker);
        owned.map(|(shard, _)| shard.as_str()).collect()
    }

    /// Returns whether exactly these workers own shards, `open` in all, and their numbers differ by
    /// at most 1.
    pub(crate) fn is_balanced(&self, workers: &[&str], open: usize) -> bool {
        let counts: Vec<_> = workers.iter().map(|worker| self.shards_of(worker).len()).collect();
        let (most, least) = (counts.iter().max(), counts.iter().min());
        let is_even = most.zip(least).is_some_and(|(most, least)| most - least <= 1);
        is_even && counts.iter().sum::<usize>() == open && self.owners.len() == open
    }

    pub(crate) fn has_left(&self, worker: &str) -> bool {
        self.left.contains_key(worker)
    }

    /// Returns whether all records were read, of which `written` were written.
    pub(crate) fn has_read(&self, written: u64) -> bool {
        self.lost(written) == 0
    }

    fn lost(&self, written: u64) -> usize {
        (0..written).filter(|number| !self.read.contains(number)).count()
    }

    /// Describes which shards each worker has. Empty if no shard has an owner.
    pub(crate) fn describe(&self) -> String {
        let mut shards = BTreeMap::<_, Vec<_>>::new();
        for (shard, owner) in &self.owners {
            shards.entry(owner).or_default().push(number(shard));
        }
        let workers: Vec<_> =
            shards.iter().map(|(owner, shards)| format!("{owner}: {}", shards.join(" "))).collect();
        if workers.is_empty() { String::new() } else { format!(": {}", workers.join(" | ")) }
    }

    /// Prints the figures of the run. Returns whether no record was lost.
    pub(crate) fn print_summary(&self, written: u64) -> bool {
        let lost = self.lost(written);
        println!("\nRecords: {written} written, {} read", self.read.len() + self.repeated);
        println!("  lost           {lost:>5}");
        println!(
            "  repeated       {:>5}   those of the killed worker since its last save",
            self.repeated
        );
        println!("Leases moved     {:>5}", self.moved);
        lost == 0
    }
}

/// Shortens the id of a shard to its number.
pub(crate) fn number(shard: &str) -> &str {
    let number = shard.trim_start_matches("shardId-").trim_start_matches('0');
    if number.is_empty() { "0" } else { number }
}
