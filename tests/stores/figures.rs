//! What was seen of all lives, and what it came to.

use std::collections::{BTreeMap, HashMap};
use std::fmt;

use kinesis_shards::Checkpoint;

/// Reads the lines of the consumer, life after life.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// By key, how many of its records have come, in order.
    by_key: BTreeMap<usize, usize>,
    /// Where each record was: its shard and sequence number.
    at: HashMap<String, (String, String)>,
    /// What the store was said to keep of each shard.
    saved: HashMap<String, Checkpoint>,
    /// The same, as of the start of this life.
    saved_before: HashMap<String, Checkpoint>,
    pub(crate) figures: Figures,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) kills: usize,
    /// Before the consumer had read anything.
    pub(crate) early: usize,
    pub(crate) written: usize,
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
    }

    /// The lines of one life, in order.
    pub(crate) fn life(&mut self, lines: &[String]) -> Result<(), String> {
        self.begin_life();
        let mut repeated = 0;
        for line in lines {
            let (what, rest) = line.split_once(' ').unwrap_or((line, ""));
            match what {
                "started" | "stopped" => {}
                "saved" => {
                    self.figures.saves += 1;
                    let (shard, checkpoint) = rest.split_once(' ').ok_or(line.as_str())?;
                    let checkpoint = checkpoint.parse().map_err(|error| format!("{error}"))?;
                    self.saved.insert(shard.to_owned(), checkpoint);
                }
                "delivered" => repeated += usize::from(self.delivered(rest)?),
                _ => return Err(format!("the consumer said: {line}")),
            }
        }
        self.figures.repeated += repeated;
        self.figures.most_repeated = self.figures.most_repeated.max(repeated);
        Ok(())
    }

    /// True if it has come before.
    fn delivered(&mut self, rest: &str) -> Result<bool, String> {
        let words: Vec<_> = rest.split(' ').collect();
        let [shard, sequence_number, data] = words[..] else { return Err(format!("delivered {rest}")) };
        self.figures.delivered += 1;
        let is_saved = match self.saved_before.get(shard) {
            Some(Checkpoint::After { sequence_number: saved, .. }) => {
                (sequence_number.len(), sequence_number) <= (saved.len(), saved.as_str())
            }
            Some(Checkpoint::End) => true,
            _ => false,
        };
        if is_saved {
            let saved = &self.saved_before[shard];
            return Err(format!("{data} of {shard} came again, though {saved} was confirmed before"));
        }
        let (key, number) = data.split_once(':').ok_or(data)?;
        let key: usize = key.parse().map_err(|_| data.to_owned())?;
        let number: usize = number.parse().map_err(|_| data.to_owned())?;
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
        Ok(!is_new)
    }

    pub(crate) fn come(&self) -> usize {
        self.by_key.values().sum()
    }

    pub(crate) fn of_key(&self, key: usize) -> usize {
        self.by_key.get(&key).copied().unwrap_or_default()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, early, written, delivered, repeated, most_repeated, saves, splits, merges } = self;
        write!(
            f,
            "{kills} kills ({early} before the first record), {splits} splits, {merges} merges; {written} records, lost 0, \
             delivered {delivered} times, {repeated} of them again (at most {most_repeated} in one life); {saves} saves confirmed"
        )
    }
}
