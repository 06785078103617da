//! An HTTP client that keeps the last request, and sends one response to all.

use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::{Builder, Credentials, Region};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_types::body::SdkBody;

#[derive(Clone, Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Debug)]
#[allow(dead_code, reason = "one of the test programs uses it")]
pub(crate) struct Request {
    pub(crate) target: String,
    pub(crate) content_type: String,
    pub(crate) body: Vec<u8>,
}

#[derive(Clone, Debug)]
pub(crate) struct Canned {
    response: Arc<Mutex<Response>>,
    last_request: Arc<Mutex<Option<Request>>>,
}

impl Canned {
    pub(crate) fn new(response: Response) -> Self {
        Self { response: Arc::new(Mutex::new(response)), last_request: Arc::default() }
    }

    #[allow(dead_code, reason = "one of the test programs uses it")]
    pub(crate) fn respond(&self, response: Response) {
        *self.response.lock().unwrap() = response;
    }

    #[allow(dead_code, reason = "one of the test programs uses it")]
    pub(crate) fn take_request(&self) -> Request {
        self.last_request.lock().unwrap().take().expect("a request")
    }

    /// Returns the configuration of a client without retries.
    pub(crate) fn config(&self) -> Builder {
        Builder::new()
            .behavior_version_latest()
            .region(Region::new("us-east-1"))
            .credentials_provider(Credentials::new("key", "secret", None, None, "test"))
            .retry_config(RetryConfig::disabled())
            .http_client(http_client_fn({
                let connector = SharedHttpConnector::new(self.clone());
                move |_, _| connector.clone()
            }))
    }

    /// Returns a client that sends CBOR.
    pub(crate) fn client(&self) -> Client {
        let protocol = kinesis_shards::cbor::CborProtocol::new();
        Client::from_conf(self.config().protocol(protocol).build())
    }
}

impl HttpConnector for Canned {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let header = |name| request.headers().get(name).unwrap_or_default().to_owned();
        let body = request.body().bytes().unwrap_or_default().to_vec();
        let (target, content_type) = (header("x-amz-target"), header("content-type"));
        *self.last_request.lock().unwrap() = Some(Request { target, content_type, body });
        let canned = self.response.lock().unwrap();
        let status = canned.status.try_into().expect("a status");
        let mut response = HttpResponse::new(status, SdkBody::from(canned.body.clone()));
        for (name, value) in &canned.headers {
            response.headers_mut().insert(*name, value.clone());
        }
        HttpConnectorFuture::ready(Ok(response))
    }
}
