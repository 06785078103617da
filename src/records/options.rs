use std::fmt;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Duration;

use crate::records::error::ReadError;
use crate::records::event::{EndReason, ReadEvent, ReadEventKind};
use crate::records::monitor::Monitor;
use crate::shard::handle::ShardHandle;
use crate::shard::stream_id::StreamId;

/// How shards are read: how often, how fast, and by whom the answers are parsed.
///
/// The default keeps within AWS's limits of 5 reads and 2 MiB a second and shard. These are shared
/// by all applications that read the stream: where there are several, leave the others their part.
///
/// ```
/// use std::time::Duration;
/// use kinesis_shards::ReadOptions;
///
/// // One of two applications, in no hurry.
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
    #[cfg(feature = "kpl")]
    pub(crate) deaggregation: crate::records::kpl::Deaggregation,
}

/// About 30 years, as long as tokio's timers go.
const MAX_INTERVAL: Duration = Duration::from_hours(24 * 365 * 30);

type OnEvent = dyn Fn(&ReadEvent<'_>) + Send + Sync;

impl ReadOptions {
    /// The defaults, as each setter names them.
    pub fn new() -> Self {
        Self {
            idle_interval: Duration::from_secs(1),
            min_read_interval: Duration::from_millis(200),
            max_bytes_per_second: NonZeroU32::new(2 << 20),
            max_records: 10_000,
            runtime: None,
            on_event: Vec::new(),
            monitors: Vec::new(),
            #[cfg(feature = "kpl")]
            deaggregation: crate::records::kpl::Deaggregation::Off,
        }
    }

    pub(crate) fn tell_end(&self, handle: &ShardHandle, end: &EndReason) {
        tracing::debug!(
            stream = handle.stream().name(),
            shard = handle.id(),
            ?end,
            "a reader has ended"
        );
        self.tell(handle.stream(), handle.id(), ReadEventKind::Ended(end));
    }

    /// Calls `on_event`. A panic in it must not lose the page that it is told of, which is read but
    /// not yet delivered.
    pub(crate) fn tell(&self, stream: &StreamId, shard_id: &str, kind: ReadEventKind<'_>) {
        let event = ReadEvent { stream, shard_id, kind };
        for on_event in &self.on_event {
            if catch_unwind(AssertUnwindSafe(|| on_event(&event))).is_err() {
                tracing::error!(
                    stream = stream.name(),
                    shard = shard_id,
                    ?event.kind,
                    "on_event panicked; the event is lost"
                );
            }
        }
    }

    /// Tells `on_event` that a request is sent again after `wait`, by the reader of `handle`.
    pub(crate) fn tell_retry(
        &self,
        handle: &ShardHandle,
        error: &ReadError,
        failures: u32,
        wait: Duration,
    ) {
        self.tell(handle.stream(), handle.id(), ReadEventKind::Retry { error, failures, wait });
    }

    /// Whether anybody wants to know how large a page is.
    pub(crate) fn counts_bytes(&self) -> bool {
        self.max_bytes_per_second.is_some() || !self.on_event.is_empty()
    }

    /// How long after the answer to a read that reached the tip of the shard the next begins, less
    /// a random tenth; the first such pause is a random part of it. While a shard is behind it is
    /// read on at once, within the limits below.
    ///
    /// An interval of more than 30 years counts as 30 years.
    ///
    /// # Default
    ///
    /// 1 s
    pub fn idle_interval(self, interval: Duration) -> Self {
        Self { idle_interval: interval.min(MAX_INTERVAL), ..self }
    }

    /// The least time between the answer to a read of a shard and the beginning of the next. AWS
    /// allows 5 a second, for all applications together. Zero is no limit: for servers that have
    /// none.
    ///
    /// An interval of more than 30 years counts as 30 years.
    ///
    /// # Default
    ///
    /// 200 ms
    pub fn min_read_interval(self, interval: Duration) -> Self {
        Self { min_read_interval: interval.min(MAX_INTERVAL), ..self }
    }

    /// After a page came, the shard is not read again before it has earned that page's data and
    /// partition keys, and a twentieth more to be safe, at so many bytes a second. AWS allows 2
    /// MiB, for all applications together. `None`, or zero, is no limit.
    ///
    /// # Default
    ///
    /// 2 MiB (2,097,152)
    pub fn max_bytes_per_second(self, bytes: impl Into<Option<u32>>) -> Self {
        Self { max_bytes_per_second: bytes.into().and_then(NonZeroU32::new), ..self }
    }

    /// The most records that one read asks for: `GetRecords`' `Limit`. It bounds the memory that a
    /// shard takes: a page in hand, and one ahead.
    ///
    /// # Default
    ///
    /// 10,000, which is also AWS's limit. AWS cuts a page off at 10 MiB in any case.
    ///
    /// # Panics
    ///
    /// If it is zero or above 10,000.
    #[track_caller]
    pub fn max_records(self, records: u16) -> Self {
        assert!(
            (1..=10_000).contains(&records),
            "max_records is {records}: GetRecords takes 1 to 10,000 records at a time"
        );
        Self { max_records: i32::from(records), ..self }
    }

    /// Makes each read a task of this runtime, so that the answers of different shards are parsed
    /// on all its cores, and each shard's next page is read while its last is being worked on. The
    /// tasks are aborted when the reader is dropped.
    ///
    /// # Default
    ///
    /// None: everything happens in the task that polls. Nothing is spawned.
    ///
    /// # Panics
    ///
    /// The reader panics when it is polled after the runtime has shut down, with what a task
    /// panicked with, and in the tasks if the runtime has no time driver.
    pub fn spawn_on(self, runtime: Handle) -> Self {
        Self { runtime: Some(runtime), ..self }
    }

    /// Splits the records that the Kinesis Producer Library (KPL) has packed into one: each of its
    /// user records becomes a [`Record`](super::Record) of its own, with its own partition key and
    /// data, the aggregated record's sequence number, and its
    /// [`sub_sequence_number`](super::Record::sub_sequence_number). A record that is marked as
    /// aggregated but is broken (its checksum, its message, an index, a key of more than 256
    /// characters, no user records at all) comes out as it is, and a warning is logged.
    ///
    /// # Default
    ///
    /// Off: records come out as Kinesis has them.
    #[cfg(feature = "kpl")]
    pub fn deaggregate(self) -> Self {
        Self { deaggregation: crate::records::kpl::Deaggregation::All, ..self }
    }

    /// Splits records like [`deaggregate`](Self::deaggregate), and drops each user record whose hash
    /// key (the explicit one, or the MD5 of the partition key) is outside the hash key range of the
    /// shard that holds the aggregate.
    ///
    /// A producer aggregates by the shards that it knows: after a split, some user records of an
    /// aggregate may belong to the other child. The Kinesis Client Library (1.8.8) drops the whole
    /// aggregate then.
    ///
    /// Do not set it if the producer spreads records with `RecordDistributionStrategy=AUTO`: such
    /// records lie in any shard, and would be dropped. Their stream has no order per key.
    #[cfg(feature = "kpl")]
    pub fn deaggregate_own_hash_range(self) -> Self {
        Self { deaggregation: crate::records::kpl::Deaggregation::OwnRange, ..self }
    }

    /// Shows the progress of each reader in `monitor`. A second call adds a monitor.
    ///
    /// # Default
    ///
    /// None.
    pub fn monitor(mut self, monitor: &Monitor) -> Self {
        self.monitors.push(monitor.clone());
        self
    }

    /// Calls `on_event` for each page, retry and end of a reader, for metrics. A second call adds a
    /// listener.
    ///
    /// `on_event` is called within the reader's poll and should be quick. A panic in it is caught
    /// and logged: no record is lost by it.
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
            .finish_non_exhaustive()
    }
}
