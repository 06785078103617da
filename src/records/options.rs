use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Duration;

use crate::records::error::ReadError;
use crate::records::event::{EndReason, ReadEvent, ReadEventKind};
use crate::records::fan_out::FanOut;
use crate::records::monitor::Monitor;
use crate::shard::handle::ShardHandle;
use crate::shard::stream_context::StreamContext;
use crate::util::received_record::ReceivedRecord;

/// Options for reading shards: how often, how fast, and on which runtime.
///
/// The defaults keep within AWS's limits of 5 reads and 2 MiB a second for each shard. All
/// applications that read a stream share these limits: if there are several, reduce each one's
/// part.
///
/// ```
/// use std::time::Duration;
/// use kinesis_shards::ReadOptions;
///
/// // One of two applications, which tolerates some delay.
/// let options = ReadOptions::new()
///     .idle_interval(Duration::from_secs(5))
///     .min_read_interval(Duration::from_millis(400))
///     .max_bytes_per_second(1 << 20);
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until they are given to a reader"]
pub struct ReadOptions {
    pub(crate) idle_interval: Duration,
    pub(crate) min_read_interval: Duration,
    pub(crate) max_bytes_per_second: Option<NonZeroU32>,
    pub(crate) max_records: i32,
    pub(crate) runtime: Option<Handle>,
    pub(crate) on_event: Vec<Arc<OnEvent>>,
    pub(crate) monitors: Vec<Monitor>,
    pub(crate) fan_out: Option<FanOut>,
    #[cfg(feature = "kpl")]
    pub(crate) deaggregation: crate::records::kpl::Deaggregation,
}

/// About 30 years, the longest delay that tokio's timers accept.
const MAX_INTERVAL: Duration = Duration::from_hours(24 * 365 * 30);

type OnEvent = dyn Fn(&ReadEvent<'_>) + Send + Sync;

impl ReadOptions {
    /// Creates options with the default of each setter.
    pub fn new() -> Self {
        Self {
            idle_interval: Duration::from_secs(1),
            min_read_interval: Duration::from_millis(200),
            max_bytes_per_second: NonZeroU32::new(2 << 20),
            max_records: 10_000,
            runtime: None,
            on_event: Vec::new(),
            monitors: Vec::new(),
            fan_out: None,
            #[cfg(feature = "kpl")]
            deaggregation: crate::records::kpl::Deaggregation::Off,
        }
    }

    /// Logs the end of a reader, and passes it to `on_event`.
    pub(crate) fn emit_end(&self, handle: &ShardHandle, end: &EndReason) {
        tracing::debug!(stream = handle.stream().name(), shard = handle.id(), ?end, "reader ended");
        self.emit(handle.context(), handle.id(), ReadEventKind::Ended(end));
    }

    /// Calls `on_event`. A panic in it must not lose the page of the event, which is not delivered
    /// yet.
    pub(crate) fn emit(&self, context: &StreamContext, shard_id: &str, kind: ReadEventKind<'_>) {
        #[cfg(feature = "metrics")]
        kind.record(context.figures());
        let event = ReadEvent { stream: &context.id, shard_id, kind };
        for on_event in &self.on_event {
            if catch_unwind(AssertUnwindSafe(|| on_event(&event))).is_err() {
                let stream = context.id.name();
                tracing::error!(stream, shard = shard_id, ?event.kind, "on_event panicked");
            }
        }
    }

    /// Passes the retry of a request by the reader of `handle` to `on_event`.
    pub(crate) fn emit_retry(
        &self,
        handle: &ShardHandle,
        error: &ReadError,
        failures: u32,
        wait: Duration,
    ) {
        self.emit(handle.context(), handle.id(), ReadEventKind::Retry { error, failures, wait });
    }

    /// Returns the bytes of a page that count against AWS's limits, or 0 if nothing needs them.
    pub(crate) fn count_bytes(&self, records: &[ReceivedRecord]) -> usize {
        let is_counted = cfg!(feature = "metrics") || !self.on_event.is_empty();
        if is_counted || self.max_bytes_per_second.is_some() {
            records.iter().map(ReceivedRecord::size).sum()
        } else {
            0
        }
    }

    /// Sets how often a shard is read once its reader has caught up. The reads of a stream's idle
    /// shards are spread over the interval, on 20 ticks that several shards share: every 50 ms by
    /// default, so that the timers of 64 idle shards wake their task 20 times a second, not 64. The
    /// first pause may be shorter. A reader that is behind does not pause beyond the limits below.
    ///
    /// An interval of more than 30 years counts as 30 years.
    ///
    /// # Default
    ///
    /// 1 s.
    pub fn idle_interval(self, interval: Duration) -> Self {
        Self { idle_interval: interval.min(MAX_INTERVAL), ..self }
    }

    /// Sets the minimum time between the response to a read of a shard and the next read. AWS
    /// allows 5 reads a second, for all applications together. Zero sets no limit, for servers that
    /// have none.
    ///
    /// An interval of more than 30 years counts as 30 years.
    ///
    /// # Default
    ///
    /// 200 ms.
    pub fn min_read_interval(self, interval: Duration) -> Self {
        Self { min_read_interval: interval.min(MAX_INTERVAL), ..self }
    }

    /// Sets the maximum rate at which a shard is read, in bytes of data and partition keys per
    /// second. After each page, the reader pauses until the page and a margin of 5 % fit the rate.
    /// AWS allows 2 MiB a second, for all applications together. `None` or zero sets no limit.
    ///
    /// # Default
    ///
    /// 2 MiB (2,097,152 bytes).
    pub fn max_bytes_per_second(self, bytes: impl Into<Option<u32>>) -> Self {
        Self { max_bytes_per_second: bytes.into().and_then(NonZeroU32::new), ..self }
    }

    /// Sets the maximum number of records in a page: the `Limit` of `GetRecords`. It bounds the
    /// memory of a shard, which is one page, or two with [`spawn_on`](Self::spawn_on).
    ///
    /// # Default
    ///
    /// 10,000, the maximum that AWS allows. AWS also limits a page to 10 MiB.
    ///
    /// # Panics
    ///
    /// If `records` is zero or above 10,000.
    #[track_caller]
    pub fn max_records(self, records: u16) -> Self {
        assert!(
            (1..=10_000).contains(&records),
            "max_records is {records}, but GetRecords allows 1 to 10,000"
        );
        Self { max_records: i32::from(records), ..self }
    }

    /// Spawns each read as a task of `runtime`. The responses of different shards are parsed on all
    /// its cores, and a shard's next page is read while the current one is processed. Dropping the
    /// reader aborts the tasks.
    ///
    /// # Default
    ///
    /// No runtime: all work happens in the task that polls, and nothing is spawned.
    ///
    /// # Panics
    ///
    /// The reader panics when it is polled after the runtime has shut down. A panic in a task, such
    /// as that of a runtime without a time driver, is resumed in the reader.
    pub fn spawn_on(self, runtime: Handle) -> Self {
        Self { runtime: Some(runtime), ..self }
    }

    /// Splits the aggregated records of the Kinesis Producer Library (KPL).
    ///
    /// Each user record becomes a [`Record`](super::Record) with its own partition key and data,
    /// the sequence number of the aggregated record, and a
    /// [`sub_sequence_number`](super::Record::sub_sequence_number).
    ///
    /// A malformed aggregated record (wrong checksum, message or index, a key of more than 256
    /// characters, no user records) is yielded whole, and a warning is logged.
    ///
    /// # Default
    ///
    /// Off: aggregated records are yielded whole.
    #[cfg(feature = "kpl")]
    pub fn deaggregate(self) -> Self {
        Self { deaggregation: crate::records::kpl::Deaggregation::All, ..self }
    }

    /// Splits records like [`deaggregate`](Self::deaggregate), and drops user records of other
    /// shards: those whose hash key (the explicit one, or the MD5 of the partition key) is outside
    /// the hash key range of the shard that holds the aggregated record.
    ///
    /// A producer aggregates by the shards that it knows: after a split, some user records of an
    /// aggregated record may belong to the other child. The Kinesis Client Library (1.8.8) then
    /// drops the whole aggregated record.
    ///
    /// Do not set this if the producer spreads records with `RecordDistributionStrategy=AUTO`: such
    /// records lie in any shard, and would be dropped. Their stream has no order per key.
    #[cfg(feature = "kpl")]
    pub fn deaggregate_own_hash_range(self) -> Self {
        Self { deaggregation: crate::records::kpl::Deaggregation::OwnRange, ..self }
    }

    /// Reads by enhanced fan-out, as this consumer: Kinesis pushes the records of each shard over a
    /// subscription. See [`FanOut`].
    ///
    /// The options that pace requests have no effect then: [`idle_interval`](Self::idle_interval),
    /// [`min_read_interval`](Self::min_read_interval),
    /// [`max_bytes_per_second`](Self::max_bytes_per_second), [`max_records`](Self::max_records), and
    /// `max_concurrent_reads` of the streams of records. They apply where a reader polls, to learn
    /// what a subscription does not tell.
    ///
    /// # Default
    ///
    /// No consumer: the reader polls, by `GetRecords`.
    pub fn fan_out(self, consumer: &FanOut) -> Self {
        Self { fan_out: Some(consumer.clone()), ..self }
    }

    /// Shows the progress of each reader in `monitor`. A second call adds a monitor.
    ///
    /// # Default
    ///
    /// No monitor.
    pub fn monitor(mut self, monitor: &Monitor) -> Self {
        self.monitors.push(monitor.clone());
        self
    }

    /// Calls `on_event` for each page, retry and end of a reader, for metrics. A second call adds a
    /// listener.
    ///
    /// The reader calls `on_event` while it is polled, so `on_event` should return quickly. A panic
    /// in it is caught and logged, and loses no record.
    ///
    /// ```
    /// use std::sync::Arc;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    /// use kinesis_shards::ReadOptions;
    /// use kinesis_shards::records::ReadEventKind;
    ///
    /// let retries = Arc::new(AtomicU64::new(0));
    /// let options = ReadOptions::new().on_event({
    ///     let retries = Arc::clone(&retries);
    ///     move |event| {
    ///         if let ReadEventKind::Retry { .. } = event.kind {
    ///             retries.fetch_add(1, Ordering::Relaxed);
    ///         }
    ///     }
    /// });
    /// ```
    pub fn on_event(mut self, on_event: impl Fn(&ReadEvent<'_>) + Send + Sync + 'static) -> Self {
        self.on_event.push(Arc::new(on_event));
        self
    }
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for ReadOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOptions")
            .field("idle_interval", &self.idle_interval)
            .field("min_read_interval", &self.min_read_interval)
            .field("max_bytes_per_second", &self.max_bytes_per_second)
            .field("max_records", &self.max_records)
            .field("runtime", &self.runtime.as_ref().map(Handle::id))
            .field("fan_out", &self.fan_out)
            .finish_non_exhaustive()
    }
}
