//! A Kinesis that answers `ListShards` from memory, in no time to speak of: what is left is what the SDK costs.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// The page that a token leads to is its number.
#[derive(Clone)]
pub(crate) struct Canned(Arc<State>);

struct State {
    pages: Vec<Bytes>,
    requests: AtomicUsize,
    request_bytes: AtomicUsize,
}

impl Canned {
    pub(crate) fn new(shards: usize, page: usize) -> Self {
        let count = shards.div_ceil(page);
        let pages = (0..count).map(|n| {
            let shards: Vec<String> = (n * page..shards.min((n + 1) * page)).map(shard).collect();
            let token = if n + 1 < count { format!(r#","NextToken":"{}""#, n + 1) } else { String::new() };
            Bytes::from(format!(r#"{{"Shards":[{}]{token}}}"#, shards.join(",")))
        });
        let (requests, request_bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(State { pages: pages.collect(), requests, request_bytes }))
    }

    pub(crate) fn client(&self) -> Client {
        client(self.clone())
    }

    /// The requests since the last call, and the bytes of their bodies.
    pub(crate) fn take_requests(&self) -> (usize, usize) {
        (self.0.requests.swap(0, Ordering::Relaxed), self.0.request_bytes.swap(0, Ordering::Relaxed))
    }

    fn answer(&self, body: &str) -> Bytes {
        self.0.requests.fetch_add(1, Ordering::Relaxed);
        self.0.request_bytes.fetch_add(body.len(), Ordering::Relaxed);
        if body.contains("ExclusiveStartShardId") {
            return Bytes::from_static(br#"{"Shards":[]}"#);
        }
        let token = body.split_once(r#""NextToken":""#).and_then(|(_, rest)| rest.split_once('"'));
        let page = token.map_or(0, |(token, _)| token.parse().expect("a token of ours"));
        self.0.pages[page].clone()
    }
}

/// Without the SDK's retries, timeouts and caches of credentials: they would only add to the floor.
pub(crate) fn client(kinesis: impl HttpClient + 'static) -> Client {
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
            .http_client(kinesis)
            .build(),
    )
}

/// As AWS sends it: the numbers have as many digits as AWS's.
fn shard(n: usize) -> String {
    format!(
        concat!(
            r#"{{"ShardId":"shardId-{n:012}","HashKeyRange":{{"StartingHashKey":"{n:039}","EndingHashKey":"{n:039}"}},"#,
            r#""SequenceNumberRange":{{"StartingSequenceNumber":"49{n:054}"}}}}"#
        ),
        n = n
    )
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl HttpClient for Canned {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
        let response = HttpResponse::new(200.try_into().expect("a status"), SdkBody::from(self.answer(body)));
        HttpConnectorFuture::ready(Ok(response))
    }
}
