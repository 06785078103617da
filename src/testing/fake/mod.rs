//! [`FakeKinesis`] and its builder.

mod faults;
mod log;
mod rates;
pub(crate) mod stream;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_kinesis::config::{Builder, Credentials, HttpClient, Region};

use crate::testing::cbor_support::CborSupport;
use crate::testing::clock::{Clock, DEFAULT_START, TokioSleep};
use crate::testing::fake::stream::FakeStream;
use crate::testing::http::Client as Http;
use crate::testing::model::api_error::unwrap_or_panic;
use crate::testing::model::limits::Limits;
use crate::testing::model::service::{ON_DEMAND_SHARDS, Service};
use crate::testing::model::stream::Mode;
use crate::testing::model::time::Millis;
use crate::testing::server::{Server, Settings};

/// An in-process Amazon Kinesis for the real [`aws_sdk_kinesis::Client`]. Clones share one state.
///
/// The [module](crate::testing) describes it.
///
/// ```
/// use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fake = FakeKinesis::new();
/// let orders = fake.create_stream("orders", 1);
/// let (low, high) = orders.split("shardId-000000000000");
///
/// let listed = fake.client().list_shards().stream_name("orders").send().await?;
/// let ids: Vec<_> = listed.shards().iter().map(|shard| shard.shard_id()).collect();
/// assert_eq!(ids, ["shardId-000000000000", low.as_str(), high.as_str()]);
/// assert_eq!(fake.count("ListShards"), 1);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct FakeKinesis {
    server: Arc<Server>,
}

/// A builder of a [`FakeKinesis`] with other settings than the default: see
/// [`FakeKinesis::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct FakeKinesisBuilder {
    start: Millis,
    service: Service,
    settings: Settings,
}

impl FakeKinesisBuilder {
    /// Sets the time of the fake's clock when it is built.
    ///
    /// # Default
    ///
    /// 2026-01-01T00:00:00Z in every run, so that the same calls give the same sequence numbers.
    pub fn starting_at(mut self, start: SystemTime) -> Self {
        self.start = start.into();
        self
    }

    /// Sets the maximum number of shards in one response to `ListShards`. Zero counts as one.
    ///
    /// # Default
    ///
    /// 1,000, as at AWS. A smaller number tests paging with few shards; a larger one keeps paging
    /// out of a benchmark.
    pub fn page_size(mut self, shards: usize) -> Self {
        self.service.page_size = shards.max(1);
        self
    }

    /// Sets the region of the fake's ARNs and clients.
    ///
    /// # Default
    ///
    /// `us-east-1`
    pub fn region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.service.region);
        self
    }

    /// Sets the account of the fake's ARNs.
    ///
    /// # Default
    ///
    /// `123456789012`
    ///
    /// # Panics
    ///
    /// Panics unless `account` has exactly 12 digits and nothing else.
    #[track_caller]
    pub fn account(mut self, account: &str) -> Self {
        let is_valid = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        assert!(is_valid, "an account id has 12 digits, and {account:?} has not");
        account.clone_into(&mut self.service.account);
        self
    }

    /// Sets how long each request takes on tokio's clock. The fake carries out a request at once
    /// and responds after this time.
    ///
    /// A pipeline that sends requests without a pause stops a paused clock. With a latency, the
    /// clock still advances.
    ///
    /// # Default
    ///
    /// Zero, so that a test knows the time whatever its pipeline requests. Every request still
    /// yields to other tasks.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.settings.latency = latency;
        self
    }

    /// Sets how long a stream stays `CREATING`, `UPDATING` (after a split, a merge, or a new shard
    /// count) or `DELETING` after a request has created, changed or deleted it, and how long a
    /// consumer stays `CREATING` or `DELETING`. A change by a method of [`FakeKinesis`] or
    /// [`FakeStream`] is complete when the method returns.
    ///
    /// The shards themselves change at once. A stream that is not `ACTIVE` rejects further changes
    /// with `ResourceInUseException`. One that is `CREATING` or `DELETING` is still described and
    /// listed by name (`DescribeStream`, `DescribeStreamSummary`, `ListStreams`); it rejects
    /// `ListShards` with `ResourceInUseException`, and iterators, reads and writes with
    /// `ResourceNotFoundException`. AWS says that a stream that is `DELETING` *might* still take
    /// reads and writes. The fake takes none, because a client has to expect that.
    ///
    /// A consumer that is not `ACTIVE` is described and listed, and rejects `SubscribeToShard` with
    /// `ResourceInUseException`. The subscriptions of one that is `DELETING` have ended.
    ///
    /// # Default
    ///
    /// Zero: every change is complete when its request returns.
    pub fn transition(mut self, duration: Duration) -> Self {
        self.service.transition = duration;
        self
    }

    /// Sets whether the end of a closed shard (no next iterator, and the child shards) comes in one
    /// response with its last records, or in one more response without records. AWS does both.
    /// [`Fault::EndWithLastRecords`](crate::testing::Fault::EndWithLastRecords) decides for a
    /// single request.
    ///
    /// # Default
    ///
    /// `true`
    pub fn end_with_last_records(mut self, with_last_records: bool) -> Self {
        self.service.end_rules.with_last_records = with_last_records;
        self
    }

    /// Sets whether the end of a closed shard names its children (`ChildShards`), as AWS's does.
    /// Some servers that stand in for Kinesis name none.
    ///
    /// # Default
    ///
    /// `true`
    pub fn child_shards(mut self, named: bool) -> Self {
        self.service.end_rules.child_shards = named;
        self
    }

    /// Sets whether the end of a closed shard comes as kinesalite's does: it names no child shards,
    /// reports as `MillisBehindLatest` the time since the shard was closed, and comes after a page
    /// without records, also where the iterator was made at the end.
    ///
    /// # Default
    ///
    /// `false`
    pub fn kinesalite_ends(mut self, yes: bool) -> Self {
        self.service.end_rules.kinesalite = yes;
        self
    }

    /// Sets whether the sequence number of a record contains the time of the record, as AWS's does.
    /// Without it, the records of a shard are numbered from the start of the shard, and a stream
    /// that is created again after [`FakeKinesis::restart_empty`] repeats the numbers.
    ///
    /// # Default
    ///
    /// `true`
    pub fn time_in_sequence_numbers(mut self, contained: bool) -> Self {
        self.service.time_in_numbers = contained;
        self
    }

    /// Sets which of AWS's limits apply to requests.
    ///
    /// # Default
    ///
    /// All of them.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.service.meters.limits = limits;
        self
    }

    /// Sets whether the fake keeps a request log. A benchmark may disable it.
    ///
    /// # Default
    ///
    /// `true`
    pub fn log_requests(mut self, keep: bool) -> Self {
        self.settings.keeps_log = keep;
        self
    }

    /// Sets whether responses have the HTTP header `Date`, as Kinesis's do: the fake's time in
    /// whole seconds.
    ///
    /// The SDK takes a difference between this header and its own clock for clock skew, and
    /// corrects the time in its signatures. The clients of the fake have the fake's clock, so they
    /// see no skew. A client with a clock of its own may see one.
    ///
    /// # Default
    ///
    /// `false`: the SDK corrects nothing, and a response costs less.
    pub fn date_header(mut self, with_date: bool) -> Self {
        self.settings.date_header = with_date;
        self
    }

    /// Sets how far the HTTP header `Date` is ahead of the fake's clock, in whole seconds, as if
    /// the clocks of front end and shards differed. It also enables the header.
    ///
    /// # Default
    ///
    /// Zero.
    ///
    /// ```
    /// use std::time::Duration;
    /// use kinesis_shards::testing::FakeKinesis;
    ///
    /// let fake = FakeKinesis::builder().date_ahead(Duration::from_secs(90)).build();
    /// ```
    pub fn date_ahead(mut self, ahead: Duration) -> Self {
        self.settings.date_header = true;
        self.settings.date_ahead = ahead;
        self
    }

    /// Sets how the fake treats requests in CBOR. Some servers that stand in for Kinesis know only
    /// JSON.
    ///
    /// # Default
    ///
    /// [`CborSupport::Supported`], as at AWS.
    pub fn cbor(mut self, support: CborSupport) -> Self {
        self.settings.cbor = support;
        self
    }

    /// Sets how many requests a connection carries at a time, as the limit of an HTTP/2 server
    /// does. Each client of the fake has one connection, as the SDK's default HTTP client has for
    /// each host. A request beyond the limit waits until another one ends, and a `SubscribeToShard`
    /// lasts as long as its subscription. Zero counts as one.
    ///
    /// # Default
    ///
    /// No limit. Servers commonly allow 128 streams in a connection.
    ///
    /// ```
    /// use std::time::Duration;
    /// use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
    /// use kinesis_shards::testing::FakeKinesis;
    /// use tokio::time::timeout;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fake = FakeKinesis::builder().streams_per_connection(1).build();
    /// let orders = fake.create_stream("orders", 1);
    /// let (client, other_client) = (fake.client(), fake.client());
    /// let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build()?;
    /// let consumer = orders.register_consumer("billing");
    /// let subscribe = client.subscribe_to_shard().consumer_arn(consumer);
    /// let subscribe = subscribe.shard_id("shardId-000000000000").starting_position(latest);
    /// let subscription = subscribe.send().await?;
    ///
    /// let list = client.list_shards().stream_name("orders");
    /// assert!(timeout(Duration::from_secs(60), list.clone().send()).await.is_err());
    /// other_client.list_shards().stream_name("orders").send().await?;
    /// drop(subscription);
    /// list.send().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn streams_per_connection(mut self, requests: u32) -> Self {
        self.settings.streams_per_connection = usize::try_from(requests.max(1)).ok();
        self
    }

    /// Builds the fake, without streams.
    #[must_use]
    pub fn build(self) -> FakeKinesis {
        let clock = Clock::starting_at(self.start);
        FakeKinesis { server: Arc::new(Server::new(clock, self.service, self.settings)) }
    }
}

impl Default for FakeKinesis {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FakeKinesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeKinesis").finish_non_exhaustive()
    }
}

#[expect(clippy::must_use_candidate, reason = "a test may ignore the stream it creates")]
impl FakeKinesis {
    /// Creates a Kinesis without streams.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Returns a builder, for other settings than the default.
    pub fn builder() -> FakeKinesisBuilder {
        let settings = Settings {
            keeps_log: true,
            date_header: false,
            date_ahead: Duration::ZERO,
            latency: Duration::ZERO,
            cbor: CborSupport::Supported,
            streams_per_connection: None,
        };
        let builder =
            FakeKinesisBuilder { start: DEFAULT_START, service: Service::default(), settings };
        builder.limits(Limits::aws())
    }

    /// Returns a client of this fake: the SDK's own, with its standard retries, on tokio's clock.
    ///
    /// The clients of one fake share a retry quota that no other client uses. The SDK's default is
    /// one quota for the whole process, so the faults of one test would use up the retries of
    /// another.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::from_conf(self.config().build())
    }

    /// Returns the configuration of [`client`](Self::client), for a client with another retry or
    /// timeout configuration.
    ///
    /// ```
    /// use aws_sdk_kinesis::{Client, config::retry::RetryConfig};
    /// use kinesis_shards::testing::FakeKinesis;
    ///
    /// let fake = FakeKinesis::new();
    /// let config = fake.config().retry_config(RetryConfig::disabled());
    /// let without_retries = Client::from_conf(config.build());
    /// # drop(without_retries);
    /// ```
    #[must_use]
    pub fn config(&self) -> Builder {
        let region = self.server.state().service.region.clone();
        Builder::new()
            .behavior_version_latest()
            .region(Region::new(region))
            .credentials_provider(Credentials::new("fake", "fake", None, None, "FakeKinesis"))
            .retry_config(RetryConfig::standard())
            .retry_partition(RetryPartition::new(self.server.retry_partition()))
            .sleep_impl(TokioSleep)
            .time_source(self.server.clock)
            .http_client(self.http_client())
    }

    /// Returns the fake as an HTTP client, for a configuration of your own. It knows the operations
    /// of Kinesis alone.
    #[must_use]
    pub fn http_client(&self) -> impl HttpClient + Clone + use<> {
        Http::new(Arc::clone(&self.server))
    }

    /// Returns the fake's time: a fixed start (see [`FakeKinesisBuilder::starting_at`]) plus the
    /// time that has passed on tokio's clock. Use it for `AT_TIMESTAMP` instead of the system's
    /// time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.server.clock.now().into()
    }

    /// Advances tokio's paused clock, and with it retention, tokens, iterators and limits, as
    /// [`tokio::time::advance`] does.
    ///
    /// This is one jump, during which no task runs: a pipeline that reads every second wakes once,
    /// with an expired iterator, and records may have expired too. Use it in tests in which nothing
    /// else is running. Otherwise let time pass with [`tokio::time::sleep`], which takes no longer:
    /// tokio advances a paused clock from one timer to the next, and each task runs when its timer
    /// fires.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use kinesis_shards::testing::FakeKinesis;
    /// use tokio::time::{MissedTickBehavior, interval, sleep};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() {
    /// let kinesis = FakeKinesis::new();
    /// kinesis.create_stream("orders", 1);
    /// let client = kinesis.client();
    /// let lister = tokio::spawn(async move {
    ///     let mut every_minute = interval(Duration::from_secs(60));
    ///     every_minute.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ///     loop {
    ///         every_minute.tick().await;
    ///         client.list_shards().stream_name("orders").send().await.unwrap();
    ///     }
    /// });
    /// sleep(Duration::from_secs(3_599)).await;
    /// assert_eq!(kinesis.count("ListShards"), 60);
    /// kinesis.advance(Duration::from_secs(3_600)).await;
    /// sleep(Duration::from_millis(1)).await;
    /// assert_eq!(kinesis.count("ListShards"), 61);
    /// # lister.abort();
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if tokio's clock is not paused.
    pub async fn advance(&self, duration: Duration) {
        tokio::time::advance(duration).await;
    }

    /// Sets which of AWS's limits apply from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.server.state().service.meters.limits = limits;
    }

    /// Creates a stream with `shards` shards in provisioned mode.
    ///
    /// # Panics
    ///
    /// Panics if a stream of that name exists, if the name is invalid, or if `shards` is zero.
    #[track_caller]
    pub fn create_stream(&self, name: &str, shards: u32) -> FakeStream {
        let created = self
            .server
            .with(|service, now| service.create_stream(name, Mode::Provisioned, shards, now));
        unwrap_or_panic(created);
        self.stream(name)
    }

    /// Creates a stream in on-demand mode, with four shards. AWS alone reshards such a stream: the
    /// fake rejects requests to do so, and [`FakeStream::double`] and the other methods of
    /// [`FakeStream`] do what AWS does.
    ///
    /// # Panics
    ///
    /// Panics if a stream of that name exists, or if the name is invalid.
    #[track_caller]
    pub fn create_on_demand_stream(&self, name: &str) -> FakeStream {
        let created = self.server.with(|service, now| {
            service.create_stream(name, Mode::OnDemand, ON_DEMAND_SHARDS, now)
        });
        unwrap_or_panic(created);
        self.stream(name)
    }

    /// Deletes a stream with its shards and records.
    ///
    /// # Panics
    ///
    /// Panics if the stream does not exist.
    #[track_caller]
    pub fn delete_stream(&self, name: &str) {
        self.stream(name).delete();
    }

    /// Restarts the server without its data, as a container with an emulator does: no stream
    /// exists any more.
    ///
    /// A stream that is then created under an earlier name has the shards of that stream, with the
    /// same starting sequence numbers, and accepts its iterators. Only the creation time of the
    /// stream and the times of its records differ.
    ///
    /// Connections are not cut: use [`Fault::ConnectionReset`](crate::testing::Fault::ConnectionReset) and
    /// [`Fault::ConnectionRefused`](crate::testing::Fault::ConnectionRefused) for that.
    ///
    /// ```
    /// use kinesis_shards::testing::FakeKinesis;
    ///
    /// let kinesis = FakeKinesis::new();
    /// kinesis.create_stream("orders", 2);
    /// kinesis.restart_empty();
    /// let orders = kinesis.create_stream("orders", 2);
    /// assert_eq!(orders.open_shards().len(), 2);
    /// ```
    pub fn restart_empty(&self) {
        self.server.with(|service, _| service.restart_empty());
    }

    /// Returns a handle to the stream of that name, which need not exist. The methods of the handle
    /// panic if it does not.
    #[must_use]
    pub fn stream(&self, name: &str) -> FakeStream {
        FakeStream::new(Arc::clone(&self.server), name)
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }
}
