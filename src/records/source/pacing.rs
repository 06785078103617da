//! The time at which a reader may send its next request.

use tokio::time::{Duration, Instant};

use crate::records::options::ReadOptions;
use crate::util::backoff::backoff;
use crate::util::idle_slots::{IdleSlot, IdleSlots};

const MIN_RETRY_DELAY: Duration = Duration::from_millis(400);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);
/// The minimum delay after `ResourceNotFoundException`: Kinesis may not know a new shard yet.
const MIN_NOT_FOUND_DELAY: Duration = Duration::from_secs(2);
/// AWS counts slightly more bytes than this crate does.
const BYTES_MARGIN: f64 = 1.05;

/// The pauses between the requests of one reader.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    /// The time of the next request. `None` means at once.
    next: Option<Instant>,
    /// When the shard is read while it is idle, once it was.
    idle_slot: Option<IdleSlot>,
    failures: u32,
}

impl Pacing {
    /// Returns the time of the next request, or `None` if it may be sent at once.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Schedules the next request after a page. AWS counts a read from the time at which it was
    /// served, which is before `received_at` and may be long after the request was sent.
    pub(crate) fn page(
        &mut self,
        received_at: Instant,
        bytes: usize,
        is_behind: bool,
        options: &ReadOptions,
        idle_slots: &IdleSlots,
    ) {
        self.failures = 0;
        let mut wait = options.min_read_interval.mul_f64(random_between(1.0, 1.05));
        if let Some(rate) = options.max_bytes_per_second {
            #[expect(clippy::cast_precision_loss, reason = "a page is far below 2^53 bytes")]
            let earned = BYTES_MARGIN * bytes as f64 / f64::from(rate.get());
            wait = wait.max(Duration::from_secs_f64(earned));
        }
        if !is_behind {
            let slot = self.idle_slot.get_or_insert_with(|| idle_slots.assign());
            wait = idle_slots.wait(slot, received_at, wait, options.idle_interval);
        }
        self.next = (!wait.is_zero()).then(|| received_at + wait);
    }

    /// Schedules the retry of a failed request: the delay doubles with each failure, and is
    /// shortened at random by up to a half. AWS may count a failed read, so the minimum interval
    /// holds too.
    pub(crate) fn failure(&mut self, options: &ReadOptions) -> Duration {
        self.schedule_retry(options.min_read_interval)
    }

    /// Resets the delay of the next failure to the first delay.
    pub(crate) fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// Schedules the retry of a request that did not find the shard.
    pub(crate) fn not_found(&mut self, options: &ReadOptions) -> Duration {
        self.schedule_retry(MIN_NOT_FOUND_DELAY.max(options.min_read_interval))
    }

    fn schedule_retry(&mut self, min: Duration) -> Duration {
        let wait = backoff(MIN_RETRY_DELAY, MAX_RETRY_DELAY, self.failures).max(min);
        self.failures += 1;
        self.next = Some(Instant::now() + wait);
        wait
    }
}

fn random_between(min: f64, max: f64) -> f64 {
    min + (max - min) * fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn wait(pacing: &Pacing, received_at: Instant) -> Duration {
        pacing.next().map_or(Duration::ZERO, |next| next - received_at)
    }

    fn page(pacing: &mut Pacing, received_at: Instant, bytes: usize, is_behind: bool) {
        let (options, slots) = (ReadOptions::default(), IdleSlots::default());
        pacing.page(received_at, bytes, is_behind, &options, &slots);
    }

    #[test]
    fn a_reader_that_is_behind_keeps_to_the_limits() {
        let (mut pacing, received_at) = (Pacing::default(), Instant::now());
        assert_eq!(pacing.next(), None, "the first read is sent at once");
        page(&mut pacing, received_at, 1_000, true);
        assert!((200 * MS..=210 * MS).contains(&wait(&pacing, received_at)), "{pacing:?}");
        // AWS allows 10 MiB in 5 s; the margin adds a twentieth.
        page(&mut pacing, received_at, 10 << 20, true);
        assert_eq!(wait(&pacing, received_at), 5_250 * MS);
    }

    /// An idle shard is read at its slot, whatever pages came before.
    #[test]
    fn a_shard_is_read_at_its_slot_once_it_is_idle() {
        let (options, slots) = (ReadOptions::default(), IdleSlots::default());
        let start = Instant::now();
        let mut pacings: Vec<_> = (0..20).map(|_| Pacing::default()).collect();
        for (n, pacing) in (0_u32..).zip(&mut pacings) {
            pacing.page(start, 0, false, &options, &slots);
            assert!((200 * MS..=1_000 * MS).contains(&wait(pacing, start)), "{pacing:?}");
            pacing.page(start + n * MS, 1_000, true, &options, &slots);
            assert!((200 * MS..=210 * MS).contains(&wait(pacing, start + n * MS)), "{pacing:?}");
        }
        let mut reads: Vec<_> = pacings
            .iter_mut()
            .map(|pacing| {
                let at = start + 1_500 * MS;
                pacing.page(at, 0, false, &options, &slots);
                let next = pacing.next().expect("a pause") + 3 * MS;
                pacing.page(next, 0, false, &options, &slots);
                (pacing.next().expect("a pause") - start).as_millis() % 1_000
            })
            .collect();
        reads.sort_unstable();
        assert!(reads.iter().copied().eq((0..20).map(|tick| 50 * tick)), "{reads:?}");
    }

    #[test]
    fn without_limits_there_is_no_pause() {
        let options =
            ReadOptions::new().min_read_interval(Duration::ZERO).max_bytes_per_second(None);
        let mut pacing = Pacing::default();
        pacing.page(Instant::now(), 1 << 20, true, &options, &IdleSlots::default());
        assert_eq!(pacing.next(), None);
    }

    #[test]
    fn the_retry_delay_doubles_up_to_ten_seconds() {
        let (mut pacing, options) = (Pacing::default(), ReadOptions::default());
        let waits: Vec<_> = (0..20).map(|_| pacing.failure(&options)).collect();
        // AWS allows 5 reads a second, failed ones included.
        assert!((200 * MS..=400 * MS).contains(&waits[0]), "{waits:?}");
        assert!((1_600 * MS..=3_200 * MS).contains(&waits[3]), "{waits:?}");
        assert!(
            waits[10..].iter().all(|wait| (5_000 * MS..=10_000 * MS).contains(wait)),
            "{waits:?}"
        );
        page(&mut pacing, Instant::now(), 0, true);
        assert!(pacing.failure(&options) <= 400 * MS);
        for _ in 0..20 {
            pacing.failure(&options);
        }
        pacing.forget_failures();
        assert!(pacing.failure(&options) <= 400 * MS);
        assert!(pacing.not_found(&options) >= 1_000 * MS);
    }
}
