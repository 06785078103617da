//! The lines of all workers, and the checks of them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::PathBuf;

use crate::lines::LineFile;

/// The lines of all workers so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    files: Vec<LogFile>,
    pub(crate) deliveries: Vec<Delivery>,
    /// The records, as `key:number`.
    delivered: HashSet<(usize, usize)>,
}

/// The lines of one process.
#[derive(Debug)]
struct LogFile {
    lines: LineFile,
    /// The other lines, without their times.
    notes: Vec<String>,
    /// The shards that it has the lease of.
    leases: BTreeSet<String>,
}

/// A record that was delivered to a worker.
#[derive(Clone, Debug)]
pub(crate) struct Delivery {
    /// The wall time just before the delivery, in microseconds.
    pub(crate) before: u64,
    /// The wall time just after the delivery.
    pub(crate) after: u64,
    pub(crate) process: usize,
    pub(crate) key: usize,
    pub(crate) number: usize,
    sequence_number: String,
    pub(crate) shard: String,
    token: u64,
}

impl Log {
    /// Returns the number of processes so far.
    pub(crate) fn processes(&self) -> usize {
        self.files.len()
    }

    /// Adds the file of the next process.
    pub(crate) fn add(&mut self, path: PathBuf) {
        self.files.push(LogFile {
            lines: LineFile::new(path),
            notes: Vec::new(),
            leases: BTreeSet::new(),
        });
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
        let words: Vec<_> = line.split(' ').collect();
        if let [before, after, data, sequence_number, shard, token] = words[..]
            && let Some((key, number)) = data.split_once(':')
            && let Ok(after) = after.parse()
        {
            let (key, number) = (key.parse().ok()?, number.parse().ok()?);
            self.delivered.insert((key, number));
            self.deliveries.push(Delivery {
                before: before.parse().ok()?,
                after,
                process,
                key,
                number,
                sequence_number: sequence_number.to_owned(),
                shard: shard.to_owned(),
                token: token.parse().ok()?,
            });
            return Some(());
        }
        let (at, text) = line.split_once(' ')?;
        let file = &mut self.files[process];
        match words[1..] {
            ["granted", shard, _] => drop(file.leases.insert(shard.to_owned())),
            ["ended", shard, ..] => drop(file.leases.remove(shard)),
            _ => {}
        }
        let _: u64 = at.parse().ok()?;
        file.notes.push(text.to_owned());
        Some(())
    }

    pub(crate) fn notes(&self, process: usize) -> &[String] {
        &self.files[process].notes
    }

    /// Returns whether a process has written a line that begins with this text.
    pub(crate) fn has(&self, process: usize, text: &str) -> bool {
        self.notes(process).iter().any(|note| note.starts_with(text))
    }

    /// Returns the shards that a process has the lease of, by its own lines.
    pub(crate) fn leases(&self, process: usize) -> &BTreeSet<String> {
        &self.files[process].leases
    }

    /// Returns the number of records delivered, each counted once.
    pub(crate) fn records(&self) -> usize {
        self.delivered.len()
    }

    /// Returns the number of deliveries of records that were delivered before.
    pub(crate) fn repeats(&self) -> usize {
        self.deliveries.len() - self.delivered.len()
    }

    /// Returns the records that no worker was delivered, of those with these counts by key.
    pub(crate) fn lost(&self, by_key: &[usize]) -> Vec<(usize, usize)> {
        let records = by_key.iter().enumerate();
        let records = records.flat_map(|(key, count)| (0..*count).map(move |number| (key, number)));
        records.filter(|record| !self.delivered.contains(record)).collect()
    }

    /// Checks what holds at any time, through any fault.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.check_order()?;
        self.check_tokens()
    }

    /// Checks that no record of a key is first delivered after a later one. The records of a key
    /// are in a shard, and then in its children: so this is the order of parents and children, too.
    fn check_order(&self) -> Result<(), String> {
        let mut first: BTreeMap<(usize, usize), &Delivery> = BTreeMap::new();
        let mut places = HashMap::new();
        for delivery in &self.deliveries {
            let record = (delivery.key, delivery.number);
            let earliest = first.entry(record).or_insert(delivery);
            if delivery.before < earliest.before {
                *earliest = delivery;
            }
            let place = (&delivery.shard, &delivery.sequence_number);
            let known = *places.entry(record).or_insert(place);
            if known != place {
                return Err(format!("{record:?} was delivered as {known:?} and as {place:?}"));
            }
        }
        let mut last: Option<&Delivery> = None;
        for delivery in first.into_values() {
            if let Some(last) = last
                && last.key == delivery.key
                && last.before > delivery.after
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

    /// Checks that no shard is delivered under a token after it was under a greater one, and that
    /// each token is of one process.
    fn check_tokens(&self) -> Result<(), String> {
        let mut shards: BTreeMap<&str, BTreeMap<u64, Vec<&Delivery>>> = BTreeMap::new();
        for delivery in &self.deliveries {
            let tokens = shards.entry(&delivery.shard).or_default();
            tokens.entry(delivery.token).or_default().push(delivery);
        }
        for tokens in shards.values() {
            let mut last: Option<&Delivery> = None;
            for deliveries in tokens.values() {
                let first = deliveries[0];
                if let Some(other) = deliveries.iter().find(|other| other.process != first.process)
                {
                    return Err(format!(
                        "two workers have one token:\n{}\n{}",
                        self.show(first),
                        self.show(other)
                    ));
                }
                let earliest = deliveries.iter().min_by_key(|delivery| delivery.after);
                if let (Some(last), Some(earliest)) = (last, earliest)
                    && last.before > earliest.after
                {
                    return Err(format!(
                        "a shard was delivered under a token after it was under a greater one:\n\
                         {}\n{}",
                        self.show(last),
                        self.show(earliest)
                    ));
                }
                let latest = deliveries.iter().copied().chain(last);
                last = latest.max_by_key(|delivery| delivery.before);
            }
        }
        Ok(())
    }

    fn show(&self, delivery: &Delivery) -> String {
        let file = self.files[delivery.process].lines.path().display();
        format!("{file}: {delivery:?}")
    }
}
