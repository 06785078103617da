//! The check of the lines that all lives of the consumer print, and its figures.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use kinesis_shards::checkpoint::Checkpoint;

/// The events of all lives so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The number of records delivered of each key, in order.
    by_key: BTreeMap<usize, usize>,
    /// The number of the next record of each key in this life.
    by_key_in_life: BTreeMap<usize, usize>,
    /// The records that were processed, noted before they were acknowledged.
    done: HashSet<String>,
    /// The sequence numbers of the records delivered but not processed, by shard.
    undone: HashMap<String, BTreeSet<(usize, String)>>,
    /// The shard and the sequence number of each record.
    at: HashMap<String, (String, String)>,
    /// The checkpoint of each shard that the store has confirmed.
    saved: HashMap<String, Checkpoint>,
    /// The checkpoint of each shard as this life has loaded it.
    saved_before: HashMap<String, Checkpoint>,
    /// The shards that this life has loaded.
    loaded: HashSet<String>,
    /// The records of earlier lives that are not saved, so this life must repeat them.
    due_again: HashSet<String>,
    repeated_in_life: usize,
    pub(crate) figures: Figures,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kills: usize,
    /// Kills before the first record.
    pub(crate) early: usize,
    pub(crate) written: usize,
    pub(crate) lost: usize,
    pub(crate) delivered: usize,
    pub(crate) repeated: usize,
    pub(crate) max_repeated: usize,
    pub(crate) saves: usize,
    pub(crate) splits: usize,
    pub(crate) merges: usize,
}

impl Seen {
    pub(crate) fn begin_life(&mut self) {
        self.saved_before = self.saved.clone();
        self.loaded.clear();
        self.due_again.clear();
        self.by_key_in_life.clear();
        self.repeated_in_life = 0;
    }

    /// Checks the next lines of this life, in order.
    pub(crate) fn lines(&mut self, lines: &[String]) -> Result<(), String> {
        for line in lines {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            match what {
                "stopped" => {}
                "loaded" => {
                    let (shard, checkpoint) = checkpoint(rest)?;
                    self.loaded(shard, checkpoint)?;
                }
                "started" => self.started()?,
                "saved" => {
                    self.figures.saves += 1;
                    let (shard, checkpoint) = checkpoint(rest)?;
                    self.check_processed(&shard, &checkpoint)?;
                    self.saved.insert(shard, checkpoint);
                }
                "done" => self.is_done(rest)?,
                "delivered" => self.repeated_in_life += usize::from(self.check_delivered(rest)?),
                _ => return Err(format!("the consumer printed: {line}")),
            }
        }
        Ok(())
    }

    pub(crate) fn end_life(&mut self) {
        self.figures.repeated += self.repeated_in_life;
        self.figures.max_repeated = self.figures.max_repeated.max(self.repeated_in_life);
    }

    /// Checks a loaded checkpoint: the last one that the store has confirmed, or a later one whose
    /// confirmation was lost.
    fn loaded(&mut self, shard: String, checkpoint: Checkpoint) -> Result<(), String> {
        let confirmed = self.saved_before.get(&shard);
        if let Some(confirmed) = confirmed.filter(|confirmed| place(confirmed) > place(&checkpoint))
        {
            return Err(format!("{shard}: {confirmed} was confirmed, but {checkpoint} was loaded"));
        }
        self.check_processed(&shard, &checkpoint)?;
        self.loaded.insert(shard.clone());
        self.saved.insert(shard.clone(), checkpoint.clone());
        self.saved_before.insert(shard, checkpoint);
        Ok(())
    }

    /// Checks that a checkpoint does not pass an unprocessed record.
    fn check_processed(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), String> {
        let Some((len, number)) = self.undone.get(shard).and_then(BTreeSet::first) else {
            return Ok(());
        };
        let is_passed = match checkpoint {
            Checkpoint::After { sequence_number, .. } => {
                (*len, number.as_str()) <= (sequence_number.len(), sequence_number.as_str())
            }
            Checkpoint::End => true,
            _ => false,
        };
        if is_passed {
            return Err(format!(
                "{shard}: {checkpoint} was saved, but record {number} was not processed"
            ));
        }
        Ok(())
    }

    fn is_done(&mut self, rest: &str) -> Result<(), String> {
        let words: Vec<_> = rest.split(' ').collect();
        let [shard, sequence_number, data] = words[..] else { return Err(format!("done {rest}")) };
        if let Some(undone) = self.undone.get_mut(shard) {
            undone.remove(&(sequence_number.len(), sequence_number.to_owned()));
        }
        self.done.insert(data.to_owned());
        Ok(())
    }

    /// Checks that this life has loaded every shard.
    fn started(&mut self) -> Result<(), String> {
        // No shard is ever forgotten here, because the server lists closed shards forever.
        if let Some(shard) = self.saved_before.keys().find(|shard| !self.loaded.contains(*shard)) {
            return Err(format!(
                "{shard}: {} was confirmed, but nothing was loaded",
                self.saved_before[shard]
            ));
        }
        let unsaved = self.at.iter().filter(|(_, (shard, number))| !self.was_saved(shard, number));
        self.due_again = unsaved.map(|(data, _)| data.clone()).collect();
        Ok(())
    }

    /// Returns whether the record was saved when this life began.
    fn was_saved(&self, shard: &str, sequence_number: &str) -> bool {
        match self.saved_before.get(shard) {
            Some(Checkpoint::After { sequence_number: saved, .. }) => {
                (sequence_number.len(), sequence_number) <= (saved.len(), saved.as_str())
            }
            Some(Checkpoint::End) => true,
            _ => false,
        }
    }

    /// Checks a delivered record. Returns whether it was delivered before.
    fn check_delivered(&mut self, rest: &str) -> Result<bool, String> {
        let words: Vec<_> = rest.split(' ').collect();
        let [shard, sequence_number, data] = words[..] else {
            return Err(format!("delivered {rest}"));
        };
        self.figures.delivered += 1;
        if self.was_saved(shard, sequence_number) {
            let saved = &self.saved_before[shard];
            return Err(format!("{data} of {shard} was repeated, although {saved} was confirmed"));
        }
        let (key, number) = data.split_once(':').ok_or(data)?;
        let key: usize = key.parse().map_err(|_| data.to_owned())?;
        let number: usize = number.parse().map_err(|_| data.to_owned())?;
        // Within a life the records of a key have no gap, whether they are repeated or not.
        let next = self.by_key_in_life.insert(key, number + 1).unwrap_or(number);
        if number != next {
            return Err(format!("key {key}: {number} was delivered instead of {next}"));
        }
        if !self.done.contains(data) {
            let undone = self.undone.entry(shard.to_owned()).or_default();
            undone.insert((sequence_number.len(), sequence_number.to_owned()));
        }
        let delivered = self.by_key.entry(key).or_default();
        if number > *delivered {
            return Err(format!("key {key}: {number} was delivered, but {delivered} was not"));
        }
        let is_new = number == *delivered;
        *delivered += usize::from(is_new);
        let at = (shard.to_owned(), sequence_number.to_owned());
        let was = self.at.entry(data.to_owned()).or_insert_with(|| at.clone());
        if *was != at {
            return Err(format!("{data} was delivered as {was:?} and as {at:?}"));
        }
        self.due_again.remove(data);
        Ok(!is_new)
    }

    /// Returns the number of records that this life must still repeat.
    pub(crate) fn due_again(&self) -> usize {
        self.due_again.len()
    }

    pub(crate) fn delivered(&self) -> usize {
        self.by_key.values().sum()
    }

    /// Returns how many of the records written were never processed.
    pub(crate) fn lost(&self, by_key: &[usize]) -> usize {
        let records = by_key.iter().enumerate();
        let records =
            records.flat_map(|(key, count)| (0..*count).map(move |n| format!("{key}:{n}")));
        records.filter(|record| !self.done.contains(record)).count()
    }
}

/// Parses a shard and its checkpoint.
fn checkpoint(words: &str) -> Result<(String, Checkpoint), String> {
    let (shard, checkpoint) = words.split_once(' ').ok_or(words)?;
    Ok((shard.to_owned(), checkpoint.parse().map_err(|error| format!("{words}: {error}"))?))
}

/// Returns a sort key of the checkpoints of one shard.
fn place(checkpoint: &Checkpoint) -> (u8, usize, &str) {
    match checkpoint {
        Checkpoint::Start(_) => (0, 0, ""),
        Checkpoint::After { sequence_number, .. } => (1, sequence_number.len(), sequence_number),
        _ => (2, 0, ""),
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kills,
            early,
            written,
            lost,
            delivered,
            repeated,
            max_repeated,
            saves,
            splits,
            merges,
        } = self;
        write!(
            f,
            "{kills} kills ({early} before the first record), {splits} splits, {merges} merges; \
             {written} records, {lost} lost; {delivered} deliveries, {repeated} of them repeated \
             (at most {max_repeated} in one life); {saves} saves confirmed"
        )
    }
}
