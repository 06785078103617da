//! When a shard may be asked again.

use tokio::time::{Duration, Instant};

use crate::records::options::ReadOptions;
use crate::util::backoff::backoff;

const MIN_RETRY_DELAY: Duration = Duration::from_millis(400);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);
/// A shard that Kinesis does not know may be one that it has just made.
const NOT_FOUND: Duration = Duration::from_secs(2);
/// AWS weighs a little more than we do.
const MARGIN: f64 = 1.05;

#[derive(Debug, Default)]
pub(crate) struct Pacing {
    /// None: at once.
    next: Option<Instant>,
    was_idle: bool,
    failures: u32,
}

impl Pacing {
    pub(crate) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Records came, or none did. AWS counts a read from when it was served: that is before the
    /// answer `came`, and may be long after it was asked for.
    pub(crate) fn page(
        &mut self,
        came: Instant,
        bytes: usize,
        is_behind: bool,
        options: &ReadOptions,
    ) {
        self.failures = 0;
        let mut wait = options.min_read_interval.mul_f64(between(1.0, 1.05));
        if let Some(rate) = options.max_bytes_per_second {
            #[expect(clippy::cast_precision_loss, reason = "a page is far below 2^53 bytes")]
            let earned = MARGIN * bytes as f64 / f64::from(rate.get());
            wait = wait.max(Duration::from_secs_f64(earned));
        }
        if !is_behind {
            // Shards that are opened together part in their first pause, and wander in the later
            // ones.
            let least = if self.was_idle { 0.9 } else { 0.0 };
            self.was_idle = true;
            wait = wait.max(options.idle_interval.mul_f64(between(least, 1.0)));
        }
        self.next = (!wait.is_zero()).then(|| came + wait);
    }

    /// Twice as long as after the failure before, less a random part of up to a half. What fails
    /// may count as a read.
    pub(crate) fn failure(&mut self, options: &ReadOptions) -> Duration {
        self.failed(options.min_read_interval)
    }

    /// Lets the next failure wait as the first one does.
    pub(crate) fn forget_failures(&mut self) {
        self.failures = 0;
    }

    /// As a failure, but not so soon.
    pub(crate) fn not_found(&mut self, options: &ReadOptions) -> Duration {
        self.failed(NOT_FOUND.max(options.min_read_interval))
    }

    fn failed(&mut self, least: Duration) -> Duration {
        let wait = backoff(MIN_RETRY_DELAY, MAX_RETRY_DELAY, self.failures).max(least);
        self.failures += 1;
        self.next = Some(Instant::now() + wait);
        wait
    }
}

fn between(least: f64, most: f64) -> f64 {
    least + (most - least) * fastrand::f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn wait(pacing: &Pacing, came: Instant) -> Duration {
        pacing.next().map_or(Duration::ZERO, |next| next - came)
    }

    #[test]
    fn behind_it_reads_on_within_the_limits() {
        let (mut pacing, came, options) =
            (Pacing::default(), Instant::now(), ReadOptions::default());
        assert_eq!(pacing.next(), None, "the first read is at once");
        pacing.page(came, 1_000, true, &options);
        assert!((200 * MS..=210 * MS).contains(&wait(&pacing, came)), "{pacing:?}");
        // 10 MiB are five seconds' worth, and a twentieth of that is to be safe.
        pacing.page(came, 10 << 20, true, &options);
        assert_eq!(wait(&pacing, came), 5_250 * MS);
    }

    #[test]
    fn at_the_tip_it_reads_once_a_second_and_shards_part() {
        let (came, options) = (Instant::now(), ReadOptions::default());
        let mut firsts = Vec::new();
        for _ in 0..1_000 {
            let mut pacing = Pacing::default();
            pacing.page(came, 0, false, &options);
            firsts.push(wait(&pacing, came));
            pacing.page(came, 0, false, &options);
            assert!((900 * MS..=1_000 * MS).contains(&wait(&pacing, came)), "{pacing:?}");
        }
        // Spread over the whole second.
        for tenth in 2..10 {
            let began = firsts
                .iter()
                .filter(|first| (tenth * 100 * MS..(tenth + 1) * 100 * MS).contains(*first));
            assert!(began.count() > 50, "{firsts:?}");
        }
    }

    #[test]
    fn without_limits_it_does_not_wait() {
        let options =
            ReadOptions::new().min_read_interval(Duration::ZERO).max_bytes_per_second(None);
        let mut pacing = Pacing::default();
        pacing.page(Instant::now(), 1 << 20, true, &options);
        assert_eq!(pacing.next(), None);
    }

    #[test]
    fn failures_double_the_wait_up_to_ten_seconds() {
        let (mut pacing, options) = (Pacing::default(), ReadOptions::default());
        let waits: Vec<_> = (0..20).map(|_| pacing.failure(&options)).collect();
        // 5 reads a second, those that failed included.
        assert!((200 * MS..=400 * MS).contains(&waits[0]), "{waits:?}");
        assert!((1_600 * MS..=3_200 * MS).contains(&waits[3]), "{waits:?}");
        assert!(
            waits[10..].iter().all(|wait| (5_000 * MS..=10_000 * MS).contains(wait)),
            "{waits:?}"
        );
        pacing.page(Instant::now(), 0, true, &options);
        assert!(pacing.failure(&options) <= 400 * MS);
        assert!(pacing.not_found(&options) >= 1_000 * MS);
    }
}
