//! Helpers that these tests share.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::retry::ErrorKind;
use futures::{Stream, StreamExt};
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::testing::FakeKinesis;
use serde_json::Value;
use tokio::time::Duration;

/// A server with prepared replies.
#[derive(Clone)]
pub(crate) struct Canned(Arc<Mutex<dyn FnMut(Value) -> Reply + Send>>);

pub(crate) enum Reply {
    /// A response with this status and body.
    Response(u16, String),
    /// The connection is refused.
    Refused,
    /// The connection is closed before the response, as hyper reports it.
    Closed,
    /// No response ever comes.
    Silence,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Self {
        Self::Response(200, body.into())
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::Response(status, format!(r#"{{"__type":"{code}","message":"a prepared reply."}}"#))
    }

    /// A page of `ListShards` with these shards, each with its parent, if it has one.
    pub(crate) fn shards(shards: &[(&str, Option<&str>)], next_token: Option<&str>) -> Self {
        let shards: Vec<Value> = shards
            .iter()
            .map(|(id, parent)| {
                serde_json::json!({
                    "ShardId": id,
                    "ParentShardId": parent,
                    "HashKeyRange": { "StartingHashKey": "0", "EndingHashKey": "1" },
                    "SequenceNumberRange": { "StartingSequenceNumber": "49" },
                })
            })
            .collect();
        Self::ok(serde_json::json!({ "Shards": shards, "NextToken": next_token }).to_string())
    }
}

impl Canned {
    /// A client of a server that replies so, in JSON and without the SDK's retries.
    pub(crate) fn client(reply: impl FnMut(Value) -> Reply + Send + 'static) -> Client {
        let config = FakeKinesis::new().config().retry_config(RetryConfig::disabled());
        let config = config.protocol(CborProtocol::disabled());
        Client::from_conf(config.http_client(Self(Arc::new(Mutex::new(reply)))).build())
    }
}

impl fmt::Debug for Canned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl HttpClient for Canned {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        let reply = (*self.0.lock().unwrap())(body);
        HttpConnectorFuture::new(async move {
            match reply {
                Reply::Response(status, body) => {
                    Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
                }
                Reply::Refused => Err(ConnectorError::io("connection refused".into())),
                Reply::Closed => Err(ConnectorError::other(
                    "connection closed before message completed".into(),
                    Some(ErrorKind::TransientError),
                )),
                Reply::Silence => std::future::pending().await,
            }
        })
    }
}

/// The log of this thread from now on, at `WARN` and `ERROR`.
pub(crate) struct Logged {
    text: Arc<Mutex<Vec<u8>>>,
    _until: tracing::subscriber::DefaultGuard,
}

impl Logged {
    pub(crate) fn start() -> Self {
        let text = Arc::new(Mutex::new(Vec::new()));
        let sink = Sink(Arc::clone(&text));
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_max_level(tracing::Level::WARN)
            .with_writer(move || sink.clone())
            .finish();
        Self { text, _until: tracing::subscriber::set_default(subscriber) }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.text.lock().unwrap().clone()).unwrap()
    }

    /// Returns how many events hold this text.
    pub(crate) fn count(&self, part: &str) -> usize {
        self.text().lines().filter(|event| event.contains(part)).count()
    }
}

#[derive(Clone)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the items that come within this time. Under a paused clock it does not wait.
pub(crate) async fn within<S: Stream + Unpin>(time: Duration, stream: &mut S) -> Vec<S::Item> {
    stream.take_until(tokio::time::sleep(time)).collect().await
}
