//! [`FakeKinesis`]: the handle to the fake, and what builds it.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_kinesis::config::{Builder, Credentials, HttpClient, Region};

use super::clock::{Clock, DEFAULT_START, TokioSleep};
use super::http::Connector;
use super::model::{Limits, Millis, Mode, REGION, Refusal, Service, StreamRef};
use super::server::Server;
use super::stream::FakeStream;

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
    keeps_log: bool,
    date_header: bool,
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
    /// 1,000, as at AWS. A smaller one tests paging on few shards, a larger one keeps paging out of a benchmark.
    pub fn page_size(mut self, shards: usize) -> Self {
        self.service.page_size = shards.max(1);
        self
    }

    /// How long a stream stays `CREATING`, `UPDATING` (after a split, a merge, or a new shard count) or `DELETING`.
    /// A stream that is not `ACTIVE` refuses further changes; one that is being made or removed refuses everything.
    /// The shards themselves change at once.
    ///
    /// # Default
    ///
    /// Zero: every change is complete when its call returns.
    pub fn transition(mut self, duration: Duration) -> Self {
        self.service.transition = duration;
        self
    }

    /// Whether the answer with a closed shard's last records is also its end (no next iterator, and the child shards),
    /// or the end comes in one more answer without records. AWS does either.
    ///
    /// # Default
    ///
    /// `true`
    pub fn end_with_last_records(mut self, with_last_records: bool) -> Self {
        self.service.end_with_last_records = with_last_records;
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

    /// Whether requests are kept for [`FakeKinesis::requests`] and its kin. A benchmark may rather not.
    ///
    /// # Default
    ///
    /// `true`
    pub fn log_requests(mut self, keep: bool) -> Self {
        self.keeps_log = keep;
        self
    }

    /// Whether answers have the HTTP header `Date`, as Kinesis's do: the fake's time, in whole seconds.
    ///
    /// The SDK takes a difference between that header and its own clock for an error of the latter, and corrects its
    /// signatures by it. The fake's clients have the fake's clock, so that there is none; a client with a clock of its own
    /// may see one.
    ///
    /// # Default
    ///
    /// `false`: an answer without it is one the SDK corrects nothing by, and cheaper.
    pub fn date_header(mut self, with_date: bool) -> Self {
        self.date_header = with_date;
        self
    }

    /// The fake, without streams.
    #[must_use]
    pub fn build(self) -> FakeKinesis {
        let clock = Clock::starting_at(self.start);
        FakeKinesis { server: Arc::new(Server::new(clock, self.service, self.keeps_log, self.date_header)) }
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
        let builder = FakeKinesisBuilder {
            start: DEFAULT_START,
            service: Service::default(),
            keeps_log: true,
            date_header: false,
        };
        builder.limits(Limits::aws())
    }

    /// A client that talks to this fake: the SDK's own, with its standard retries, waiting on tokio's clock.
    ///
    /// The clients of one fake share a retry quota, and no others do: the SDK's default is one quota for the whole
    /// process, by which the faults of one test would take the retries from another.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::from_conf(self.config().build())
    }

    /// The configuration of [`client`](Self::client), for one with another retry or timeout configuration.
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
        Builder::new()
            .behavior_version_latest()
            .region(Region::from_static(REGION))
            .credentials_provider(Credentials::new("fake", "fake", None, None, "FakeKinesis"))
            .retry_config(RetryConfig::standard())
            .retry_partition(RetryPartition::new(self.server.retry_partition()))
            .sleep_impl(TokioSleep)
            .time_source(self.server.clock)
            .http_client(Connector(Arc::clone(&self.server)))
    }

    /// The fake as an HTTP client, for a configuration of your own. Only Kinesis's operations are known to it.
    #[must_use]
    pub fn http_client(&self) -> impl HttpClient + Clone + use<> {
        Connector(Arc::clone(&self.server))
    }

    /// What time the fake has: a fixed start (see [`FakeKinesisBuilder::starting_at`]) plus what has passed on tokio's
    /// clock since. Use it for `AT_TIMESTAMP` rather than the system's time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        self.server.clock.now().into()
    }

    /// [`tokio::time::advance`]: moves the fake's clock, and with it retention, tokens, iterators and limits.
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
        let created =
            self.server.with(|service, now| service.create_stream(name, Mode::Provisioned, shards, now));
        must(created);
        self.stream(name)
    }

    /// Makes a stream in on-demand mode, which has four shards.
    ///
    /// # Panics
    ///
    /// If there is a stream of that name, or the name is not a valid one.
    #[track_caller]
    pub fn create_on_demand_stream(&self, name: &str) -> FakeStream {
        must(self.server.with(|service, now| service.create_stream(name, Mode::OnDemand, 1, now)));
        self.stream(name)
    }

    /// Removes a stream and all that is in it.
    ///
    /// # Panics
    ///
    /// If there is no such stream.
    #[track_caller]
    pub fn delete_stream(&self, name: &str) {
        must(self.server.with(|service, now| service.delete_stream(StreamRef::named(name), now)));
    }

    /// The stream of that name, whether it exists or not: its calls are what panics if it does not.
    #[must_use]
    pub fn stream(&self, name: &str) -> FakeStream {
        FakeStream::new(Arc::clone(&self.server), name)
    }

    pub(super) fn server(&self) -> &Server {
        &self.server
    }
}

/// The result of a call that a test makes itself: if that is refused, the test is wrong.
#[track_caller]
pub(super) fn must<T>(result: Result<T, Refusal>) -> T {
    match result {
        Ok(value) => value,
        Err(refusal) => panic!("FakeKinesis refused: {refusal}"),
    }
}
