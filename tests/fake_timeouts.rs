//! The timeouts of a client, and the time that requests take.
#![cfg(feature = "testing")]

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::Blob;
use kinesis_shards::testing::{FakeKinesis, Fault, Limits};
use tokio::time::{Instant, sleep, timeout};

const FIRST: &str = "shardId-000000000000";
const SECOND: Duration = Duration::from_secs(1);

fn fake() -> FakeKinesis {
    let fake = FakeKinesis::new();
    fake.create_stream("orders", 1);
    fake
}

/// With the SDK's default timeouts if none are given.
fn without_retries(fake: &FakeKinesis, timeouts: Option<TimeoutConfig>) -> Client {
    let mut config = fake.config().retry_config(RetryConfig::disabled());
    config.set_timeout_config(timeouts);
    Client::from_conf(config.build())
}

async fn list(client: &Client) -> Result<ListShardsOutput, SdkError<ListShardsError>> {
    client.list_shards().stream_name("orders").send().await
}

/// How a listing ends that meets `fault`, and when.
async fn end(timeouts: Option<TimeoutConfig>, fault: Fault) -> (SdkError<ListShardsError>, Duration) {
    let fake = fake();
    let client = without_retries(&fake, timeouts);
    fake.fail_next("ListShards", fault);
    let start = Instant::now();
    let error = list(&client).await.expect_err("no answer");
    (error, start.elapsed())
}

fn timed_out(error: &SdkError<ListShardsError>) -> bool {
    match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    }
}

#[tokio::test(start_paused = true)]
async fn every_timeout_of_a_client_ends_what_never_answers() {
    let seconds = Duration::from_secs;
    for (timeouts, after) in [
        (TimeoutConfig::builder().read_timeout(seconds(7)), 7),
        (TimeoutConfig::builder().operation_attempt_timeout(seconds(2)), 2),
        (TimeoutConfig::builder().operation_timeout(seconds(20)), 20),
        (TimeoutConfig::builder().read_timeout(seconds(7)).operation_timeout(seconds(5)), 5),
    ] {
        let (error, elapsed) = end(Some(timeouts.build()), Fault::NeverAnswers).await;
        assert!(timed_out(&error), "{error:?}");
        assert_eq!(elapsed, seconds(after));
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_connects_ends_by_the_time_to_connect() {
    let seconds = Duration::from_secs;
    let connect = || TimeoutConfig::builder().connect_timeout(seconds(4));
    for (timeouts, after) in [
        (None, Duration::from_millis(3100)),
        (Some(connect().build()), seconds(4)),
        (Some(connect().read_timeout(seconds(2)).build()), seconds(2)),
    ] {
        let (error, elapsed) = end(timeouts, Fault::NeverConnects).await;
        assert!(timed_out(&error), "{error:?}");
        assert_eq!(elapsed, after);
    }
    // The time to connect is not for the answer.
    let (error, elapsed) = end(Some(connect().read_timeout(seconds(9)).build()), Fault::NeverAnswers).await;
    assert!(timed_out(&error), "{error:?}");
    assert_eq!(elapsed, seconds(9));
}

#[tokio::test(start_paused = true)]
async fn what_timed_out_is_tried_again() {
    let fake = fake();
    let timeouts = TimeoutConfig::builder().read_timeout(SECOND).build();
    let client = Client::from_conf(fake.config().timeout_config(timeouts).build());
    for fault in [Fault::NeverAnswers, Fault::NeverConnects, Fault::Late(2 * SECOND)] {
        fake.fail_next("ListShards", fault);
        list(&client).await.expect("the second attempt");
    }
    assert_eq!(fake.count("ListShards"), 6);
}

#[tokio::test(start_paused = true)]
async fn without_a_timeout_what_never_answers_is_waited_for() {
    let fake = fake();
    fake.fail_next("ListShards", Fault::NeverAnswers);
    let (client, long) = (fake.client(), Duration::from_mins(10));
    assert!(timeout(long, list(&client)).await.is_err(), "the default client waits");
    assert_eq!(fake.count("ListShards"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_late_answer_may_come_in_time() {
    let fake = fake();
    let client = without_retries(&fake, Some(TimeoutConfig::builder().read_timeout(2 * SECOND).build()));
    fake.fail_next("PutRecord", Fault::Late(3 * SECOND));
    let put = client.put_record().stream_name("orders").partition_key("k").data(Blob::new("x")).send().await;
    put.expect_err("too late");
    fake.fail_next("ListShards", Fault::Late(SECOND));
    let start = Instant::now();
    list(&client).await.expect("late, but in time");
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(fake.stream("orders").records(FIRST).len(), 1, "carried out all the same");
}

#[tokio::test(start_paused = true)]
async fn requests_take_the_latency() {
    let fake = FakeKinesis::builder().latency(Duration::from_millis(20)).build();
    let orders = fake.create_stream("orders", 1);
    let client = without_retries(&fake, None);
    let start = Instant::now();
    let (listed, ()) = tokio::join!(list(&client), async {
        sleep(Duration::from_millis(10)).await;
        orders.split(FIRST);
    });
    assert_eq!(listed.expect("a listing").shards().len(), 1, "carried out before the split");
    assert_eq!(start.elapsed(), Duration::from_millis(20));
    fake.fail_next("ListShards", Fault::Late(SECOND));
    list(&client).await.expect("a listing");
    assert_eq!(start.elapsed(), Duration::from_millis(1040));
    fake.fail_next("ListShards", Fault::ConnectionReset);
    list(&client).await.expect_err("reset");
    assert_eq!(start.elapsed(), Duration::from_millis(1060));
}

#[tokio::test(start_paused = true)]
async fn with_latency_a_loop_without_a_pause_lets_the_clock_go_on() {
    let fake = FakeKinesis::builder().latency(Duration::from_millis(5)).limits(Limits::none()).build();
    fake.create_stream("orders", 1);
    let client = fake.client();
    let asked_for_ever = async {
        loop {
            list(&client).await.expect("a listing");
        }
    };
    assert!(timeout(SECOND, asked_for_ever).await.is_err());
    // The last one goes out as the time is over.
    assert_eq!(fake.count("ListShards"), 201);
}

#[tokio::test(start_paused = true)]
async fn without_latency_a_loop_lets_others_run() {
    let fake = FakeKinesis::builder().limits(Limits::none()).build();
    fake.create_stream("orders", 1);
    let client = fake.client();
    let asked_for_ever = async {
        loop {
            list(&client).await.expect("a listing");
        }
    };
    // The same task: it is polled only if the loop gives way.
    let another = async {
        for _ in 0..3 {
            list(&client).await.expect("a listing");
        }
    };
    tokio::select! {
        biased;
        () = asked_for_ever => {}
        () = another => {}
    }
    assert_eq!(fake.count("ListShards"), 7);
}
