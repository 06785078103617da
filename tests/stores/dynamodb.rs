//! The SDK's client for a DynamoDB on this machine.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::config::{
    BehaviorVersion, Builder, Credentials, Region, StalledStreamProtectionConfig,
};

use crate::client::CONNECT_TIMEOUT;

/// Returns a client that waits for the DynamoDB at this port, however slow it is.
pub(crate) fn dynamodb(port: &str) -> Client {
    let config = Builder::new()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "stores"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .timeout_config(TimeoutConfig::builder().connect_timeout(CONNECT_TIMEOUT).build())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
    Client::from_conf(config.build())
}
