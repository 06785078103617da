//! Whether the fake knows CBOR.

use crate::testing::wire::cbor::Dialect;

/// How a fake treats requests in the CBOR of Kinesis: see
/// [`FakeKinesisBuilder::cbor`](super::FakeKinesisBuilder::cbor). It accepts requests in JSON in
/// any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum CborSupport {
    /// A request in CBOR gets a response in CBOR, as at AWS.
    #[default]
    Supported,
    /// A request in CBOR gets a response as kinesalite 3.3.3 sends it. Its times are in seconds and
    /// have no tag, its data is text in base64, and it ends after 16 KiB.
    Kinesalite,
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

impl CborSupport {
    /// Returns how a response to a request in CBOR is written, or `None` if it is in JSON.
    pub(crate) fn dialect(self) -> Option<Dialect> {
        match self {
            Self::Supported => Some(Dialect::Aws),
            Self::Kinesalite => Some(Dialect::Kinesalite),
            _ => None,
        }
    }
}
