//! What the listing requests of one life are counted against.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use crate::member::Rules;

/// A listing whose token has expired is begun again so often before that is a failure.
const MOST_RESTARTS: u32 = 3;
const FIRST_RETRY: Duration = Duration::from_millis(500);

#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) under_way: u32,
    pub(crate) is_begun: bool,
    /// Within the window: when listings were begun, and why one more may be.
    begun: VecDeque<Instant>,
    reasons: VecDeque<Instant>,
    /// Listings that failed since the last that did not, and when the last of them did.
    failures: u32,
    failed_at: Instant,
    /// In a row.
    expired_tokens: u32,
    /// The SDK tries again by itself: when is its own affair.
    sdk_retries: bool,
    since: Instant,
}

/// What came of one request.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    Page,
    LastPage,
    ExpiredToken,
    /// There is no such stream.
    NoStream,
    Failed,
}

impl Requests {
    pub(crate) fn new(sdk_retries: bool) -> Self {
        let now = Instant::now();
        Self {
            under_way: 0,
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

    /// A shard was closed; or a list wants another: one that named a shard whose parents no list
    /// had, or the filtered one before one of all shards.
    pub(crate) fn allow(&mut self) {
        self.reasons.push_back(Instant::now());
    }

    /// A listing begins: there must be a reason within the last few intervals, and it must not
    /// follow a failure too soon or too late.
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
        let most = 3 + usize::try_from(ticks).unwrap_or(usize::MAX) + self.reasons.len();
        if self.begun.len() > most {
            return Err(format!(
                "{} listings were begun in {window:?}, not {most}: {self:?}",
                self.begun.len()
            ));
        }
        if self.sdk_retries || self.failures == 0 || self.expired_tokens > 0 || is_second_half {
            return Ok(());
        }
        let longest =
            FIRST_RETRY.saturating_mul(1 << (self.failures - 1).min(16)).min(rules.poll_interval);
        let waited = now - self.failed_at;
        // A clock of milliseconds.
        if waited + Duration::from_millis(1) < longest / 2 {
            return Err(format!(
                "after {} failed listings the next came after {waited:?}",
                self.failures
            ));
        }
        if waited > longest + rules.slack_since(self.failed_at) + Duration::from_millis(1) {
            return Err(format!(
                "after {} failed listings the next came only after {waited:?}",
                self.failures
            ));
        }
        Ok(())
    }

    pub(crate) fn end(&mut self, answer: Answer) {
        self.under_way -= 1;
        match answer {
            Answer::Page => {}
            Answer::LastPage => (self.failures, self.expired_tokens) = (0, 0),
            Answer::ExpiredToken if self.expired_tokens < MOST_RESTARTS => {
                self.expired_tokens += 1;
                self.allow();
            }
            Answer::ExpiredToken | Answer::NoStream | Answer::Failed => {
                self.expired_tokens = 0;
                self.failures += 1;
                self.failed_at = Instant::now();
                self.allow();
            }
        }
    }
}
