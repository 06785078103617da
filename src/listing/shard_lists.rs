//! The interval stream of complete shard lists.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ChildShard;
use futures::future::BoxFuture;
use futures::stream::FusedStream;
use futures::{FutureExt, Stream};
#[cfg(feature = "dynamodb")]
use tokio::time::sleep;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_stream::wrappers::IntervalStream;

use crate::listing::error::ListError;
#[cfg(feature = "dynamodb")]
use crate::listing::fetch::read_clock;
use crate::listing::fetch::{NO_SHARDS, Query, list};
use crate::listing::shard_list::{Extent, ShardList};
use crate::shard::stop_at::StopAt;
use crate::shard::stream_context::StreamContext;
use crate::shard::stream_id::StreamId;
use crate::util::backoff::backoff;
use crate::util::clock::{ClockSkew, now};
use crate::util::received_shard::ReceivedShard;
use crate::util::runtime::LastRuntime;

const DEFAULT_FULL_LISTING_INTERVAL: Duration = Duration::from_mins(10);
const MIN_RETRY_DELAY: Duration = Duration::from_millis(500);
#[cfg(feature = "dynamodb")]
const MAX_CLOCK_RETRY_DELAY: Duration = Duration::from_secs(10);
/// About 30 years, the limit of tokio's timers.
const MAX_INTERVAL: Duration = Duration::from_hours(24 * 365 * 30);

/// Lists the shards of a stream once per `interval`: a source for
/// [`parents_first`](crate::lineage::parents_first).
///
/// The first list is full. Later ones request only shards after the greatest known id
/// (`ExclusiveStartShardId`), in one request whatever the number of shards, except that the list is
/// full again [every 10 minutes](ShardLists::full_listing_interval) and after
/// `ResourceNotFoundException`. At most one listing is in flight, and none unless the stream is
/// polled.
///
/// # Errors
///
/// A failed listing is one `Err`, and the stream continues: it retries after 500 ms, then with a
/// delay that doubles up to `interval`; each delay is shortened at random by up to a half. The
/// SDK's own retries come before that. A request that gets no response within 60 s of being polled
/// fails too.
///
/// # Panics
///
/// If `interval` is zero. An interval of more than 30 years counts as 30 years. Polling it panics
/// outside a tokio runtime with its time driver enabled.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing: a listing in flight stays in the stream, and continues at the
/// next poll.
///
/// ```
/// use std::time::Duration;
///
/// use futures::StreamExt;
/// use kinesis_shards::listing::shard_lists;
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), kinesis_shards::ListError> {
/// # let kinesis = FakeKinesis::new();
/// # kinesis.create_stream("orders", 2);
/// # let client = kinesis.client();
/// let mut lists = shard_lists(&client, "orders", Duration::from_secs(30));
/// # let mut lists = lists.take(2);
/// while let Some(list) = lists.next().await {
///     let list = list?;
///     println!("{} shards in a full list: {}", list.shards().count(), list.is_full());
/// }
/// # Ok(())
/// # }
/// ```
#[track_caller]
pub fn shard_lists(client: &Client, stream: impl Into<StreamId>, interval: Duration) -> ShardLists {
    let mut lists = ShardLists {
        client: client.clone(),
        context: Arc::new(StreamContext::new(stream.into())),
        interval,
        full_interval: DEFAULT_FULL_LISTING_INTERVAL,
        from: None,
        include_closed: false,
        ticks: None,
        runtime: LastRuntime::default(),
        listing: None,
        started: None,
        greatest_id: None,
        last_full: None,
        next_is_full: false,
        run_began: None,
        first_skew: None,
        was_missing: false,
        failures: 0,
        retry_in: Duration::ZERO,
    };
    lists.set_interval(interval);
    lists
}

/// Stream of [`shard_lists`]: see the example there.
#[must_use = "streams do nothing unless polled"]
pub struct ShardLists {
    client: Client,
    context: Arc<StreamContext>,
    interval: Duration,
    full_interval: Duration,
    from: Option<DateTime>,
    include_closed: bool,
    /// Created by the first poll, since an interval needs a runtime.
    ticks: Option<IntervalStream>,
    runtime: LastRuntime,
    listing: Option<BoxFuture<'static, Result<ShardList, ListError>>>,
    /// The listing in flight, or the last one.
    started: Option<StartedListing>,
    greatest_id: Option<String>,
    /// The last full listing that succeeded.
    last_full: Option<StartedListing>,
    next_is_full: bool,
    /// When the first listing began, by the client's clock.
    run_began: Option<SystemTime>,
    /// The skew that the first response showed: the clock may be corrected later.
    first_skew: Option<ClockSkew>,
    /// Kinesis knew no such stream, or no shard of it, and no listing has succeeded since.
    was_missing: bool,
    /// How many listings in a row have failed.
    failures: u32,
    /// The delay from the last failure to the next attempt.
    retry_in: Duration,
}

/// A listing that has begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StartedListing {
    number: u64,
    pub(crate) is_full: bool,
    at: Instant,
}

/// A listing that a consumer of lists requests: see [`ShardLists::list_now`] and
/// [`ParentsFirst::take_list_request`](crate::lineage::ParentsFirst::take_list_request).
///
/// ```
/// use std::time::Duration;
///
/// use futures::TryStreamExt;
/// use kinesis_shards::listing::{ListRequest, shard_lists};
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), kinesis_shards::ListError> {
/// # let kinesis = FakeKinesis::new();
/// # kinesis.create_stream("orders", 2);
/// # let client = kinesis.client();
/// let mut lists = shard_lists(&client, "orders", Duration::from_secs(30));
/// let first = lists.try_next().await?.expect("a stream of lists never ends");
/// assert!(first.is_full());
///
/// lists.list_now(ListRequest::Full); // at once, and not partial
/// let second = lists.try_next().await?.expect("a stream of lists never ends");
/// assert!(second.is_full());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListRequest {
    /// The new shards: a shard was closed with no known child.
    Additions,
    /// All shards: a partial list named a shard with an unknown parent, or showed that the stream
    /// was created again; or a reader got `ResourceNotFoundException`, or a response that may or
    /// may not be the end of its shard.
    Full,
}

impl ShardLists {
    /// Sets how often the list is full instead of partial.
    ///
    /// A full list catches what a partial one cannot: a shard that was omitted once, a stream that
    /// was deleted and created again, and shards that have expired.
    ///
    /// # Default
    ///
    /// 10 minutes.
    ///
    /// # Panics
    ///
    /// If `interval` is zero, and after the first poll.
    #[track_caller]
    pub fn full_listing_interval(mut self, interval: Duration) -> Self {
        self.set_full_interval(interval);
        self
    }

    /// Omits from the full lists the shards that were closed before this time (the filter
    /// `FROM_TIMESTAMP`).
    ///
    /// # Default
    ///
    /// All shards that Kinesis lists.
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[track_caller]
    pub fn from_timestamp(mut self, timestamp: DateTime) -> Self {
        self.set_from(Some(timestamp));
        self
    }

    /// Lists at once instead of at the next tick.
    ///
    /// The call does nothing [while a listing is in flight](Self::is_listing). After a failed
    /// listing, the call does not shorten the delay before the next attempt, but a
    /// [full](ListRequest::Full) request makes that attempt full. The call wakes no task, so make it
    /// between polls.
    pub fn list_now(&mut self, request: ListRequest) {
        if self.is_listing() {
            return;
        }
        self.next_is_full |= request == ListRequest::Full;
        if let Some(ticks) = self.ticks.as_mut()
            && self.failures == 0
        {
            ticks.as_mut().reset_immediately();
        }
    }

    /// Returns whether a listing is in flight.
    #[must_use]
    pub fn is_listing(&self) -> bool {
        self.listing.is_some()
    }

    /// Returns the listing that is in flight, if one is.
    pub(crate) fn in_flight(&self) -> Option<StartedListing> {
        self.started.filter(|_| self.is_listing())
    }

    /// Returns the number of the listing in flight, or of the last one; 0 before the first.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn started_listing(&self) -> u64 {
        self.started.map_or(0, |started| started.number)
    }

    /// Returns the number of the last full listing that succeeded.
    #[cfg(feature = "dynamodb")]
    pub(crate) fn last_full_listing(&self) -> Option<u64> {
        self.last_full.map(|listing| listing.number)
    }

    /// Returns whether a full listing has succeeded.
    pub(crate) fn has_listed(&self) -> bool {
        self.last_full.is_some()
    }

    pub(crate) fn stream(&self) -> &StreamId {
        &self.context.id
    }

    /// Returns how many listings in a row have failed.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// Returns the delay from the last failed listing to the next attempt.
    pub(crate) fn retry_in(&self) -> Duration {
        self.retry_in
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    #[track_caller]
    fn assert_unpolled(&self, setter: &str) {
        assert!(
            self.ticks.is_none(),
            "{setter} must be called before the stream of shards is polled"
        );
    }

    #[track_caller]
    pub(crate) fn set_interval(&mut self, interval: Duration) {
        self.assert_unpolled("poll_interval");
        assert!(
            !interval.is_zero(),
            "the poll interval of stream {} is zero: it must be at least 1 ns",
            self.context.id
        );
        self.interval = interval.min(MAX_INTERVAL);
    }

    #[track_caller]
    pub(crate) fn set_full_interval(&mut self, interval: Duration) {
        self.assert_unpolled("full_listing_interval");
        assert!(
            !interval.is_zero(),
            "the full listing interval of stream {} is zero: it must be at least 1 ns",
            self.context.id
        );
        self.full_interval = interval;
    }

    #[track_caller]
    pub(crate) fn set_from(&mut self, from: Option<DateTime>) {
        self.assert_unpolled("from_timestamp");
        self.from = from;
    }

    /// Ends the run there, for the readers of the shards.
    pub(crate) fn set_stop_at(&mut self, stop_at: StopAt) {
        // The first listing shares the context.
        if let Some(context) = Arc::get_mut(&mut self.context) {
            context.stop_at = Some(stop_at);
        }
    }

    /// Makes the full lists name the shards that were closed before
    /// [`from_timestamp`](Self::from_timestamp) too: an earlier run may have left them unfinished.
    pub(crate) fn set_include_closed(&mut self, include_closed: bool) {
        self.include_closed = include_closed;
    }

    fn begin_listing(&mut self) {
        let (client, context) = (self.client.clone(), Arc::clone(&self.context));
        // Timers are inexact: a tick that comes a little early must not wait for the next.
        let early = self.interval.min(self.full_interval) / 8;
        let full_is_due = self.next_is_full
            || self.last_full.is_none_or(|last| last.at.elapsed() + early >= self.full_interval);
        let query = match (&self.greatest_id, self.from) {
            (Some(greatest), _) if !full_is_due => Query::After(greatest.clone()),
            (_, Some(from)) => Query::FromTimestamp(from),
            (_, None) => Query::Everything,
        };
        self.started = Some(StartedListing {
            number: self.started.map_or(1, |before| before.number + 1),
            is_full: !matches!(query, Query::After(_)),
            at: Instant::now(),
        });
        let include_closed = self.include_closed;
        self.run_began.get_or_insert_with(|| now(&self.client));
        let stream_was_missing = self.was_missing && self.last_full.is_none();
        self.listing = Some(Box::pin(async move {
            let list = fetch_list(client, context, query, include_closed).await?;
            Ok(ShardList { stream_was_missing, ..list })
        }));
    }

    /// Sets in the list when the run began, by Kinesis's clock. The first list determines when it
    /// ends.
    fn note_time(&mut self, listed: &mut Result<ShardList, ListError>) {
        self.first_skew = self.first_skew.or(self.context.clock.skew());
        if let (Ok(list), Some(run_began)) = (listed, self.run_began) {
            list.run_began = self.first_skew.unwrap_or_default().to_server_time(run_began);
            self.context.determine_end(list.run_began, now(&self.client));
        }
    }

    fn note_list(&mut self, list: &ShardList) {
        self.failures = 0;
        self.was_missing = false;
        if list.is_full() {
            self.greatest_id.clone_from(&list.greatest_id);
            self.last_full = self.started;
            self.next_is_full = false;
        } else {
            self.greatest_id = self.greatest_id.take().max(list.greatest_id.clone());
        }
        let shards = list.pages.iter().map(Vec::len).sum::<usize>();
        tracing::debug!(
            stream = self.context.id.name(),
            shards,
            full = list.is_full(),
            "listed the shards"
        );
    }

    /// Schedules the next attempt.
    fn note_failure(&mut self, error: &ListError) {
        let is_missing = match error {
            ListError::StreamNotFound { .. } => true,
            ListError::MalformedList { reason, .. } => reason == NO_SHARDS,
            _ => false,
        };
        self.next_is_full |= is_missing;
        self.was_missing |= is_missing;
        self.retry_in = backoff(MIN_RETRY_DELAY, self.interval, self.failures);
        self.failures = self.failures.saturating_add(1);
        if let Some(ticks) = self.ticks.as_mut() {
            ticks.as_mut().reset_after(self.retry_in);
        }
    }
}

/// Lists the shards, and returns whether the shard is closed. `None` if it is unlisted.
pub(crate) async fn is_listed_as_closed(
    client: &Client,
    context: &StreamContext,
    shard_id: &str,
) -> Result<Option<bool>, ListError> {
    let pages = list(client, context, &Query::Everything).await?;
    let shard = pages.into_shards().find(|shard| shard.shard_id() == shard_id);
    Ok(shard.map(|shard| shard.is_closed()))
}

/// Returns the time by Kinesis's clock, or up to a second or so earlier. A failed request is
/// retried without a limit, unless its error is not retryable.
#[cfg(feature = "dynamodb")]
pub(crate) async fn server_time(
    client: &Client,
    context: &StreamContext,
) -> Result<SystemTime, ListError> {
    let mut failures = 0;
    loop {
        match read_clock(client, context).await {
            Ok(()) => return Ok(context.clock.to_server_time(now(client))),
            Err(error) if !error.is_retryable() => return Err(error),
            Err(error) => {
                let wait = backoff(MIN_RETRY_DELAY, MAX_CLOCK_RETRY_DELAY, failures);
                let stream = context.id.name();
                tracing::warn!(stream, %error, ?wait, "cannot read Kinesis's clock; retrying");
                failures += 1;
                sleep(wait).await;
            }
        }
    }
}

/// Lists the children of a shard. Children are newer than their parents, and have greater ids.
pub(crate) async fn list_children(
    client: &Client,
    context: &StreamContext,
    shard_id: &str,
) -> Result<Vec<ChildShard>, ListError> {
    let query = Query::After(shard_id.to_owned());
    let pages = list(client, context, &query).await?;
    let as_child = |shard: ReceivedShard| {
        let parents = shard.parent_ids();
        let parents = parents.contains(&Some(shard_id)).then_some(parents)?;
        let parents = parents.into_iter().flatten().map(str::to_owned).collect();
        let child = ChildShard::builder().set_parent_shards(Some(parents));
        let child = child.shard_id(shard.shard_id()).set_hash_key_range(shard.hash_key_range());
        child.build().ok()
    };
    Ok(pages.into_shards().filter_map(as_child).collect())
}

/// Performs one listing.
async fn fetch_list(
    client: Client,
    context: Arc<StreamContext>,
    query: Query,
    include_closed: bool,
) -> Result<ShardList, ListError> {
    let stream = &context.id;
    stream.validate_for_kinesis().map_err(|reason| ListError::invalid(stream, reason))?;
    let mut pages = list(&client, &context, &query).await?;
    let mut extent =
        if matches!(query, Query::After(_)) { Extent::Additions } else { Extent::Full };
    if include_closed && matches!(query, Query::FromTimestamp(_)) {
        // The full list comes second, so that it holds all shards of the filtered one.
        let only = ShardList::from_pages(Arc::clone(&context), Extent::Full, pages)?;
        extent =
            Extent::Filtered(only.received().map(|shard| shard.shard_id().to_owned()).collect());
        pages = list(&client, &context, &Query::Everything).await?;
    }
    ShardList::from_pages(context, extent, pages)
}

impl Stream for ShardLists {
    type Item = Result<ShardList, ListError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let interval = this.interval;
        if this.runtime.has_changed() {
            // Both hold timers of the other runtime.
            (this.ticks, this.listing) = (None, None);
        }
        let ticks = this.ticks.get_or_insert_with(|| {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            IntervalStream::new(ticks)
        });
        if this.listing.is_none() {
            ready!(Pin::new(ticks).poll_next(cx));
            this.begin_listing();
        }
        let Some(listing) = this.listing.as_mut() else { return Poll::Pending };
        let mut listed = ready!(listing.poll_unpin(cx));
        this.listing = None;
        this.note_time(&mut listed);
        match &listed {
            Ok(list) => this.note_list(list),
            Err(error) => this.note_failure(error),
        }
        Poll::Ready(Some(listed))
    }
}

impl FusedStream for ShardLists {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl fmt::Debug for ShardLists {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardLists")
            .field("stream", &self.context.id.name())
            .field("interval", &self.interval)
            .field("listing", &self.is_listing())
            .field("failures", &self.failures)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "dynamodb", feature = "testing"))]
mod tests {
    use aws_sdk_kinesis::config::retry::RetryConfig;

    use super::*;
    use crate::testing::{FakeKinesis, Fault};

    #[tokio::test(start_paused = true)]
    async fn the_clock_is_requested_until_a_response_or_an_error_that_no_retry_mends() {
        let kinesis = FakeKinesis::new();
        kinesis.create_stream("orders", 1);
        let config = kinesis.config().retry_config(RetryConfig::disabled());
        let client = Client::from_conf(config.build());
        let context = StreamContext::new(StreamId::from("orders"));
        kinesis.fail_times("ListShards", 7, Fault::ServiceUnavailable);
        assert!(server_time(&client, &context).await.is_ok());
        let requests = kinesis.requests();
        let waits = requests.windows(2).map(|pair| (pair[1].at() - pair[0].at()).as_millis());
        let greatest = [500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000];
        assert_eq!(waits.len(), greatest.len());
        for (wait, greatest) in waits.zip(greatest) {
            // The fake's clock has milliseconds.
            assert!((greatest / 2..=greatest + 1).contains(&wait), "{wait} of {greatest} ms");
        }
        kinesis.clear_requests();
        kinesis.fail_next("ListShards", Fault::AccessDenied);
        assert!(!server_time(&client, &context).await.unwrap_err().is_retryable());
        assert_eq!(kinesis.requests().len(), 1);
    }
}
