//! The progress line: how much was read, how fast, and how far behind.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kinesis_shards::records::ReadEventKind;
use kinesis_shards::{ReadOptions, Record};
use tokio::time::Instant;

use crate::common::error::LastError;
use crate::console::Console;
use crate::units::{bytes, count, lag, per_second, span};

pub(crate) struct Progress {
    started: Instant,
    total: Total,
    /// The time of the last progress line, and the total then.
    last: (Instant, Total),
    retries: Arc<Retries>,
}

#[derive(Clone, Copy, Default)]
struct Total {
    records: u64,
    bytes: u64,
}

#[derive(Default)]
struct Retries {
    count: AtomicU64,
    last_error: LastError,
    /// The latest error that was not printed yet: a hundred shards that fail at once are one line.
    unprinted: Mutex<Option<String>>,
}

impl Retries {
    fn unprinted(&self) -> MutexGuard<'_, Option<String>> {
        self.unprinted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Progress {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let total = Total::default();
        Self { started: now, total, last: (now, total), retries: Arc::default() }
    }

    /// Returns options that count the retries.
    pub(crate) fn read_options(&self) -> ReadOptions {
        let retries = Arc::clone(&self.retries);
        ReadOptions::new().on_event(move |event| {
            if let ReadEventKind::Retry { error, .. } = event.kind {
                retries.count.fetch_add(1, Ordering::Relaxed);
                *retries.unprinted() = Some(retries.last_error.describe(error));
            }
        })
    }

    /// Adds records to the total.
    pub(crate) fn count(&mut self, records: &[Record]) {
        for record in records {
            self.total.records += 1;
            let size = record.data().len() + record.partition_key().map_or(0, str::len);
            self.total.bytes += size as u64;
        }
    }

    pub(crate) fn print<'a>(
        &mut self,
        console: &Console,
        lags: impl Iterator<Item = (&'a str, Option<Duration>)>,
    ) {
        let error = self.retries.unprinted().take();
        if let Some(error) = error {
            console.print(&format!("{error}; retrying"));
        }
        let (mut open, mut greatest_lag) = (0, None);
        for (_, lag) in lags {
            open += 1;
            greatest_lag = greatest_lag.max(lag);
        }
        let now = Instant::now();
        let (then, before) = std::mem::replace(&mut self.last, (now, self.total));
        let per_second = |count: u64, before: u64| per_second(count - before, now - then);
        console.progress(&format!(
            "{}, {}/s, {}/s; {} open, {}; {}",
            count(self.total.records, "record", "records"),
            per_second(self.total.records, before.records),
            bytes(per_second(self.total.bytes, before.bytes)),
            count(open, "shard", "shards"),
            lag(greatest_lag),
            self.retries(),
        ));
    }

    pub(crate) fn print_summary(&self, console: &Console) {
        console.end();
        console.print(&format!(
            "{}, {} in {}; {}",
            count(self.total.records, "record", "records"),
            bytes(self.total.bytes),
            span(self.started.elapsed()),
            self.retries(),
        ));
    }

    fn retries(&self) -> String {
        count(self.retries.count.load(Ordering::Relaxed), "retry", "retries")
    }
}
