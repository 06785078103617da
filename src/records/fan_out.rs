//! The consumers of enhanced fan-out.

use std::error::Error as StdError;
use std::fmt;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::types::ConsumerStatus;
use tokio::time::{Duration, sleep, timeout};

use crate::shard::stream_context::StreamContext;
use crate::shard::stream_id::StreamId;
use crate::util::backoff::backoff;
use crate::util::request_timeout::request_timeout;
use crate::util::sdk_error::{DENIED, EXPIRED, PERMANENT, cannot_be_sent, reason};

/// A consumer of enhanced fan-out, as which [`ReadOptions::fan_out`] reads.
///
/// By default a reader polls each shard, and all applications that read a stream share 2 MB/s and
/// 5 reads a second of each shard. With enhanced fan-out Kinesis pushes the records: each
/// registered consumer has 2 MB/s of each shard of its own, and a record arrives some 70 ms after
/// it was put (both by AWS's documentation), at an extra price.
///
/// Register a consumer once for each application and stream, by [`register`](Self::register), the
/// AWS CLI or your infrastructure as code. The consumer costs money until it is
/// [deregistered](Self::deregister), and nothing in this crate does so by itself.
///
/// Everything else of a chain stays: order, checkpoints, leases, retries, back-pressure. A reader
/// takes an event from the connection when it is polled for records, and continues after the last
/// event it took when a subscription ends, as each does within 5 minutes.
///
/// ```
/// use futures::TryStreamExt;
/// use kinesis_shards::records::FanOut;
/// use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let kinesis = FakeKinesis::new();
/// # let stream = kinesis.create_stream("orders", 1);
/// # stream.put("customer 1", "an order");
/// # let client = kinesis.client();
/// let consumer = FanOut::register(&client, "orders", "billing").await?;
/// let options = ReadOptions::new().fan_out(&consumer);
/// let mut records = all_shards(&client, "orders").records(&client).with_options(options);
/// let record = records.try_next().await?.expect("the stream does not end");
/// # assert_eq!(record.data(), b"an order");
/// # Ok(())
/// # }
/// ```
///
/// # Connections
///
/// Each open shard holds one HTTP/2 stream. The SDK's default HTTP client keeps one connection for
/// each host, and a server allows some number of streams in it (commonly 128): a subscription
/// beyond that waits, fails after 60 s and is retried, and the other requests of the client wait
/// with it. Give the subscriptions a [client](Self::with_client) of their own, and with more open
/// shards than that, spread them over several processes by leases.
///
/// # Failures
///
/// A subscription that ends, breaks or is silent for 40 s is renewed, no sooner than 5 s after it
/// began, since AWS refuses it until then. If another subscriber takes a shard over as the same
/// consumer, a `WARN` says so and the reader retries after 5 s or more: give each application a
/// consumer of its own. Under leases, the worker first confirms that it still has the shard, and a
/// worker that gives a shard away ends its subscription before that. If the consumer does not
/// exist, the reader fails with an error that is not retried. Where a subscription leaves something
/// open, such as an end without child shards, the reader polls the shard until that is known, and
/// it polls an idle shard once every 5 minutes.
///
/// # Permissions
///
/// `kinesis:SubscribeToShard` on the consumer, besides the permissions to poll;
/// `kinesis:DescribeStreamConsumer`, `kinesis:RegisterStreamConsumer`, and
/// `kinesis:DescribeStreamSummary` to register by the stream's name;
/// `kinesis:DeregisterStreamConsumer` to deregister.
///
/// [`ReadOptions::fan_out`]: super::ReadOptions::fan_out
#[derive(Clone)]
#[must_use = "a consumer does nothing until it is given to ReadOptions"]
pub struct FanOut {
    arn: String,
    client: Option<Client>,
}

/// The total time for which [`FanOut::register`] waits for an active consumer.
const MAX_REGISTRATION: Duration = Duration::from_mins(2);
/// AWS allows 20 `DescribeStreamConsumer` and 5 `RegisterStreamConsumer` requests a second.
const MIN_REQUEST_DELAY: Duration = Duration::from_millis(500);
const MAX_REQUEST_DELAY: Duration = Duration::from_secs(5);

impl FanOut {
    /// Names a consumer that is registered, by its ARN.
    ///
    /// ```
    /// use kinesis_shards::ReadOptions;
    /// use kinesis_shards::records::FanOut;
    ///
    /// let arn = "arn:aws:kinesis:eu-west-1:123456789012:stream/orders/consumer/billing:1669459";
    /// let options = ReadOptions::new().fan_out(&FanOut::consumer(arn));
    /// ```
    pub fn consumer(arn: impl Into<String>) -> Self {
        Self { arn: arn.into(), client: None }
    }

    /// Registers a consumer of a stream, unless one of that name is registered, and waits until it
    /// is active.
    ///
    /// See the example of [`FanOut`].
    ///
    /// # Errors
    ///
    /// If the argument is neither a stream's name nor the ARN of a data stream, if a request fails
    /// that no retry mends, such as one for a stream that does not exist or a missing permission,
    /// or if the consumer is not active within 2 minutes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future may leave the consumer registered. The next call finds it.
    pub async fn register(
        client: &Client,
        stream: impl Into<StreamId>,
        name: &str,
    ) -> Result<Self, FanOutError> {
        let context = StreamContext::new(stream.into());
        if let Err(reason) = context.id.validate_for_kinesis() {
            return Err(FanOutError::new(&context.id, name, Failure::invalid_stream(reason)));
        }
        let mut registration =
            Registration { client, context: &context, name, arn: None, last: None };
        match timeout(MAX_REGISTRATION, registration.run()).await {
            Ok(Ok(arn)) => Ok(Self::consumer(arn)),
            Ok(Err(failure)) => Err(FanOutError::new(&context.id, name, failure)),
            Err(_) => {
                let last = registration.last.take().unwrap_or_else(|| Failure {
                    operation: Some("DescribeStreamConsumer"),
                    reason: format!("the consumer was not active within {MAX_REGISTRATION:?}"),
                    source: None,
                    code: None,
                    is_permanent: false,
                });
                Err(FanOutError::new(&context.id, name, last))
            }
        }
    }

    /// Deregisters the consumer: AWS ends its subscriptions, and it costs nothing from then on. A
    /// consumer that does not exist is no error.
    ///
    /// ```
    /// use kinesis_shards::records::FanOut;
    /// # use kinesis_shards::testing::FakeKinesis;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let kinesis = FakeKinesis::new();
    /// # kinesis.create_stream("orders", 1);
    /// # let client = kinesis.client();
    /// let consumer = FanOut::register(&client, "orders", "billing").await?;
    /// consumer.deregister(&client).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// If the request fails.
    pub async fn deregister(&self, client: &Client) -> Result<(), FanOutError> {
        let (stream, name) = match self.arn.split_once("/consumer/") {
            Some((stream, consumer)) => (stream, consumer),
            None => (self.arn.as_str(), self.arn.as_str()),
        };
        let context = StreamContext::new(StreamId::from(stream));
        let request = client.deregister_stream_consumer().consumer_arn(&self.arn);
        match send(&context, "DeregisterStreamConsumer", request.send()).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_not_found() => Ok(()),
            Err(failure) => Err(FanOutError::new(&context.id, name, failure)),
        }
    }

    /// Sets the client of the subscriptions.
    ///
    /// # Default
    ///
    /// The client of the reader.
    ///
    /// ```
    /// use kinesis_shards::records::FanOut;
    ///
    /// # fn example(consumer: FanOut, config: &aws_config::SdkConfig) {
    /// let subscriptions = aws_sdk_kinesis::Client::new(config);
    /// let consumer = consumer.with_client(&subscriptions);
    /// # }
    /// ```
    pub fn with_client(self, client: &Client) -> Self {
        Self { client: Some(client.clone()), ..self }
    }

    /// Returns the ARN of the consumer.
    #[must_use]
    pub fn arn(&self) -> &str {
        &self.arn
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        self.client.as_ref()
    }
}

impl fmt::Debug for FanOut {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FanOut").field("arn", &self.arn).finish_non_exhaustive()
    }
}

/// A registration under way.
struct Registration<'a> {
    client: &'a Client,
    context: &'a StreamContext,
    name: &'a str,
    /// The ARN of the stream, once known.
    arn: Option<String>,
    /// The last failure, which was retried.
    last: Option<Failure>,
}

impl Registration<'_> {
    /// Returns the ARN of the consumer, once it is active.
    async fn run(&mut self) -> Result<String, Failure> {
        let mut attempts = 0;
        loop {
            match self.attempt().await {
                Ok(Some(arn)) => return Ok(arn),
                Ok(None) => {}
                Err(failure) if failure.is_permanent => return Err(failure),
                Err(failure) => {
                    let (stream, consumer) = (self.context.id.name(), self.name);
                    let Failure { operation, reason, .. } = &failure;
                    tracing::warn!(stream, consumer, operation, %reason, "retrying");
                    self.last = Some(failure);
                }
            }
            sleep(backoff(MIN_REQUEST_DELAY, MAX_REQUEST_DELAY, attempts)).await;
            attempts += 1;
        }
    }

    /// Returns the ARN of the consumer if it is active, and registers it if it does not exist.
    async fn attempt(&mut self) -> Result<Option<String>, Failure> {
        let stream_arn = self.stream_arn().await?;
        let describe =
            self.client.describe_stream_consumer().stream_arn(&stream_arn).consumer_name(self.name);
        match send(self.context, "DescribeStreamConsumer", describe.send()).await {
            Ok(output) => {
                let consumer = output.consumer_description;
                let consumer = consumer.filter(|it| it.consumer_status == ConsumerStatus::Active);
                return Ok(consumer.map(|it| it.consumer_arn));
            }
            // A consumer that is not found is registered. If the stream does not exist, that fails.
            Err(failure) if failure.is_not_found() => {}
            Err(failure) => return Err(failure),
        }
        let register =
            self.client.register_stream_consumer().stream_arn(&stream_arn).consumer_name(self.name);
        match send(self.context, "RegisterStreamConsumer", register.send()).await {
            Ok(_) => Ok(None),
            // Another process registers it, or it is being deleted.
            Err(failure) if failure.code.as_deref() == Some("ResourceInUseException") => Ok(None),
            Err(failure) => Err(failure.permanent_if_not_found()),
        }
    }

    async fn stream_arn(&mut self) -> Result<String, Failure> {
        if let Some(arn) = self.context.id.arn().or(self.arn.as_deref()) {
            return Ok(arn.to_owned());
        }
        let describe = self.client.describe_stream_summary().stream_name(self.context.id.name());
        let described = send(self.context, "DescribeStreamSummary", describe.send()).await;
        let output = described.map_err(Failure::permanent_if_not_found)?;
        let arn = output.stream_description_summary.map(|stream| stream.stream_arn);
        let arn = arn.filter(|arn| !arn.is_empty()).ok_or_else(|| Failure {
            operation: Some("DescribeStreamSummary"),
            reason: "the response holds no ARN".to_owned(),
            source: None,
            code: None,
            is_permanent: false,
        })?;
        self.arn = Some(arn.clone());
        Ok(arn)
    }
}

/// Why a registration failed.
#[derive(Debug)]
struct Failure {
    /// The request that failed, if one was sent.
    operation: Option<&'static str>,
    reason: String,
    code: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    is_permanent: bool,
}

impl Failure {
    fn new<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let code = error.code().map(str::to_owned);
        let is_permanent = cannot_be_sent(&error)
            || code.as_deref().is_some_and(|it| DENIED.contains(&it) || PERMANENT.contains(&it));
        let reason = reason(&error);
        let operation = Some(operation);
        Self { operation, reason, code, source: Some(Box::new(error)), is_permanent }
    }

    fn invalid_stream(reason: &str) -> Self {
        let reason = format!("it is not a Kinesis stream: {reason}");
        Self { operation: None, reason, code: None, source: None, is_permanent: true }
    }

    fn is_not_found(&self) -> bool {
        self.code.as_deref() == Some("ResourceNotFoundException")
    }

    /// The stream does not exist, so no retry helps.
    fn permanent_if_not_found(self) -> Self {
        Self { is_permanent: self.is_permanent || self.is_not_found(), ..self }
    }
}

async fn send<T, E>(
    context: &StreamContext,
    operation: &'static str,
    request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, Failure>
where
    E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
{
    let figures = context.figures();
    // Boxed, since the SDK's futures have thousands of bytes.
    let response = Box::pin(figures.observe(operation, request_timeout(request)));
    let response = async { response.await? };
    response.await.map_err(|error| Failure::new(operation, error))
}

/// The error of [`FanOut::register`] and [`FanOut::deregister`].
///
/// ```
/// use kinesis_shards::records::FanOut;
/// # use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// # let kinesis = FakeKinesis::new();
/// # let client = kinesis.client();
/// let error = FanOut::register(&client, "ordres", "billing").await.unwrap_err();
/// assert!(error.to_string().starts_with("consumer billing of stream ordres: "), "{error}");
/// # }
/// ```
#[derive(Debug)]
pub struct FanOutError {
    stream: StreamId,
    consumer: String,
    failure: Failure,
}

impl FanOutError {
    fn new(stream: &StreamId, consumer: &str, failure: Failure) -> Self {
        Self { stream: stream.clone(), consumer: consumer.to_owned(), failure }
    }

    /// Returns the stream.
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        &self.stream
    }

    /// Returns the error code of AWS, such as `LimitExceededException`, if a response holds one.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.failure.code.as_deref()
    }
}

impl fmt::Display for FanOutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { stream, consumer, failure } = self;
        let Failure { operation, reason, code, .. } = failure;
        write!(f, "consumer {consumer} of stream {stream}: ")?;
        let Some(operation) = operation else { return f.write_str(reason) };
        write!(f, "{operation} failed: {reason}")?;
        match code.as_deref() {
            Some(code) if DENIED.contains(&code) || EXPIRED.contains(&code) => {
                write!(f, "; the client needs working credentials that allow kinesis:{operation}")
            }
            Some("LimitExceededException") => {
                f.write_str("; a stream has at most 20 consumers, of which 5 may be in creation")
            }
            _ => Ok(()),
        }
    }
}

impl StdError for FanOutError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.failure.source.as_ref().map(|source| &**source as _)
    }
}
