//! `SubscribeToShard` and its event stream.

use std::future::Future;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::subscribe_to_shard::SubscribeToShardError;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    ChildShard, ShardIteratorType, StartingPosition, SubscribeToShardEvent,
    SubscribeToShardEventStream,
};
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits};
use tokio::join;
use tokio::time::{Instant, sleep, timeout};

use crate::{FIRST, HOUR, SECOND, one_stream};

const MILLISECOND: Duration = Duration::from_millis(1);
const DELIVERY: Duration = Duration::from_millis(70);
const HEARTBEAT: Duration = Duration::from_secs(5);

type Events = EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>;

/// A stream of one shard with a consumer.
struct Setup {
    fake: FakeKinesis,
    orders: FakeStream,
    client: Client,
    consumer: String,
}

fn setup() -> Setup {
    setup_with(FakeKinesis::new())
}

fn setup_with(fake: FakeKinesis) -> Setup {
    let (fake, orders, client) = one_stream(fake);
    let consumer = orders.register_consumer("billing");
    Setup { fake, orders, client, consumer }
}

impl Setup {
    async fn try_subscribe(
        &self,
        position: StartingPosition,
    ) -> Result<Events, SubscribeToShardError> {
        let request = self.client.subscribe_to_shard().consumer_arn(&self.consumer);
        let response = request.shard_id(FIRST).starting_position(position).send().await;
        response.map(|output| output.event_stream).map_err(SdkError::into_service_error)
    }

    async fn subscribe(&self, position: StartingPosition) -> Events {
        self.try_subscribe(position).await.expect("a subscription")
    }

    /// Subscribes with a fault.
    async fn meet(&self, fault: Fault) -> Events {
        self.fake.fail_next("SubscribeToShard", fault);
        self.subscribe(at(ShardIteratorType::TrimHorizon)).await
    }

    fn subscribers(&self) -> usize {
        self.orders.subscribers(FIRST).len()
    }
}

fn at(kind: ShardIteratorType) -> StartingPosition {
    StartingPosition::builder().r#type(kind).build().expect("complete")
}

fn after(sequence_number: &str) -> StartingPosition {
    let position = StartingPosition::builder().r#type(ShardIteratorType::AfterSequenceNumber);
    position.sequence_number(sequence_number).build().expect("complete")
}

async fn next(events: &mut Events) -> SubscribeToShardEvent {
    match events.recv().await.expect("no error") {
        Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)) => event,
        other => panic!("not an event: {other:?}"),
    }
}

async fn error(events: &mut Events) -> SubscribeToShardEventStreamError {
    events.recv().await.expect_err("an error").into_service_error()
}

async fn ends(mut events: Events) -> bool {
    events.recv().await.expect("no error").is_none()
}

fn texts(event: &SubscribeToShardEvent) -> Vec<&str> {
    let text = |data| std::str::from_utf8(data).expect("text");
    event.records().iter().map(|record| text(record.data().as_ref())).collect()
}

async fn timed<T>(future: impl Future<Output = T>) -> (T, Duration) {
    let begun = Instant::now();
    (future.await, begun.elapsed())
}

#[tokio::test(start_paused = true)]
async fn record_arrives_70_milliseconds_after_its_write() {
    let setup = setup();
    setup.orders.put("k", "before");
    let mut events = setup.subscribe(at(ShardIteratorType::Latest)).await;
    let write = async {
        sleep(SECOND).await;
        setup.orders.put("k", "a");
        setup.orders.put("k", "b");
    };
    let ((event, elapsed), ()) = join!(timed(next(&mut events)), write);
    assert_eq!((texts(&event), elapsed), (vec!["a", "b"], SECOND + DELIVERY));
    assert_eq!(event.millis_behind_latest(), 0);
    assert_eq!(event.continuation_sequence_number().len(), 56);
    assert!(event.child_shards.is_none());
    let request = &setup.fake.requests_of("SubscribeToShard")[0];
    assert_eq!((request.stream_name(), request.shard_id()), (Some("orders"), Some(FIRST)));
}

#[tokio::test(start_paused = true)]
async fn continuation_of_an_idle_subscription_advances_and_loses_nothing() {
    let setup = setup();
    setup.orders.put("k", "before");
    sleep(SECOND).await;
    let now = DateTime::from(setup.fake.now());
    let timestamp = StartingPosition::builder().r#type(ShardIteratorType::AtTimestamp);
    let timestamp = timestamp.timestamp(now).build().expect("complete");
    let mut expected = Vec::new();
    for (position, data) in [(at(ShardIteratorType::Latest), "a"), (timestamp, "b")] {
        let mut events = setup.subscribe(position).await;
        for data in &expected {
            assert_eq!(texts(&next(&mut events).await), [*data]);
        }
        let mut continuations = Vec::new();
        for _ in 0..3 {
            let (event, elapsed) = timed(next(&mut events)).await;
            assert_eq!((event.records().len(), elapsed), (0, HEARTBEAT));
            continuations.push(event.continuation_sequence_number);
        }
        assert!(continuations.is_sorted_by(|a, b| a < b), "{continuations:?}");
        drop(events);
        setup.orders.put("k", data);
        for continuation in continuations {
            sleep(SECOND).await;
            let mut events = setup.subscribe(after(&continuation)).await;
            assert_eq!(texts(&next(&mut events).await), [data]);
        }
        sleep(SECOND).await;
        expected.push(data);
    }
}

#[tokio::test(start_paused = true)]
async fn events_have_the_format_of_the_request() {
    let mut setup = setup();
    setup.orders.put("k", "a");
    setup.orders.split(FIRST);
    let mut events = Vec::new();
    for is_cbor in [false, true] {
        let protocol = if is_cbor { CborProtocol::new() } else { CborProtocol::disabled() };
        setup.client = Client::from_conf(setup.fake.config().protocol(protocol).build());
        sleep(SECOND).await;
        let mut stream = setup.subscribe(at(ShardIteratorType::TrimHorizon)).await;
        events.push(next(&mut stream).await);
        assert!(ends(stream).await);
        assert_eq!(setup.fake.take_requests()[0].is_cbor(), is_cbor);
        sleep(SECOND).await;
        let mut stream = setup.meet(Fault::FirstFrameException("ResourceInUse".into())).await;
        let error = error(&mut stream).await;
        assert_eq!(error.message(), Some("A fault of FakeKinesis."));
        setup.fake.clear_requests();
    }
    assert_eq!(texts(&events[0]), ["a"]);
    assert_eq!(events[0], events[1]);
}

#[tokio::test(start_paused = true)]
async fn subscription_starts_at_its_position() {
    let setup = setup();
    let (_, a) = setup.orders.put("k", "a");
    sleep(SECOND).await;
    let (now, (_, b)) = (setup.fake.now(), setup.orders.put("k", "b"));
    setup.orders.put("k", "c");
    sleep(SECOND).await;
    let position = |kind| StartingPosition::builder().r#type(kind);
    let at_sequence = position(ShardIteratorType::AtSequenceNumber).sequence_number(&b);
    let at_timestamp = position(ShardIteratorType::AtTimestamp).timestamp(DateTime::from(now));
    for (position, expected) in [
        (at(ShardIteratorType::TrimHorizon), vec!["a", "b", "c"]),
        (at_sequence.build().expect("complete"), vec!["b", "c"]),
        (after(&a), vec!["b", "c"]),
        (after(&b), vec!["c"]),
        (at_timestamp.build().expect("complete"), vec!["b", "c"]),
        (at(ShardIteratorType::Latest), vec![]),
    ] {
        let mut events = setup.subscribe(position.clone()).await;
        assert_eq!(texts(&next(&mut events).await), expected, "{position:?}");
        drop(events);
        sleep(SECOND).await;
    }
}

#[tokio::test(start_paused = true)]
async fn end_of_a_shard_has_child_shards_and_no_continuation() {
    for with_last_records in [true, false] {
        let setup =
            setup_with(FakeKinesis::builder().end_with_last_records(with_last_records).build());
        let mut events = setup.subscribe(at(ShardIteratorType::TrimHorizon)).await;
        let split = async {
            sleep(SECOND).await;
            setup.orders.put("k", "last");
            setup.orders.split(FIRST)
        };
        let ((mut event, elapsed), (low, high)) = join!(timed(next(&mut events)), split);
        assert_eq!((texts(&event), elapsed), (vec!["last"], SECOND + DELIVERY));
        if !with_last_records {
            assert!(!event.continuation_sequence_number().is_empty());
            assert!(event.child_shards.is_none());
            event = next(&mut events).await;
        }
        assert_eq!(event.continuation_sequence_number(), "");
        let children: Vec<_> = event.child_shards().iter().map(ChildShard::shard_id).collect();
        assert_eq!(children, [low, high]);
        assert!(ends(events).await);
        assert_eq!(setup.subscribers(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn subscription_ends_after_five_minutes() {
    let setup = setup();
    let mut events = setup.subscribe(at(ShardIteratorType::Latest)).await;
    let begun = Instant::now();
    let mut continuation = None;
    while let Some(event) = events.recv().await.expect("no error") {
        let event = event.as_subscribe_to_shard_event().expect("an event").clone();
        continuation = Some(event.continuation_sequence_number);
    }
    assert_eq!(begun.elapsed(), Duration::from_mins(5));
    assert_eq!(setup.subscribers(), 0);
    setup.orders.put("k", "a");
    let mut events = setup.subscribe(after(&continuation.expect("an event"))).await;
    assert_eq!(texts(&next(&mut events).await), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn client_slower_than_five_minutes_is_cut_off() {
    let setup = setup();
    let mut events = setup.subscribe(at(ShardIteratorType::Latest)).await;
    setup.orders.put("k", "a");
    let event = next(&mut events).await;
    setup.orders.put("k", "b");
    sleep(Duration::from_mins(5)).await;
    assert!(ends(events).await);
    let mut events = setup.subscribe(after(event.continuation_sequence_number())).await;
    assert_eq!(texts(&next(&mut events).await), ["b"]);
}

#[tokio::test(start_paused = true)]
async fn event_holds_ten_thousand_records_or_two_mebibytes() {
    let setup = setup();
    for _ in 0..10_001 {
        setup.orders.put("k", "");
    }
    let mut events = setup.subscribe(at(ShardIteratorType::TrimHorizon)).await;
    let event = next(&mut events).await;
    assert_eq!(event.records().len(), 10_000);
    assert!(event.millis_behind_latest() > 0);
    assert_eq!(next(&mut events).await.records().len(), 1);
    for _ in 0..5 {
        setup.orders.put("k", vec![0; (1 << 20) - 1]);
    }
    let (mut counts, mut waits) = (Vec::new(), Vec::new());
    while counts.iter().sum::<usize>() < 5 {
        let (event, elapsed) = timed(next(&mut events)).await;
        counts.push(event.records().len());
        waits.push(elapsed);
    }
    assert_eq!((counts, waits), (vec![2, 2, 1], vec![DELIVERY, SECOND, SECOND]));
}

#[tokio::test(start_paused = true)]
async fn shard_admits_one_subscription_a_second_and_protects_it_for_five() {
    let setup = setup();
    let latest = || at(ShardIteratorType::Latest);
    let mut first = setup.subscribe(latest()).await;
    let error_now = async || setup.try_subscribe(latest()).await.expect_err("rejected");
    assert!(error_now().await.is_limit_exceeded_exception());
    for _ in 0..4 {
        sleep(SECOND).await;
        let error = error_now().await;
        assert!(error.is_resource_in_use_exception(), "{error:?}");
        assert!(error_now().await.is_limit_exceeded_exception());
    }
    // Another consumer has its own subscription.
    let other = setup.orders.register_consumer("shipping");
    let subscribe = setup.client.subscribe_to_shard().consumer_arn(other).shard_id(FIRST);
    let other = subscribe.starting_position(latest()).send().await.expect("a subscription");

    sleep(SECOND).await;
    assert_eq!(texts(&next(&mut first).await), [""; 0]);
    let takeover = async {
        sleep(SECOND).await;
        setup.subscribe(latest()).await
    };
    let (failed, mut second) = join!(error(&mut first), takeover);
    assert!(failed.is_resource_in_use_exception(), "{failed:?}");
    assert!(ends(first).await);
    setup.orders.put("k", "a");
    for events in [&mut second, &mut { other.event_stream }] {
        assert_eq!(texts(&next(events).await), ["a"]);
    }

    setup.fake.set_limits(Limits::none());
    let mut third = setup.subscribe(latest()).await;
    assert!(error(&mut second).await.is_resource_in_use_exception());
    assert_eq!(texts(&next(&mut third).await), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn dropped_response_ends_the_subscription() {
    let setup = setup();
    let latest = || at(ShardIteratorType::Latest);
    let mut events = setup.subscribe(latest()).await;
    assert_eq!(setup.orders.subscribers(FIRST), ["billing"]);
    assert!(timeout(SECOND, events.recv()).await.is_err());
    drop(events);
    assert_eq!(setup.subscribers(), 0);
    let events = setup.subscribe(latest()).await;
    assert_eq!(setup.subscribers(), 1);
    drop(events);
    // A call that is dropped before its response arrives.
    sleep(SECOND).await;
    setup.fake.fail_next("SubscribeToShard", Fault::Late(SECOND));
    let call = setup.try_subscribe(latest());
    assert!(timeout(MILLISECOND, call).await.is_err());
    assert_eq!(setup.subscribers(), 0);
    // The service does not see that the response was lost.
    sleep(SECOND).await;
    setup.fake.fail_next("SubscribeToShard", Fault::ConnectionReset);
    let request = setup.client.subscribe_to_shard().consumer_arn(&setup.consumer);
    let request = request.shard_id(FIRST).starting_position(latest()).send();
    assert!(matches!(request.await, Err(SdkError::DispatchFailure(_))));
    sleep(SECOND).await;
    let error = setup.try_subscribe(latest()).await.expect_err("rejected");
    assert!(error.is_resource_in_use_exception());
    sleep(Duration::from_secs(4)).await;
    setup.subscribe(latest()).await;
}

#[tokio::test(start_paused = true)]
async fn subscription_ends_with_its_stream_its_consumer_or_its_shard() {
    type Change = fn(&Setup);
    let changes: [(&str, Change); 6] = [
        ("consumer deregistered", |setup| setup.orders.deregister_consumer("billing")),
        ("consumer registered again", |setup| {
            setup.orders.deregister_consumer("billing");
            setup.orders.register_consumer("billing");
        }),
        ("stream deleted", |setup| setup.orders.delete()),
        ("stream created again", |setup| setup.orders.recreate(1)),
        ("server restarted", |setup| setup.fake.restart_empty()),
        ("shard expired", |setup| {
            setup.orders.split(FIRST);
            setup.orders.expire(FIRST);
        }),
    ];
    for (what, change) in changes {
        let setup = setup();
        let mut events = setup.subscribe(at(ShardIteratorType::Latest)).await;
        let change = async {
            sleep(SECOND).await;
            change(&setup);
        };
        let ((error, elapsed), ()) = join!(timed(error(&mut events)), change);
        assert!(error.is_resource_not_found_exception(), "{what}: {error:?}");
        assert_eq!(elapsed, SECOND, "{what}");
        assert!(ends(events).await, "{what}");
    }
}

#[tokio::test(start_paused = true)]
async fn subscription_of_a_stream_or_consumer_in_deletion_has_ended() {
    let setup = setup_with(FakeKinesis::builder().transition(HOUR).build());
    let latest = || at(ShardIteratorType::Latest);
    let mut events = setup.subscribe(latest()).await;
    let deregister = setup.client.deregister_stream_consumer().consumer_arn(&setup.consumer);
    deregister.send().await.expect("deregistered");
    assert!(error(&mut events).await.is_resource_not_found_exception());
    let error_now = setup.try_subscribe(latest()).await.expect_err("rejected");
    assert!(error_now.is_resource_in_use_exception(), "{error_now:?}");

    let setup = setup_with(FakeKinesis::builder().transition(HOUR).build());
    let mut events = setup.subscribe(latest()).await;
    let (error, ()) = join!(error(&mut events), async {
        sleep(SECOND).await;
        setup.client.delete_stream().stream_name("orders").send().await.expect("deleted");
    });
    assert!(error.is_resource_not_found_exception());
    let error = setup.try_subscribe(latest()).await.expect_err("rejected");
    assert!(error.is_resource_not_found_exception(), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn send_waits_for_the_first_frame() {
    let setup = setup();
    let timeouts = aws_sdk_kinesis::config::timeout::TimeoutConfig::builder()
        .operation_timeout(SECOND)
        .read_timeout(SECOND)
        .build();
    let client = Client::from_conf(setup.fake.config().timeout_config(timeouts).build());
    setup.fake.fail_next("SubscribeToShard", Fault::NoFirstFrame);
    let request = client.subscribe_to_shard().consumer_arn(&setup.consumer).shard_id(FIRST);
    let request = request.starting_position(at(ShardIteratorType::Latest)).send();
    assert!(timeout(HOUR, request).await.is_err());
    assert_eq!(setup.subscribers(), 0);

    setup.orders.put("k", "a");
    let late = setup.meet(Fault::LateFirstFrame(10 * SECOND));
    let (mut events, elapsed) = timed(late).await;
    assert_eq!(elapsed, 10 * SECOND);
    assert_eq!(texts(&next(&mut events).await), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn initial_response_may_be_missing() {
    let setup = setup();
    setup.orders.put("k", "a");
    let mut events = setup.meet(Fault::NoInitialResponse).await;
    assert_eq!(texts(&next(&mut events).await), ["a"]);
    assert_eq!(texts(&next(&mut events).await), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn exception_comes_in_the_first_frame_or_after_some_events() {
    let setup = setup();
    setup.orders.put("k", "a");
    let in_use = || "ResourceInUseException".to_owned();
    let mut events = setup.meet(Fault::FirstFrameException(in_use())).await;
    let first = error(&mut events).await;
    assert!(first.is_resource_in_use_exception());
    // The SDK has the variant, and no code.
    assert_eq!(first.code(), None);
    assert!(ends(events).await);
    for fault in [
        Fault::ExceptionAfter(1, "InternalFailureException".to_owned()),
        Fault::ExceptionAfter(1, "KMSThrottlingException".to_owned()),
        Fault::ExceptionAfter(1, "Teapot".to_owned()),
    ] {
        sleep(SECOND).await;
        let mut events = setup.meet(fault.clone()).await;
        assert_eq!(texts(&next(&mut events).await), ["a"]);
        let error = error(&mut events).await;
        let Fault::ExceptionAfter(_, code) = fault else { unreachable!() };
        let is_expected = match code.as_str() {
            "InternalFailureException" => error.is_internal_failure_exception(),
            "KMSThrottlingException" => error.is_kms_throttling_exception(),
            _ => format!("{error:?}").starts_with("Unhandled"),
        };
        assert!(is_expected, "{code}: {error:?}");
        assert!(ends(events).await);
        assert_eq!(setup.subscribers(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn subscription_falls_silent() {
    let setup = setup();
    setup.orders.put("k", "a");
    let mut events = setup.meet(Fault::SilentAfter(2)).await;
    assert_eq!(texts(&next(&mut events).await), ["a"]);
    assert_eq!(texts(&next(&mut events).await), [""; 0]);
    setup.orders.put("k", "b");
    assert!(timeout(HOUR, events.recv()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn subscription_ends_early() {
    let setup = setup();
    setup.orders.put("k", "a");
    let mut events = setup.meet(Fault::EndsAfter(1)).await;
    let event = next(&mut events).await;
    assert_eq!(texts(&event), ["a"]);
    assert!(!event.continuation_sequence_number().is_empty());
    assert!(ends(events).await);
    sleep(SECOND).await;
    let events = setup.meet(Fault::EndsAfter(0)).await;
    assert!(ends(events).await);
}

#[tokio::test(start_paused = true)]
async fn unknown_event_is_not_an_error() {
    let setup = setup();
    setup.orders.put("k", "a");
    let mut events = setup.meet(Fault::UnknownEventAfter(0)).await;
    let unknown = events.recv().await.expect("no error").expect("an event");
    assert!(unknown.is_unknown());
    assert_eq!(texts(&next(&mut events).await), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn events_follow_an_io_error_or_a_bad_checksum() {
    for fault in [Fault::IoErrorAfter(1), Fault::BadChecksumAfter(1)] {
        let setup = setup();
        let mut events = setup.meet(fault.clone()).await;
        for data in ["a", "b", "c"] {
            setup.orders.put("k", data);
            let received = events.recv().await;
            match (data, &fault) {
                ("b", Fault::IoErrorAfter(_)) => {
                    assert!(matches!(received, Err(SdkError::DispatchFailure(_))), "{received:?}");
                }
                ("b", _) => {
                    assert!(matches!(received, Err(SdkError::ResponseError(_))), "{received:?}");
                }
                _ => {
                    let event = received.expect("no error").expect("an event");
                    let event = event.as_subscribe_to_shard_event().expect("an event");
                    assert_eq!(texts(event), [data], "{fault:?}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn frame_is_cut() {
    let setup = setup();
    let mut events = setup.meet(Fault::CutFrameAfter(1)).await;
    setup.orders.put("k", "a");
    assert_eq!(texts(&next(&mut events).await), ["a"]);
    setup.orders.put("k", "b");
    let cut = events.recv().await;
    assert!(matches!(cut, Err(SdkError::DispatchFailure(_))), "{cut:?}");
    // What is left is half a frame.
    let rest = events.recv().await;
    assert!(matches!(rest, Err(SdkError::ResponseError(_))), "{rest:?}");
}

#[tokio::test(start_paused = true)]
async fn end_of_a_shard_lacks_children_or_has_a_continuation() {
    for (fault, children, has_continuation) in
        [(Fault::EndWithoutChildShards, 0, false), (Fault::EndWithContinuation, 2, true)]
    {
        let setup = setup();
        setup.orders.put("k", "a");
        setup.orders.split(FIRST);
        let mut events = setup.meet(fault.clone()).await;
        let event = next(&mut events).await;
        assert_eq!(texts(&event), ["a"]);
        assert_eq!(event.child_shards().len(), children, "{fault:?}");
        let continuation = event.continuation_sequence_number();
        assert_eq!(!continuation.is_empty(), has_continuation, "{fault:?}");
        assert!(ends(events).await);
        if has_continuation {
            sleep(SECOND).await;
            let mut events = setup.subscribe(after(continuation)).await;
            let event = next(&mut events).await;
            assert_eq!((event.records().len(), event.child_shards().len()), (0, 2));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn faults_of_every_operation_apply_to_subscriptions() {
    let setup = setup();
    let latest = || at(ShardIteratorType::Latest);
    for (fault, code) in [
        (Fault::Throttled, "LimitExceededException"),
        (Fault::InternalFailure, "InternalFailureException"),
        (Fault::KmsDisabled, "KMSDisabledException"),
        (Fault::AccessDenied, "AccessDeniedException"),
    ] {
        setup.fake.fail_next("SubscribeToShard", fault);
        let error = setup.try_subscribe(latest()).await.expect_err("a fault");
        assert_eq!(error.code(), Some(code));
    }
    setup.fake.fail_next("SubscribeToShard", Fault::NotJson);
    let request = setup.client.subscribe_to_shard().consumer_arn(&setup.consumer);
    let page = request.shard_id(FIRST).starting_position(latest()).send().await;
    assert!(matches!(page, Err(SdkError::ResponseError(_))), "{page:?}");
}

#[test]
#[should_panic(expected = "SilentAfter(1) cannot apply to GetRecords")]
fn fault_of_a_subscription_applies_to_nothing_else() {
    FakeKinesis::new().fail_next("GetRecords", Fault::SilentAfter(1));
}
