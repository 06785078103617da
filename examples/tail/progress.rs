//! How far it is.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kinesis_shards::{ReadEventKind, ReadOptions, Record};
use tokio::time::Instant;

use crate::common::with_cause;
use crate::console::Console;
use crate::units::{bytes, count, per_second, span};

pub(crate) struct Progress {
    begun: Instant,
    read: Read,
    /// When the last line was printed, and what was read until then.
    last: (Instant, Read),
    retries: Arc<Retries>,
}

#[derive(Clone, Copy, Default)]
struct Read {
    records: u64,
    bytes: u64,
}

#[derive(Default)]
struct Retries {
    count: AtomicU64,
    /// Why, the last time. A hundred shards that fail at once are one line.
    latest: Mutex<Option<String>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        let now = Instant::now();
        let read = Read::default();
        Self { begun: now, read, last: (now, read), retries: Arc::default() }
    }

    /// Options by which retries are counted.
    pub(crate) fn watched(&self) -> ReadOptions {
        let retries = Arc::clone(&self.retries);
        ReadOptions::new().on_event(move |event| {
            if let ReadEventKind::Retry { error, .. } = event.kind {
                retries.count.fetch_add(1, Ordering::Relaxed);
                *retries.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(with_cause(error));
            }
        })
    }

    pub(crate) fn read(&mut self, records: &[Record]) {
        for record in records {
            self.read.records += 1;
            let size = record.data().len() + record.partition_key().map_or(0, str::len);
            self.read.bytes += size as u64;
        }
    }

    pub(crate) fn tick<'a>(
        &mut self,
        console: &Console,
        lags: impl Iterator<Item = (&'a str, Option<Duration>)>,
    ) {
        let latest = self.retries.latest.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(error) = latest {
            console.say(&format!("{error}; it is tried again"));
        }
        let (mut open, mut greatest) = (0, None);
        for (_, lag) in lags {
            open += 1;
            greatest = greatest.max(lag);
        }
        let now = Instant::now();
        let (then, before) = std::mem::replace(&mut self.last, (now, self.read));
        let per_second = |count: u64, before: u64| per_second(count - before, now - then);
        console.progress(&format!(
            "{}, {}/s, {}/s; {} open, lag {}; {}",
            count(self.read.records, "record", "records"),
            per_second(self.read.records, before.records),
            bytes(per_second(self.read.bytes, before.bytes)),
            count(open, "shard", "shards"),
            greatest.map_or_else(|| "unknown".to_owned(), |lag| format!("up to {}", span(lag))),
            self.retries(),
        ));
    }

    pub(crate) fn summary(&self, console: &Console) {
        console.end();
        console.say(&format!(
            "{}, {} in {}; {}",
            count(self.read.records, "record", "records"),
            bytes(self.read.bytes),
            span(self.begun.elapsed()),
            self.retries(),
        ));
    }

    fn retries(&self) -> String {
        count(self.retries.count.load(Ordering::Relaxed), "retry", "retries")
    }
}
