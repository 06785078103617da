//! [`Fault`]: one thing that goes wrong with one request.

use std::time::Duration;

use crate::testing::model::api_error::Code;
use crate::testing::model::listing_faults::ListingFault;
use crate::testing::model::reading::ReadFaults;
use crate::testing::model::time::Millis;
use crate::testing::model::writing::FailedEntries;
use crate::testing::wire::operations::{OPERATIONS, has_body};
use crate::testing::wire::overrides::{
    FAULT_MESSAGE, FirstFrame, Interruption, Override, ShardEnd, SubscriptionFault,
};

/// A fault of one request.
///
/// A fault that is an error replaces the request: nothing is read or written. The SDK retries some
/// of these errors, so a call fails only if each of its attempts does: see
/// [`FakeKinesis::fail_times`](super::FakeKinesis::fail_times).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Too many requests: `ProvisionedThroughputExceededException` for the operations that read and
    /// write records, and `LimitExceededException` for all others.
    Throttled,
    /// `LimitExceededException`, whatever the operation.
    LimitExceeded,
    /// `InternalFailure`, or `InternalFailureException` for the operations that read and write
    /// records, with status 500.
    InternalFailure,
    /// `ServiceUnavailable`, with status 503.
    ServiceUnavailable,
    /// `AccessDeniedException`.
    AccessDenied,
    /// `ResourceNotFoundException`, although the stream exists.
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
    /// `GetShardIterator` rejects its `StartingSequenceNumber` with AWS's words and
    /// `InvalidArgumentException`, as a stream of another account would. The fake rejects sequence
    /// numbers of other shards without a fault.
    InvalidSequenceNumber,
    /// Any other error.
    Error {
        /// The HTTP status.
        status: u16,
        /// The error code, as on the wire.
        code: String,
    },
    /// The request never gets a response. Only a timeout of the client ends it: the read timeout,
    /// or that of an attempt or an operation. The SDK sets none of them by default, so a call of
    /// the default client waits forever; put a timeout around it.
    NeverResponds,
    /// The connection is neither made nor refused. Only a timeout of the client ends the request.
    /// The SDK's default connect timeout is 3.1 seconds.
    NeverConnects,
    /// The request is carried out at once. Its response comes after this time, in addition to the
    /// fake's [`latency`](super::FakeKinesisBuilder::latency).
    Late(Duration),
    /// The request is carried out at once. Its response arrives at this many bytes a second, as on
    /// a slow line. Zero counts as one.
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
    /// The connection is refused: the request is not carried out.
    ConnectionRefused,
    /// The connection breaks before the response arrives. The request *is* carried out.
    ConnectionReset,
    /// The request is carried out, and half of its response arrives.
    TruncatedBody,
    /// The request is carried out, and the response is a web page with status 200.
    NotJson,
    /// The request is carried out, and the members of its response have the wrong types.
    WrongTypes,
    /// The request is not carried out. This is the body of its response, with status 200.
    Body(String),
    /// `ListShards` shows the stream as it was this long ago, with the shards that have expired
    /// since.
    StaleListing(Duration),
    /// `ListShards` omits this shard.
    OmitShard(String),
    /// `ListShards` omits about one shard in four. The number is the seed that picks them.
    OmitSomeShards(u64),
    /// `ListShards` shows this closed shard as open, and its children unchanged.
    ParentStillOpen(String),
    /// `ListShards` shows this closed shard, and omits its descendants.
    NoChildrenYet(String),
    /// `ListShards` returns a page without shards and a token for the next page.
    EmptyPage,
    /// `GetRecords` returns no records, although there may be some.
    EmptyRead,
    /// `GetRecords` returns its records with neither a next iterator nor child shards, although the
    /// shard has not ended.
    NoNextIterator,
    /// `ListShards` returns a list without shards, although the stream has some. A page requested
    /// by a `NextToken` is unchanged.
    NoShards,
    /// `GetRecords` returns the end of a closed shard (no next iterator, and the child shards)
    /// together with its last records (`true`), or in one more response (`false`). It applies
    /// [`FakeKinesisBuilder::end_with_last_records`] to a single request.
    ///
    /// [`FakeKinesisBuilder::end_with_last_records`]:
    /// super::FakeKinesisBuilder::end_with_last_records
    EndWithLastRecords(bool),
    /// `PutRecords` writes its records, except those at these indices, which fail with
    /// `ProvisionedThroughputExceededException`.
    ThrottleEntries(Vec<usize>),
    /// `PutRecords` throttles about one record in four and writes the others. The number is the
    /// seed that picks them.
    ThrottleSomeEntries(u64),
    /// `PutRecords` writes its records, except those at these indices, which fail with
    /// `InternalFailure`.
    FailEntries(Vec<usize>),
    /// `SubscribeToShard` is carried out, and its response has a head, but no frame ever. The SDK's
    /// `send` waits for the first frame, whatever its timeouts: put a timeout around it.
    NoFirstFrame,
    /// The first frame of a `SubscribeToShard` comes after this time, and the events after it.
    LateFirstFrame(Duration),
    /// The frames of a `SubscribeToShard` begin with an event, without an `initial-response`.
    NoInitialResponse,
    /// The first and only frame of a `SubscribeToShard` is an exception with this code, in place of
    /// the `initial-response`. The SDK's `send` succeeds, and the first `recv` fails.
    FirstFrameException(String),
    /// A `SubscribeToShard` sends this many events and then nothing, not even its end.
    ///
    /// The number of events of this fault and the next ones includes the empty ones. It is reached
    /// before the next event is due, so a fault after no event comes right after the
    /// `initial-response`.
    SilentAfter(u64),
    /// A `SubscribeToShard` sends this many events and ends, as it does after five minutes.
    EndsAfter(u64),
    /// A `SubscribeToShard` sends this many events, then an exception with this code, and ends.
    ///
    /// ```
    /// use aws_sdk_kinesis::types::{ShardIteratorType, StartingPosition};
    /// use kinesis_shards::testing::{FakeKinesis, Fault};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fake = FakeKinesis::new();
    /// let orders = fake.create_stream("orders", 1);
    /// let consumer = orders.register_consumer("billing");
    /// let fault = Fault::ExceptionAfter(1, "InternalFailureException".into());
    /// fake.fail_next("SubscribeToShard", fault);
    ///
    /// let latest = StartingPosition::builder().r#type(ShardIteratorType::Latest).build()?;
    /// let subscribe = fake.client().subscribe_to_shard().consumer_arn(consumer);
    /// let subscribe = subscribe.shard_id("shardId-000000000000").starting_position(latest);
    /// let mut events = subscribe.send().await?.event_stream;
    /// assert!(events.recv().await?.is_some());
    /// assert!(events.recv().await.is_err());
    /// # Ok(())
    /// # }
    /// ```
    ExceptionAfter(u64, String),
    /// A `SubscribeToShard` sends this many events, then an event of a type that the SDK does not
    /// know, and then the events that follow.
    UnknownEventAfter(u64),
    /// A `SubscribeToShard` sends this many events. The next one, with its records, is lost to an
    /// I/O error, and the events after it arrive.
    IoErrorAfter(u64),
    /// A `SubscribeToShard` sends this many events and half the frame of the next one. An I/O error
    /// ends the response.
    CutFrameAfter(u64),
    /// A `SubscribeToShard` sends this many events. The next one, with its records, has a wrong
    /// checksum, and the events after it are right.
    BadChecksumAfter(u64),
    /// The last event of a `SubscribeToShard` at the end of a shard names no child shards. Only the
    /// missing continuation tells the end.
    EndWithoutChildShards,
    /// The last event of a `SubscribeToShard` at the end of a shard has a continuation. Only the
    /// child shards tell the end.
    EndWithContinuation,
}

const SUBSCRIBE: &str = "SubscribeToShard";

/// The effect of a fault on its request.
pub(crate) enum Effect {
    /// The request is not carried out, and this error is its response.
    Reject { status: u16, code: String, message: &'static str },
    /// The request is not carried out, and this body is its response.
    Respond(String),
    /// The request is not carried out, and gets no response.
    NeverResponds,
    /// The request is not carried out: its connection is refused.
    ConnectionRefused,
    /// The request is not carried out: its connection is never made.
    NeverConnects,
    /// The request is carried out with these faults in its result.
    Override(Override),
    /// The request is carried out, and its response is damaged.
    Damage(Damage),
}

/// Damage to a response on its way to the client.
#[derive(Clone, Copy)]
pub(crate) enum Damage {
    Late(Duration),
    /// In bytes a second.
    Slow(u32),
    Lost,
    Truncated,
    NotJson,
    WrongTypes,
}

impl Damage {
    /// Returns whether the client still gets the whole response.
    pub(crate) fn is_only_delay(self) -> bool {
        matches!(self, Self::Late(_) | Self::Slow(_))
    }
}

impl Fault {
    pub(crate) fn effect(&self, operation: &str, now: Millis) -> Effect {
        let reject = |status, code: &str| Effect::Reject {
            status,
            code: code.to_owned(),
            message: FAULT_MESSAGE,
        };
        // The message is AWS's: `LimitExceededException` also stands for limits that waiting does
        // not change, and only the message tells them apart.
        let throttle = |code: Code| Effect::Reject {
            status: 400,
            code: code.as_str().to_owned(),
            message: "Rate exceeded: a fault of FakeKinesis.",
        };
        let is_of_records =
            matches!(operation, "GetRecords" | "GetShardIterator" | "PutRecord" | "PutRecords");
        let list = |listing| Effect::Override(Override { listing, ..Override::default() });
        let read = |read| Effect::Override(Override { read, ..Override::default() });
        let subscribe = |fault| {
            let subscription = Some(fault);
            Effect::Override(Override { subscription, ..Override::default() })
        };
        let first = |first| subscribe(SubscriptionFault::First(first));
        let after = |events, what| subscribe(SubscriptionFault::After(events, what));
        let put = |entries| Effect::Override(Override { entries, ..Override::default() });
        match self {
            Self::Throttled if is_of_records => throttle(Code::ThroughputExceeded),
            Self::Throttled | Self::LimitExceeded => throttle(Code::LimitExceeded),
            Self::InternalFailure if is_of_records || operation == SUBSCRIBE => {
                reject(500, "InternalFailureException")
            }
            Self::InternalFailure => reject(500, "InternalFailure"),
            Self::ServiceUnavailable => reject(503, "ServiceUnavailable"),
            Self::AccessDenied => reject(400, "AccessDeniedException"),
            Self::ResourceNotFound => reject(400, Code::ResourceNotFound.as_str()),
            Self::ExpiredIterator => reject(400, Code::ExpiredIterator.as_str()),
            Self::ExpiredNextToken => reject(400, Code::ExpiredNextToken.as_str()),
            Self::KmsThrottling => reject(400, "KMSThrottlingException"),
            Self::KmsDisabled => reject(400, "KMSDisabledException"),
            Self::KmsAccessDenied => reject(400, "KMSAccessDeniedException"),
            Self::KmsInvalidState => reject(400, "KMSInvalidStateException"),
            Self::KmsNotFound => reject(400, "KMSNotFoundException"),
            Self::KmsOptInRequired => reject(400, "KMSOptInRequired"),
            Self::InvalidSequenceNumber => Effect::Reject {
                status: 400,
                code: Code::InvalidArgument.as_str().to_owned(),
                message: "StartingSequenceNumber used in GetShardIterator is invalid because it \
                          did not come from this stream.",
            },
            Self::Error { status, code } => reject(*status, code),
            Self::NeverResponds => Effect::NeverResponds,
            Self::NeverConnects => Effect::NeverConnects,
            Self::ConnectionRefused => Effect::ConnectionRefused,
            Self::Body(body) => Effect::Respond(body.clone()),
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
            Self::EmptyRead => read(ReadFaults { no_records: true, ..ReadFaults::default() }),
            Self::NoNextIterator => {
                read(ReadFaults { no_continuation: true, ..ReadFaults::default() })
            }
            Self::NoShards => list(ListingFault::NoShards),
            Self::EndWithLastRecords(with_last_records) => read(ReadFaults {
                end_with_last_records: Some(*with_last_records),
                ..ReadFaults::default()
            }),
            Self::ThrottleEntries(indices) => put(FailedEntries::Throttled(indices.clone())),
            Self::ThrottleSomeEntries(number) => put(FailedEntries::SomeThrottled(*number)),
            Self::FailEntries(indices) => put(FailedEntries::Failed(indices.clone())),
            Self::NoFirstFrame => first(FirstFrame::Never),
            Self::LateFirstFrame(by) => first(FirstFrame::Late(*by)),
            Self::NoInitialResponse => first(FirstFrame::NoInitialResponse),
            Self::FirstFrameException(code) => first(FirstFrame::Exception(code.clone())),
            Self::SilentAfter(events) => after(*events, Interruption::Silence),
            Self::EndsAfter(events) => after(*events, Interruption::End),
            Self::ExceptionAfter(events, code) => {
                after(*events, Interruption::Exception(code.clone()))
            }
            Self::UnknownEventAfter(events) => after(*events, Interruption::UnknownEvent),
            Self::IoErrorAfter(events) => after(*events, Interruption::IoError),
            Self::CutFrameAfter(events) => after(*events, Interruption::CutFrame),
            Self::BadChecksumAfter(events) => after(*events, Interruption::BadChecksum),
            Self::EndWithoutChildShards => {
                subscribe(SubscriptionFault::End(ShardEnd::WithoutChildShards))
            }
            Self::EndWithContinuation => {
                subscribe(SubscriptionFault::End(ShardEnd::WithContinuation))
            }
        }
    }

    /// Returns whether this fault can apply to `operation`: whether it changes something, and AWS
    /// can respond in this way.
    pub(crate) fn applies_to(&self, operation: &str) -> bool {
        match self {
            Self::StaleListing(_)
            | Self::OmitShard(_)
            | Self::OmitSomeShards(_)
            | Self::ParentStillOpen(_)
            | Self::NoChildrenYet(_)
            | Self::EmptyPage
            | Self::NoShards => operation == "ListShards",
            Self::ExpiredNextToken => {
                matches!(operation, "ListShards" | "ListStreamConsumers" | "ListStreams")
            }
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
                matches!(operation, "GetRecords" | "PutRecord" | "PutRecords" | SUBSCRIBE)
            }
            Self::ResourceNotFound => !matches!(operation, "CreateStream" | "ListStreams"),
            Self::NoFirstFrame
            | Self::LateFirstFrame(_)
            | Self::NoInitialResponse
            | Self::FirstFrameException(_)
            | Self::SilentAfter(_)
            | Self::EndsAfter(_)
            | Self::ExceptionAfter(..)
            | Self::UnknownEventAfter(_)
            | Self::IoErrorAfter(_)
            | Self::CutFrameAfter(_)
            | Self::BadChecksumAfter(_)
            | Self::EndWithoutChildShards
            | Self::EndWithContinuation => operation == SUBSCRIBE,
            Self::NotJson | Self::Body(_) => has_body(operation),
            // The body of a subscription is not JSON, and other faults damage it.
            Self::TruncatedBody | Self::WrongTypes => has_body(operation) && operation != SUBSCRIBE,
            Self::SlowBody(_) => operation != SUBSCRIBE,
            Self::Throttled
            | Self::LimitExceeded
            | Self::InternalFailure
            | Self::ServiceUnavailable
            | Self::AccessDenied
            | Self::Error { .. }
            | Self::NeverResponds
            | Self::NeverConnects
            | Self::Late(_)
            | Self::ConnectionRefused
            | Self::ConnectionReset => true,
        }
    }

    /// Asserts that this fault can apply to `operation`. A test would otherwise wait for a fault
    /// that never comes.
    ///
    /// # Panics
    ///
    /// Panics if there is no such operation, or if the fault cannot apply to it.
    #[track_caller]
    pub(crate) fn assert_applies_to(&self, operation: &str) {
        assert_is_operation(operation);
        assert!(self.applies_to(operation), "{self:?} cannot apply to {operation}");
    }
}

/// # Panics
///
/// Panics if there is no such operation.
#[track_caller]
pub(crate) fn assert_is_operation(operation: &str) {
    assert!(OPERATIONS.contains(&operation), "{operation} is not an operation of FakeKinesis");
}
