//! The lines of all workers, and the checks of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use aws_sdk_kinesis::types::Shard;

use crate::lines::LineFile;

/// A record: its key, and its number among those of the key.
pub(crate) type Record = (usize, usize);

/// The lines of all workers so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    files: Vec<LogFile>,
    deliveries: Vec<Delivery>,
    delivered: HashSet<Record>,
}

/// The lines of one process.
#[derive(Debug)]
struct LogFile {
    lines: LineFile,
    /// The lines that are not of records.
    notes: Vec<String>,
    records: usize,
    /// The shards that it has the lease of.
    leases: BTreeSet<String>,
}

/// A record that was delivered to a worker.
#[derive(Clone, Debug)]
struct Delivery {
    /// The wall time, in milliseconds.
    at: u64,
    process: usize,
    record: Record,
    shard: String,
    sequence_number: String,
}

impl Log {
    /// Adds the file of the next process, and returns the number of the process.
    pub(crate) fn add(&mut self, path: PathBuf) -> usize {
        self.files.push(LogFile {
            lines: LineFile::new(path),
            notes: Vec::new(),
            records: 0,
            leases: BTreeSet::new(),
        });
        self.files.len() - 1
    }

    /// Reads the lines that the workers have written since the last call.
    pub(crate) fn read(&mut self) -> Result<(), String> {
        for process in 0..self.files.len() {
            for line in self.files[process].lines.new_lines()? {
                self.line(process, &line).ok_or_else(|| format!("a worker wrote: {line}"))?;
            }
        }
        Ok(())
    }

    fn line(&mut self, process: usize, line: &str) -> Option<()> {
        let (at, text) = line.split_once(' ')?;
        let file = &mut self.files[process];
        let words: Vec<_> = text.split(' ').collect();
        match words[..] {
            ["record", shard, sequence_number, data] => {
                let (key, number) = data.split_once(':')?;
                let record = (key.parse().ok()?, number.parse().ok()?);
                file.records += 1;
                self.delivered.insert(record);
                self.deliveries.push(Delivery {
                    at: at.parse().ok()?,
                    process,
                    record,
                    shard: shard.to_owned(),
                    sequence_number: sequence_number.to_owned(),
                });
                return Some(());
            }
            ["granted", shard] => drop(file.leases.insert(shard.to_owned())),
            ["ended" | "shutdown", shard, ..] => drop(file.leases.remove(shard)),
            _ => {}
        }
        file.notes.push(text.to_owned());
        Some(())
    }

    /// Returns whether a process has written a line that begins with this text.
    pub(crate) fn has(&self, process: usize, text: &str) -> bool {
        self.notes(process).iter().any(|note| note.starts_with(text))
    }

    pub(crate) fn notes(&self, process: usize) -> &[String] {
        &self.files[process].notes
    }

    /// Returns the shards that a process has the lease of, by its own lines.
    pub(crate) fn leases(&self, process: usize) -> &BTreeSet<String> {
        &self.files[process].leases
    }

    /// Returns the number of records that a process was delivered.
    pub(crate) fn records(&self, process: usize) -> usize {
        self.files[process].records
    }

    pub(crate) fn is_delivered(&self, record: Record) -> bool {
        self.delivered.contains(&record)
    }

    /// Returns the number of deliveries of records that were delivered before.
    pub(crate) fn repeats(&self) -> usize {
        self.deliveries.len() - self.delivered.len()
    }

    /// Returns the first delivery of each record.
    fn first(&self) -> BTreeMap<Record, &Delivery> {
        let mut first: BTreeMap<Record, &Delivery> = BTreeMap::new();
        for delivery in &self.deliveries {
            let earliest = first.entry(delivery.record).or_insert(delivery);
            if delivery.at < earliest.at {
                *earliest = delivery;
            }
        }
        first
    }

    /// Checks what holds through any fault.
    pub(crate) fn check(&self, shards: &[Shard]) -> Result<(), String> {
        let first = self.first();
        self.check_places()?;
        self.check_keys(&first)?;
        self.check_parents(&first, shards)
    }

    fn check_places(&self) -> Result<(), String> {
        let mut places = HashMap::new();
        for Delivery { record, shard, sequence_number, .. } in &self.deliveries {
            let place = (shard, sequence_number);
            let known = *places.entry(record).or_insert(place);
            if known != place {
                return Err(format!("{record:?} was delivered as {known:?} and as {place:?}"));
            }
        }
        Ok(())
    }

    /// Checks that no record of a key is first delivered after a later one.
    fn check_keys(&self, first: &BTreeMap<Record, &Delivery>) -> Result<(), String> {
        let mut last: Option<&Delivery> = None;
        for delivery in first.values() {
            if let Some(last) = last
                && last.record.0 == delivery.record.0
                && last.at > delivery.at
            {
                return Err(format!(
                    "a record was first delivered after a later one of its key:\n{}\n{}",
                    self.show(last),
                    self.show(delivery)
                ));
            }
            last = Some(delivery);
        }
        Ok(())
    }

    /// Checks that no record of a shard is delivered before the first delivery of each record of
    /// its parents.
    fn check_parents(
        &self,
        first: &BTreeMap<Record, &Delivery>,
        shards: &[Shard],
    ) -> Result<(), String> {
        let mut ends: HashMap<&str, &Delivery> = HashMap::new();
        let mut starts: HashMap<&str, &Delivery> = HashMap::new();
        for delivery in first.values() {
            let end = ends.entry(&delivery.shard).or_insert(delivery);
            if delivery.at > end.at {
                *end = delivery;
            }
            let start = starts.entry(&delivery.shard).or_insert(delivery);
            if delivery.at < start.at {
                *start = delivery;
            }
        }
        for shard in shards {
            let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
            for parent in parents.into_iter().flatten() {
                if let (Some(end), Some(start)) = (ends.get(parent), starts.get(shard.shard_id()))
                    && start.at < end.at
                {
                    return Err(format!(
                        "a record of a child was delivered before one of its parent:\n{}\n{}",
                        self.show(start),
                        self.show(end)
                    ));
                }
            }
        }
        Ok(())
    }

    fn show(&self, delivery: &Delivery) -> String {
        format!("{}: {delivery:?}", self.files[delivery.process].lines.path().display())
    }
}
