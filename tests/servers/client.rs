//! The SDK's client for a server on this machine, a counter of its requests, and the retry of
//! throttled requests.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::{
    BeforeTransmitInterceptorContextRef, FinalizerInterceptorContextRef,
};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Builder, ConfigBag, Credentials, Intercept, Region, RuntimeComponents,
    StalledStreamProtectionConfig,
};
use aws_sdk_kinesis::error::{BoxError, DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// How long to wait before a throttled request is sent again.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than a busy machine takes to accept a connection: no test depends on a server's pace.
pub(crate) const CONNECT_TIMEOUT: Duration = Duration::from_mins(5);

/// Returns a client that waits for the server at this port, however slow it is.
pub(crate) fn local_client(port: u16) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "servers"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(config.build())
}

/// Returns a client like this one, with few retries, and the counter of its requests.
pub(crate) fn counting(client: &Client) -> (Client, Requests) {
    let requests = Requests::default();
    let config = client
        .config()
        .to_builder()
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .interceptor(requests.clone());
    (Client::from_conf(config.build()), requests)
}

/// Returns whether the server rejected a request only for its rate: the same request succeeds
/// later.
pub(crate) fn is_throttled(error: &impl ProvideErrorMetadata) -> bool {
    let message = error.message().unwrap_or_default().to_lowercase();
    match error.code() {
        Some("ProvisionedThroughputExceededException" | "ThrottlingException") => true,
        // This code also stands for limits that waiting does not change, such as the number of
        // shards.
        Some("LimitExceededException") => ["rate exceeded", "rate limit exceeded", "concurrently"]
            .iter()
            .any(|text| message.contains(text)),
        _ => false,
    }
}

/// Sends a request, and sends it again for as long as the server throttles it.
pub(crate) async fn unthrottled<T, E, F>(send: impl Fn() -> F) -> Result<T, SdkError<E>>
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E>>>,
{
    loop {
        match send().await {
            Err(error) if error.as_service_error().is_some_and(is_throttled) => {
                tokio::time::sleep(PAUSE).await;
            }
            response => return response,
        }
    }
}

/// Returns the output of a request of the suite itself.
///
/// # Panics
///
/// Panics with the whole error if the request failed: the test cannot continue.
#[track_caller]
pub(crate) fn unwrap_response<T, E: std::error::Error>(result: Result<T, E>) -> T {
    match result {
        Ok(output) => output,
        Err(error) => panic!("{}", DisplayErrorContext(error)),
    }
}

/// The number of requests of each operation that were sent, and that have ended. Each retry counts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    sent: Count,
    ended: Count,
}

#[derive(Clone, Debug, Default)]
struct Count(Arc<Mutex<HashMap<String, usize>>>);

impl Count {
    fn add(&self, config: &ConfigBag) {
        let operation = config.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        *self.by_operation().entry(operation.to_owned()).or_default() += 1;
    }

    fn of(&self, operation: &str) -> usize {
        self.by_operation().get(operation).copied().unwrap_or_default()
    }

    fn by_operation(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    pub(crate) fn total(&self) -> usize {
        self.sent.by_operation().values().sum()
    }

    pub(crate) fn list_shards(&self) -> usize {
        self.sent.of("ListShards")
    }

    /// Returns the number of `ListShards` that got a response or failed.
    pub(crate) fn ended_list_shards(&self) -> usize {
        self.ended.of("ListShards")
    }
}

impl Intercept for Requests {
    fn name(&self) -> &'static str {
        "Requests"
    }

    fn read_before_transmit(
        &self,
        _: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.sent.add(config);
        Ok(())
    }

    fn read_after_attempt(
        &self,
        _: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        self.ended.add(config);
        Ok(())
    }
}
