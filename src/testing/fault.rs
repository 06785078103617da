//! [`Fault`]: one thing that goes wrong with one request.

use std::time::Duration;

use crate::testing::model::api_error::Code;
use crate::testing::model::listing_faults::ListingFault;
use crate::testing::model::reading::ReadFaults;
use crate::testing::model::time::Millis;
use crate::testing::model::writing::FailedEntries;
use crate::testing::wire::operations::{OPERATIONS, Override, has_answer};

/// What goes wrong with one request.
///
/// A fault that refuses a request stands in its place: nothing is read or written. The SDK tries
/// some of them again, so that a call fails only if each of its attempts does: see
/// [`FakeKinesis::fail_times`](super::FakeKinesis::fail_times).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Too many requests: `LimitExceededException`, or `ProvisionedThroughputExceededException`
    /// from the operations that read and write records.
    Throttled,
    /// `LimitExceededException`, whatever the operation.
    LimitExceeded,
    /// `InternalFailure`, or `InternalFailureException` from the operations that read and write
    /// records, with status 500.
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
    /// `GetShardIterator` refuses its `StartingSequenceNumber`, in AWS's words:
    /// `InvalidArgumentException`. A true refusal comes by itself, of a number that is not one of
    /// the shard; this one refuses any, as the stream of another account would.
    InvalidSequenceNumber,
    /// Any other error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error code, as on the wire.
        code: String,
    },
    /// No answer, ever: only a timeout of the client's ends this, its read timeout or one of an
    /// attempt or an operation. The SDK sets none of these by itself, so that a call of the default
    /// client then waits for ever, as in life: put a timeout around it.
    NeverAnswers,
    /// The connection is never made, nor refused: only a timeout of the client's ends this. The
    /// SDK's connect timeout is 3.1 seconds by default.
    NeverConnects,
    /// The request is carried out at once; its answer takes this long, beside the fake's
    /// [`latency`](super::FakeKinesisBuilder::latency).
    Late(Duration),
    /// The request is carried out at once; its answer comes at this many bytes a second, as on a
    /// slow line. Zero is one.
    ///
    /// ```
    /// use kinesis_shards::testing::{FakeKinesis, Fault};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fake = FakeKinesis::new();
    /// fake.create_stream("orders", 10);
    /// fake.fail_next("ListShards", Fault::SlowBody(100));
    ///
    /// let begun = tokio::time::Instant::now();
    /// fake.client().list_shards().stream_name("orders").send().await?;
    /// assert!(begun.elapsed().as_secs() > 10);
    /// # Ok(())
    /// # }
    /// ```
    SlowBody(u32),
    /// The connection cannot be made: the request is not carried out.
    ConnectionRefused,
    /// The connection breaks before the answer: the request *is* carried out.
    ConnectionReset,
    /// The request is carried out, and half of its answer comes.
    TruncatedBody,
    /// The request is carried out, and the answer is a web page, with status 200.
    NotJson,
    /// The request is carried out, and the members of its answer are of other types than they
    /// should be.
    WrongTypes,
    /// The request is not carried out; this is its answer, with status 200.
    Body(String),
    /// `ListShards` shows the stream as it was this long ago, with the shards that have expired
    /// since.
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
    /// `GetRecords` gives neither a next iterator nor child shards with its records, although the
    /// shard goes on.
    NoNextIterator,
    /// `ListShards` gives a list without a shard, although the stream has some. A page that follows
    /// another, by its `NextToken`, is as it would be without the fault.
    NoShards,
    /// `GetRecords` gives the last records of a closed shard together with its end (no next
    /// iterator, and the child shards), or the end comes in one more answer: as
    /// [`FakeKinesisBuilder::end_with_last_records`] says for all requests, for one alone.
    ///
    /// [`FakeKinesisBuilder::end_with_last_records`]:
    /// super::FakeKinesisBuilder::end_with_last_records
    EndWithLastRecords(bool),
    /// `PutRecords` writes its records but those at these places, the first being 0, which are
    /// throttled: `ProvisionedThroughputExceededException`.
    ThrottleEntries(Vec<usize>),
    /// `PutRecords` throttles about one record in four and writes the others; which ones is up to
    /// the number.
    ThrottleSomeEntries(u64),
    /// `PutRecords` writes its records but those at these places, the first being 0, which fail:
    /// `InternalFailure`.
    FailEntries(Vec<usize>),
}

/// What a fault does to a request.
pub(crate) enum Effect {
    /// Not carried out, and answered with this error.
    Refuse { status: u16, code: String, message: &'static str },
    /// Not carried out, and answered with this.
    Answer(String),
    /// Not carried out, and never answered.
    Silence,
    /// Not carried out: there is no connection.
    Unreachable,
    /// Not carried out, and there is never a connection.
    NoConnection,
    /// Carried out, with something wrong in the answer.
    Override(Override),
    /// Carried out, with something done to the answer.
    Damage(Damage),
}

#[derive(Clone, Copy)]
pub(crate) enum Damage {
    Late(Duration),
    Slow(u32),
    Lost,
    Truncated,
    NotJson,
    WrongTypes,
}

impl Fault {
    pub(crate) fn effect(&self, operation: &str, now: Millis) -> Effect {
        let refuse = |status, code: &str| Effect::Refuse {
            status,
            code: code.to_owned(),
            message: "A fault of FakeKinesis.",
        };
        // As AWS says it: `LimitExceededException` alone also stands for limits that waiting does
        // not change.
        let throttle = |code: Code| Effect::Refuse {
            status: 400,
            code: code.as_str().to_owned(),
            message: "Rate exceeded: a fault of FakeKinesis.",
        };
        let of_records =
            matches!(operation, "GetRecords" | "GetShardIterator" | "PutRecord" | "PutRecords");
        let list = |listing| Effect::Override(Override { listing, ..Override::default() });
        let read = |read| Effect::Override(Override { read, ..Override::default() });
        let put = |entries| Effect::Override(Override { entries, ..Override::default() });
        match self {
            Self::Throttled if of_records => throttle(Code::ThroughputExceeded),
            Self::Throttled | Self::LimitExceeded => throttle(Code::LimitExceeded),
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
            Self::InvalidSequenceNumber => Effect::Refuse {
                status: 400,
                code: Code::InvalidArgument.as_str().to_owned(),
                message: "StartingSequenceNumber used in GetShardIterator is invalid because it did \
                          not come from this stream.",
            },
            Self::Error { status, code } => refuse(*status, code),
            Self::NeverAnswers => Effect::Silence,
            Self::NeverConnects => Effect::NoConnection,
            Self::ConnectionRefused => Effect::Unreachable,
            Self::Body(body) => Effect::Answer(body.clone()),
            Self::Late(by) => Effect::Damage(Damage::Late(*by)),
            Self::SlowBody(rate) => Effect::Damage(Damage::Slow(*rate)),
            Self::ConnectionReset => Effect::Damage(Damage::Lost),
            Self::TruncatedBody => Effect::Damage(Damage::Truncated),
            Self::NotJson => Effect::Damage(Damage::NotJson),
            Self::WrongTypes => Effect::Damage(Damage::WrongTypes),
            Self::StaleListing(age) => list(ListingFault::AsOf(now.minus(*age))),
            Self::OmitShard(id) => list(ListingFault::Without(id.clone())),
            Self::OmitSomeShards(number) => list(ListingFault::WithoutSome(*number)),
            Self::ParentStillOpen(id) => list(ListingFault::StillOpen(id.clone())),
            Self::NoChildrenYet(id) => list(ListingFault::Childless(id.clone())),
            Self::EmptyPage => list(ListingFault::Empty),
            Self::EmptyRead => read(ReadFaults { dry: true, ..ReadFaults::default() }),
            Self::NoNextIterator => read(ReadFaults { cut: true, ..ReadFaults::default() }),
            Self::NoShards => list(ListingFault::NoShards),
            Self::EndWithLastRecords(with_last_records) => read(ReadFaults {
                end_with_last_records: Some(*with_last_records),
                ..ReadFaults::default()
            }),
            Self::ThrottleEntries(these) => put(FailedEntries::Throttled(these.clone())),
            Self::ThrottleSomeEntries(number) => put(FailedEntries::SomeThrottled(*number)),
            Self::FailEntries(these) => put(FailedEntries::Failed(these.clone())),
        }
    }

    /// Whether this fault can befall `operation` at all: what it would do nothing to, and what AWS
    /// never answers to it, it cannot.
    pub(crate) fn applies_to(&self, operation: &str) -> bool {
        match self {
            Self::StaleListing(_)
            | Self::OmitShard(_)
            | Self::OmitSomeShards(_)
            | Self::ParentStillOpen(_)
            | Self::NoChildrenYet(_)
            | Self::EmptyPage
            | Self::NoShards => operation == "ListShards",
            Self::ExpiredNextToken => matches!(operation, "ListShards" | "ListStreams"),
            Self::EmptyRead
            | Self::NoNextIterator
            | Self::EndWithLastRecords(_)
            | Self::ExpiredIterator => operation == "GetRecords",
            Self::InvalidSequenceNumber => operation == "GetShardIterator",
            Self::ThrottleEntries(_) | Self::ThrottleSomeEntries(_) | Self::FailEntries(_) => {
                operation == "PutRecords"
            }
            Self::KmsThrottling
            | Self::KmsDisabled
            | Self::KmsAccessDenied
            | Self::KmsInvalidState
            | Self::KmsNotFound
            | Self::KmsOptInRequired => {
                matches!(operation, "GetRecords" | "PutRecord" | "PutRecords")
            }
            Self::ResourceNotFound => !matches!(operation, "CreateStream" | "ListStreams"),
            Self::TruncatedBody | Self::NotJson | Self::WrongTypes | Self::Body(_) => {
                has_answer(operation)
            }
            Self::Throttled
            | Self::LimitExceeded
            | Self::InternalFailure
            | Self::ServiceUnavailable
            | Self::AccessDenied
            | Self::Error { .. }
            | Self::NeverAnswers
            | Self::NeverConnects
            | Self::Late(_)
            | Self::SlowBody(_)
            | Self::ConnectionRefused
            | Self::ConnectionReset => true,
        }
    }

    /// # Panics
    ///
    /// If there is no such operation, or this fault cannot befall it: a test that waits for it
    /// would prove nothing.
    #[track_caller]
    pub(crate) fn must_befall(&self, operation: &str) {
        assert!(OPERATIONS.contains(&operation), "{operation} is not an operation of FakeKinesis");
        assert!(self.applies_to(operation), "{self:?} cannot befall {operation}");
    }
}
