//! The SDK's client for a server on this machine, how many requests it sent, and how a request is
//! sent that the server throttles.

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
use aws_sdk_kinesis::error::{BoxError, ProvideErrorMetadata, SdkError};
use aws_smithy_runtime_api::client::orchestrator::Metadata;

/// How long to wait before a throttled request is sent again.
const PAUSE: Duration = Duration::from_millis(50);
/// Longer than any busy machine takes to accept a connection: no test depends on how soon a server
/// answers.
const CONNECT_TIMEOUT: Duration = Duration::from_mins(5);

pub(crate) fn local_client(port: u16) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "servers"))
        .endpoint_url(format!("http://127.0.0.1:{port}"));
    Client::from_conf(config.build())
}

/// The same client with few retries, which waits for each answer, and counts what it sends.
pub(crate) fn counting(client: &Client) -> (Client, Requests) {
    let requests = Requests::default();
    let config = client
        .config()
        .to_builder()
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .interceptor(requests.clone());
    (Client::from_conf(config.build()), requests)
}

/// Whether the server refused a request only because others came just before it: the same request
/// succeeds later.
pub(crate) fn is_throttled(error: &impl ProvideErrorMetadata) -> bool {
    let message = error.message().unwrap_or_default().to_lowercase();
    match error.code() {
        Some("ProvisionedThroughputExceededException" | "ThrottlingException") => true,
        // The code also stands for limits that waiting does not change, such as the shards of an
        // account.
        Some("LimitExceededException") => ["rate exceeded", "rate limit exceeded", "concurrently"]
            .iter()
            .any(|text| message.contains(text)),
        _ => false,
    }
}

/// Sends a request again for as long as the server throttles it.
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
            answer => return answer,
        }
    }
}

/// How many requests of each operation were sent, and how many have ended, retries included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    sent: Count,
    answered: Count,
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

    /// How many `ListShards` have an answer, or failed.
    pub(crate) fn answered_list_shards(&self) -> usize {
        self.answered.of("ListShards")
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
        self.answered.add(config);
        Ok(())
    }
}
