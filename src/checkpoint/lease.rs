//! The lease of a shard: the right of one worker to deliver its records, for as long as it proves
//! that it lives.

use std::fmt;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::task::AtomicWaker;
use tokio::time::{Duration, Instant};

use crate::checkpoint::waiters::Waiters;
use crate::util::coarse_clock::{CoarseClock, last_tick, nanos};

/// The time until which a worker may deliver records. Clones share it.
///
/// A worker that could not prove that it lives stops delivering before another one may take its
/// leases. The clock is read for each record, since a process that was stopped wakes up late.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryDeadline(Arc<Deadline>);

#[derive(Debug)]
struct Deadline {
    clock: CoarseClock,
    /// The deadline in nanoseconds from the origin.
    until: AtomicU64,
    /// The tick from which on the deadline may have passed.
    until_tick: AtomicU64,
}

impl DeliveryDeadline {
    pub(crate) fn new(origin: Instant) -> Self {
        Self(Arc::new(Deadline {
            clock: CoarseClock::new(origin),
            until: AtomicU64::new(0),
            until_tick: AtomicU64::new(0),
        }))
    }

    /// Sets the deadline, as a time since the origin. Returns whether the last one had passed, and
    /// this one has not: who waits for it must be woken.
    #[must_use]
    pub(crate) fn set(&self, until: Duration) -> bool {
        self.0.clock.check();
        let until = nanos(until);
        let last = self.0.until.swap(until, Ordering::SeqCst);
        self.0.until_tick.store(self.0.clock.tick_at(until), Ordering::SeqCst);
        let now = self.0.clock.at_most();
        last <= now && now < until
    }

    #[inline]
    pub(crate) fn has_passed(&self) -> bool {
        // This is asked for each record. The usual answer costs a read of the clock and one
        // comparison.
        let until_tick = self.0.until_tick.load(Ordering::Relaxed);
        if last_tick().is_some_and(|tick| tick < until_tick) {
            return false;
        }
        self.0.clock.at_most() >= self.0.until.load(Ordering::Relaxed)
    }
}

/// What the leases of a worker tell the task that drives it. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct DriverSignal(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    driver: AtomicWaker,
    /// The shards that another subscriber has taken over.
    taken_over: Mutex<Vec<String>>,
}

impl DriverSignal {
    pub(crate) fn register(&self, waker: &Waker) {
        self.0.driver.register(waker);
    }

    pub(crate) fn wake(&self) {
        self.0.driver.wake();
    }

    /// Takes the shards that another subscriber has taken over.
    pub(crate) fn take_takeovers(&self) -> Vec<String> {
        std::mem::take(&mut *self.taken_over())
    }

    fn taken_over(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.taken_over.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lease of a shard: see
/// [`CheckpointedShard::lease`](crate::checkpoint::CheckpointedShard::lease).
///
/// The worker that holds the lease of a shard is the only one that delivers its records and saves
/// its checkpoint. Clones are of the same lease. A worker that gets the lease of a shard again gets
/// another `Lease`.
///
/// See the examples of [`lease`](crate::lease#fencing).
#[derive(Clone)]
pub struct Lease(Arc<Inner>);

struct Inner {
    shard_id: String,
    token: u64,
    /// One of the constants below.
    stage: AtomicU8,
    end: OnceLock<LeaseEnd>,
    /// How often the reader was polled, to notice one that is not.
    polls: AtomicU64,
    deadline: DeliveryDeadline,
    waiting: Waiters,
    /// The task that gives the lease away, once no record is in flight.
    driver: DriverSignal,
}

const DELIVERING: u8 = 0;
const DRAINING: u8 = 1;
const ENDED: u8 = 2;

/// The reason why a lease ended: see [`Lease::ended`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LeaseEnd {
    /// All records of the shard were processed, and its end is stored.
    Finished,
    /// This worker gave the lease away after the records in flight were acknowledged, or at the
    /// limit of a shutdown.
    Moved {
        /// The id of the new owner. `None` if the lease was released, because no other worker was
        /// there.
        to: Option<String>,
    },
    /// Another worker took the lease, this one was declared dead, or the row of the lease was
    /// deleted. Acknowledgements no longer have an effect, and the records since the last save come
    /// again at the new owner.
    Lost {
        /// The id of the new owner, if it is known.
        to: Option<String>,
    },
}

impl Lease {
    pub(crate) fn new(
        shard_id: String,
        token: u64,
        deadline: DeliveryDeadline,
        driver: DriverSignal,
    ) -> Self {
        Self(Arc::new(Inner {
            shard_id,
            token,
            stage: AtomicU8::new(DELIVERING),
            end: OnceLock::new(),
            polls: AtomicU64::new(0),
            deadline,
            waiting: Waiters::default(),
            driver,
        }))
    }

    /// Returns the id of the shard.
    #[must_use]
    pub fn shard_id(&self) -> &str {
        &self.0.shard_id
    }

    /// Returns the fencing token: the counter of the lease when it was granted. Of two leases of a
    /// shard, the later has the greater token. Tokens of different shards cannot be compared.
    ///
    /// Write it with each effect of a record, and let the destination refuse a smaller one: then a
    /// worker that was stopped for longer than the failover time, and wakes up with a record in
    /// hand, changes nothing. See the example of [fencing](crate::lease#fencing).
    #[must_use]
    pub fn token(&self) -> u64 {
        self.0.token
    }

    /// Returns whether this worker holds the lease, as far as it knows: the lease has not ended,
    /// and the worker proved within 4/5 of the failover time that it lives. The next moment may
    /// differ, so this does not replace [fencing](crate::lease#fencing).
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.0.stage.load(Ordering::SeqCst) != ENDED && !self.0.deadline.has_passed()
    }

    /// Waits until the lease has ended, and returns why.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect.
    pub async fn ended(&self) -> LeaseEnd {
        let waker = self.0.waiting.subscribe();
        poll_fn(|cx| {
            waker.register(cx.waker());
            self.0.end.get().map_or(Poll::Pending, |end| Poll::Ready(end.clone()))
        })
        .await
    }

    /// Notes that the reader of the shard was polled.
    pub(crate) fn note_poll(&self) {
        self.0.polls.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn polls(&self) -> u64 {
        self.0.polls.load(Ordering::Relaxed)
    }

    /// Returns why the lease has ended, once it has.
    pub(crate) fn end_reason(&self) -> Option<&LeaseEnd> {
        self.0.end.get()
    }

    /// Returns whether a record may be delivered now.
    #[inline]
    pub(crate) fn may_deliver(&self) -> bool {
        self.is_delivering() && !self.0.deadline.has_passed()
    }

    /// Waits until this worker [holds](Self::is_held) the lease, and returns false once the lease
    /// has ended. `waker` keeps the wait between polls.
    pub(crate) fn poll_held(
        &self,
        waker: &mut Option<Arc<AtomicWaker>>,
        cx: &mut Context<'_>,
    ) -> Poll<bool> {
        if self.is_held() {
            return Poll::Ready(true);
        }
        waker.get_or_insert_with(|| self.0.waiting.subscribe()).register(cx.waker());
        if self.is_held() {
            Poll::Ready(true)
        } else if self.end_reason().is_some() {
            Poll::Ready(false)
        } else {
            Poll::Pending
        }
    }

    /// Wakes the tasks that wait for this lease: the worker has proved again that it lives.
    pub(crate) fn wake(&self) {
        self.0.waiting.wake();
    }

    /// Returns whether the lease is neither being given away nor over.
    pub(crate) fn is_delivering(&self) -> bool {
        self.0.stage.load(Ordering::SeqCst) == DELIVERING
    }

    /// Returns whether the lease is given away once no record is in flight.
    pub(crate) fn is_draining(&self) -> bool {
        self.0.stage.load(Ordering::SeqCst) == DRAINING
    }

    /// Ends the delivery of records, so that the lease can be given away.
    pub(crate) fn drain(&self) {
        self.advance(DELIVERING, DRAINING);
    }

    /// Continues the delivery: the lease is not given away.
    pub(crate) fn resume(&self) {
        self.advance(DRAINING, DELIVERING);
    }

    fn advance(&self, from: u8, to: u8) {
        let _ = self.0.stage.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Ends the lease.
    pub(crate) fn end(&self, end: LeaseEnd) {
        // The reason is there before the stage is seen.
        let _ = self.0.end.set(end);
        self.0.stage.store(ENDED, Ordering::SeqCst);
        self.0.waiting.wake();
    }

    /// Reports that another subscriber has taken over the events of the shard: it may be a worker
    /// that has the lease.
    pub(crate) fn report_takeover(&self) {
        self.0.driver.taken_over().push(self.0.shard_id.clone());
        self.0.driver.wake();
    }

    /// Wakes the task that gives the lease away, if it waits for the records in flight.
    pub(crate) fn settled(&self) {
        if self.0.stage.load(Ordering::SeqCst) == DRAINING {
            self.0.driver.wake();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("shard_id", &self.0.shard_id)
            .field("token", &self.0.token)
            .field("is_held", &self.is_held())
            .finish_non_exhaustive()
    }
}

impl fmt::Display for LeaseEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Finished => f.write_str("the shard has ended"),
            Self::Moved { to: Some(to) } => write!(f, "the lease was given to worker {to}"),
            Self::Moved { to: None } => f.write_str("the lease was released"),
            Self::Lost { to: Some(to) } => write!(f, "the lease was taken by worker {to}"),
            Self::Lost { to: None } => f.write_str("the lease was lost"),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::time::advance;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn lease(until: Duration) -> Lease {
        let deadline = DeliveryDeadline::new(Instant::now());
        let _ = deadline.set(until);
        Lease::new("shardId-000000000000".to_owned(), 7, deadline, DriverSignal::default())
    }

    #[tokio::test]
    async fn a_deadline_passes_without_a_paused_clock() {
        let deadline = DeliveryDeadline::new(Instant::now());
        let hour = Duration::from_hours(1);
        assert!(deadline.set(hour));
        assert!(!deadline.has_passed());
        assert!(!deadline.set(Duration::ZERO));
        assert!(deadline.has_passed());
        assert!(deadline.set(hour));
        // From now on, the ticks of the system are not those of tokio's clock.
        tokio::time::pause();
        assert!(!deadline.set(2 * hour));
        advance(3 * hour).await;
        assert!(deadline.has_passed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_that_had_passed_and_is_set_anew_wakes() {
        let deadline = DeliveryDeadline::new(Instant::now());
        assert!(deadline.has_passed());
        assert!(!deadline.set(Duration::ZERO), "it has passed already");
        assert!(deadline.set(SECOND));
        assert!(!deadline.has_passed());
        assert!(!deadline.set(2 * SECOND), "the last one had not passed");
        advance(2 * SECOND).await;
        assert!(deadline.has_passed());
        assert!(!deadline.set(SECOND), "it has passed already");
        assert!(deadline.set(4 * SECOND));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_is_held_until_its_end_or_its_deadline() {
        let lease = lease(SECOND);
        assert_eq!((lease.shard_id(), lease.token()), ("shardId-000000000000", 7));
        assert!(lease.is_held() && lease.may_deliver());
        advance(SECOND).await;
        assert!(!lease.is_held() && !lease.may_deliver());
        let _ = lease.0.deadline.set(3 * SECOND);
        assert!(lease.is_held() && lease.may_deliver());
        assert!(lease.ended().now_or_never().is_none() && lease.end_reason().is_none());
        lease.end(LeaseEnd::Finished);
        assert!(!lease.is_held() && !lease.may_deliver());
        lease.end(LeaseEnd::Lost { to: None });
        assert_eq!(lease.ended().now_or_never(), Some(LeaseEnd::Finished), "the first end counts");
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_drains_delivers_nothing_unless_it_resumes() {
        let lease = lease(SECOND);
        lease.resume();
        lease.drain();
        assert!(lease.is_held() && !lease.may_deliver());
        lease.resume();
        assert!(lease.may_deliver());
        lease.drain();
        lease.end(LeaseEnd::Finished);
        lease.resume();
        assert!(!lease.is_delivering());
    }

    #[tokio::test(start_paused = true)]
    async fn the_driver_is_woken_when_a_lease_that_drains_has_settled() {
        let lease = lease(SECOND);
        let is_woken = || {
            lease.0.driver.register(Waker::noop());
            lease.settled();
            lease.0.driver.0.driver.take().is_none()
        };
        assert!(!is_woken());
        lease.drain();
        assert!(is_woken());
        lease.end(LeaseEnd::Moved { to: None });
        assert!(!is_woken());
    }

    #[tokio::test(start_paused = true)]
    async fn the_polls_of_the_reader_are_counted() {
        let lease = lease(SECOND);
        for polls in 0..3 {
            assert_eq!(lease.polls(), polls);
            lease.note_poll();
        }
    }

    #[test]
    fn the_end_of_a_lease_is_told_with_the_other_worker() {
        for (end, text) in [
            (LeaseEnd::Finished, "the shard has ended"),
            (LeaseEnd::Moved { to: Some("b".to_owned()) }, "the lease was given to worker b"),
            (LeaseEnd::Moved { to: None }, "the lease was released"),
            (LeaseEnd::Lost { to: Some("b".to_owned()) }, "the lease was taken by worker b"),
            (LeaseEnd::Lost { to: None }, "the lease was lost"),
        ] {
            assert_eq!(end.to_string(), text);
        }
    }
}
