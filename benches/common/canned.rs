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

/// The format of all requests and responses of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    Cbor,
}

/// Creates a client whose responses `respond` makes, from the body of each request.
///
/// It has no retries, no timeouts and no cache of credentials: they would only raise the floor that
/// the crate is measured against.
pub(crate) fn client(
    format: Format,
    respond: impl Fn(&[u8]) -> Bytes + Send + Sync + 'static,
) -> Client {
    let protocol = match format {
        Format::Json => CborProtocol::disabled(),
        Format::Cbor => CborProtocol::new(),
    };
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
            .protocol(protocol)
            .build(),
    )
}

/// Returns whether the body of a request has a member of this name.
pub(crate) fn has_member(body: &[u8], name: &str) -> bool {
    body.windows(name.len()).any(|part| part == name.as_bytes())
}

/// Returns the value of a string member in the body of a request: a text of at most 23 bytes.
pub(crate) fn string_member<'a>(body: &'a [u8], name: &str) -> Option<&'a str> {
    let json = format!(r#""{name}":""#);
    if let Some(at) = position(body, json.as_bytes()) {
        let value = &body[at..];
        return std::str::from_utf8(&value[..position(value, b"\"")? - 1]).ok();
    }
    let mut cbor = Vec::new();
    text(&mut cbor, name);
    let value = &body[position(body, &cbor)?..];
    std::str::from_utf8(&value[1..=usize::from(value[0] - TEXT)]).ok()
}

/// Returns the position after the first occurrence of `part`.
fn position(body: &[u8], part: &[u8]) -> Option<usize> {
    Some(body.windows(part.len()).position(|window| window == part)? + part.len())
}

/// The first byte of an item of CBOR, without its argument.
pub(crate) const INTEGER: u8 = 0;
pub(crate) const BYTES: u8 = 0x40;
pub(crate) const TEXT: u8 = 0x60;
pub(crate) const ARRAY: u8 = 0x80;
pub(crate) const MAP: u8 = 0xa0;
pub(crate) const TAG: u8 = 0xc0;
pub(crate) const NULL: u8 = 0xf6;

/// Appends the head of an item of CBOR, in its shortest form.
pub(crate) fn head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let bytes = argument.to_be_bytes();
    let (info, bytes) = match argument {
        0..24 => (bytes[7], &[][..]),
        24..=0xff => (24, &bytes[7..]),
        0x100..=0xffff => (25, &bytes[6..]),
        0x1_0000..=0xffff_ffff => (26, &bytes[4..]),
        _ => (27, &bytes[..]),
    };
    out.push(major + info);
    out.extend(bytes);
}

/// Appends a text in CBOR.
pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    head(out, TEXT, text.len() as u64);
    out.extend(text.as_bytes());
}

struct Canned<F>(Arc<F>);

impl<F> fmt::Debug for Canned<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canned")
    }
}

impl<F: Fn(&[u8]) -> Bytes + Send + Sync + 'static> HttpClient for Canned<F> {
    fn http_connector(
        &self,
        _settings: &HttpConnectorSettings,
        _components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(Self(Arc::clone(&self.0)))
    }
}

impl<F: Fn(&[u8]) -> Bytes + Send + Sync> HttpConnector for Canned<F> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = SdkBody::from((self.0)(request.body().bytes().unwrap_or_default()));
        HttpConnectorFuture::ready(Ok(HttpResponse::new(200.try_into().expect("a status"), body)))
    }
}
