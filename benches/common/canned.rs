//! A client whose responses come from memory, so that only the cost of the SDK remains.

use std::fmt;
use std::sync::Arc;

use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::config::{
    BehaviorVersion, Credentials, HttpClient, IdentityCache, Region, RuntimeComponents,
    StalledStreamProtectionConfig,
};
use aws_sdk_kinesis::{Client, Config};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;
use kinesis_shards::cbor::CborProtocol;

/// Creates a client whose responses `respond` makes, from the body of each request.
///
/// It has no retries, no timeouts and no cache of credentials: they would only raise the floor that
/// the crate is measured against. Requests and responses are in JSON.
pub(crate) fn client(respond: impl Fn(&str) -> Bytes + Send + Sync + 'static) -> Client {
    Client::from_conf(
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("x", "x", None, None, "bench"))
            .endpoint_url("http://kinesis.test")
            .identity_cache(IdentityCache::no_cache())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::disabled())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
            .http_client(Canned(Arc::new(respond)))
            .protocol(CborProtocol::disabled())
            .build(),
    )
}

/// Returns the value of a string field in the body of a request.
pub(crate) fn string_field<'a>(body: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = body.split_once(&format!(r#""{name}":""#))?;
    rest.split_once('"').map(|(value, _)| value)
}

struct Canned<F>(Arc<F>);

impl<F> fmt::Debug for Canned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl<F: Fn(&str) -> Bytes + Send + Sync + 'static> HttpClient for Canned<F> {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Self(Arc::clone(&self.0)))
    }
}

impl<F: Fn(&str) -> Bytes + Send + Sync> HttpConnector for Canned<F> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok());
        let body = SdkBody::from((self.0)(body.unwrap_or_default()));
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().expect("a status"), body)))
    }
}
