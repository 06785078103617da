//! What was seen of all lives, and what it came to.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;

use kinesis_shards::checkpoint::Checkpoint;

/// Reads the lines of the consumer, life after life.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By key, how many of its records have come, in order.
    by_key: BTreeMap<usize, usize>,
    /// The same of this life: the number that is to come next.
    by_key_in_life: BTreeMap<usize, usize>,
    /// The records that were processed, as was said before they were acknowledged.
    done: HashSet<String>,
    /// Those that have come and were not, by shard: their sequence numbers, in their order.
    undone: HashMap<String, BTreeSet<(usize, String)>>,
    /// Where each record was: its shard and sequence number.
    at: HashMap<String, (String, String)>,
    /// What the store has confirmed of each shard.
    saved: HashMap<String, Checkpoint>,
    /// The same, as of the start of this life, or later: what the store has told this life.
    saved_before: HashMap<String, Checkpoint>,
    /// The shards of which it has told.
    loaded: HashSet<String>,
    /// Records that came in an earlier life and are not saved: they are to come again in this one.
    due_again: HashSet<String>,
    repeated_in_life: usize,
    pub(crate) figures: Figures,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kills: usize,
    /// Before the consumer had read anything.
    pub(crate) early: usize,
    pub(crate) written: usize,
    pub(crate) lost: usize,
    pub(crate) delivered: usize,
    pub(crate) repeated: usize,
    pub(crate) most_repeated: usize,
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

    /// The next lines of this life, in order.
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
                    self.is_done_up_to(&shard, &checkpoint)?;
                    self.saved.insert(shard, checkpoint);
                }
                "done" => self.is_done(rest)?,
                "delivered" => self.repeated_in_life += usize::from(self.delivered(rest)?),
                _ => return Err(format!("the consumer said: {line}")),
            }
        }
        Ok(())
    }

    pub(crate) fn end_life(&mut self) {
        self.figures.repeated += self.repeated_in_life;
        self.figures.most_repeated = self.figures.most_repeated.max(self.repeated_in_life);
    }

    /// The store has told how far a shard was: as far as it had confirmed, or further, if its last
    /// confirmation came to nobody.
    fn loaded(&mut self, shard: String, checkpoint: Checkpoint) -> Result<(), String> {
        let confirmed = self.saved_before.get(&shard);
        if let Some(confirmed) = confirmed.filter(|confirmed| place(confirmed) > place(&checkpoint))
        {
            return Err(format!("{shard}: {confirmed} was confirmed, and {checkpoint} loaded"));
        }
        self.is_done_up_to(&shard, &checkpoint)?;
        self.loaded.insert(shard.clone());
        self.saved.insert(shard.clone(), checkpoint.clone());
        self.saved_before.insert(shard, checkpoint);
        Ok(())
    }

    /// What is kept of a shard is never further than what was processed of it.
    fn is_done_up_to(&self, shard: &str, checkpoint: &Checkpoint) -> Result<(), String> {
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
                "{shard}: {checkpoint} was saved, and record {number} was not done"
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

    /// It has told of all shards.
    fn started(&mut self) -> Result<(), String> {
        // Nothing is ever forgotten here: the server lists closed shards for ever.
        if let Some(shard) = self.saved_before.keys().find(|shard| !self.loaded.contains(*shard)) {
            return Err(format!(
                "{shard}: {} was confirmed, and nothing loaded",
                self.saved_before[shard]
            ));
        }
        let unsaved = self.at.iter().filter(|(_, (shard, number))| !self.was_saved(shard, number));
        self.due_again = unsaved.map(|(data, _)| data.clone()).collect();
        Ok(())
    }

    /// The store was known to keep the record when this life began.
    fn was_saved(&self, shard: &str, sequence_number: &str) -> bool {
        match self.saved_before.get(shard) {
            Some(Checkpoint::After { sequence_number: saved, .. }) => {
                (sequence_number.len(), sequence_number) <= (saved.len(), saved.as_str())
            }
            Some(Checkpoint::End) => true,
            _ => false,
        }
    }

    /// True if it has come before.
    fn delivered(&mut self, rest: &str) -> Result<bool, String> {
        let words: Vec<_> = rest.split(' ').collect();
        let [shard, sequence_number, data] = words[..] else {
            return Err(format!("delivered {rest}"));
        };
        self.figures.delivered += 1;
        if self.was_saved(shard, sequence_number) {
            let saved = &self.saved_before[shard];
            return Err(format!(
                "{data} of {shard} came again, though {saved} was confirmed before"
            ));
        }
        let (key, number) = data.split_once(':').ok_or(data)?;
        let key: usize = key.parse().map_err(|_| data.to_owned())?;
        let number: usize = number.parse().map_err(|_| data.to_owned())?;
        // What comes of a key in one life comes without a gap, also what has come before.
        let next = self.by_key_in_life.insert(key, number + 1).unwrap_or(number);
        if number != next {
            return Err(format!("key {key}: {number} came, in the place of {next}"));
        }
        if !self.done.contains(data) {
            let undone = self.undone.entry(shard.to_owned()).or_default();
            undone.insert((sequence_number.len(), sequence_number.to_owned()));
        }
        let come = self.by_key.entry(key).or_default();
        if number > *come {
            return Err(format!("key {key}: {number} came, but {come} did not"));
        }
        let is_new = number == *come;
        *come += usize::from(is_new);
        let at = (shard.to_owned(), sequence_number.to_owned());
        let was = self.at.entry(data.to_owned()).or_insert_with(|| at.clone());
        if *was != at {
            return Err(format!("{data} came as {was:?} and as {at:?}"));
        }
        self.due_again.remove(data);
        Ok(!is_new)
    }

    /// How many are to come again in this life and have not.
    pub(crate) fn due_again(&self) -> usize {
        self.due_again.len()
    }

    pub(crate) fn come(&self) -> usize {
        self.by_key.values().sum()
    }

    /// Of what was written, by key: how many were never done.
    pub(crate) fn lost(&self, by_key: &[usize]) -> usize {
        let records = by_key.iter().enumerate();
        let records =
            records.flat_map(|(key, count)| (0..*count).map(move |n| format!("{key}:{n}")));
        records.filter(|record| !self.done.contains(record)).count()
    }
}

/// A shard, and its checkpoint.
fn checkpoint(words: &str) -> Result<(String, Checkpoint), String> {
    let (shard, checkpoint) = words.split_once(' ').ok_or(words)?;
    Ok((shard.to_owned(), checkpoint.parse().map_err(|error| format!("{words}: {error}"))?))
}

/// To compare checkpoints of one shard by.
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
            most_repeated,
            saves,
            splits,
            merges,
        } = self;
        write!(
            f,
            "{kills} kills ({early} before the first record), {splits} splits, {merges} merges; {written} records, lost {lost}, \
             delivered {delivered} times, {repeated} of them again (at most {most_repeated} in one life); {saves} saves confirmed"
        )
    }
}
