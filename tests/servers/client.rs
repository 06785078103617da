//! The SDK's client for a server on this machine, and how many requests it sent.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::BeforeTransmitInterceptorContextRef;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Builder, ConfigBag, Credentials, Intercept, Region, RuntimeComponents,
};
use aws_sdk_kinesis::error::BoxError;
use aws_smithy_runtime_api::client::orchestrator::Metadata;

pub(crate) fn local_client(port: u16) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "servers"))
        .endpoint_url(format!("http://127.0.0.1:{port}"));
    Client::from_conf(config.build())
}

/// The same client with short timeouts and few retries, which counts what it sends.
pub(crate) fn counting(client: &Client) -> (Client, Requests) {
    let requests = Requests::default();
    let timeouts = TimeoutConfig::builder().connect_timeout(Duration::from_secs(2));
    let config = client
        .config()
        .to_builder()
        .timeout_config(timeouts.operation_attempt_timeout(Duration::from_secs(10)).build())
        .retry_config(RetryConfig::standard().with_max_attempts(2))
        .interceptor(requests.clone());
    (Client::from_conf(config.build()), requests)
}

/// How many requests of each operation were sent, retries included.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests {
    sent: Arc<Mutex<HashMap<String, usize>>>,
}

impl Requests {
    pub(crate) fn of(&self, operation: &str) -> usize {
        let sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        sent.get(operation).copied().unwrap_or_default()
    }

    pub(crate) fn total(&self) -> usize {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).values().sum()
    }

    pub(crate) fn list_shards(&self) -> usize {
        self.of("ListShards")
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
        let operation = config.load::<Metadata>().map(Metadata::name).unwrap_or_default();
        let mut sent = self.sent.lock().unwrap_or_else(PoisonError::into_inner);
        *sent.entry(operation.to_owned()).or_default() += 1;
        Ok(())
    }
}
