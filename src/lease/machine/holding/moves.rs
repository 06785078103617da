//! Leases that this worker gives away: for balance, or all of them when it leaves.

use std::collections::BTreeSet;

use tokio::time::Duration;

use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::membership::Phase;
use crate::lease::machine::plan::{Load, fill};
use crate::lease::machine::{Action, Machine, Purpose, Time};
use crate::lease::table::{Request, Response, WorkerState};

/// A lease that is being given away.
#[derive(Clone, Debug)]
pub(crate) enum Move {
    /// The receiver is being told.
    Reserving { to: Receiver },
    /// The receiver was told, and reads it in the response to its next beat.
    Announced { to: Option<Receiver>, until: Time },
    /// The records in flight are waited for.
    Draining { to: Option<Receiver>, until: Time },
    /// No record is in flight: the lease may be given.
    Settled { to: Option<Receiver>, checkpoint: Checkpoint },
}

/// The worker that a lease is given to. Another run of it would not know of the lease.
#[derive(Clone, Debug)]
pub(crate) struct Receiver {
    pub(crate) worker: String,
    pub(crate) run: u64,
}

/// The number of shards that one request announces.
pub(crate) const MAX_RESERVED: usize = 100;

impl Machine {
    /// Begins to move leases for balance. `seen` is how many leases the receiver holds and expects.
    pub(crate) fn begin_moves(
        &mut self,
        shards: BTreeSet<String>,
        to: &str,
        run: u64,
        seen: (u64, usize),
    ) {
        for shard_id in &shards {
            if let Some(held) = self.held.get_mut(shard_id) {
                let to = Receiver { worker: to.to_owned(), run };
                held.moving = Some(Move::Reserving { to });
            }
        }
        let worker = to.to_owned();
        self.send(
            Purpose::Reserve { shards: shards.clone() },
            Request::Reserve { worker, run, seen: Some(seen), shards },
        );
    }

    pub(crate) fn reserved(&mut self, shards: &BTreeSet<String>, response: &Response) {
        let is_accepted = matches!(response, Response::Worker(_));
        self.note_worker(response);
        let is_leaving = matches!(self.phase, Phase::Leaving { .. });
        let until = self.now + self.announcement();
        let mut refused = BTreeSet::new();
        for shard_id in shards {
            let Some(held) = self.held.get_mut(shard_id) else { continue };
            let Some(Move::Reserving { to }) = &held.moving else { continue };
            if is_accepted {
                held.moving = Some(Move::Announced { to: Some(to.clone()), until });
                self.timed.insert(shard_id.clone());
            } else {
                held.moving = None;
                refused.insert(shard_id.clone());
            }
        }
        if is_leaving && !refused.is_empty() {
            // The receiver does not take leases any longer: without one, they are released.
            self.release(refused);
        }
    }

    pub(crate) fn reserve_failed(&mut self, shards: &BTreeSet<String>) {
        self.reserved(shards, &Response::RefusedWorker(None));
    }

    /// Returns for how long a lease is announced before its delivery ends here.
    fn announcement(&self) -> Duration {
        match self.phase {
            // The limit is short.
            Phase::Leaving { cut_at, .. } if cut_at < self.now + Duration::from_secs(4) => {
                Duration::ZERO
            }
            _ => self.beat_interval(),
        }
    }

    /// Gives all leases away: this worker is leaving.
    pub(crate) fn give_all_away(&mut self) {
        let shards: BTreeSet<_> = self.held.keys().cloned().collect();
        for held in self.held.values_mut() {
            if matches!(held.moving, Some(Move::Reserving { .. })) {
                // Its response decides nothing any longer.
                held.moving = None;
            }
        }
        self.give_away(shards);
    }

    /// Gives leases to the workers with the fewest, or releases them if there is no other worker.
    pub(crate) fn give_away(&mut self, shards: BTreeSet<String>) {
        let shards: Vec<_> = shards
            .into_iter()
            .filter(|shard_id| self.held.get(shard_id).is_some_and(|held| !held.is_busy()))
            .collect();
        let loads = self.receivers();
        let receivers = fill(&loads, shards.len());
        let mut given: Vec<BTreeSet<String>> = vec![BTreeSet::new(); loads.len()];
        let mut released = BTreeSet::new();
        for (index, shard_id) in shards.into_iter().enumerate() {
            match receivers.get(index) {
                Some(receiver) => {
                    if let Some(held) = self.held.get_mut(&shard_id) {
                        let Load { worker, run, .. } = &loads[*receiver];
                        let to = Receiver { worker: worker.clone(), run: *run };
                        held.moving = Some(Move::Reserving { to });
                    }
                    given[*receiver].insert(shard_id);
                }
                None => {
                    released.insert(shard_id);
                }
            }
        }
        for (load, shards) in loads.into_iter().zip(given) {
            let shards: Vec<_> = shards.into_iter().collect();
            for shards in shards.chunks(MAX_RESERVED) {
                let shards: BTreeSet<_> = shards.iter().cloned().collect();
                self.send(
                    Purpose::Reserve { shards: shards.clone() },
                    Request::Reserve {
                        worker: load.worker.clone(),
                        run: load.run,
                        seen: None,
                        shards,
                    },
                );
            }
        }
        self.release(released);
    }

    /// Begins to release leases: no worker is there to take them.
    fn release(&mut self, shards: BTreeSet<String>) {
        for shard_id in shards {
            if let Some(held) = self.held.get_mut(&shard_id) {
                held.moving = Some(Move::Announced { to: None, until: self.now });
                self.timed.insert(shard_id);
            }
        }
    }

    /// Tells other workers of leases that this one has released while none was there. They claim
    /// them.
    pub(crate) fn announce_released(&mut self) {
        let loads = self.receivers();
        let receivers = fill(&loads, self.released.len());
        let mut announced = vec![BTreeSet::new(); loads.len()];
        for receiver in receivers {
            announced[receiver].extend(self.released.pop_first());
        }
        for (load, shards) in loads.into_iter().zip(announced) {
            if !shards.is_empty() {
                self.announcing += 1;
                let (worker, run) = (load.worker, load.run);
                let purpose = Purpose::Released { shards: shards.clone() };
                self.send(purpose, Request::Reserve { worker, run, seen: None, shards });
            }
        }
    }

    pub(crate) fn released_announced(&mut self, shards: BTreeSet<String>, response: &Response) {
        self.announcing -= 1;
        self.note_worker(response);
        if !matches!(response, Response::Worker(_)) {
            self.released.extend(shards);
        }
    }

    /// Ends all moves of a worker that leaves with the checkpoints as they are.
    pub(crate) fn cut_all(&mut self) {
        let mut cut = Vec::new();
        for (shard_id, held) in &mut self.held {
            let to = match &held.moving {
                Some(Move::Settled { .. }) => continue,
                // It was cut already.
                Some(Move::Draining { until, .. }) if *until == Time::ZERO => continue,
                Some(Move::Draining { to, .. } | Move::Announced { to, .. }) => to.clone(),
                Some(Move::Reserving { to }) => Some(to.clone()),
                None => None,
            };
            if held.ending.is_some() {
                continue;
            }
            held.moving = Some(Move::Draining { to, until: Time::ZERO });
            cut.push(shard_id.clone());
        }
        for shard_id in cut {
            self.act(Action::Drain { shard_id, cut: true });
        }
    }

    pub(crate) fn drained(&mut self, shard_id: &str, checkpoint: Checkpoint) {
        let Some(held) = self.held.get_mut(shard_id) else { return };
        let Some(Move::Draining { to, .. }) = &held.moving else { return };
        let mut to = to.clone();
        let is_up = |to: &Receiver| {
            let row = self.view.workers.get(&to.worker).map(|seen| &seen.row);
            row.is_some_and(|row| row.run == to.run && row.state == WorkerState::Up)
        };
        if !held.is_handed_over && to.as_ref().is_some_and(|to| !is_up(to)) {
            if matches!(self.phase, Phase::Leaving { .. }) {
                to = None;
            } else {
                held.moving = None;
                self.resume(shard_id);
                return;
            }
        }
        held.moving = Some(Move::Settled { to, checkpoint });
        self.pump(shard_id);
    }

    pub(crate) fn moves_wake(&self) -> Option<Time> {
        let wakes = self.timed.iter().filter_map(|shard_id| self.held.get(shard_id)?.due());
        wakes.chain(self.config.beside_kcl.then_some(self.renew_at)).min()
    }

    pub(crate) fn tick_moves(&mut self) {
        let now = self.now;
        let is_leaving = matches!(self.phase, Phase::Leaving { .. });
        for shard_id in std::mem::take(&mut self.timed) {
            self.tick_move(&shard_id, is_leaving);
            if self.held.get(&shard_id).is_some_and(|held| held.due().is_some()) {
                self.timed.insert(shard_id);
            }
        }
        if is_leaving && !self.is_looking_for_receivers() {
            let idle: BTreeSet<_> = self
                .held
                .iter()
                .filter(|(_, held)| !held.is_busy())
                .map(|(shard_id, _)| shard_id.clone())
                .collect();
            if !idle.is_empty() {
                self.give_away(idle);
            }
        }
        if self.config.beside_kcl && now >= self.renew_at {
            self.renew_all();
        }
    }

    /// Takes the next step of a move or a retry, if it is due.
    fn tick_move(&mut self, shard_id: &str, is_leaving: bool) {
        let now = self.now;
        let Some(held) = self.held.get_mut(shard_id) else { return };
        match &held.moving {
            Some(Move::Announced { to, until }) if *until <= now => {
                let limit = if is_leaving { Duration::MAX } else { self.config.move_timeout };
                let until = now.saturating_add(limit);
                held.moving = Some(Move::Draining { to: to.clone(), until });
                self.act(Action::Drain { shard_id: shard_id.to_owned(), cut: false });
            }
            Some(Move::Draining { to, until }) if *until <= now && *until > Time::ZERO => {
                if held.is_handed_over {
                    held.moving = Some(Move::Draining { to: to.clone(), until: Time::ZERO });
                    self.act(Action::Drain { shard_id: shard_id.to_owned(), cut: true });
                } else {
                    held.moving = None;
                    self.resume(shard_id);
                }
            }
            _ => {}
        }
        if let Some(held) = self.held.get_mut(shard_id)
            && held.retry_at.take_if(|at| *at <= now).is_some()
        {
            self.pump(shard_id);
        }
    }

    /// Continues the delivery of a shard, unless something else still stops it.
    pub(crate) fn resume(&mut self, shard_id: &str) {
        let is_stopped = self.held.get(shard_id).is_some_and(|held| {
            held.is_paused
                || matches!(held.moving, Some(Move::Draining { .. } | Move::Settled { .. }))
        });
        if !is_stopped {
            self.act(Action::Resume { shard_id: shard_id.to_owned() });
        }
    }
}
