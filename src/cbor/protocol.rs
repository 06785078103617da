//! The protocol of a client: which format a request is sent in, and which one a response has.

use std::sync::Arc;

use aws_smithy_json::protocol::aws_json_rpc::AwsJsonRpcProtocol;
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::http::{Headers, Request, Response};
use aws_smithy_schema::codec::{Codec, DynCodec, PayloadSerializer};
use aws_smithy_schema::error_envelope::sanitize_error_code;
use aws_smithy_schema::http_protocol::HttpRpcProtocol;
use aws_smithy_schema::protocol::{ClientProtocolInner, ServiceShapeName};
use aws_smithy_schema::serde::{SerdeError, SerializableStruct, ShapeDeserializer};
use aws_smithy_schema::{Schema, ShapeId, shape_id};
use aws_smithy_types::config_bag::ConfigBag;
use aws_smithy_types::endpoint::Endpoint;
use aws_smithy_types::error::metadata::{Builder, ErrorMetadata};

use crate::cbor::decoder::{Decoder, major};
use crate::cbor::deserializer::Deserializer;
use crate::cbor::knowledge::{Knowledge, SharedKnowledge};
use crate::cbor::serializer::Serializer;
use crate::cbor::taker::TakeItems;

pub(crate) const CONTENT_TYPE: &str = "application/x-amz-cbor-1.1";
static CBOR_ID: ShapeId<'static> = shape_id!("aws.protocols", "awsCbor1_1");

/// The wire protocol of Kinesis in CBOR, for the configuration of a client.
///
/// A server that knows no CBOR is asked in JSON once a response has shown it; clones of a protocol
/// share this knowledge. See the [module](crate::cbor).
///
/// ```
/// use aws_sdk_kinesis::Client;
/// use kinesis_shards::cbor::CborProtocol;
/// use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let kinesis = FakeKinesis::new();
/// kinesis.create_stream("orders", 2);
///
/// let config = kinesis.config().protocol(CborProtocol::new());
/// let client = Client::from_conf(config.build());
/// let shards = client.list_shards().stream_name("orders").send().await?;
/// assert_eq!(shards.shards().len(), 2);
/// assert!(kinesis.requests()[0].is_cbor());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CborProtocol {
    shared: Arc<Shared>,
    /// Takes the items of the response, which the SDK then does not read.
    taker: Option<Arc<dyn TakeItems>>,
}

#[derive(Debug)]
struct Shared {
    knowledge: SharedKnowledge,
    cbor: HttpRpcProtocol<CborCodec>,
    json: AwsJsonRpcProtocol,
    payloads: PayloadCodec,
}

impl CborProtocol {
    /// Creates a protocol that sends requests in CBOR.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Knowledge::Unknown)
    }

    /// Creates a protocol that sends requests in JSON: it switches CBOR off for a client.
    ///
    /// ```
    /// use aws_sdk_kinesis::Client;
    /// use kinesis_shards::all_shards;
    /// use kinesis_shards::cbor::CborProtocol;
    ///
    /// # fn example(client: &Client) {
    /// let config = client.config().to_builder().protocol(CborProtocol::disabled());
    /// let client = Client::from_conf(config.build());
    /// let shards = all_shards(&client, "orders"); // lists in JSON
    /// # }
    /// ```
    #[must_use]
    pub fn disabled() -> Self {
        Self::with(Knowledge::JsonOnly)
    }

    fn with(knowledge: Knowledge) -> Self {
        Self {
            shared: Arc::new(Shared {
                knowledge: SharedKnowledge::new(knowledge),
                cbor: HttpRpcProtocol::new(CBOR_ID.clone(), CborCodec, CONTENT_TYPE),
                // As the SDK's own protocol is configured.
                json: AwsJsonRpcProtocol::aws_json_1_1()
                    .with_default_namespace("com.amazonaws.kinesis"),
                payloads: PayloadCodec,
            }),
            taker: None,
        }
    }

    /// Gives the items of the response to `taker` instead of the SDK.
    pub(crate) fn with_taker(self, taker: Arc<dyn TakeItems>) -> Self {
        Self { taker: Some(taker), ..self }
    }

    pub(crate) fn knowledge(&self) -> &SharedKnowledge {
        &self.shared.knowledge
    }
}

impl Default for CborProtocol {
    fn default() -> Self {
        Self::new()
    }
}

/// Returns whether a protocol sends CBOR.
pub(crate) fn is_cbor_id(id: &ShapeId<'_>) -> bool {
    id.as_str() == CBOR_ID.as_str()
}

/// Returns whether a body is CBOR. A response of Kinesis is a map, possibly with a tag.
///
/// No text begins with these bytes, so the body itself says what it is. The `Content-Type` does
/// not: there are servers that repeat that of the request.
pub(crate) fn is_cbor(body: &[u8]) -> bool {
    body.first().is_some_and(|first| matches!(first >> 5, major::MAP | major::TAG))
}

fn is_json(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

fn body(response: &Response) -> &[u8] {
    response.body().bytes().unwrap_or_default()
}

/// Returns the error code and the message of an error in CBOR, by the rules for JSON: the header
/// takes precedence over the body, and `code` over `__type`.
fn error_metadata(body: &[u8], headers: &Headers) -> Result<Builder, SerdeError> {
    let (mut shape, mut code, mut message) = (None, None, None);
    let mut decoder = Decoder::new(body);
    let mut remaining = decoder.open(major::MAP)?;
    while decoder.has_next(&mut remaining)? {
        if decoder.next_major()? != major::TEXT {
            decoder.skip()?;
            decoder.skip()?;
            continue;
        }
        let name = decoder.text()?;
        let member = match &*name {
            "__type" => &mut shape,
            "code" => &mut code,
            "message" | "Message" | "errorMessage" => &mut message,
            _ => {
                decoder.skip()?;
                continue;
            }
        };
        if decoder.next_major()? == major::TEXT {
            *member = Some(decoder.text()?);
        } else {
            decoder.skip()?;
        }
    }
    let mut metadata = ErrorMetadata::builder();
    let header = headers.get("x-amzn-errortype");
    if let Some(code) = header.or(code.as_deref()).or(shape.as_deref()) {
        metadata = metadata.code(sanitize_error_code(code));
    }
    if let Some(message) = message {
        metadata = metadata.message(message);
    }
    Ok(metadata)
}

impl ClientProtocolInner for CborProtocol {
    type Request = Request;
    type Response = Response;

    fn protocol_id(&self) -> &ShapeId<'static> {
        match self.knowledge().get() {
            Knowledge::JsonOnly => self.shared.json.protocol_id(),
            Knowledge::Unknown | Knowledge::Cbor => &CBOR_ID,
        }
    }

    fn serialize_request(
        &self,
        input: &dyn SerializableStruct,
        input_schema: &Schema<'_>,
        endpoint: &str,
        cfg: &ConfigBag,
    ) -> Result<Request, SerdeError> {
        let Shared { cbor, json, .. } = &*self.shared;
        if self.knowledge().get() == Knowledge::JsonOnly {
            return json.serialize_request(input, input_schema, endpoint, cfg);
        }
        let mut request = cbor.serialize_request(input, input_schema, "/", cfg)?;
        let (service, operation) = (cfg.load::<ServiceShapeName>(), cfg.load::<Metadata>());
        if let (Some(service), Some(operation)) = (service, operation) {
            let target = format!("{}.{}", service.as_str(), operation.name());
            request.headers_mut().insert("x-amz-target", target);
        }
        Ok(request)
    }

    fn deserialize_response<'a>(
        &self,
        response: &'a Response,
        output_schema: &Schema<'_>,
        cfg: &'a ConfigBag,
    ) -> Result<Box<dyn ShapeDeserializer + 'a>, SerdeError> {
        if let Some(taker) = &self.taker {
            taker.clear();
        }
        let body = body(response);
        if is_json(body) {
            if response.status().is_success() {
                self.knowledge().note_json_only();
            }
            return self.shared.json.deserialize_response(response, output_schema, cfg);
        }
        if !is_cbor(body) {
            return Ok(Box::new(Deserializer::new(body)));
        }
        self.knowledge().note_cbor();
        let deserializer = Deserializer::new(body).reporting_to(self.knowledge().clone());
        let taker = self.taker.as_ref().filter(|_| response.status().is_success());
        Ok(Box::new(match taker.and_then(|taker| taker.take_from(response)) {
            Some(part) => deserializer.without(part),
            None => deserializer,
        }))
    }

    fn parse_error_metadata(
        &self,
        response: &Response,
        cfg: &ConfigBag,
    ) -> Result<Builder, SerdeError> {
        let body = body(response);
        if is_cbor(body) {
            self.knowledge().note_cbor();
            return error_metadata(body, response.headers());
        }
        if response.status().as_u16() == 415 {
            self.knowledge().note_json_only();
        }
        let metadata = self.shared.json.parse_error_metadata(response, cfg)?.build();
        if metadata.code() == Some("SerializationException") {
            self.knowledge().note_json_only();
        }
        Ok(metadata.into_builder())
    }

    fn update_endpoint(
        &self,
        request: &mut Request,
        endpoint: &Endpoint,
        cfg: &ConfigBag,
    ) -> Result<(), SerdeError> {
        self.shared.cbor.update_endpoint(request, endpoint, cfg)
    }

    fn payload_codec(&self) -> Option<&dyn DynCodec> {
        Some(&self.shared.payloads)
    }

    fn parse_event_stream_error_metadata(&self, payload: &[u8]) -> Result<Builder, SerdeError> {
        if is_cbor(payload) {
            error_metadata(payload, &Headers::new())
        } else {
            self.shared.json.parse_event_stream_error_metadata(payload)
        }
    }
}

/// The codec of the bodies of requests.
#[derive(Debug)]
struct CborCodec;

impl Codec for CborCodec {
    type Serializer = Serializer;
    type Deserializer<'a> = Deserializer<'a>;

    fn create_serializer(&self) -> Serializer {
        Serializer::new()
    }

    fn create_deserializer<'a>(&self, input: &'a [u8]) -> Deserializer<'a> {
        Deserializer::new(input)
    }
}

/// The codec of the payloads of an event stream, each of which may be JSON.
#[derive(Debug)]
struct PayloadCodec;

impl DynCodec for PayloadCodec {
    fn create_deserializer<'a>(&self, input: &'a [u8]) -> Box<dyn ShapeDeserializer + 'a> {
        if is_json(input) {
            let codec = aws_smithy_json::codec::JsonCodec::default();
            return DynCodec::create_deserializer(&codec, input);
        }
        Box::new(Deserializer::new(input))
    }

    fn create_serializer(&self) -> Box<dyn PayloadSerializer + '_> {
        Box::new(Serializer::new())
    }
}

#[cfg(test)]
mod tests {
    use aws_smithy_runtime_api::http::StatusCode;
    use aws_smithy_schema::prelude;
    use aws_smithy_types::body::SdkBody;

    use super::*;
    use crate::cbor::taker::Taker;
    use crate::util::received_shard::ReceivedShard;

    #[test]
    fn what_was_taken_from_a_response_is_not_a_part_of_the_next() {
        let taker = Arc::new(Taker::<ReceivedShard>::default());
        let shared: Arc<_> = Arc::clone(&taker);
        let protocol = CborProtocol::new().with_taker(shared);
        let read = |body: &'static [u8]| {
            let response = Response::new(StatusCode::try_from(200).unwrap(), SdkBody::from(body));
            let bag = ConfigBag::base();
            let read = protocol.deserialize_response(&response, &prelude::DOCUMENT, &bag);
            assert!(read.is_ok());
        };
        read(b"\xa1\x66Shards\x81\xa1\x67ShardId\x611");
        assert_eq!(taker.taken().unwrap()[0].shard_id(), "1");
        for next in [b"{}", b"\xa0\xa0"] {
            read(b"\xa1\x66Shards\x81\xa1\x67ShardId\x611");
            read(next);
            assert!(taker.taken().is_none());
        }
    }
}
