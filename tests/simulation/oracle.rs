//! Observes everything, and reports the first violation.

use std::collections::BTreeMap;
use std::time::SystemTime;

use aws_sdk_kinesis::types::SequenceNumberRange;
use kinesis_shards::shard::{ParentOutcome, Progress, StartPosition};
use kinesis_shards::{OnDrop, ShardHandle};
use tokio::time::{Duration, Instant};

use crate::id::{Id, Offered, number};
use crate::ledger::Ledger;
use crate::life::{Extent, Life, ListedShard};
use crate::member::{Rules, State};
use crate::requests::ListResult;
use crate::truth::Truth;

/// The time within which a reader must receive its iterator at `LATEST` to use it.
const MAX_LATEST_DELAY: Duration = Duration::from_secs(1);

/// A shard in a page of a listing, before its generation is known.
#[derive(Debug)]
pub(crate) struct PageEntry {
    pub(crate) index: u64,
    /// The starting sequence number.
    pub(crate) first: String,
    pub(crate) parents: Vec<u64>,
    pub(crate) closed: bool,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    pub(crate) truth: Truth,
    pub(crate) ledger: Ledger,
    pub(crate) life: Life,
    /// Whether no life is in progress.
    pub(crate) is_between_lives: bool,
    pub(crate) on_drop: OnDrop,
    /// The start of a run from `StartAt::Timestamp`. Shards closed before it are not listed.
    pub(crate) start_time: Option<SystemTime>,
    pub(crate) rules: Rules,
    /// The progress that the consumer keeps between its lives.
    progress: BTreeMap<Id, Progress>,
    /// The earliest time of the next request for each shard, so that the simulation's own reader
    /// keeps to AWS's limits.
    next_requests: BTreeMap<Id, Instant>,
    /// The time at which the crate's reader of each shard was created, and its last record.
    reader_created: BTreeMap<Id, SystemTime>,
    last_delivered: BTreeMap<Id, usize>,
    /// The number of running readers of the crate for each shard, and of those that ended because
    /// their stream was gone.
    pub(crate) active_readers: BTreeMap<Id, u32>,
    pub(crate) ended_with_stream: u64,
    /// The offers, each with the index of its shard.
    pub(crate) offered: Vec<(Instant, u64)>,
    pub(crate) last_offered: Offered,
    /// The times at which the stream was deleted while a consumer was running.
    pub(crate) deleted_at: Vec<Instant>,
    sdk_retries: bool,
    /// The value of `rules.is_reliable` at the start of each life.
    initially_reliable: bool,
    /// The number of polls after which the life ends.
    pub(crate) polls_left: Option<u32>,
    /// The number of shards that the consumer remembers.
    pub(crate) tracked_shards: usize,
    pub(crate) errors: u64,
    pub(crate) violation: Option<String>,
    /// A digest of all events, to check that a seed repeats them.
    pub(crate) digest: u64,
}

impl Oracle {
    pub(crate) fn new(on_drop: OnDrop, rules: Rules, sdk_retries: bool) -> Self {
        Self {
            truth: Truth::default(),
            ledger: Ledger::default(),
            life: Life::new(0, None, false, BTreeMap::new(), sdk_retries),
            is_between_lives: true,
            on_drop,
            start_time: None,
            initially_reliable: rules.is_reliable,
            rules,
            sdk_retries,
            progress: BTreeMap::new(),
            next_requests: BTreeMap::new(),
            reader_created: BTreeMap::new(),
            last_delivered: BTreeMap::new(),
            active_readers: BTreeMap::new(),
            ended_with_stream: 0,
            offered: Vec::new(),
            last_offered: Offered { life: 0, id: Id { generation: 0, index: 0 }, number: 0 },
            deleted_at: Vec::new(),
            polls_left: None,
            tracked_shards: 0,
            errors: 0,
            violation: None,
            digest: 0,
        }
    }

    pub(crate) fn violate(&mut self, what: impl Into<String>) {
        self.violation.get_or_insert(what.into());
    }

    fn add_to_digest(&mut self, event: u64, id: Id) {
        let at = u64::try_from(self.life.begun.elapsed().as_micros()).unwrap_or(u64::MAX);
        for word in [event, u64::from(id.generation) << 32 | id.index, at] {
            self.digest = (self.digest ^ word).wrapping_mul(0x0100_0000_01b3).rotate_left(23);
        }
    }

    /// Begins a life with the progress of earlier ones, except that of an earlier stream of this
    /// name.
    pub(crate) fn begin_life(&mut self, latest: Option<SystemTime>) -> Vec<(String, Progress)> {
        self.rules.is_reliable = self.initially_reliable;
        let generation = self.truth.generation;
        self.progress.retain(|id, _| id.generation == generation);
        let (number, resume) = (self.life.number + 1, self.progress.clone());
        self.life = Life::new(number, latest, self.rules.is_reliable, resume, self.sdk_retries);
        self.is_between_lives = false;
        self.polls_left = None;
        let resumed = self.progress.iter();
        resumed
            .map(|(id, progress)| (format!("shardId-{:012}", id.index), progress.clone()))
            .collect()
    }

    /// Notes that the stream was deleted. Its records are gone, and listings fail until it is
    /// created again.
    pub(crate) fn delete(&mut self, now: SystemTime) {
        self.rules.is_reliable = false;
        let deleted = self.truth.delete(now);
        self.ledger.excuse(|shard, _| deleted.contains(&shard));
        if !self.is_between_lives {
            self.deleted_at.push(Instant::now());
        }
    }

    pub(crate) fn is_current(&self, life: u32) -> bool {
        !self.is_between_lives && self.life.number == life
    }

    // Events of the listings.

    pub(crate) fn listing_begins(&mut self, first_page: Option<Extent>) -> u32 {
        let requests = &mut self.life.requests;
        requests.in_flight += 1;
        if requests.in_flight > 1 {
            self.violate("two listing requests were in flight");
        }
        if let Some(extent) = first_page {
            let is_second_half = extent == Extent::Full && self.life.has_filtered_half();
            self.life.first_page(extent);
            if !self.is_between_lives
                && let Err(why) = self.life.requests.begin(&self.rules, is_second_half)
            {
                self.violate(why);
            }
        }
        self.life.number
    }

    pub(crate) fn listing_ends(&mut self, life: u32, result: ListResult) {
        if self.life.number == life {
            if result == ListResult::NoStream {
                self.life.has_no_stream();
            }
            let is_first_half = result == ListResult::LastPage && self.life.has_filtered_half();
            self.life.requests.end(if is_first_half { ListResult::Page } else { result });
        }
    }

    pub(crate) fn receive_page(&mut self, life: u32, listed: Vec<PageEntry>, is_last: bool) {
        if !self.is_current(life) {
            return;
        }
        let truth = &self.truth;
        let shards = listed.into_iter().map(|shard| {
            let id = truth.id_of(shard.index, &shard.first);
            let parents = shard.parents.iter().map(|index| Id { index: *index, ..id }).collect();
            ListedShard { id, parents, closed: shard.closed }
        });
        for id in self.life.receive_page(shards.collect(), is_last, truth) {
            self.ledger.excuse(|of, _| of == id);
        }
    }

    // Events of the consumer.

    /// Returns the shard of a handle, by its starting sequence number. A shard that only its parent
    /// has named has none, and is identified by the lists.
    fn id_of(&self, handle: &ShardHandle) -> Option<Id> {
        let index = number(handle.id())?;
        let first = handle
            .shard()
            .sequence_number_range()
            .map(SequenceNumberRange::starting_sequence_number);
        let listed_by_index =
            || self.life.named(index).unwrap_or(Id { generation: self.truth.generation, index });
        Some(first.map_or_else(listed_by_index, |first| self.truth.id_of(index, first)))
    }

    pub(crate) fn offer(&mut self, handle: &ShardHandle) -> Id {
        let Some(id) = self.id_of(handle) else {
            self.violate(format!("{} is not a shard id", handle.id()));
            return self.last_offered.id;
        };
        let same_generation = |parent| Some(Id { index: number(parent)?, ..id });
        let parents: Vec<_> = handle
            .parents()
            .filter_map(|(parent, outcome)| Some((same_generation(parent)?, outcome)))
            .collect();
        let offered = Offered { life: self.life.number, id, number: self.offered.len() };
        self.offered.push((Instant::now(), id.index));
        self.last_offered = offered;
        self.last_delivered.remove(&id);
        self.add_to_digest(1, id);
        if let Err(why) =
            self.life.offer(offered, handle.start(), &parents, &self.rules, &self.truth)
        {
            self.violate(format!("shard {id} was offered, but {why}"));
        }
        if let (Some(latest), StartPosition::Timestamp(began)) =
            (self.life.latest(), handle.start())
        {
            // The first list named no shard, so the run begins at a time, and earlier records are
            // not owed.
            let began = SystemTime::try_from(*began).unwrap_or(SystemTime::UNIX_EPOCH);
            self.ledger.excuse(|of, written| of == id && written < began.min(latest));
        }
        let progress =
            self.progress.entry(id).or_insert_with(|| Progress::At(handle.start().clone()));
        if *progress == Progress::At(StartPosition::Latest)
            && let StartPosition::Timestamp(began) = handle.start()
        {
            // The shard was abandoned before its reader had an iterator.
            *progress = Progress::At(handle.start().clone());
            let began = SystemTime::try_from(*began).unwrap_or(SystemTime::UNIX_EPOCH);
            self.ledger.excuse(|of, written| of == id && written < began);
        }
        id
    }

    pub(crate) fn offers(&self) -> usize {
        self.offered.len()
    }

    pub(crate) fn deliver(&mut self, shard: Id, record: usize, sequence: &str) {
        self.add_to_digest(2, Id { generation: shard.generation, index: record as u64 });
        if let Err(why) = self.ledger.deliver(record, shard, &self.life) {
            self.violate(why);
        }
        self.set_position(shard, StartPosition::After(sequence.to_owned()));
    }

    /// Notes a delivery by a reader of the crate, which never repeats a record.
    pub(crate) fn deliver_once(&mut self, shard: Id, record: usize, sequence: &str) {
        if self.last_delivered.insert(shard, record).is_some_and(|last| last >= record) {
            self.violate(format!("a reader of shard {shard} repeated record {record}"));
        }
        self.deliver(shard, record, sequence);
    }

    /// Notes that a reader of the crate was created. Even at `LATEST`, it owes every later record.
    pub(crate) fn open(&mut self, shard: Id, start: &StartPosition, now: SystemTime) {
        self.reader_created.insert(shard, now);
        if *start == StartPosition::Latest {
            self.ledger.excuse(|of, written| of == shard && written < now);
            self.set_position(shard, StartPosition::Timestamp(now.into()));
        }
    }

    /// Notes an iterator at `LATEST`. Records that were written before its request are not owed,
    /// unless the iterator was received too late to be used.
    pub(crate) fn received_latest(
        &mut self,
        index: u64,
        requested_at: SystemTime,
        received_at: SystemTime,
    ) {
        let shard = Id { generation: self.truth.generation, index };
        let opened = self.reader_created.get(&shard);
        if opened.is_none_or(|opened| received_at <= *opened + MAX_LATEST_DELAY) {
            self.ledger.excuse(|of, written| of == shard && written <= requested_at);
            self.set_position(shard, StartPosition::Timestamp(requested_at.into()));
        }
    }

    /// Notes an iterator at a time. With a `Date` ahead of the shards' clock, the time that stands
    /// for `LATEST` is ahead too, and excuses earlier records once Kinesis accepts it.
    pub(crate) fn received_time(&mut self, index: u64, time: SystemTime) {
        if !self.rules.date_ahead.is_zero() && self.life.latest().is_some() {
            let shard = Id { generation: self.truth.generation, index };
            self.ledger.excuse(|of, written| of == shard && written < time);
        }
    }

    /// Notes that the simulation's own reader has requested `LATEST`, which it does once. Without a
    /// response, it continues from this time.
    pub(crate) fn requested_latest(&mut self, shard: Id, requested_at: SystemTime) {
        self.ledger.excuse(|of, written| of == shard && written < requested_at);
        self.set_position(shard, StartPosition::Timestamp(requested_at.into()));
    }

    fn set_position(&mut self, shard: Id, position: StartPosition) {
        self.progress.insert(shard, Progress::At(position));
    }

    /// Returns the position at which the consumer continues.
    pub(crate) fn position(&self, shard: Id) -> Option<StartPosition> {
        match self.progress.get(&shard)? {
            Progress::At(position) => Some(position.clone()),
            Progress::Finished => None,
        }
    }

    /// Returns the time of the next request for this shard, and reserves it.
    pub(crate) fn reserve_request(&mut self, shard: Id) -> Instant {
        let at = self
            .next_requests
            .get(&shard)
            .copied()
            .unwrap_or_else(Instant::now)
            .max(Instant::now());
        self.next_requests.insert(shard, at + Duration::from_millis(250));
        at
    }

    // The ends of handles. Those of an earlier life change nothing.

    pub(crate) fn complete(
        &mut self,
        offered: Offered,
        at_its_end: bool,
        children: &[(Id, Vec<Id>)],
    ) {
        if !self.is_current(offered.life) {
            return;
        }
        let id = offered.id;
        self.add_to_digest(3, id);
        if !at_its_end {
            self.ledger.forfeit(id);
        }
        if self.truth.is_open(id) {
            self.truth.close_early(id);
        }
        self.progress.insert(id, Progress::Finished);
        self.life.close(offered, ParentOutcome::Completed, children, &self.truth);
    }

    /// Notes that the reader did not find the shard twice in a row, rightly or not.
    pub(crate) fn expire(&mut self, offered: Offered) {
        if self.is_current(offered.life) {
            self.add_to_digest(6, offered.id);
            self.life.report_not_found(offered);
        }
    }

    pub(crate) fn abandon(&mut self, offered: Offered) {
        if self.is_current(offered.life) {
            self.add_to_digest(4, offered.id);
            self.life.abandon(offered);
        }
    }

    pub(crate) fn drop_handle(&mut self, offered: Offered) {
        if !self.is_current(offered.life) {
            return;
        }
        self.add_to_digest(5, offered.id);
        match self.on_drop {
            OnDrop::Reoffer => self.life.abandon(offered),
            OnDrop::Close => {
                self.ledger.forfeit(offered.id);
                self.life.close(offered, ParentOutcome::Dropped, &[], &self.truth);
            }
        }
    }

    /// Returns some work that is still pending after the script. In the end there must be none.
    pub(crate) fn pending_work(&self) -> Option<String> {
        for (id, member) in
            self.life.members.iter().filter(|(_, member)| !member.stream_may_be_gone)
        {
            match member.state {
                State::Unoffered => return Some(format!("shard {id} was never offered")),
                State::NotFound { .. } => return Some(format!("shard {id} is still not found")),
                State::Abandoned(_) => return Some(format!("shard {id} was never offered again")),
                State::Offered if !self.truth.is_open(*id) => {
                    return Some(format!("shard {id} is not completed"));
                }
                State::Offered | State::Closed(..) => {}
            }
        }
        let mut active = self.active_readers.iter().filter(|(_, readers)| **readers > 0);
        if let Some((id, _)) = active.find(|(id, _)| id.generation != self.truth.generation) {
            return Some(format!("shard {id} is read although its stream is gone"));
        }
        if let Some(id) =
            self.truth.listed(self.start_time).find(|id| !self.life.members.contains_key(id))
        {
            return Some(format!("shard {id} was neither offered nor named by a list"));
        }
        if let Some((record, shard)) = self.ledger.owed().next() {
            return Some(format!("record {record} of shard {shard} was never read"));
        }
        let listed = self.truth.listed(None).count();
        if self.tracked_shards > listed {
            return Some(format!(
                "{} shards are remembered, but {listed} are listed",
                self.tracked_shards
            ));
        }
        None
    }
}
