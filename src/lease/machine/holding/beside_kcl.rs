//! Leases in a table that workers of the Kinesis Client Library (KCL) use at the same time.

use std::collections::BTreeSet;

use tokio::time::Duration;

use crate::lease::machine::holding::moves::Move;
use crate::lease::machine::holding::{Held, Write};
use crate::lease::machine::membership::delivery_limit;
use crate::lease::machine::{Action, Failure, Machine, Purpose, Time};
use crate::lease::table::Change;

/// How long a hand-over of KCL 3 waits for the records in flight. Its leader takes the lease after
/// that.
pub(crate) const HAND_OVER_LIMIT: Duration = Duration::from_secs(30);

impl Machine {
    /// Begins to hand a lease over, as a leader of KCL 3 asks for it. It stays with this worker,
    /// under another condition, until its records in flight are acknowledged.
    pub(crate) fn hand_over(&mut self, shard_id: &str) {
        let until = self.now + HAND_OVER_LIMIT;
        let Some(held) = self.held.get_mut(shard_id) else { return };
        if std::mem::replace(&mut held.is_handed_over, true) || held.ending.is_some() {
            return;
        }
        match &mut held.moving {
            Some(Move::Settled { .. }) => {}
            Some(Move::Draining { until: limit, .. }) => *limit = until.min(*limit),
            moving => {
                *moving = Some(Move::Draining { to: None, until });
                self.act(Action::Drain { shard_id: shard_id.to_owned(), cut: false });
            }
        }
        self.timed.insert(shard_id.to_owned());
    }

    fn renew_interval(&self) -> Duration {
        self.config.failover / 3
    }

    /// Moves the counters of leases that were not written lately, as the KCL expects it.
    pub(crate) fn renew_all(&mut self) {
        self.pause_unconfirmed();
        self.give_up_writes();
        let (now, interval) = (self.now, self.renew_interval());
        let next = self.held.values().map(|held| {
            let last = if held.write.is_some() { held.sent_at } else { held.written_at };
            last + interval
        });
        let next = next.filter(|at| *at > now).min();
        let unpaused = self.held.values().filter(|held| !held.is_paused);
        let pause = unpaused.map(|held| self.pause_at(held)).min();
        let next = next.unwrap_or(now + interval);
        self.renew_at = pause.map_or(next, |pause| next.min(pause));
        let due: Vec<_> = self
            .held
            .iter()
            .filter(|(_, held)| {
                held.write.is_none()
                    && held.retry_at.is_none()
                    && now.saturating_sub(held.written_at) >= interval
            })
            .map(|(shard_id, _)| shard_id.clone())
            .collect();
        for shard_id in due {
            self.write(&shard_id, Write::Renew, Change::Renew);
        }
    }

    /// Gives up the writes that get no response, so that the counters are moved in time. What was
    /// applied is seen at the next write.
    fn give_up_writes(&mut self) {
        let (now, interval) = (self.now, self.renew_interval());
        let is_late =
            |held: &Held| held.write.is_some() && now.saturating_sub(held.sent_at) >= interval;
        let late: BTreeSet<_> = self
            .held
            .iter()
            .filter(|(_, held)| is_late(held))
            .map(|(shard_id, _)| shard_id.clone())
            .collect();
        if late.is_empty() {
            return;
        }
        self.pending.retain(|_, pending| {
            !matches!(&pending.0, Purpose::Held { shard_id } if late.contains(shard_id))
        });
        for shard_id in late {
            let text = format!("no response within {interval:?}");
            self.write_failed(&shard_id, Failure { is_permanent: false, text });
        }
    }

    /// Returns when a lease that was taken up is written next, or its delivery pauses.
    pub(crate) fn renewal_due(&self, held: &Held) -> Time {
        self.pause_at(held).min(held.written_at + self.renew_interval())
    }

    /// Returns when the delivery of a shard pauses if its counter is not seen to move. The rule is
    /// that of the beats: see [`delivery_deadline`](Self::delivery_deadline).
    pub(crate) fn pause_at(&self, held: &Held) -> Time {
        held.confirmed + delivery_limit(self.config.failover)
    }

    /// Pauses the delivery of the shards whose counter was not seen to move.
    fn pause_unconfirmed(&mut self) {
        let is_late = |held: &Held| !held.is_paused && self.pause_at(held) <= self.now;
        let late = self.held.iter().filter(|(_, held)| is_late(held));
        let late: Vec<_> = late.map(|(shard_id, _)| shard_id.clone()).collect();
        for shard_id in late {
            if let Some(held) = self.held.get_mut(&shard_id) {
                held.is_paused = true;
                self.act(Action::Drain { shard_id, cut: false });
            }
        }
    }

    /// Continues the delivery of a shard that was paused, if its counter was moved in time and no
    /// other write must confirm the lease.
    pub(crate) fn unpause(&mut self, shard_id: &str) {
        let Some(held) = self.held.get(shard_id) else { return };
        if !held.is_paused || held.is_doubted {
            return;
        }
        if self.pause_at(held) <= self.now {
            return;
        }
        if let Some(held) = self.held.get_mut(shard_id) {
            held.is_paused = false;
        }
        self.resume(shard_id);
    }
}
