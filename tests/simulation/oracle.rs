//! Watches everything, and says what was violated first.

use std::collections::BTreeMap;
use std::time::SystemTime;

use kinesis_shards::{OnDrop, ParentOutcome, Progress, ShardHandle, StartPosition};
use tokio::time::{Duration, Instant};

use crate::ledger::{Ledger, Truth};
use crate::life::{Extent, Id, Life, Rules, Shown, State};

/// The number in a shard's id.
pub(crate) fn number(id: &str) -> Option<Id> {
    id.strip_prefix("shardId-")?.parse().ok()
}

#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) truth: Truth,
    pub(crate) ledger: Ledger,
    pub(crate) life: Life,
    /// Between a life's end and the next.
    pub(crate) is_over: bool,
    pub(crate) on_drop: OnDrop,
    /// Under `StartAt::Timestamp`: shards closed before it are not listed.
    pub(crate) since: Option<SystemTime>,
    pub(crate) rules: Rules,
    /// What the consumer remembers across its lives.
    memory: BTreeMap<Id, Progress>,
    /// When a shard may next be asked for anything: 5 requests a second are too many for one reader.
    turns: BTreeMap<Id, Instant>,
    /// The life ends after so many polls.
    pub(crate) cut_in: Option<u32>,
    pub(crate) tracked: usize,
    pub(crate) offers: usize,
    pub(crate) errors: u64,
    pub(crate) violation: Option<String>,
    /// A digest of all that happened, to tell whether it happens again.
    pub(crate) digest: u64,
}

impl Oracle {
    pub(crate) fn new(on_drop: OnDrop, rules: Rules) -> Self {
        Self {
            truth: Truth::default(),
            ledger: Ledger::default(),
            life: Life::new(0, None, false, BTreeMap::new()),
            is_over: true,
            on_drop,
            since: None,
            rules,
            memory: BTreeMap::new(),
            turns: BTreeMap::new(),
            cut_in: None,
            tracked: 0,
            offers: 0,
            errors: 0,
            violation: None,
            digest: 0,
        }
    }

    pub(crate) fn violate(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert(what.into());
    }

    fn note(&mut self, what: u64, id: Id) {
        let at = u64::try_from(self.life.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        for word in [what, id, at] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
    }

    /// The next life begins with what those before it left.
    pub(crate) fn begin_life(&mut self, latest: Option<SystemTime>) -> Vec<(String, Progress)> {
        self.life = Life::new(self.life.number + 1, latest, self.rules.calm, self.memory.clone());
        self.is_over = false;
        self.cut_in = None;
        let named = self.memory.iter();
        named.map(|(id, progress)| (format!("shardId-{id:012}"), progress.clone())).collect()
    }

    pub(crate) fn is_current(&self, life: u32) -> bool {
        !self.is_over && self.life.number == life
    }

    // What the tap hears.

    pub(crate) fn listing_begins(&mut self, first_page: Option<Extent>) -> u32 {
        let requests = &mut self.life.requests;
        requests.under_way += 1;
        if requests.under_way > 1 {
            self.violate("two listing requests at a time");
        }
        if let Some(extent) = first_page {
            self.life.first_page(extent);
            let requests = &self.life.requests;
            let ticks = self.life.begun.elapsed().as_millis() / self.rules.poll_interval.as_millis();
            let most = 3
                + u64::try_from(ticks).unwrap_or(u64::MAX)
                + requests.closings
                + requests.failed
                + requests.wanted;
            if requests.begun > most {
                self.violate(format!("{requests:?}: more than {most} listings were begun"));
            }
        }
        self.life.number
    }

    pub(crate) fn listing_ends(&mut self, life: u32, succeeded: bool) {
        if self.life.number == life {
            self.life.requests.under_way -= 1;
            self.life.requests.failed += u64::from(!succeeded);
        }
    }

    pub(crate) fn hear_page(&mut self, life: u32, shards: Vec<Shown>, is_last: bool) {
        if !self.is_current(life) {
            return;
        }
        for id in self.life.hear_page(shards, is_last, &self.truth) {
            self.ledger.excuse(|of, _| of == id);
        }
    }

    // What the consumer does.

    pub(crate) fn offer(&mut self, handle: &ShardHandle) -> Id {
        let Some(id) = number(handle.id()) else {
            self.violate(format!("{} is no shard's id", handle.id()));
            return 0;
        };
        let parents: Vec<_> =
            handle.parents().filter_map(|(parent, outcome)| Some((number(parent)?, outcome))).collect();
        self.offers += 1;
        self.note(1, id);
        if let Err(why) = self.life.offer(id, handle.start(), &parents, &self.rules, &self.truth) {
            self.violate(format!("shard {id} was offered although {why}"));
        }
        let known = self.memory.entry(id).or_insert_with(|| Progress::At(handle.start().clone()));
        if *known == Progress::At(StartPosition::Latest)
            && let StartPosition::Timestamp(began) = handle.start()
        {
            // It was handed back before it had an iterator.
            *known = Progress::At(handle.start().clone());
            let began = SystemTime::try_from(*began).unwrap_or(SystemTime::UNIX_EPOCH);
            self.ledger.excuse(|of, written| of == id && written < began);
        }
        id
    }

    pub(crate) fn deliver(&mut self, shard: Id, record: usize, sequence: &str) {
        self.note(2, record as u64);
        if let Err(why) = self.ledger.deliver(record, shard, &self.life) {
            self.violate(why);
        }
        self.remember(shard, StartPosition::After(sequence.to_owned()));
    }

    /// An iterator at `LATEST` is asked for: what was written before is not owed, and the next one begins here.
    pub(crate) fn asked_for_latest(&mut self, shard: Id, since: SystemTime) {
        self.ledger.excuse(|of, written| of == shard && written < since);
        self.remember(shard, StartPosition::Timestamp(since.into()));
    }

    /// An iterator at `LATEST` was made: what is there already is not owed.
    pub(crate) fn skip_to_latest(&mut self, shard: Id) {
        self.ledger.excuse(|of, _| of == shard);
    }

    fn remember(&mut self, shard: Id, position: StartPosition) {
        self.memory.insert(shard, Progress::At(position));
    }

    /// Where the consumer knows that it has to go on.
    pub(crate) fn position(&self, shard: Id) -> Option<StartPosition> {
        match self.memory.get(&shard)? {
            Progress::At(position) => Some(position.clone()),
            Progress::Finished => None,
        }
    }

    /// When this shard may be asked for something; the turn after that is later.
    pub(crate) fn take_turn(&mut self, shard: Id) -> Instant {
        let turn = self.turns.get(&shard).copied().unwrap_or_else(Instant::now).max(Instant::now());
        self.turns.insert(shard, turn + Duration::from_millis(250));
        turn
    }

    pub(crate) fn complete(&mut self, id: Id, at_its_end: bool, children: &[(Id, Vec<Id>)]) {
        self.note(3, id);
        if !at_its_end {
            self.ledger.forfeit(id);
        }
        if self.truth.is_open(id) {
            self.truth.close_early(id);
        }
        self.memory.insert(id, Progress::Finished);
        self.life.close(id, ParentOutcome::Completed, children, &self.truth);
    }

    /// Its reader was told that there is no such shard.
    pub(crate) fn expire(&mut self, id: Id) {
        self.note(6, id);
        if self.truth.is_listed(id) {
            self.violate(format!("the reader of shard {id} took it for expired"));
        }
        self.memory.insert(id, Progress::Finished);
        self.life.close(id, ParentOutcome::Unlisted, &[], &self.truth);
    }

    pub(crate) fn abandon(&mut self, id: Id) {
        self.note(4, id);
        self.life.hand_back(id);
    }

    pub(crate) fn drop_handle(&mut self, id: Id) {
        self.note(5, id);
        match self.on_drop {
            OnDrop::Reoffer => self.life.hand_back(id),
            OnDrop::Close => {
                self.ledger.forfeit(id);
                self.life.close(id, ParentOutcome::Dropped, &[], &self.truth);
            }
        }
    }

    /// What is left to wait for once the script is over; nothing is what must be in the end.
    pub(crate) fn unsettled(&self) -> Option<String> {
        for (id, member) in &self.life.members {
            match member.state {
                State::Known => return Some(format!("shard {id} was never offered")),
                State::HandedBack(_) => return Some(format!("shard {id} was never offered again")),
                State::Out if !self.truth.is_open(*id) => return Some(format!("shard {id} is still out")),
                State::Out | State::Closed(..) => {}
            }
        }
        if let Some(id) = self.truth.listed(self.since).find(|id| !self.life.members.contains_key(id)) {
            return Some(format!("shard {id} was never offered, nor named by a list"));
        }
        if let Some((record, shard)) = self.ledger.owed().next() {
            return Some(format!("record {record} of shard {shard} was never read"));
        }
        let listed = self.truth.listed(None).count();
        if self.tracked > listed {
            return Some(format!("{} shards are remembered, but {listed} are listed", self.tracked));
        }
        None
    }
}
