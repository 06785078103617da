//! The fake as the SDK's HTTP client.
//!
//! It takes and returns the SDK's own request and response types: it opens no socket and serialises
//! no HTTP.

use std::fmt;
use std::future::pending;
use std::io::{Error, ErrorKind};
use std::sync::Arc;
use std::time::Duration;

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use tokio::sync::Semaphore;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::testing::event_stream;
use crate::testing::server::{Outcome, Response, Server};
use crate::testing::wire::{CBOR, JSON};

/// An HTTP client with one connection.
#[derive(Clone)]
pub(crate) struct Client {
    server: Arc<Server>,
    streams: Option<Arc<Semaphore>>,
}

/// A connector with the timeouts of one client.
#[derive(Clone)]
struct Connector {
    server: Arc<Server>,
    /// The streams of the connection that carry no request, if their number is limited.
    streams: Option<Arc<Semaphore>>,
    connect_timeout: Option<Duration>,
    read_timeout: Option<Duration>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeKinesis")
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeKinesis")
    }
}

impl Client {
    pub(crate) fn new(server: Arc<Server>) -> Self {
        let streams = server.settings.streams_per_connection;
        let streams = streams.map(|streams| Arc::new(Semaphore::new(streams)));
        Self { server, streams }
    }
}

impl HttpClient for Client {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Connector {
            server: Arc::clone(&self.server),
            streams: self.streams.clone(),
            connect_timeout: settings.connect_timeout(),
            read_timeout: settings.read_timeout(),
        })
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let connector = self.clone();
        // The server sees the request at the first poll: an unpolled future is an unsent request.
        HttpConnectorFuture::new(async move {
            // The read timeout covers the connect time as well, as it does in the SDK's connector.
            match connector.read_timeout {
                Some(limit) => {
                    let timed_out = |_| Err(ConnectorError::timeout(error(ErrorKind::TimedOut)));
                    timeout(limit, connector.exchange(request)).await.unwrap_or_else(timed_out)
                }
                None => connector.exchange(request).await,
            }
        })
    }
}

impl Connector {
    async fn exchange(&self, mut request: HttpRequest) -> Result<HttpResponse, ConnectorError> {
        // The SDK fails a request whose body the connector does not consume.
        let body = ByteStream::new(request.take_body()).collect().await;
        let body = body.map_err(|error| ConnectorError::user(Box::new(error)))?.into_bytes();
        // The stream is free again once the response is complete.
        let stream = match &self.streams {
            Some(streams) => Arc::clone(streams).acquire_owned().await.ok(),
            None => None,
        };
        let operation =
            request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
        let is_cbor = request.headers().get("content-type") == Some(CBOR);
        match self.server.handle(operation.unwrap_or_default(), &body, is_cbor) {
            Outcome::Response { response, delay } => {
                self.wait(delay).await;
                http_response(response, self.server.date())
            }
            Outcome::Subscribed { subscription, delay } => {
                let body = event_stream::body(Arc::clone(&self.server), subscription, stream);
                self.wait(delay).await;
                with_body(200, body, event_stream::CONTENT_TYPE, self.server.date())
            }
            Outcome::NeverResponds => pending().await,
            Outcome::ConnectionRefused => {
                self.wait(Duration::ZERO).await;
                Err(ConnectorError::io(error(ErrorKind::ConnectionRefused)).never_connected())
            }
            Outcome::NeverConnects => match self.connect_timeout {
                Some(limit) => {
                    sleep(limit).await;
                    Err(ConnectorError::timeout(error(ErrorKind::TimedOut)).never_connected())
                }
                None => pending().await,
            },
            Outcome::ConnectionReset => {
                self.wait(Duration::ZERO).await;
                Err(ConnectorError::io(error(ErrorKind::ConnectionReset)))
            }
        }
    }

    /// Waits for the latency plus `more`. A wait of zero still yields to the runtime: a pipeline
    /// that sends requests in a loop would otherwise starve every other task.
    async fn wait(&self, more: Duration) {
        let latency = self.server.settings.latency + more;
        if latency.is_zero() {
            yield_now().await;
        } else {
            sleep(latency).await;
        }
    }
}

fn error(kind: ErrorKind) -> BoxError {
    Error::new(kind, "a fault of FakeKinesis").into()
}

fn http_response(response: Response, date: Option<String>) -> Result<HttpResponse, ConnectorError> {
    let body = SdkBody::from(response.body);
    let content_type = if response.is_cbor { CBOR } else { JSON };
    let mut http = with_body(response.status, body, content_type, date)?;
    if let Some(code) = response.error {
        http.headers_mut().insert("x-amzn-errortype", code);
    }
    Ok(http)
}

fn with_body(
    status: u16,
    body: SdkBody,
    content_type: &'static str,
    date: Option<String>,
) -> Result<HttpResponse, ConnectorError> {
    let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    let mut http = HttpResponse::new(status, body);
    http.headers_mut().insert("content-type", content_type);
    if let Some(date) = date {
        http.headers_mut().insert("date", date);
    }
    Ok(http)
}
