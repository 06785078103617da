//! [`FakeKinesis`]: the handle to the fake, and what builds it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_kinesis::config::{Builder, Credentials, HttpClient, Region};

use crate::testing::clock::{Clock, DEFAULT_START, TokioSleep};
use crate::testing::http::Client as Http;
use crate::testing::model::api_error::ApiError;
use crate::testing::model::limits::Limits;
use crate::testing::model::service::{ON_DEMAND_SHARDS, Service, StreamRef};
use crate::testing::model::stream::Mode;
use crate::testing::model::time::Millis;
use crate::testing::server::{Server, Settings};
use crate::testing::stream::FakeStream;

/// An in-process Amazon Kinesis for the real [`aws_sdk_kinesis::Client`]. Clones share one state.
///
/// See the [module](super) for what it can do.
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

/// Builds a [`FakeKinesis`] that is not the default one: see [`FakeKinesis::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct FakeKinesisBuilder {
    start: Millis,
    service: Service,
    settings: Settings,
}

impl FakeKinesisBuilder {
    /// What the fake's clock shows when it is built.
    ///
    /// # Default
    ///
    /// 2026-01-01T00:00:00Z, in every run, so that the same calls give the same sequence numbers.
    pub fn starting_at(mut self, start: SystemTime) -> Self {
        self.start = start.into();
        self
    }

    /// The most shards in one answer to `ListShards`; less than one is one.
    ///
    /// # Default
    ///
    /// 1,000, as at AWS. A smaller one tests paging on few shards, a larger one keeps paging out of
    /// a benchmark.
    pub fn page_size(mut self, shards: usize) -> Self {
        self.service.page_size = shards.max(1);
        self
    }

    /// The region the fake is in, as its ARNs and its clients say.
    ///
    /// # Default
    ///
    /// `us-east-1`
    pub fn region(mut self, region: &str) -> Self {
        region.clone_into(&mut self.service.region);
        self
    }

    /// The account the fake's streams belong to, as their ARNs say.
    ///
    /// # Default
    ///
    /// `123456789012`
    ///
    /// # Panics
    ///
    /// If it is not 12 digits.
    #[track_caller]
    pub fn account(mut self, account: &str) -> Self {
        let well_formed = account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit());
        assert!(well_formed, "{account} is no account: it is 12 digits");
        account.clone_into(&mut self.service.account);
        self
    }

    /// How long each request takes, on tokio's clock. It is carried out at once; its answer comes
    /// after this time.
    ///
    /// With some, a pipeline that asks again and again without a pause still lets a paused clock go
    /// on.
    ///
    /// # Default
    ///
    /// Zero: a test knows what time it is, whatever its pipeline asks for. Every request lets other
    /// tasks run all the same.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.settings.latency = latency;
        self
    }

    /// How long a stream that a request has made, changed or removed stays `CREATING`, `UPDATING`
    /// (after a split, a merge, or a new shard count) or `DELETING`. What a test does itself, with
    /// [`FakeKinesis`] and [`FakeStream`], is complete when the call returns.
    ///
    /// The shards themselves change at once. A stream that is not `ACTIVE` refuses further changes
    /// with `ResourceInUseException`. One that is `CREATING` or `DELETING` is described and listed
    /// by name (`DescribeStream`, `DescribeStreamSummary`, `ListStreams`); it refuses `ListShards`
    /// with `ResourceInUseException`, and iterators, reads and writes with
    /// `ResourceNotFoundException`. AWS says that a stream that is `DELETING` *might* still take
    /// reads and writes: the fake takes none, for a pipeline must be able to live without.
    ///
    /// # Default
    ///
    /// Zero: every change is complete when its call returns.
    pub fn transition(mut self, duration: Duration) -> Self {
        self.service.transition = duration;
        self
    }

    /// Whether the answer with a closed shard's last records is also its end (no next iterator, and
    /// the child shards), or the end comes in one more answer without records. AWS does either;
    /// [`Fault::EndWithLastRecords`](super::Fault::EndWithLastRecords) says it for one request.
    ///
    /// # Default
    ///
    /// `true`
    pub fn end_with_last_records(mut self, with_last_records: bool) -> Self {
        self.service.end_with_last_records = with_last_records;
        self
    }

    /// Sets whether the end of a closed shard names its children (`ChildShards`), as AWS's does.
    /// Some servers that stand in for Kinesis name none.
    ///
    /// # Default
    ///
    /// `true`
    pub fn child_shards(mut self, named: bool) -> Self {
        self.service.child_shards = named;
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
        self.service.kinesalite_ends = yes;
        self
    }

    /// Which of AWS's limits hold for requests.
    ///
    /// # Default
    ///
    /// All of them.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.service.meters.limits = limits;
        self
    }

    /// Whether requests are kept for [`FakeKinesis::requests`] and its kin. A benchmark may rather
    /// not.
    ///
    /// # Default
    ///
    /// `true`
    pub fn log_requests(mut self, keep: bool) -> Self {
        self.settings.keeps_log = keep;
        self
    }

    /// Whether answers have the HTTP header `Date`, as Kinesis's do: the fake's time, in whole
    /// seconds.
    ///
    /// The SDK takes a difference between that header and its own clock for an error of the latter,
    /// and corrects its signatures by it. The fake's clients have the fake's clock, so that there
    /// is none; a client with a clock of its own may see one.
    ///
    /// # Default
    ///
    /// `false`: an answer without it is one the SDK corrects nothing by, and cheaper.
    pub fn date_header(mut self, with_date: bool) -> Self {
        self.settings.date_header = with_date;
        self
    }

    /// Sets how far the HTTP header `Date` is ahead of the fake's clock, in whole seconds, as that
    /// of a front end whose clock is not the shards'. Answers have the header then.
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

    /// The fake, without streams.
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

#[expect(clippy::must_use_candidate, reason = "a stream is made for its own sake as well")]
impl FakeKinesis {
    /// A Kinesis without streams.
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// A Kinesis with other than the default settings.
    pub fn builder() -> FakeKinesisBuilder {
        let settings = Settings {
            keeps_log: true,
            date_header: false,
            date_ahead: Duration::ZERO,
            latency: Duration::ZERO,
        };
        let builder =
            FakeKinesisBuilder { start: DEFAULT_START, service: Service::default(), settings };
        builder.limits(Limits::aws())
    }

    /// A client that talks to this fake: the SDK's own, with its standard retries, waiting on
    /// tokio's clock.
    ///
    /// The clients of one fake share a retry quota, and no others do: the SDK's default is one
    /// quota for the whole process, by which the faults of one test would take the retries from
    /// another.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::from_conf(self.config().build())
    }

    /// The configuration of [`client`](Self::client), for one with another retry or timeout
    /// configuration.
    ///
    /// ```
    /// use aws_sdk_kinesis::{Client, config::retry::RetryConfig};
    /// use kinesis_shards::testing::FakeKinesis;
    ///
    /// let fake = FakeKinesis::new();
    /// let without_retries = Client::from_conf(fake.config().retry_config(RetryConfig::disabled()).build());
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
            .http_client(Http(Arc::clone(&self.server)))
    }

    /// The fake as an HTTP client, for a configuration of your own. Only Kinesis's operations are
    /// known to it.
    #[must_use]
    pub fn http_client(&self) -> impl HttpClient + Clone + use<> {
        Http(Arc::clone(&self.server))
    }

    /// What time the fake has: a fixed start (see [`FakeKinesisBuilder::starting_at`]) plus what
    /// has passed on tokio's clock since. Use it for `AT_TIMESTAMP` rather than the system's time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.server.clock.now().into()
    }

    /// [`tokio::time::advance`]: moves the fake's clock, and with it retention, tokens, iterators
    /// and limits.
    ///
    /// This is one jump, during which nothing runs: a pipeline that was to read every second wakes
    /// once, with an iterator that has expired meanwhile and records that may be gone. It is for
    /// tests that have nothing running. With something running, let the time pass: on a paused
    /// clock, [`tokio::time::sleep`] goes from one timer to the next, lets everything run in its
    /// turn, and takes no longer.
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
    /// If tokio's time is not paused.
    pub async fn advance(&self, duration: Duration) {
        tokio::time::advance(duration).await;
    }

    /// Changes which of AWS's limits hold, from now on.
    pub fn set_limits(&self, limits: Limits) {
        self.server.state().service.meters.limits = limits;
    }

    /// Makes a stream of `shards` shards in provisioned mode.
    ///
    /// # Panics
    ///
    /// If there is a stream of that name, the name is not a valid one, or `shards` is zero.
    #[track_caller]
    pub fn create_stream(&self, name: &str, shards: u32) -> FakeStream {
        let created = self
            .server
            .with(|service, now| service.create_stream(name, Mode::Provisioned, shards, now));
        must(created);
        self.stream(name)
    }

    /// Makes a stream in on-demand mode, which has four shards. AWS alone reshards it: requests
    /// that would are refused, and [`FakeStream::double`] and the other calls of a test do what AWS
    /// does.
    ///
    /// # Panics
    ///
    /// If there is a stream of that name, or the name is not a valid one.
    #[track_caller]
    pub fn create_on_demand_stream(&self, name: &str) -> FakeStream {
        must(self.server.with(|service, now| {
            service.create_stream(name, Mode::OnDemand, ON_DEMAND_SHARDS, now)
        }));
        self.stream(name)
    }

    /// Removes a stream and all that is in it.
    ///
    /// # Panics
    ///
    /// If there is no such stream.
    #[track_caller]
    pub fn delete_stream(&self, name: &str) {
        must(self.server.with(|service, now| service.remove_stream(StreamRef::named(name), now)));
    }

    /// The stream of that name, whether it exists or not: its calls are what panics if it does not.
    #[must_use]
    pub fn stream(&self, name: &str) -> FakeStream {
        FakeStream::new(Arc::clone(&self.server), name)
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }
}

/// The result of a call that a test makes itself: if that is refused, the test is wrong.
#[track_caller]
pub(crate) fn must<T>(result: Result<T, ApiError>) -> T {
    match result {
        Ok(value) => value,
        Err(api_error) => panic!("FakeKinesis refused: {api_error}"),
    }
}
