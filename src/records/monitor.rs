//! The progress of readers, for health checks and alarms.

#[cfg(feature = "metrics")]
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use tokio::time::{Duration, Instant};

use crate::shard::offer::Offer;
use crate::shard::stream_id::StreamId;
use crate::util::clock::now;
#[cfg(feature = "metrics")]
use crate::util::metrics::Gauges;
use crate::util::received_record::ReceivedRecord;

/// A view of the progress of all readers whose [`ReadOptions::monitor`] it is.
///
/// [`status`](Self::status) can be called at any time and from any thread, even while the readers
/// are not polled: the [`ShardStatus::lag`] of a stuck consumer grows. Clones share the readers.
/// With checkpoints, [`Checkpoints::status`](crate::Checkpoints::status) reports more.
///
/// ```
/// use std::time::Duration;
///
/// use futures::TryStreamExt;
/// use kinesis_shards::records::Monitor;
/// use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), kinesis_shards::ReadError> {
/// # let kinesis = FakeKinesis::new();
/// # let stream = kinesis.create_stream("orders", 1);
/// # stream.put("customer 1", "an order");
/// # stream.put("customer 1", "another");
/// # let client = kinesis.client();
/// let monitor = Monitor::new();
/// let options = ReadOptions::new().monitor(&monitor);
/// let mut records = all_shards(&client, "orders").records(&client).with_options(options);
///
/// // In a health check. Without an open reader, there is no lag: nothing is read yet.
/// let is_healthy = || monitor.max_lag().is_some_and(|lag| lag < Duration::from_mins(5));
/// assert!(!is_healthy());
///
/// let record = records.try_next().await?;
/// # assert!(record.is_some());
/// assert!(is_healthy());
/// tokio::time::sleep(Duration::from_mins(6)).await; // the consumer is stuck
/// assert!(!is_healthy());
/// # Ok(())
/// # }
/// ```
///
/// [`ReadOptions::monitor`]: super::ReadOptions::monitor
#[derive(Clone, Default)]
pub struct Monitor {
    readers: Arc<Mutex<Vec<Weak<Progress>>>>,
    #[cfg(feature = "metrics")]
    gauges: Arc<MonitorGauges>,
}

/// The gauges of the streams and those of the shards, which are set apart.
#[cfg(feature = "metrics")]
#[derive(Default)]
struct MonitorGauges {
    streams: Gauges,
    shards: Gauges,
}

/// The progress of one shard's reader, as returned by [`Monitor::status`]: see the example of
/// [`Monitor`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ShardStatus {
    /// The stream.
    pub stream: StreamId,
    /// The id of the shard.
    pub shard_id: String,
    /// The time since the reader was first polled.
    pub open_for: Duration,
    /// `MillisBehindLatest` of the last response: the time from the end of its page to the newest
    /// record. `None` before the first response, or if the server reports none.
    pub response_lag: Option<Duration>,
    /// The time since the last response. `None` before the first one.
    pub response_age: Option<Duration>,
    /// The arrival time of the last record that the consumer has taken.
    pub last_arrival: Option<SystemTime>,
    /// The arrival time of the first record of the last page.
    pub page_arrival: Option<SystemTime>,
    /// Whether the consumer has records of the last page left to take.
    pub has_records_in_hand: bool,
    now: SystemTime,
}

impl ShardStatus {
    /// Returns how far the consumer is behind the newest record of the shard.
    ///
    /// If the consumer has records left to take, the lag is the time since the arrival of the last
    /// record taken. Otherwise, it is the sum of the lag and the age of the last response, and
    /// grows while the reader is not polled: up to one
    /// [`idle_interval`](super::ReadOptions::idle_interval) is normal at the tip. Before the first
    /// response, the lag is the time since the reader was first polled: an alarm notices a reader
    /// that gets no response.
    #[must_use]
    pub fn lag(&self) -> Duration {
        let reached = self.last_arrival.max(self.page_arrival);
        if let (true, Some(reached)) = (self.has_records_in_hand, reached) {
            return self.now.duration_since(reached).unwrap_or_default();
        }
        let age = self.response_age.unwrap_or(self.open_for);
        self.response_lag.unwrap_or_default() + age
    }
}

impl Monitor {
    /// Creates a monitor without readers.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the progress of each open reader, sorted by stream and shard.
    ///
    /// A shard appears when its reader is first polled, and disappears once its reader has ended
    /// and its last page is dropped.
    #[must_use]
    pub fn status(&self) -> Vec<ShardStatus> {
        let mut status: Vec<_> = self.progress().iter().map(|reader| reader.status()).collect();
        status.sort_by(|a, b| {
            (a.stream.as_str(), &a.shard_id).cmp(&(b.stream.as_str(), &b.shard_id))
        });
        status
    }

    /// Returns the largest [`lag`](ShardStatus::lag), or `None` if no reader is open.
    #[must_use]
    pub fn max_lag(&self) -> Option<Duration> {
        self.progress().iter().map(|reader| reader.status().lag()).max()
    }

    /// Sets the greatest lag and the number of open readers of each stream, for the facade of the
    /// crate `metrics`: see [`metrics`](crate::metrics).
    #[cfg(feature = "metrics")]
    pub fn record_metrics(&self) {
        // Streams of other accounts or regions may have the same name, which is the label.
        let mut streams: BTreeMap<String, (Duration, u64)> = BTreeMap::new();
        for status in self.status() {
            let (max, readers) = streams.entry(status.stream.name().to_owned()).or_default();
            (*max, *readers) = (status.lag().max(*max), *readers + 1);
        }
        self.gauges.streams.record(|round| {
            for (stream, (max_lag, readers)) in &streams {
                round.set_readers(stream, *max_lag, *readers);
            }
        });
    }

    /// Sets the lag of each shard with an open reader, for the facade of the crate `metrics`. Each
    /// shard is a series of its own: a stream that is resharded often has many.
    #[cfg(feature = "metrics")]
    pub fn record_shard_metrics(&self) {
        self.gauges.shards.record(|round| {
            for status in self.status() {
                round.set_lag(status.stream.name(), &status.shard_id, status.lag());
            }
        });
    }

    fn progress(&self) -> Vec<Arc<Progress>> {
        let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.iter().filter_map(Weak::upgrade).collect()
    }

    pub(crate) fn add(&self, reader: &Arc<Progress>) {
        let mut readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner);
        // This bounds the list by twice the number of open readers.
        if readers.len() == readers.capacity() {
            readers.retain(|reader| reader.strong_count() > 0);
        }
        readers.push(Arc::downgrade(reader));
    }

    /// Returns the number of readers in the list, ended ones included.
    #[cfg(test)]
    pub(crate) fn listed(&self) -> usize {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Monitor").field("readers", &self.progress().len()).finish()
    }
}

/// The progress of one reader, which it shares with its pages and its monitors.
#[derive(Debug)]
pub(crate) struct Progress {
    client: Client,
    offer: Arc<Offer>,
    opened: Instant,
    /// The time and the lag of the last response.
    response: Mutex<Option<(Instant, Option<Duration>)>>,
    page_arrival: Time,
    last_arrival: Time,
    /// The number of pages with records left to take.
    pages_in_hand: AtomicUsize,
}

impl Progress {
    pub(crate) fn new(client: Client, offer: Arc<Offer>) -> Self {
        Self {
            client,
            offer,
            opened: Instant::now(),
            response: Mutex::default(),
            page_arrival: Time::default(),
            last_arrival: Time::default(),
            pages_in_hand: AtomicUsize::new(0),
        }
    }

    /// Notes that the reader received a page.
    pub(crate) fn receive_page(&self, records: &[ReceivedRecord], lag: Option<Duration>) {
        let response = Some((Instant::now(), lag));
        *self.response.lock().unwrap_or_else(PoisonError::into_inner) = response;
        if let Some(first) = records.first() {
            self.page_arrival.set(first.arrival_millis());
        }
    }

    fn status(&self) -> ShardStatus {
        let response = *self.response.lock().unwrap_or_else(PoisonError::into_inner);
        ShardStatus {
            stream: self.offer.stream().clone(),
            shard_id: self.offer.shard.shard_id().to_owned(),
            open_for: self.opened.elapsed(),
            response_lag: response.and_then(|(_, lag)| lag),
            response_age: response.map(|(at, _)| at.elapsed()),
            last_arrival: self.last_arrival.get(),
            page_arrival: self.page_arrival.get(),
            has_records_in_hand: self.pages_in_hand.load(Ordering::Acquire) > 0,
            now: now(&self.client),
        }
    }
}

/// An optional time, in milliseconds since the Unix epoch. `i64::MIN` is none.
#[derive(Debug)]
struct Time(AtomicI64);

impl Default for Time {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Time {
    #[inline]
    fn set(&self, millis: Option<i64>) {
        if let Some(millis) = millis {
            self.0.store(millis, Ordering::Release);
        }
    }

    fn get(&self) -> Option<SystemTime> {
        let millis = u64::try_from(self.0.load(Ordering::Acquire)).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))
    }
}

/// The progress of a reader, held by a page with records left to take.
pub(crate) struct PageProgress(Arc<Progress>);

impl PageProgress {
    pub(crate) fn new(progress: Arc<Progress>) -> Self {
        progress.pages_in_hand.fetch_add(1, Ordering::AcqRel);
        Self(progress)
    }

    /// Notes that the consumer took a record that arrived at this time, in milliseconds.
    #[inline]
    pub(crate) fn take_record(&self, arrival: Option<i64>) {
        self.0.last_arrival.set(arrival);
    }
}

impl Drop for PageProgress {
    fn drop(&mut self) {
        self.0.pages_in_hand.fetch_sub(1, Ordering::AcqRel);
    }
}
