//! The times at which the readers of one stream read their idle shards.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, OnceLock};

use tokio::time::{Duration, Instant};

use crate::util::lock::lock;

/// The number of times within an interval at which idle shards are read.
const TICKS: u64 = 20;
/// The number of readers that read together. Further readers follow a millisecond later.
const MAX_TOGETHER: u64 = 8;

/// Spreads the reads of idle shards over their interval, on a grid of 20 ticks: 50 ms for an
/// interval of one second. Several readers share a tick, and so one wake-up of their task.
#[derive(Debug, Default)]
pub(crate) struct IdleSlots {
    /// The time of the first tick, which is that of the first page.
    origin: OnceLock<Instant>,
    numbers: Arc<Mutex<Numbers>>,
}

/// The numbers of the readers. That of a dropped reader is assigned again, so that the readers fill
/// the ticks evenly however often shards are split and moved.
#[derive(Debug, Default)]
struct Numbers {
    free: BTreeSet<u64>,
    /// All numbers below this one are assigned or free.
    next: u64,
}

/// The place of one reader among those of its stream, until it is dropped.
#[derive(Debug)]
pub(crate) struct IdleSlot {
    number: u64,
    numbers: Arc<Mutex<Numbers>>,
}

impl IdleSlots {
    /// Returns the slot of a new reader.
    pub(crate) fn assign(&self) -> IdleSlot {
        let mut numbers = lock(&self.numbers);
        let number = numbers.free.pop_first().unwrap_or(numbers.next);
        numbers.next = numbers.next.max(number + 1);
        IdleSlot { number, numbers: Arc::clone(&self.numbers) }
    }

    /// Returns how long after `received_at` an idle shard is read again: within `interval`, and
    /// after `min` in any case. A reader in a steady state reads exactly once an interval, if a
    /// response takes less than the interval without `min`.
    pub(crate) fn wait(
        &self,
        slot: &IdleSlot,
        received_at: Instant,
        min: Duration,
        interval: Duration,
    ) -> Duration {
        let origin = *self.origin.get_or_init(|| received_at);
        let elapsed = nanos(received_at.saturating_duration_since(origin));
        let (min_wait, interval_nanos) = (nanos(min), nanos(interval));
        let tick = interval_nanos / TICKS;
        if min_wait >= interval_nanos || tick == 0 {
            return min.max(interval);
        }
        let own = until(elapsed, slot.phase(tick), interval_nanos);
        if own >= min_wait {
            return Duration::from_nanos(own);
        }
        // The slot is closer than `min`. A read at a tick before the next slot keeps the pause
        // within the interval.
        let soon = min_wait + until(elapsed + min_wait, 0, tick);
        Duration::from_nanos(soon.min(interval_nanos))
    }
}

impl IdleSlot {
    /// Returns the offset of the slot within the interval, in nanoseconds.
    fn phase(&self, tick: u64) -> u64 {
        // The ticks in an order in which consecutive readers are far apart.
        let millis = self.number / (TICKS * MAX_TOGETHER);
        tick * (self.number * 7 % TICKS) + millis * 1_000_000 % tick
    }
}

impl Drop for IdleSlot {
    fn drop(&mut self) {
        lock(&self.numbers).free.insert(self.number);
    }
}

/// Returns the nanoseconds, more than zero, until the next time at this phase of a period.
fn until(elapsed: u64, phase: u64, period: u64) -> u64 {
    period - (elapsed + period - phase) % period
}

/// Intervals are bounded to 30 years, which fit.
fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, VecDeque};

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const SECOND: Duration = Duration::from_secs(1);

    /// Reads shards for some intervals, with responses after 5 ms. Returns the times of the reads.
    fn reads(readers: usize, intervals: u32) -> Vec<Vec<Instant>> {
        let slots = IdleSlots::default();
        let start = Instant::now();
        let assigned: Vec<_> = (0..readers).map(|_| slots.assign()).collect();
        let read = |slot: &IdleSlot| {
            let mut at = start;
            let mut reads = Vec::new();
            while at < start + intervals * SECOND {
                reads.push(at);
                let received_at = at + 5 * MS;
                at = received_at + slots.wait(slot, received_at, 200 * MS, SECOND);
            }
            reads
        };
        assigned.iter().map(read).collect()
    }

    #[test]
    fn an_idle_shard_is_read_once_an_interval() {
        for reads in reads(1_000, 10) {
            let pauses: Vec<_> = reads.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(pauses.iter().all(|pause| (200 * MS..=1_005 * MS).contains(pause)));
            assert!(pauses[2..].iter().all(|pause| *pause == SECOND), "{pauses:?}");
        }
    }

    #[test]
    fn few_readers_share_each_of_20_ticks() {
        for (readers, ticks, together) in [(1, 1, 1), (20, 20, 1), (64, 20, 4), (160, 20, 8)] {
            let mut at = BTreeMap::new();
            for reads in reads(readers, 5) {
                *at.entry(reads[3]).or_insert(0) += 1;
            }
            let first = *at.keys().next().unwrap();
            assert!(at.keys().all(|time| (*time - first).as_millis() % 50 == 0), "{at:?}");
            assert!(at.values().all(|readers| *readers <= together), "{at:?}");
            assert_eq!(at.len(), ticks);
        }
    }

    #[test]
    fn many_readers_are_spread_over_the_interval() {
        let mut at = BTreeMap::new();
        for reads in reads(8_000, 5) {
            let phase = (reads[3] - reads[0]).as_millis() % 1_000;
            *at.entry(phase).or_insert(0) += 1;
        }
        assert_eq!(at.len(), 1_000, "each millisecond has a read");
        assert!(at.values().all(|readers| *readers == 8), "{at:?}");
    }

    /// Shards are split, and leases are moved, for months.
    #[test]
    fn the_slot_of_a_dropped_reader_is_assigned_again() {
        let slots = IdleSlots::default();
        let mut readers: VecDeque<_> = (0..64).map(|_| slots.assign()).collect();
        for _ in 0..2_000 {
            drop(readers.pop_front());
            readers.push_back(slots.assign());
        }
        let numbers: BTreeSet<_> = readers.iter().map(|reader| reader.number).collect();
        assert!(numbers.into_iter().eq(0..64));
    }

    #[test]
    fn a_late_page_neither_undercuts_the_minimum_nor_exceeds_the_interval() {
        let slots = IdleSlots::default();
        let (slot, start) = (slots.assign(), Instant::now());
        for late in 0..2_000 {
            let received_at = start + late * MS;
            let wait = slots.wait(&slot, received_at, 200 * MS, SECOND);
            assert!((200 * MS..=SECOND).contains(&wait), "{late}: {wait:?}");
            let phase = (received_at + wait - start).as_millis();
            assert_eq!(phase % 50, 0, "{late}: {wait:?}");
        }
    }

    #[test]
    fn an_interval_below_the_minimum_has_no_grid() {
        let slots = IdleSlots::default();
        let slot = slots.assign();
        for (min, interval, expected) in [(200, 100, 200), (200, 200, 200), (0, 0, 0)] {
            let wait = slots.wait(&slot, Instant::now(), min * MS, interval * MS);
            assert_eq!(wait, expected * MS);
        }
    }
}
