//! The fake as the SDK's HTTP client: no socket, no serialised HTTP, the SDK's own request and response types.

use std::fmt;
use std::io::{Error, ErrorKind};
use std::sync::Arc;

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;

use super::server::{Answer, Outcome, Server};

#[derive(Clone)]
pub(super) struct Connector(pub(super) Arc<Server>);

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeKinesis")
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let server = Arc::clone(&self.0);
        // Nothing happens before the first poll, as with a request that is not sent.
        HttpConnectorFuture::new(async move {
            let operation =
                request.headers().get("x-amz-target").and_then(|target| target.rsplit('.').next());
            let body = request.body().bytes().unwrap_or_default();
            match server.handle(operation.unwrap_or_default(), body) {
                Outcome::Answer { answer, after } => {
                    if !after.is_zero() {
                        tokio::time::sleep(after).await;
                    }
                    response(answer, server.date())
                }
                Outcome::Silence => std::future::pending().await,
                Outcome::Unreachable => Err(broken(ErrorKind::ConnectionRefused).never_connected()),
                Outcome::Lost => Err(broken(ErrorKind::ConnectionReset)),
            }
        })
    }
}

fn broken(kind: ErrorKind) -> ConnectorError {
    ConnectorError::io(Box::new(Error::new(kind, "a fault of FakeKinesis")))
}

fn response(answer: Answer, date: Option<String>) -> Result<HttpResponse, ConnectorError> {
    let status = answer.status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
    let mut response = HttpResponse::new(status, SdkBody::from(answer.body));
    response.headers_mut().insert("content-type", "application/x-amz-json-1.1");
    if let Some(date) = date {
        response.headers_mut().insert("date", date);
    }
    if let Some(code) = answer.error {
        response.headers_mut().insert("x-amzn-errortype", code);
    }
    Ok(response)
}
