//! A stream: its open shards, and the closed ones that are still within the retention period.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::testing::model::api_error::ApiError;
use crate::testing::model::consumer::Consumer;
use crate::testing::model::hash_range::HashRange;
use crate::testing::model::records::Records;
use crate::testing::model::shard::{Shard, shard_id, shard_index};
use crate::testing::model::status::{Change, Status};
use crate::testing::model::time::Millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    Provisioned,
    OnDemand,
}

pub(crate) const MIN_RETENTION_HOURS: u32 = 24;
pub(crate) const MAX_RETENTION_HOURS: u32 = 8760;
/// The maximum record size of a new stream, unless its creation sets a larger one.
pub(crate) const DEFAULT_RECORD_KIB: u32 = 1024;

/// An expired shard, without its records.
#[derive(Clone, Debug)]
pub(crate) struct GoneShard {
    pub(crate) shard: Shard,
    pub(crate) since: Millis,
}

#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) name: String,
    pub(crate) arn: String,
    pub(crate) account: String,
    /// Distinguishes the streams that have had this name.
    pub(crate) id: u64,
    pub(crate) created: Millis,
    pub(crate) mode: Mode,
    pub(crate) retention_hours: u32,
    /// The maximum record size in KiB.
    pub(crate) record_kib: u32,
    /// Whether the sequence number of a record contains the time.
    pub(crate) time_in_numbers: bool,
    pub(crate) change: Change,
    pub(crate) shards: BTreeMap<u32, Shard>,
    /// The open shards by the start of their range.
    pub(crate) open: BTreeMap<u128, u32>,
    /// The closed shards in the order they closed, which is the order in which they expire.
    closed: VecDeque<(Millis, u32)>,
    /// The expired shards in the order they expired, for stale listings.
    pub(crate) gone: VecDeque<GoneShard>,
    /// The trim horizon never moves back before this time, even if the retention period grows.
    horizon: Millis,
    pub(crate) next_index: u32,
    /// The registered consumers, by name.
    pub(crate) consumers: BTreeMap<String, Consumer>,
}

impl Stream {
    /// Creates an `ACTIVE` stream with `shards` shards of equal width.
    pub(crate) fn new(
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
            time_in_numbers: true,
            change: Change::Creating(now),
            shards: BTreeMap::new(),
            open: BTreeMap::new(),
            closed: VecDeque::new(),
            gone: VecDeque::new(),
            horizon: now,
            next_index: 0,
            consumers: BTreeMap::new(),
        };
        for range in HashRange::uniform(shards) {
            stream.open_shard(id, range, (None, None), now);
        }
        stream
    }

    pub(crate) fn status(&self, now: Millis) -> Status {
        self.change.status(now)
    }

    /// Returns the shards that AWS lists, in the order of their ids.
    pub(crate) fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.shards.values()
    }

    pub(crate) fn open_shard_count(&self) -> usize {
        self.open.len()
    }

    /// Returns the earliest time from which anything is kept. It never moves back: expired records
    /// do not return.
    pub(crate) fn trim_horizon(&self, now: Millis) -> Millis {
        self.retention_start(now).max(self.horizon)
    }

    pub(crate) fn retention_start(&self, now: Millis) -> Millis {
        now.minus(self.retention())
    }

    fn retention(&self) -> Duration {
        Duration::from_secs(3600 * u64::from(self.retention_hours))
    }

    /// Removes the shards that closed before the start of the retention period: all their records
    /// have expired.
    pub(crate) fn expire(&mut self, now: Millis) {
        self.expire_at(now, Millis(0));
    }

    /// Removes shards as [`expire`](Self::expire) does, and dates their expiry no earlier than
    /// `earliest`: a shorter retention period has no effect before it is set.
    fn expire_at(&mut self, now: Millis, earliest: Millis) {
        let (horizon, retention) = (self.retention_start(now), self.retention());
        while let Some(&(closed, index)) = self.closed.front()
            && closed <= horizon
        {
            self.closed.pop_front();
            self.remove_shard(index, closed.plus(retention).max(earliest));
        }
        // A stale listing lags by at most the retention period.
        while self.gone.front().is_some_and(|gone| gone.since <= horizon) {
            self.gone.pop_front();
        }
    }

    /// Removes one closed shard before its retention period is over.
    pub(crate) fn expire_shard(&mut self, id: &str, now: Millis) -> Result<(), ApiError> {
        let shard = self.shard(id)?;
        let (index, Some(closed)) = (shard.index, shard.closed) else {
            return Err(ApiError::invalid(format!(
                "{id} is open, and only a closed shard can expire"
            )));
        };
        // Every record written before the shard closed counts as trimmed.
        self.horizon = self.horizon.max(closed);
        self.remove_shard(index, now);
        Ok(())
    }

    fn remove_shard(&mut self, index: u32, since: Millis) {
        if let Some(mut shard) = self.shards.remove(&index) {
            shard.records = Records::default();
            self.gone.push_back(GoneShard { shard, since });
            self.wake_subscribers(index);
        }
    }

    pub(crate) fn shard(&self, id: &str) -> Result<&Shard, ApiError> {
        let index = shard_index(id).ok_or_else(|| self.no_such_shard(id))?;
        self.shard_at(index)
    }

    pub(crate) fn shard_at(&self, index: u32) -> Result<&Shard, ApiError> {
        self.shards.get(&index).ok_or_else(|| self.no_shard_at(index))
    }

    pub(crate) fn no_shard_at(&self, index: u32) -> ApiError {
        let id = shard_id(index);
        ApiError::not_found(format!(
            "Shard {id} in stream {} under account {} does not exist",
            self.name, self.account
        ))
    }

    fn no_such_shard(&self, id: &str) -> ApiError {
        ApiError::not_found(format!(
            "Could not find shard {id} in stream {} under account {}.",
            self.name, self.account
        ))
    }

    pub(crate) fn open_shard(
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

    pub(crate) fn close_shard(&mut self, index: u32, children: Vec<u32>, now: Millis) {
        if let Some(shard) = self.shards.get_mut(&index) {
            // A child may start at the same hash key and have replaced this shard's entry.
            if self.open.get(&shard.range.start) == Some(&index) {
                self.open.remove(&shard.range.start);
            }
            shard.close(children, now);
            self.closed.push_back((now, index));
            self.wake_subscribers(index);
        }
    }

    /// Wakes the subscriptions of a shard.
    pub(crate) fn wake_subscribers(&self, shard: u32) {
        for consumer in self.consumers.values() {
            if let Some(subscription) = consumer.subscriptions.get(&shard) {
                subscription.change.notify_one();
            }
        }
    }

    /// Ends the subscriptions of every consumer.
    pub(crate) fn end_subscriptions(&mut self) {
        for consumer in self.consumers.values_mut() {
            consumer.subscriptions.clear();
        }
    }

    /// Returns the open shards in the order of their hash keys. Each starts where the one before it
    /// ends.
    pub(crate) fn open_by_hash_key(&self) -> impl Iterator<Item = &Shard> {
        self.open.values().filter_map(|index| self.shards.get(index))
    }

    /// Returns the open shard whose range contains `key`.
    pub(crate) fn shard_for(&mut self, key: u128) -> Option<&mut Shard> {
        let (_, index) = self.open.range(..=key).next_back()?;
        self.shards.get_mut(index)
    }

    pub(crate) fn set_retention(&mut self, hours: u32, now: Millis) {
        // Records that expired under the old period do not return under a longer one.
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
