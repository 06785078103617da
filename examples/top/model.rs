//! The state of each shard: events update it, and rows show it. The caller passes the time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::units::per_second;

/// Rates and the change of the lag are taken over this time.
const WINDOW: Duration = Duration::from_secs(10);
/// Less time than this in a window gives no rate.
const MIN_TIME: Duration = Duration::from_millis(500);
/// A reader gets a response every 5 s or sooner: a page of 10 MiB is paced so. If none comes for
/// this time, the reader falls behind.
const FRESH: Duration = Duration::from_secs(10);
/// How long a shard is shown after its end, and longer until the application has read it.
const SHOW_ENDED: Duration = Duration::from_mins(1);
/// What Kinesis accepts for one shard in a second.
const MAX_RECORDS: u64 = 1_000;
const MAX_BYTES: u64 = 1_000_000;
/// A shard is hot from this share of the limit on, in percent.
const HOT: u64 = 80;
/// It is also hot from this share on, if that is several times the median.
const UNEVEN: (u64, u64) = (10, 3);

/// An event of a shard, of the stream or of the lease table.
pub(crate) enum Event {
    /// A list, or the end of a parent, names the shard.
    Listed { shard: String, parents: Vec<String> },
    /// A reader opens the shard.
    Opened { shard: String },
    /// A page arrives; it may be empty.
    Page { shard: String, records: usize, bytes: usize, lag: Option<Duration> },
    /// A read has failed, and will be retried.
    Retry { shard: String, error: String },
    /// The reader has read the shard to its end.
    Ended { shard: String },
    /// The reader cannot continue without a person. The shard is offered again.
    Failed { shard: String, error: String },
    /// Something else has failed, and will be retried.
    Error(String),
    /// All rows of a lease table.
    Leases(Vec<Lease>),
}

/// A row of a lease table.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Lease {
    pub(crate) shard: String,
    pub(crate) owner: Option<String>,
    pub(crate) checkpoint: String,
}

impl Lease {
    /// Returns whether the application has read the shard to its end.
    pub(crate) fn has_ended(&self) -> bool {
        self.checkpoint == "SHARD_END"
    }
}

/// The state of this program's reader of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum State {
    Failed,
    Retrying,
    Reading,
    CaughtUp,
    /// A parent is not read to its end.
    Waiting,
    Ended,
}

/// When the reader of a shard will be at the tip.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum CatchUp {
    /// It is there, or too little is known.
    Unknown,
    In(Duration),
    /// The lag grows.
    Never,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sort {
    Lag,
    Rate,
    Id,
}

/// One shard of the view.
#[derive(Debug)]
pub(crate) struct Row<'a> {
    pub(crate) id: &'a str,
    pub(crate) state: State,
    pub(crate) lease: Option<&'a Lease>,
    /// The time since the checkpoint of the lease moved, as far as it was watched.
    pub(crate) checkpoint_age: Option<Duration>,
    /// What is read in a second.
    pub(crate) records: u64,
    pub(crate) bytes: u64,
    /// What is written, in percent of what Kinesis accepts.
    pub(crate) load: Option<u64>,
    pub(crate) is_hot: bool,
    pub(crate) lag: Option<Duration>,
    pub(crate) catch_up: CatchUp,
    pub(crate) retries: u64,
}

#[derive(Default)]
pub(crate) struct Model {
    shards: BTreeMap<String, Shard>,
    pub(crate) has_leases: bool,
    pub(crate) errors: u64,
    pub(crate) last_error: Option<(Instant, String)>,
}

#[derive(Default)]
struct Shard {
    parents: Vec<String>,
    phase: Phase,
    /// The pages of the last seconds, and the one before them.
    pages: VecDeque<Page>,
    is_retrying: bool,
    retries: u64,
    lease: Option<Lease>,
    checkpoint_moved: Option<Instant>,
}

#[derive(Clone, Copy, Default)]
enum Phase {
    #[default]
    Listed,
    Open(Instant),
    Failed,
    Ended(Instant),
}

#[derive(Clone, Copy)]
struct Page {
    at: Instant,
    records: u64,
    bytes: u64,
    lag: Option<Duration>,
}

impl Model {
    pub(crate) fn apply(&mut self, event: Event, now: Instant) {
        match event {
            Event::Listed { shard, parents } => self.shard(shard).parents = parents,
            Event::Opened { shard } => {
                let shard = self.shard(shard);
                (shard.phase, shard.is_retrying) = (Phase::Open(now), false);
                shard.pages.clear();
            }
            Event::Page { shard, records, bytes, lag } => {
                let (records, bytes) = (records as u64, bytes as u64);
                let shard = self.shard(shard);
                shard.is_retrying = false;
                shard.pages.push_back(Page { at: now, records, bytes, lag });
                while shard.pages.get(1).is_some_and(|page| page.at + WINDOW <= now) {
                    shard.pages.pop_front();
                }
            }
            Event::Retry { shard, error } => {
                let shard = self.shard(shard);
                shard.is_retrying = true;
                shard.retries += 1;
                self.note(error, now);
            }
            Event::Ended { shard } => self.shard(shard).phase = Phase::Ended(now),
            Event::Failed { shard, error } => {
                self.shard(shard).phase = Phase::Failed;
                self.note(error, now);
            }
            Event::Error(error) => self.note(error, now),
            Event::Leases(leases) => self.set_leases(leases, now),
        }
    }

    fn shard(&mut self, id: String) -> &mut Shard {
        self.shards.entry(id).or_default()
    }

    fn note(&mut self, error: String, now: Instant) {
        self.errors += 1;
        self.last_error = Some((now, error));
    }

    fn set_leases(&mut self, leases: Vec<Lease>, now: Instant) {
        self.has_leases = true;
        let mut leases: BTreeMap<_, _> =
            leases.into_iter().map(|lease| (lease.shard.clone(), lease)).collect();
        for (id, shard) in &mut self.shards {
            let lease = leases.remove(id);
            if let (Some(old), Some(new)) = (&shard.lease, &lease)
                && old.checkpoint != new.checkpoint
            {
                shard.checkpoint_moved = Some(now);
            }
            shard.lease = lease;
        }
    }

    /// Returns the rows of the shards that are read or wait, and of those that ended recently.
    pub(crate) fn rows(&self, now: Instant, sort: Sort) -> Vec<Row<'_>> {
        let waiting = self.waiting();
        let shown = self.shards.iter().filter_map(|(id, shard)| {
            let state = shard.state(waiting.contains(id.as_str()), now)?;
            Some(shard.row(id, state, now))
        });
        let mut rows: Vec<_> = shown.collect();
        let mut loads: Vec<_> = rows.iter().filter_map(|row| row.load).collect();
        loads.sort_unstable();
        let median = loads.get(loads.len().saturating_sub(1) / 2).copied().unwrap_or_default();
        for row in &mut rows {
            let load = row.load.unwrap_or_default();
            row.is_hot = load >= HOT || (load >= UNEVEN.0 && load >= UNEVEN.1 * median);
        }
        // A shard that is not read has neither a lag nor a rate, and is last.
        match sort {
            Sort::Id => {}
            Sort::Lag => rows.sort_by_key(|row| Reverse(row.lag)),
            Sort::Rate => rows.sort_by_key(|row| (row.state >= State::Waiting, Reverse(row.bytes))),
        }
        rows
    }

    /// Returns the listed shards with an ancestor that is not read to its end.
    fn waiting(&self) -> BTreeSet<&str> {
        let mut children = BTreeMap::<&str, Vec<&str>>::new();
        for (id, shard) in self.shards.iter().filter(|(_, it)| matches!(it.phase, Phase::Listed)) {
            for parent in &shard.parents {
                children.entry(parent).or_default().push(id);
            }
        }
        let is_unread = |shard: &Shard| matches!(shard.phase, Phase::Open(_) | Phase::Failed);
        let unread = self.shards.iter().filter(|(_, shard)| is_unread(shard));
        let mut queue: Vec<_> = unread.map(|(id, _)| id.as_str()).collect();
        let mut waiting = BTreeSet::new();
        while let Some(id) = queue.pop() {
            // Each entry is taken once, so that the walk ends whatever the lists say.
            for child in children.remove(id).unwrap_or_default() {
                waiting.insert(child);
                queue.push(child);
            }
        }
        waiting
    }
}

impl Shard {
    /// Returns `None` for a shard that is not shown.
    fn state(&self, waits: bool, now: Instant) -> Option<State> {
        match self.phase {
            Phase::Failed => Some(State::Failed),
            Phase::Ended(at) => {
                let is_consumed = self.lease.as_ref().is_none_or(Lease::has_ended);
                (now < at + SHOW_ENDED || !is_consumed).then_some(State::Ended)
            }
            Phase::Open(_) if self.is_retrying => Some(State::Retrying),
            Phase::Open(_) => match self.pages.back().and_then(|_| self.lag(now)) {
                Some(Duration::ZERO) => Some(State::CaughtUp),
                _ => Some(State::Reading),
            },
            // Any other listed shard was closed before the start, or opens at once.
            Phase::Listed => waits.then_some(State::Waiting),
        }
    }

    fn row<'a>(&'a self, id: &'a str, state: State, now: Instant) -> Row<'a> {
        let is_read = state < State::Waiting;
        let (records, bytes) = if is_read { self.read_rates(now) } else { (0, 0) };
        Row {
            id,
            state,
            lease: self.lease.as_ref(),
            checkpoint_age: self.checkpoint_moved.map(|moved| now - moved),
            records,
            bytes,
            load: self.load().filter(|_| is_read),
            is_hot: false,
            lag: self.lag(now).filter(|_| is_read),
            catch_up: if is_read { self.catch_up(now) } else { CatchUp::Unknown },
            retries: self.retries,
        }
    }

    /// Returns how far the reader is behind. Without a response, that is the time since it opened.
    fn lag(&self, now: Instant) -> Option<Duration> {
        let Some(page) = self.pages.back() else {
            let Phase::Open(at) = self.phase else { return None };
            return Some(now - at);
        };
        let age = now - page.at;
        Some(page.lag? + if age > FRESH { age } else { Duration::ZERO })
    }

    /// Returns the records and the bytes that are read in a second.
    fn read_rates(&self, now: Instant) -> (u64, u64) {
        let Phase::Open(opened) = self.phase else { return (0, 0) };
        let time = (now - opened).clamp(Duration::from_secs(1), WINDOW);
        let pages = self.pages.iter().filter(|page| page.at + WINDOW > now);
        let sum = |of: fn(&Page) -> u64| per_second(pages.clone().map(of).sum(), time);
        (sum(|page| page.records), sum(|page| page.bytes))
    }

    /// Returns the rate at which the shard was written, in percent of the limit. A reader that is
    /// behind reads faster than that: its pages span the time that passed, and the time by which
    /// the lag has shrunk.
    fn load(&self) -> Option<u64> {
        let (first, last) = (self.pages.front()?, self.pages.back()?);
        let (lag_then, lag) = (first.lag.unwrap_or_default(), last.lag.unwrap_or_default());
        let time = (last.at - first.at + lag_then).checked_sub(lag)?;
        if time < MIN_TIME {
            return None;
        }
        let pages = self.pages.iter().skip(1);
        let percent = |of: fn(&Page) -> u64, limit: u64| {
            per_second(pages.clone().map(of).sum::<u64>().saturating_mul(100), time) / limit
        };
        Some(percent(|page| page.records, MAX_RECORDS).max(percent(|page| page.bytes, MAX_BYTES)))
    }

    fn catch_up(&self, now: Instant) -> CatchUp {
        let (Some(first), Some(last)) = (self.pages.front(), self.pages.back()) else {
            return CatchUp::Unknown;
        };
        let (Some(lag_then), Some(lag)) = (first.lag, self.lag(now)) else {
            return CatchUp::Unknown;
        };
        let time = if now - last.at > FRESH { now - first.at } else { last.at - first.at };
        if lag.is_zero() || time < MIN_TIME {
            return CatchUp::Unknown;
        }
        match lag_then.checked_sub(lag) {
            Some(less) if !less.is_zero() => {
                let seconds = lag.as_secs_f64() * time.as_secs_f64() / less.as_secs_f64();
                Duration::try_from_secs_f64(seconds).map_or(CatchUp::Never, CatchUp::In)
            }
            _ => CatchUp::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "shardId-000000000000";
    const B: &str = "shardId-000000000001";
    const CHILD: &str = "shardId-000000000002";
    const GRANDCHILD: &str = "shardId-000000000003";

    struct Watched {
        model: Model,
        begun: Instant,
        now: Instant,
    }

    impl Watched {
        fn new() -> Self {
            let now = Instant::now();
            Self { model: Model::default(), begun: now, now }
        }

        fn apply(&mut self, event: Event) {
            self.model.apply(event, self.now);
        }

        fn open(&mut self, shard: &str) {
            self.apply(Event::Opened { shard: shard.to_owned() });
        }

        fn list(&mut self, shard: &str, parents: &[&str]) {
            let parents = parents.iter().map(|&parent| parent.to_owned()).collect();
            self.apply(Event::Listed { shard: shard.to_owned(), parents });
        }

        fn end(&mut self, shard: &str) {
            self.apply(Event::Ended { shard: shard.to_owned() });
        }

        /// Applies a page that arrives at a time, in milliseconds since the begin.
        fn page(&mut self, at: u64, shard: &str, records: usize, bytes: usize, lag: u64) {
            self.now = self.begun + Duration::from_millis(at);
            let lag = Some(Duration::from_millis(lag));
            self.apply(Event::Page { shard: shard.to_owned(), records, bytes, lag });
        }

        fn rows(&self, sort: Sort) -> Vec<Row<'_>> {
            self.model.rows(self.now, sort)
        }

        fn row(&self, shard: &str) -> Option<Row<'_>> {
            self.rows(Sort::Id).into_iter().find(|row| row.id == shard)
        }

        fn state(&self, shard: &str) -> Option<State> {
            self.row(shard).map(|row| row.state)
        }
    }

    #[test]
    fn descendants_wait_until_both_parents_of_a_merge_are_read() {
        let mut watched = Watched::new();
        watched.list(A, &[]);
        watched.list(B, &[]);
        watched.list(CHILD, &[A, B]);
        watched.list(GRANDCHILD, &[CHILD]);
        // Nothing is read yet: these may have been closed before the start.
        assert!(watched.rows(Sort::Id).is_empty());
        watched.open(A);
        watched.open(B);
        watched.end(A);
        assert_eq!(watched.state(CHILD), Some(State::Waiting));
        assert_eq!(watched.state(GRANDCHILD), Some(State::Waiting));
        watched.end(B);
        watched.open(CHILD);
        assert_eq!(watched.state(A), Some(State::Ended));
        assert_eq!(watched.state(CHILD), Some(State::Reading));
        assert_eq!(watched.state(GRANDCHILD), Some(State::Waiting));
        watched.now += SHOW_ENDED;
        assert_eq!(watched.state(A), None);
    }

    #[test]
    fn a_retry_and_a_failure_are_states_until_the_next_page() {
        let mut watched = Watched::new();
        watched.open(A);
        watched.apply(Event::Retry { shard: A.to_owned(), error: "throttled".to_owned() });
        assert_eq!(watched.state(A), Some(State::Retrying));
        watched.page(1_000, A, 0, 0, 0);
        assert_eq!(watched.state(A), Some(State::CaughtUp));
        watched.apply(Event::Failed { shard: A.to_owned(), error: "denied".to_owned() });
        assert_eq!(watched.state(A), Some(State::Failed));
        watched.open(A);
        assert_eq!(watched.state(A), Some(State::Reading));
        assert_eq!(watched.row(A).unwrap().retries, 1);
        let (at, error) = watched.model.last_error.as_ref().unwrap();
        assert_eq!((*at, error.as_str()), (watched.now, "denied"));
    }

    #[test]
    fn rates_are_those_of_the_last_seconds() {
        let mut watched = Watched::new();
        watched.open(A);
        for second in 1..=30 {
            watched.page(second * 1_000, A, 20, 3_000, 0);
        }
        let row = watched.row(A).unwrap();
        assert_eq!((row.records, row.bytes, row.load), (20, 3_000, Some(2)));
        watched.now += WINDOW;
        assert_eq!(watched.row(A).unwrap().records, 0);
    }

    #[test]
    fn the_time_to_catch_up_follows_from_how_the_lag_shrinks() {
        let mut watched = Watched::new();
        watched.open(A);
        watched.page(0, A, 10, 10, 60_000);
        assert_eq!(watched.row(A).unwrap().catch_up, CatchUp::Unknown);
        // Four seconds less in two: the rest of 56 s takes 28 s.
        watched.page(2_000, A, 10, 10, 56_000);
        let row = watched.row(A).unwrap();
        assert_eq!(row.catch_up, CatchUp::In(Duration::from_secs(28)));
        assert_eq!((row.state, row.lag), (State::Reading, Some(Duration::from_secs(56))));
        watched.page(4_000, A, 10, 10, 60_000);
        assert_eq!(watched.row(A).unwrap().catch_up, CatchUp::Never);
        watched.page(6_000, A, 10, 10, 0);
        assert_eq!(watched.row(A).unwrap().catch_up, CatchUp::Unknown);
    }

    #[test]
    fn a_reader_without_a_response_falls_behind() {
        let mut watched = Watched::new();
        watched.open(A);
        watched.now += Duration::from_secs(3);
        assert_eq!(watched.row(A).unwrap().lag, Some(Duration::from_secs(3)));
        watched.page(3_000, A, 0, 0, 0);
        watched.now += FRESH;
        assert_eq!(watched.state(A), Some(State::CaughtUp));
        watched.now += Duration::from_secs(1);
        let row = watched.row(A).unwrap();
        assert_eq!((row.state, row.lag), (State::Reading, Some(Duration::from_secs(11))));
        assert_eq!(row.catch_up, CatchUp::Never);
    }

    #[test]
    fn the_load_of_a_backlog_is_that_of_the_time_in_which_it_was_written() {
        let mut watched = Watched::new();
        watched.open(A);
        watched.page(0, A, 999, 999_999, 100_000);
        // Written in 20 s, as the lag is 18 s less after 2 s: 50,000 bytes a second.
        watched.page(2_000, A, 100, 1_000_000, 82_000);
        let row = watched.row(A).unwrap();
        assert_eq!((row.load, row.is_hot), (Some(5), false));
    }

    #[test]
    fn a_shard_near_the_limit_or_far_above_the_others_is_hot() {
        let hot = |records: &[usize]| {
            let mut watched = Watched::new();
            for (shard, records) in [A, B, CHILD].into_iter().zip(records) {
                watched.open(shard);
                watched.page(0, shard, 0, 0, 0);
                watched.page(1_000, shard, *records, 100, 0);
            }
            watched.rows(Sort::Id).iter().map(|row| row.is_hot).collect::<Vec<_>>()
        };
        assert_eq!(hot(&[800, 790, 800]), [true, false, true]);
        assert_eq!(hot(&[300, 100, 90]), [true, false, false]);
        assert_eq!(hot(&[290, 100, 90]), [false, false, false]);
        assert_eq!(hot(&[600, 10]), [true, false]);
        // Nearly nothing, though three times the others.
        assert_eq!(hot(&[90, 10, 10]), [false, false, false]);
    }

    #[test]
    fn rows_are_sorted_and_shards_that_are_not_read_come_last() {
        let mut watched = Watched::new();
        watched.open(A);
        watched.end(A);
        for (shard, bytes, lag) in [(B, 100, 9_000), (CHILD, 900, 0)] {
            watched.open(shard);
            watched.page(1_000, shard, 1, bytes, lag);
        }
        let ids = |sort| watched.rows(sort).iter().map(|row| row.id).collect::<Vec<_>>();
        assert_eq!(ids(Sort::Id), [A, B, CHILD]);
        assert_eq!(ids(Sort::Lag), [B, CHILD, A]);
        assert_eq!(ids(Sort::Rate), [CHILD, B, A]);
    }

    #[test]
    fn a_lease_shows_since_when_its_checkpoint_rests_and_keeps_its_shard_in_the_view() {
        let mut watched = Watched::new();
        watched.open(A);
        let lease = |checkpoint: &str| Lease {
            shard: A.to_owned(),
            owner: Some("worker".to_owned()),
            checkpoint: checkpoint.to_owned(),
        };
        watched.apply(Event::Leases(vec![lease("1")]));
        watched.now += Duration::from_secs(5);
        watched.apply(Event::Leases(vec![lease("1")]));
        assert_eq!(watched.row(A).unwrap().checkpoint_age, None);
        watched.apply(Event::Leases(vec![lease("2")]));
        watched.now += Duration::from_secs(7);
        let row = watched.row(A).unwrap();
        assert_eq!(row.checkpoint_age, Some(Duration::from_secs(7)));
        assert_eq!(row.lease, Some(&lease("2")));
        // The application is behind this reader.
        watched.end(A);
        watched.now += SHOW_ENDED;
        assert_eq!(watched.state(A), Some(State::Ended));
        watched.apply(Event::Leases(vec![lease("SHARD_END")]));
        assert_eq!(watched.state(A), None);
        watched.open(A);
        watched.apply(Event::Leases(vec![]));
        assert_eq!(watched.row(A).unwrap().lease, None);
    }
}
