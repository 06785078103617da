//! The wire format of this crate's own requests: CBOR with the feature `cbor`, unless the client's
//! configuration names another protocol.

#[cfg(feature = "cbor")]
use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Builder;
use aws_sdk_kinesis::config::http::HttpResponse;
#[cfg(feature = "cbor")]
use aws_sdk_kinesis::config::interceptors::InterceptorContext;
#[cfg(feature = "cbor")]
use aws_sdk_kinesis::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_kinesis::error::SdkError;
#[cfg(feature = "cbor")]
use aws_smithy_runtime_api::client::retries::classifiers::RetryClassifierPriority;

#[cfg(feature = "cbor")]
use crate::cbor::knowledge::Knowledge;
#[cfg(feature = "cbor")]
use crate::cbor::protocol::{CborProtocol, is_cbor, is_cbor_id};
#[cfg(feature = "cbor")]
use crate::cbor::taker::TakeItems;

/// The wire format that the shards of one stream are requested in, and what the server has shown
/// about it.
#[derive(Debug, Default)]
pub(crate) struct WireFormat {
    #[cfg(feature = "cbor")]
    protocol: CborProtocol,
}

/// The format of one request.
pub(crate) struct RequestFormat {
    #[cfg(feature = "cbor")]
    protocol: Option<CborProtocol>,
}

impl RequestFormat {
    /// Gives the items of a response in CBOR to `taker` instead of the SDK.
    #[cfg(feature = "cbor")]
    pub(crate) fn with_taker(self, taker: &Arc<impl TakeItems + 'static>) -> Self {
        let taker: Arc<_> = Arc::clone(taker);
        Self { protocol: self.protocol.map(|protocol| protocol.with_taker(taker)) }
    }

    /// Adds the format to the configuration of the request.
    #[cfg_attr(
        not(feature = "cbor"),
        expect(clippy::unused_self, reason = "without CBOR, there is one format")
    )]
    pub(crate) fn configure(&self, config: Builder) -> Builder {
        #[cfg(feature = "cbor")]
        if let Some(protocol) = &self.protocol {
            let config = config.protocol(protocol.clone());
            return match protocol.knowledge().get() {
                Knowledge::Unknown => config.retry_classifier(RetryInJson),
                Knowledge::Cbor | Knowledge::JsonOnly => config,
            };
        }
        config
    }
}

impl WireFormat {
    /// Sends the request that `send` creates; a second time, in JSON, if the first response shows
    /// that the server knows no CBOR.
    #[cfg(feature = "cbor")]
    pub(crate) async fn send<T, E, F>(
        &self,
        client: &Client,
        send: impl Fn(RequestFormat) -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        let named = client.config().protocol();
        if named.is_some_and(|named| !is_cbor_id(named.protocol_id())) {
            return send(RequestFormat { protocol: None }).await;
        }
        let before = self.protocol.knowledge().get();
        let response = send(RequestFormat { protocol: Some(self.protocol.clone()) }).await;
        let refusal = response.as_ref().err().and_then(SdkError::raw_response);
        if before == Knowledge::JsonOnly || !refusal.is_some_and(|error| self.may_mean_json(error))
        {
            return response;
        }
        let response = send(RequestFormat { protocol: Some(CborProtocol::disabled()) }).await;
        if response.is_ok() {
            self.protocol.knowledge().note_json_only();
        }
        response
    }

    /// Returns whether an error of a request in CBOR may mean that the server knows no CBOR. Once
    /// the server has sent CBOR, only an error that says so counts.
    #[cfg(feature = "cbor")]
    fn may_mean_json(&self, error: &HttpResponse) -> bool {
        self.protocol.knowledge().get() != Knowledge::Cbor && is_error_without_cbor(error)
    }

    /// Sends the request that `send` creates.
    #[cfg(not(feature = "cbor"))]
    pub(crate) async fn send<T, E, F>(
        &self,
        _: &Client,
        send: impl Fn(RequestFormat) -> F,
    ) -> Result<T, SdkError<E, HttpResponse>>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    {
        send(RequestFormat {}).await
    }
}

#[cfg(feature = "cbor")]
fn is_error_without_cbor(response: &HttpResponse) -> bool {
    let body = response.body().bytes().unwrap_or_default();
    !response.status().is_success() && !is_cbor(body)
}

/// Keeps the SDK from retrying in CBOR what [`WireFormat::send`] retries in JSON at once.
#[cfg(feature = "cbor")]
#[derive(Debug)]
struct RetryInJson;

#[cfg(feature = "cbor")]
impl ClassifyRetry for RetryInJson {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        if context.response().is_some_and(is_error_without_cbor) {
            RetryAction::RetryForbidden
        } else {
            RetryAction::NoActionIndicated
        }
    }

    fn name(&self) -> &'static str {
        "RetryInJson"
    }

    fn priority(&self) -> RetryClassifierPriority {
        RetryClassifierPriority::run_after(RetryClassifierPriority::transient_error_classifier())
    }
}
