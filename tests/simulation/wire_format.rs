//! The wire format of a seed. It changes nothing else of a seed: every other draw, and every time,
//! is the same in each format.

use aws_sdk_kinesis::config::http::HttpRequest;
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::testing::{CborSupport, json_of};
use serde_json::Value;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WireFormat {
    Json,
    Cbor,
    /// The requests are in CBOR until a response is in JSON.
    ///
    /// Only for a simulation that does not check when requests are sent: the request whose error is
    /// in JSON is sent again at once.
    #[allow(dead_code, reason = "one of the simulations uses it")]
    JsonResponses,
    /// The requests are in CBOR, as kinesalite writes it, until a response is damaged.
    Kinesalite,
}

impl WireFormat {
    /// Returns JSON for ten seeds in sixteen, CBOR for four, the CBOR of kinesalite for one, and
    /// `other` for one.
    pub(crate) fn of_seed(seed: u64, other: Self) -> Self {
        match seed % 16 {
            1 | 4 | 9 | 12 => Self::Cbor,
            6 => other,
            14 => Self::Kinesalite,
            _ => Self::Json,
        }
    }

    /// Returns the protocol of the clients.
    pub(crate) fn protocol(self) -> CborProtocol {
        match self {
            Self::Json => CborProtocol::disabled(),
            Self::Cbor | Self::JsonResponses | Self::Kinesalite => CborProtocol::new(),
        }
    }

    /// Returns how the server treats CBOR.
    pub(crate) fn support(self) -> CborSupport {
        match self {
            Self::Json | Self::Cbor => CborSupport::Supported,
            Self::JsonResponses => CborSupport::JsonResponses,
            Self::Kinesalite => CborSupport::Kinesalite,
        }
    }
}

/// Returns the body of a request in either format.
#[allow(dead_code, reason = "one of the simulations uses it")]
pub(crate) fn body_of(request: &HttpRequest) -> Value {
    request.body().bytes().and_then(json_of).unwrap_or_default()
}
