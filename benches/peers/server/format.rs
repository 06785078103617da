//! The two wire formats of Kinesis.

use std::io;

use serde_json::Value;

#[derive(Clone, Copy, Debug)]
pub(crate) enum Format {
    Json,
    Cbor,
}

impl Format {
    pub(crate) fn of_content_type(content_type: &str) -> Self {
        if content_type.contains("cbor") { Self::Cbor } else { Self::Json }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/x-amz-json-1.1",
            Self::Cbor => "application/x-amz-cbor-1.1",
        }
    }

    pub(crate) fn encode(self, value: &Value) -> Vec<u8> {
        match self {
            Self::Json => value.to_string().into_bytes(),
            Self::Cbor => encode_cbor(value),
        }
    }

    /// Decodes a request: without blobs and timestamps, both formats have the same values.
    pub(crate) fn decode(self, body: &[u8]) -> io::Result<Value> {
        match self {
            Self::Json => serde_json::from_slice(body).map_err(io::Error::other),
            Self::Cbor => ciborium::from_reader(body).map_err(io::Error::other),
        }
    }
}

pub(crate) fn encode_cbor(value: &impl serde::Serialize) -> Vec<u8> {
    let mut body = Vec::new();
    ciborium::into_writer(value, &mut body).expect("memory takes all bytes");
    body
}
