//! One stream: its shards, open and closed, and what its retention period still keeps.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::hash_range::HashRange;
use super::records::Records;
use super::refusal::Refusal;
use super::shard::{Shard, shard_id, shard_index};
use super::time::Millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Provisioned,
    OnDemand,
}

/// What the stream is in the middle of, and until when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Creating(Millis),
    Updating(Millis),
    Deleting(Millis),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}

pub(crate) const MIN_RETENTION_HOURS: u32 = 24;
pub(crate) const MAX_RETENTION_HOURS: u32 = 8760;
/// The largest record of a stream that was not made for larger ones.
pub(crate) const DEFAULT_RECORD_KIB: u32 = 1024;

/// A shard that has expired, without its records.
#[derive(Clone, Debug)]
pub(super) struct GoneShard {
    pub(super) shard: Shard,
    pub(super) since: Millis,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(super) account: String,
    /// Tells this stream from another that had the same name before it.
    pub(crate) id: u64,
    pub(crate) created: Millis,
    pub(crate) mode: Mode,
    pub(crate) retention_hours: u32,
    /// The largest record, in KiB.
    pub(crate) record_kib: u32,
    pub(super) change: Change,
    pub(super) shards: BTreeMap<u32, Shard>,
    /// The open shards by the first hash key of their range.
    pub(super) open: BTreeMap<u128, u32>,
    /// Closed shards in the order they closed, which is the order they expire in.
    closed: VecDeque<(Millis, u32)>,
    /// What is listed no more, in the order it went: for the listings that lag behind.
    pub(super) gone: VecDeque<GoneShard>,
    /// Nothing from before this is kept, whatever the retention period is now.
    horizon: Millis,
    pub(super) next_index: u32,
}

impl Stream {
    /// Nothing more than its shards, and `ACTIVE`.
    pub(super) fn new(
        (name, arn, account): (&str, String, &str),
        id: u64,
        mode: Mode,
        shards: u32,
        now: Millis,
    ) -> Self {
        let mut stream = Self {
            name: name.to_owned(),
            arn,
            account: account.to_owned(),
            id,
            created: now,
            mode,
            retention_hours: MIN_RETENTION_HOURS,
            record_kib: DEFAULT_RECORD_KIB,
            change: Change::Creating(now),
            shards: BTreeMap::new(),
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            gone: VecDeque::new(),
            horizon: now,
            next_index: 0,
        };
        for range in HashRange::uniform(shards) {
            stream.open_shard(id, range, (None, None), now);
        }
        stream
    }

    pub(crate) fn status(&self, now: Millis) -> Status {
        match self.change {
            Change::Creating(until) if now < until => Status::Creating,
            Change::Updating(until) if now < until => Status::Updating,
            Change::Deleting(_) => Status::Deleting,
            Change::Creating(_) | Change::Updating(_) => Status::Active,
        }
    }

    /// The shards that AWS lists, in the order of their ids.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.values()
    }

    pub(crate) fn open_shards(&self) -> usize {
        self.open.len()
    }

    /// The earliest time from which anything is kept. It never goes back: what has expired is gone for good.
    pub(crate) fn trim_horizon(&self, now: Millis) -> Millis {
        self.retention_start(now).max(self.horizon)
    }

    pub(crate) fn retention_start(&self, now: Millis) -> Millis {
        now.minus(self.retention())
    }

    fn retention(&self) -> Duration {
        Duration::from_secs(3600 * u64::from(self.retention_hours))
    }

    /// Forgets the closed shards whose last possible record is past retention.
    pub(super) fn expire(&mut self, now: Millis) {
        self.expire_at(now, Millis(0));
    }

    /// As [`expire`](Self::expire) does; nothing has been gone since before `earliest`.
    fn expire_at(&mut self, now: Millis, earliest: Millis) {
        let (horizon, retention) = (self.retention_start(now), self.retention());
        while let Some(&(closed, index)) = self.closed.front()
            && closed <= horizon
        {
            self.closed.pop_front();
            self.remove_shard(index, closed.plus(retention).max(earliest));
        }
        // No listing lags behind by more than what is kept.
        while self.gone.front().is_some_and(|gone| gone.since <= horizon) {
            self.gone.pop_front();
        }
    }

    /// Forgets one closed shard before its time.
    pub(crate) fn expire_shard(&mut self, id: &str, now: Millis) -> Result<(), Refusal> {
        let shard = self.shard(id)?;
        let (index, Some(closed)) = (shard.index, shard.closed) else {
            return Err(Refusal::invalid(format!("{id} is open: only a closed shard expires")));
        };
        // What was written until then is gone with it.
        self.horizon = self.horizon.max(closed);
        self.remove_shard(index, now);
        Ok(())
    }

    fn remove_shard(&mut self, index: u32, since: Millis) {
        if let Some(mut shard) = self.shards.remove(&index) {
            shard.records = Records::default();
            self.gone.push_back(GoneShard { shard, since });
        }
    }

    pub(crate) fn shard(&self, id: &str) -> Result<&Shard, Refusal> {
        let index = shard_index(id).ok_or_else(|| self.no_such_shard(id))?;
        self.shard_at(index)
    }

    pub(super) fn shard_at(&self, index: u32) -> Result<&Shard, Refusal> {
        self.shards.get(&index).ok_or_else(|| self.no_shard_at(index))
    }

    pub(super) fn no_shard_at(&self, index: u32) -> Refusal {
        let id = shard_id(index);
        Refusal::not_found(format!(
            "Shard {id} in stream {} under account {} does not exist",
            self.name, self.account
        ))
    }

    fn no_such_shard(&self, id: &str) -> Refusal {
        Refusal::not_found(format!(
            "Could not find shard {id} in stream {} under account {}.",
            self.name, self.account
        ))
    }

    pub(super) fn open_shard(
        &mut self,
        generation: u64,
        range: HashRange,
        parents: (Option<u32>, Option<u32>),
        now: Millis,
    ) -> u32 {
        let index = self.next_index;
        self.next_index += 1;
        self.open.insert(range.start, index);
        self.shards.insert(index, Shard::open(index, generation, range, parents, now));
        index
    }

    pub(super) fn close_shard(&mut self, index: u32, children: Vec<u32>, now: Millis) {
        if let Some(shard) = self.shards.get_mut(&index) {
            // A child may begin at the same hash key: only this shard's own entry goes.
            if self.open.get(&shard.range.start) == Some(&index) {
                self.open.remove(&shard.range.start);
            }
            shard.close(children, now);
            self.closed.push_back((now, index));
        }
    }

    /// The open shards in the order of their hash keys: each begins where the one before it ends.
    pub(crate) fn open_by_hash_key(&self) -> impl Iterator<Item = &Shard> {
        self.open.values().filter_map(|index| self.shards.get(index))
    }

    /// The open shard that takes `key`.
    pub(super) fn shard_for(&mut self, key: u128) -> Option<&mut Shard> {
        let (_, index) = self.open.range(..=key).next_back()?;
        self.shards.get_mut(index)
    }

    pub(super) fn set_retention(&mut self, hours: u32, now: Millis) {
        // What the old period dropped does not come back under a longer one.
        self.horizon = self.trim_horizon(now);
        self.trim(now);
        self.retention_hours = hours;
        self.trim(now);
    }

    fn trim(&mut self, now: Millis) {
        self.expire_at(now, now);
        let horizon = self.retention_start(now);
        for shard in self.shards.values_mut() {
            shard.records.trim(horizon);
        }
    }
}
