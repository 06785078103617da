//! When a shard may be asked again.

use tokio::time::{Duration, Instant};

use super::ReadOptions;
use crate::backoff::backoff;

const FIRST_RETRY: Duration = Duration::from_millis(400);
const LAST_RETRY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Pace {
    /// None: at once.
    next: Option<Instant>,
    was_idle: bool,
    failures: u32,
}

impl Pace {
    pub(super) fn next(&self) -> Option<Instant> {
        self.next
    }

    /// Records came, or none did, of a request begun at `asked`.
    pub(super) fn page(&mut self, asked: Instant, bytes: usize, is_behind: bool, options: &ReadOptions) {
        self.failures = 0;
        let mut wait = options.min_read_interval.mul_f64(between(1.0, 1.05));
        if let Some(rate) = options.max_bytes_per_second {
            #[allow(clippy::cast_precision_loss)]
            let earned = bytes as f64 / f64::from(rate.get());
            wait = wait.max(Duration::from_secs_f64(earned));
        }
        if !is_behind {
            // Shards that are opened together part in their first pause, and wander in the later ones.
            let least = if self.was_idle { 0.9 } else { 0.0 };
            self.was_idle = true;
            wait = wait.max(options.idle_interval.mul_f64(between(least, 1.0)));
        }
        self.next = (!wait.is_zero()).then(|| asked + wait);
    }

    /// An iterator came: it may be used at once.
    pub(super) fn iterator(&mut self) {
        self.next = None;
    }

    /// Twice as long as after the failure before, less a random part of up to a half. What fails may count as a read.
    pub(super) fn failure(&mut self, options: &ReadOptions) -> Duration {
        let wait = backoff(FIRST_RETRY, LAST_RETRY, self.failures).max(options.min_read_interval);
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

    fn wait(pace: &Pace, asked: Instant) -> Duration {
        pace.next().map_or(Duration::ZERO, |next| next - asked)
    }

    #[test]
    fn behind_it_reads_on_within_the_limits() {
        let (mut pace, asked, options) = (Pace::default(), Instant::now(), ReadOptions::default());
        assert_eq!(pace.next(), None, "the first read is at once");
        pace.page(asked, 1_000, true, &options);
        assert!((200 * MS..=210 * MS).contains(&wait(&pace, asked)), "{pace:?}");
        // 10 MiB are five seconds' worth.
        pace.page(asked, 10 << 20, true, &options);
        assert_eq!(wait(&pace, asked), 5_000 * MS);
    }

    #[test]
    fn at_the_tip_it_reads_once_a_second_and_shards_part() {
        let (asked, options) = (Instant::now(), ReadOptions::default());
        let mut firsts = Vec::new();
        for _ in 0..1_000 {
            let mut pace = Pace::default();
            pace.page(asked, 0, false, &options);
            firsts.push(wait(&pace, asked));
            pace.page(asked, 0, false, &options);
            assert!((900 * MS..=1_000 * MS).contains(&wait(&pace, asked)), "{pace:?}");
        }
        // Spread over the whole second.
        for tenth in 2..10 {
            let began =
                firsts.iter().filter(|first| (tenth * 100 * MS..(tenth + 1) * 100 * MS).contains(*first));
            assert!(began.count() > 50, "{firsts:?}");
        }
    }

    #[test]
    fn without_limits_it_does_not_wait() {
        let options = ReadOptions::new().min_read_interval(Duration::ZERO).max_bytes_per_second(None);
        let mut pace = Pace::default();
        pace.page(Instant::now(), 1 << 20, true, &options);
        assert_eq!(pace.next(), None);
    }

    #[test]
    fn failures_double_the_wait_up_to_ten_seconds() {
        let (mut pace, options) = (Pace::default(), ReadOptions::default());
        let waits: Vec<_> = (0..20).map(|_| pace.failure(&options)).collect();
        // 5 reads a second, those that failed included.
        assert!((200 * MS..=400 * MS).contains(&waits[0]), "{waits:?}");
        assert!((1_600 * MS..=3_200 * MS).contains(&waits[3]), "{waits:?}");
        assert!(waits[10..].iter().all(|wait| (5_000 * MS..=10_000 * MS).contains(wait)), "{waits:?}");
        pace.page(Instant::now(), 0, true, &options);
        assert!(pace.failure(&options) <= 400 * MS);
    }
}
