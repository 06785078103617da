//! Whether the fake knows CBOR.

/// How a fake treats requests in the CBOR of Kinesis: see
/// [`FakeKinesisBuilder::cbor`](super::FakeKinesisBuilder::cbor). It accepts requests in JSON in
/// any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborSupport {
    /// A request in CBOR gets a response in CBOR, as at AWS.
    #[default]
    Supported,
    /// A request in CBOR is carried out, and gets a response in JSON.
    JsonResponses,
    /// A request in CBOR gets a `SerializationException` in JSON.
    SerializationException,
    /// A request in CBOR gets status 415 and an empty body.
    UnsupportedMediaType,
    /// A request in CBOR gets status 500 and a page of HTML, as from a server that fails to parse
    /// the request.
    InternalError,
}
