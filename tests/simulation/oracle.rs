//! Watches everything, and says what was violated first.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_sdk_kinesis::types::SequenceNumberRange;
use kinesis_shards::shard::{ParentOutcome, Progress, StartPosition};
use kinesis_shards::{OnDrop, ShardHandle};
use tokio::time::{Duration, Instant};

use crate::id::{Id, number};
use crate::ledger::{Ledger, Truth};
use crate::life::{Extent, Life, Shown};
use crate::member::{Rules, State};
use crate::requests::Answer;

/// A reader whose iterator at `LATEST` comes later than this, from when it was made, does not use
/// it.
const PROMPT: Duration = Duration::from_secs(1);

/// A shard as a page of a listing has it.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) index: u64,
    /// The number that it starts at.
    pub(crate) first: String,
    pub(crate) parents: Vec<u64>,
    pub(crate) closed: bool,
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
    /// When a shard may next be asked for anything by the simulation's own reader: 5 requests a
    /// second are too many for one.
    turns: BTreeMap<Id, Instant>,
    /// Of the crate's readers: when each was made, and the record that it gave last.
    opened: BTreeMap<Id, SystemTime>,
    last: BTreeMap<Id, usize>,
    /// The shards that readers of the crate read now, each by itself, and how many such readers
    /// ended with a stream that was gone.
    pub(crate) reading: BTreeMap<Id, u32>,
    pub(crate) ended_with_stream: u64,
    /// When each shard was offered, by the number in its id.
    pub(crate) offered: Vec<(Instant, u64)>,
    pub(crate) last_offered: Id,
    /// When the stream was created again while a consumer lived.
    pub(crate) recreated: Vec<Instant>,
    sdk_retries: bool,
    /// What holds for each life anew.
    is_calm: bool,
    /// The life ends after so many polls.
    pub(crate) cut_in: Option<u32>,
    pub(crate) tracked: usize,
    pub(crate) errors: u64,
    pub(crate) violation: Option<String>,
    /// A digest of all that happened, to tell whether it happens again.
    pub(crate) digest: u64,
}

impl Oracle {
    pub(crate) fn new(on_drop: OnDrop, rules: Rules, sdk_retries: bool) -> Self {
        Self {
            truth: Truth::default(),
            ledger: Ledger::default(),
            life: Life::new(0, None, false, BTreeMap::new(), sdk_retries),
            is_over: true,
            on_drop,
            since: None,
            is_calm: rules.calm,
            rules,
            sdk_retries,
            memory: BTreeMap::new(),
            turns: BTreeMap::new(),
            opened: BTreeMap::new(),
            last: BTreeMap::new(),
            reading: BTreeMap::new(),
            ended_with_stream: 0,
            offered: Vec::new(),
            last_offered: Id { generation: 0, index: 0 },
            recreated: Vec::new(),
            cut_in: None,
            tracked: 0,
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
        for word in [what, u64::from(id.generation) << 32 | id.index, at] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
    }

    /// The next life begins with what those before it left of this stream, not of one that had its
    /// name.
    pub(crate) fn begin_life(&mut self, latest: Option<SystemTime>) -> Vec<(String, Progress)> {
        self.rules.calm = self.is_calm;
        let generation = self.truth.generation;
        self.memory.retain(|id, _| id.generation == generation);
        let (number, resume) = (self.life.number + 1, self.memory.clone());
        self.life = Life::new(number, latest, self.rules.calm, resume, self.sdk_retries);
        self.is_over = false;
        self.cut_in = None;
        let named = self.memory.iter();
        named
            .map(|(id, progress)| (format!("shardId-{:012}", id.index), progress.clone()))
            .collect()
    }

    /// The stream is deleted: its records are gone, and until it is created again no listing
    /// succeeds.
    pub(crate) fn delete(&mut self, now: SystemTime) {
        self.rules.calm = false;
        let gone = self.truth.delete(now);
        self.ledger.excuse(|shard, _| gone.contains(&shard));
        if !self.is_over {
            self.recreated.push(Instant::now());
        }
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
            let is_second_half = extent == Extent::Full && self.life.has_half_a_list();
            self.life.first_page(extent);
            if !self.is_over
                && let Err(why) = self.life.requests.begin(&self.rules, is_second_half)
            {
                self.violate(why);
            }
        }
        self.life.number
    }

    pub(crate) fn listing_ends(&mut self, life: u32, answer: Answer) {
        if self.life.number == life {
            if answer == Answer::NoStream {
                self.life.has_no_stream();
            }
            let is_half = answer == Answer::LastPage && self.life.has_half_a_list();
            self.life.requests.end(if is_half { Answer::Page } else { answer });
        }
    }

    pub(crate) fn hear_page(&mut self, life: u32, listed: Vec<Listed>, is_last: bool) {
        if !self.is_current(life) {
            return;
        }
        let truth = &self.truth;
        let shown = listed.into_iter().map(|shard| {
            let id = truth.id_of(shard.index, &shard.first);
            let parents = shard.parents.iter().map(|index| Id { index: *index, ..id }).collect();
            Shown { id, parents, closed: shard.closed }
        });
        for id in self.life.hear_page(shown.collect(), is_last, truth) {
            self.ledger.excuse(|of, _| of == id);
        }
    }

    // What the consumer does.

    /// Which shard a handle is for: its first number tells, or else, if only its parent has named
    /// it, the lists so far.
    fn id_of(&self, handle: &ShardHandle) -> Option<Id> {
        let index = number(handle.id())?;
        let first = handle
            .shard()
            .sequence_number_range()
            .map(SequenceNumberRange::starting_sequence_number);
        let by_name =
            || self.life.named(index).unwrap_or(Id { generation: self.truth.generation, index });
        Some(first.map_or_else(by_name, |first| self.truth.id_of(index, first)))
    }

    pub(crate) fn offer(&mut self, handle: &ShardHandle) -> Id {
        let Some(id) = self.id_of(handle) else {
            self.violate(format!("{} is no shard's id", handle.id()));
            return self.last_offered;
        };
        let of_this = |parent| Some(Id { index: number(parent)?, ..id });
        let parents: Vec<_> = handle
            .parents()
            .filter_map(|(parent, outcome)| Some((of_this(parent)?, outcome)))
            .collect();
        self.offered.push((Instant::now(), id.index));
        self.last_offered = id;
        self.last.remove(&id);
        self.note(1, id);
        if let Err(why) = self.life.offer(id, handle.start(), &parents, &self.rules, &self.truth) {
            self.violate(format!("shard {id} was offered although {why}"));
        }
        if let (Some(latest), StartPosition::Timestamp(began)) =
            (self.life.latest(), handle.start())
        {
            // The first list named no shard, so the run begins at a time: what was written before
            // is not owed.
            let began = SystemTime::try_from(*began).unwrap_or(SystemTime::UNIX_EPOCH);
            self.ledger.excuse(|of, written| of == id && written < began.min(latest));
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

    pub(crate) fn offers(&self) -> usize {
        self.offered.len()
    }

    pub(crate) fn deliver(&mut self, shard: Id, record: usize, sequence: &str) {
        self.note(2, Id { generation: shard.generation, index: record as u64 });
        if let Err(why) = self.ledger.deliver(record, shard, &self.life) {
            self.violate(why);
        }
        self.remember(shard, StartPosition::After(sequence.to_owned()));
    }

    /// As [`deliver`](Self::deliver), from a reader of the crate, which gives nothing twice.
    pub(crate) fn deliver_once(&mut self, shard: Id, record: usize, sequence: &str) {
        if self.last.insert(shard, record).is_some_and(|last| last >= record) {
            self.violate(format!("one reader of shard {shard} gave record {record} again"));
        }
        self.deliver(shard, record, sequence);
    }

    /// A reader of the crate is made. It owes what is written from now on, even if it is to start
    /// at `LATEST`.
    pub(crate) fn open(&mut self, shard: Id, start: &StartPosition, now: SystemTime) {
        self.opened.insert(shard, now);
        if *start == StartPosition::Latest {
            self.ledger.excuse(|of, written| of == shard && written < now);
            self.remember(shard, StartPosition::Timestamp(now.into()));
        }
    }

    /// An iterator at `LATEST` came, that was asked for then: what was there already is not owed,
    /// unless it came too late to be used.
    pub(crate) fn latest_came(&mut self, index: u64, asked: SystemTime, came: SystemTime) {
        let shard = Id { generation: self.truth.generation, index };
        let opened = self.opened.get(&shard);
        if opened.is_none_or(|opened| came <= *opened + PROMPT) {
            self.ledger.excuse(|of, written| of == shard && written <= asked);
            self.remember(shard, StartPosition::Timestamp(asked.into()));
        }
    }

    /// The simulation's own reader asks for `LATEST` but once: should there be no answer, it goes
    /// on from here.
    pub(crate) fn asked_for_latest(&mut self, shard: Id, asked: SystemTime) {
        self.ledger.excuse(|of, written| of == shard && written < asked);
        self.remember(shard, StartPosition::Timestamp(asked.into()));
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

    /// Its reader was told twice that there is no such shard: true or not.
    pub(crate) fn expire(&mut self, id: Id) {
        self.note(6, id);
        self.life.doubt(id);
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
        for (id, member) in self.life.members.iter().filter(|(_, member)| !member.may_be_buried) {
            match member.state {
                State::Known => return Some(format!("shard {id} was never offered")),
                State::Doubted { .. } => return Some(format!("shard {id} is still in doubt")),
                State::HandedBack(_) => return Some(format!("shard {id} was never offered again")),
                State::Out if !self.truth.is_open(*id) => {
                    return Some(format!("shard {id} is still out"));
                }
                State::Out | State::Closed(..) => {}
            }
        }
        let mut reading = self.reading.iter().filter(|(_, readers)| **readers > 0);
        if let Some((id, _)) = reading.find(|(id, _)| id.generation != self.truth.generation) {
            return Some(format!("shard {id} is read although its stream is gone"));
        }
        if let Some(id) =
            self.truth.listed(self.since).find(|id| !self.life.members.contains_key(id))
        {
            return Some(format!("shard {id} was never offered, nor named by a list"));
        }
        if let Some((record, shard)) = self.ledger.owed().next() {
            return Some(format!("record {record} of shard {shard} was never read"));
        }
        let listed = self.truth.listed(None).count();
        if self.tracked > listed {
            return Some(format!(
                "{} shards are remembered, but {listed} are listed",
                self.tracked
            ));
        }
        None
    }
}
