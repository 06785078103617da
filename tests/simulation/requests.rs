//! The limits on the listing requests of one life.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use crate::member::Rules;

/// The number of times that a listing restarts after an expired token before it fails.
const MAX_RESTARTS: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) in_flight: u32,
    pub(crate) is_begun: bool,
    /// The listings within the window, and the reasons for further ones.
    begun: VecDeque<Instant>,
    reasons: VecDeque<Instant>,
    /// The number of failed listings in a row, and the time of the last failure.
    failures: u32,
    failed_at: Instant,
    /// The number of expired tokens in a row.
    expired_tokens: u32,
    /// Whether the SDK retries, on a schedule of its own.
    sdk_retries: bool,
    since: Instant,
}

/// The result of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum ListResult {
    Page,
    LastPage,
    ExpiredToken,
    /// The stream does not exist.
    NoStream,
    Failed,
}

impl Requests {
    pub(crate) fn new(sdk_retries: bool) -> Self {
        let now = Instant::now();
        Self {
            in_flight: 0,
            is_begun: false,
            begun: VecDeque::new(),
            reasons: VecDeque::new(),
            failures: 0,
            failed_at: now,
            expired_tokens: 0,
            sdk_retries,
            since: now,
        }
    }

    /// Permits another listing: a shard was closed, a list named a shard with unknown parents, or a
    /// filtered list must be followed by one of all shards.
    pub(crate) fn allow(&mut self) {
        self.reasons.push_back(Instant::now());
    }

    /// Checks a listing that begins: it needs a reason within the last few intervals, and must
    /// follow a failure neither too soon nor too late.
    pub(crate) fn begin(&mut self, rules: &Rules, is_second_half: bool) -> Result<(), String> {
        let now = Instant::now();
        self.is_begun = true;
        self.begun.push_back(now);
        let window = 3 * rules.poll_interval;
        for times in [&mut self.begun, &mut self.reasons] {
            while times.front().is_some_and(|time| now - *time > window) {
                times.pop_front();
            }
        }
        let ticks = (now - self.since).min(window).as_millis() / rules.poll_interval.as_millis();
        let max = 3 + usize::try_from(ticks).unwrap_or(usize::MAX) + self.reasons.len();
        if self.begun.len() > max {
            return Err(format!(
                "{} listings began within {window:?}, more than {max}: {self:?}",
                self.begun.len()
            ));
        }
        if self.sdk_retries || self.failures == 0 || self.expired_tokens > 0 || is_second_half {
            return Ok(());
        }
        let max_delay =
            FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(16)).min(rules.poll_interval);
        let waited = now - self.failed_at;
        // Tokio's clock has milliseconds.
        if waited + Duration::from_millis(1) < max_delay / 2 {
            return Err(format!(
                "after {} failed listings the next followed after {waited:?}",
                self.failures
            ));
        }
        if waited > max_delay + rules.slack_since(self.failed_at) + Duration::from_millis(1) {
            return Err(format!(
                "after {} failed listings the next followed only after {waited:?}",
                self.failures
            ));
        }
        Ok(())
    }

    pub(crate) fn end(&mut self, result: ListResult) {
        self.in_flight -= 1;
        match result {
            ListResult::Page => {}
            ListResult::LastPage => (self.failures, self.expired_tokens) = (0, 0),
            ListResult::ExpiredToken if self.expired_tokens < MAX_RESTARTS => {
                self.expired_tokens += 1;
                self.allow();
            }
            ListResult::ExpiredToken | ListResult::NoStream | ListResult::Failed => {
                self.expired_tokens = 0;
                self.failures += 1;
                self.failed_at = Instant::now();
                self.allow();
            }
        }
    }
}
