//! [`Fault`]: one thing that goes wrong with one request.

use std::time::Duration;

use super::model::{Code, Distortion, Millis};
use super::wire::Twist;

/// What goes wrong with one request.
///
/// A fault that refuses a request stands in its place: nothing is read or written. The SDK tries some of them again, so that
/// a call fails only if each of its attempts does: see [`FakeKinesis::fail_times`](super::FakeKinesis::fail_times).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Too many requests: `LimitExceededException`, or `ProvisionedThroughputExceededException` from the operations that
    /// read and write records.
    Throttled,
    /// `LimitExceededException`, whatever the operation.
    LimitExceeded,
    /// `InternalFailure`, or `InternalFailureException` from the operations that read and write records, with status 500.
    InternalFailure,
    /// `ServiceUnavailable`, with status 503.
    ServiceUnavailable,
    /// `AccessDeniedException`.
    AccessDenied,
    /// `ResourceNotFoundException`, though the stream is there.
    ResourceNotFound,
    /// `ExpiredIteratorException`, whatever the iterator's age.
    ExpiredIterator,
    /// `ExpiredNextTokenException`, whatever the token's age.
    ExpiredNextToken,
    /// `KMSThrottlingException`.
    KmsThrottling,
    /// `KMSDisabledException`.
    KmsDisabled,
    /// `KMSAccessDeniedException`.
    KmsAccessDenied,
    /// `KMSInvalidStateException`.
    KmsInvalidState,
    /// `KMSNotFoundException`.
    KmsNotFound,
    /// `KMSOptInRequired`.
    KmsOptInRequired,
    /// Any other error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error code, as on the wire.
        code: String,
    },
    /// No answer, ever. Only a timeout of the client's ends this.
    NeverAnswers,
    /// The request is carried out at once; its answer takes this long.
    Late(Duration),
    /// The connection cannot be made: the request is not carried out.
    ConnectionRefused,
    /// The connection breaks before the answer: the request *is* carried out.
    ConnectionReset,
    /// The request is carried out, and half of its answer comes.
    TruncatedBody,
    /// The request is carried out, and the answer is a web page, with status 200.
    NotJson,
    /// The request is carried out, and the members of its answer are of other types than they should be.
    WrongTypes,
    /// The request is not carried out; this is its answer, with status 200.
    Body(String),
    /// `ListShards` shows the stream as it was this long ago.
    StaleListing(Duration),
    /// `ListShards` leaves this shard out.
    OmitShard(String),
    /// `ListShards` leaves out about one shard in four; which ones is up to the number.
    OmitSomeShards(u64),
    /// `ListShards` shows this closed shard as open, and its children beside it.
    ParentStillOpen(String),
    /// `ListShards` shows this closed shard without any that descends from it.
    NoChildrenYet(String),
    /// `ListShards` gives a page without shards and a token for the next one.
    EmptyPage,
    /// `GetRecords` gives no records this time, though there may be some.
    EmptyRead,
}

/// What a fault does to a request.
pub(super) enum Effect {
    /// Not carried out, and answered with this error.
    Refuse { status: u16, code: String },
    /// Not carried out, and answered with this.
    Answer(String),
    /// Not carried out, and never answered.
    Silence,
    /// Not carried out: there is no connection.
    Unreachable,
    /// Carried out, with something wrong in the answer.
    Twist(Twist),
    /// Carried out, with something done to the answer.
    Damage(Damage),
}

#[derive(Clone, Copy)]
pub(super) enum Damage {
    Late(Duration),
    Lost,
    Truncated,
    NotJson,
    WrongTypes,
}

impl Fault {
    pub(super) fn effect(&self, operation: &str, now: Millis) -> Effect {
        let refuse = |status, code: &str| Effect::Refuse { status, code: code.to_owned() };
        let of_records = matches!(operation, "GetRecords" | "GetShardIterator" | "PutRecord" | "PutRecords");
        let list = |listing| Effect::Twist(Twist { listing, ..Twist::default() });
        match self {
            Self::Throttled if of_records => refuse(400, Code::ThroughputExceeded.as_str()),
            Self::Throttled | Self::LimitExceeded => refuse(400, Code::LimitExceeded.as_str()),
            Self::InternalFailure if of_records => refuse(500, "InternalFailureException"),
            Self::InternalFailure => refuse(500, "InternalFailure"),
            Self::ServiceUnavailable => refuse(503, "ServiceUnavailable"),
            Self::AccessDenied => refuse(400, "AccessDeniedException"),
            Self::ResourceNotFound => refuse(400, Code::ResourceNotFound.as_str()),
            Self::ExpiredIterator => refuse(400, Code::ExpiredIterator.as_str()),
            Self::ExpiredNextToken => refuse(400, Code::ExpiredNextToken.as_str()),
            Self::KmsThrottling => refuse(400, "KMSThrottlingException"),
            Self::KmsDisabled => refuse(400, "KMSDisabledException"),
            Self::KmsAccessDenied => refuse(400, "KMSAccessDeniedException"),
            Self::KmsInvalidState => refuse(400, "KMSInvalidStateException"),
            Self::KmsNotFound => refuse(400, "KMSNotFoundException"),
            Self::KmsOptInRequired => refuse(400, "KMSOptInRequired"),
            Self::Error { status, code } => refuse(*status, code),
            Self::NeverAnswers => Effect::Silence,
            Self::ConnectionRefused => Effect::Unreachable,
            Self::Body(body) => Effect::Answer(body.clone()),
            Self::Late(by) => Effect::Damage(Damage::Late(*by)),
            Self::ConnectionReset => Effect::Damage(Damage::Lost),
            Self::TruncatedBody => Effect::Damage(Damage::Truncated),
            Self::NotJson => Effect::Damage(Damage::NotJson),
            Self::WrongTypes => Effect::Damage(Damage::WrongTypes),
            Self::StaleListing(age) => list(Distortion::AsOf(now.minus(*age))),
            Self::OmitShard(id) => list(Distortion::Without(id.clone())),
            Self::OmitSomeShards(number) => list(Distortion::WithoutSome(*number)),
            Self::ParentStillOpen(id) => list(Distortion::StillOpen(id.clone())),
            Self::NoChildrenYet(id) => list(Distortion::Childless(id.clone())),
            Self::EmptyPage => list(Distortion::Empty),
            Self::EmptyRead => Effect::Twist(Twist { dry: true, ..Twist::default() }),
        }
    }

    /// Whether this fault can befall `operation` at all.
    pub(super) fn befalls(&self, operation: &str) -> bool {
        match self {
            Self::StaleListing(_)
            | Self::OmitShard(_)
            | Self::OmitSomeShards(_)
            | Self::ParentStillOpen(_)
            | Self::NoChildrenYet(_)
            | Self::EmptyPage
            | Self::ExpiredNextToken => operation == "ListShards",
            Self::EmptyRead | Self::ExpiredIterator => operation == "GetRecords",
            _ => true,
        }
    }
}
