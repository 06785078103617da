//! Timeouts of clients, and latency.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::list_shards::ListShardsError;
use aws_sdk_kinesis::primitives::Blob;
use kinesis_shards::testing::{FakeKinesis, Fault, Limits};
use tokio::time::{Instant, sleep, timeout};

use crate::{FIRST, SECOND, list, one_stream};

/// Returns a client without retries. It has the SDK's default timeouts if `timeouts` is `None`.
fn with_timeouts(fake: &FakeKinesis, timeouts: Option<TimeoutConfig>) -> Client {
    let mut config = fake.config().retry_config(RetryConfig::disabled());
    config.set_timeout_config(timeouts);
    Client::from_conf(config.build())
}

/// Sends a listing that meets `fault` and returns its error and how long it took.
async fn list_with(
    timeouts: Option<TimeoutConfig>,
    fault: Fault,
) -> (SdkError<ListShardsError>, Duration) {
    let (fake, ..) = one_stream(FakeKinesis::new());
    let client = with_timeouts(&fake, timeouts);
    fake.fail_next("ListShards", fault);
    let start = Instant::now();
    let error = list(&client).await.expect_err("no response");
    (error, start.elapsed())
}

fn is_timeout(error: &SdkError<ListShardsError>) -> bool {
    match error {
        SdkError::TimeoutError(_) => true,
        SdkError::DispatchFailure(failure) => failure.is_timeout(),
        _ => false,
    }
}

#[tokio::test(start_paused = true)]
async fn every_client_timeout_ends_a_request_without_a_response() {
    let seconds = Duration::from_secs;
    for (timeouts, after) in [
        (TimeoutConfig::builder().read_timeout(seconds(7)), 7),
        (TimeoutConfig::builder().operation_attempt_timeout(seconds(2)), 2),
        (TimeoutConfig::builder().operation_timeout(seconds(20)), 20),
        (TimeoutConfig::builder().read_timeout(seconds(7)).operation_timeout(seconds(5)), 5),
    ] {
        let (error, elapsed) = list_with(Some(timeouts.build()), Fault::NeverResponds).await;
        assert!(is_timeout(&error), "{error:?}");
        assert_eq!(elapsed, seconds(after));
    }
}

#[tokio::test(start_paused = true)]
async fn connect_timeout_ends_a_request_that_never_connects() {
    let seconds = Duration::from_secs;
    let connect = || TimeoutConfig::builder().connect_timeout(seconds(4));
    for (timeouts, after) in [
        (None, Duration::from_millis(3100)),
        (Some(connect().build()), seconds(4)),
        (Some(connect().read_timeout(seconds(2)).build()), seconds(2)),
    ] {
        let (error, elapsed) = list_with(timeouts, Fault::NeverConnects).await;
        assert!(is_timeout(&error), "{error:?}");
        assert_eq!(elapsed, after);
    }
    // The connect timeout does not limit the wait for a response.
    let timeouts = connect().read_timeout(seconds(9)).build();
    let (error, elapsed) = list_with(Some(timeouts), Fault::NeverResponds).await;
    assert!(is_timeout(&error), "{error:?}");
    assert_eq!(elapsed, seconds(9));
}

#[tokio::test(start_paused = true)]
async fn sdk_retries_after_a_timeout() {
    let (fake, ..) = one_stream(FakeKinesis::new());
    let timeouts = TimeoutConfig::builder().read_timeout(SECOND).build();
    let client = Client::from_conf(fake.config().timeout_config(timeouts).build());
    for fault in [Fault::NeverResponds, Fault::NeverConnects, Fault::Late(2 * SECOND)] {
        fake.fail_next("ListShards", fault);
        list(&client).await.expect("the second attempt");
    }
    assert_eq!(fake.count("ListShards"), 6);
}

#[tokio::test(start_paused = true)]
async fn client_without_a_timeout_waits_forever() {
    let (fake, ..) = one_stream(FakeKinesis::new());
    fake.fail_next("ListShards", Fault::NeverResponds);
    let (client, long) = (fake.client(), Duration::from_mins(10));
    assert!(timeout(long, list(&client)).await.is_err(), "the default client waits");
    assert_eq!(fake.count("ListShards"), 1);
}

#[tokio::test(start_paused = true)]
async fn late_response_can_still_be_in_time() {
    let (fake, ..) = one_stream(FakeKinesis::new());
    let timeouts = TimeoutConfig::builder().read_timeout(2 * SECOND).build();
    let client = with_timeouts(&fake, Some(timeouts));
    fake.fail_next("PutRecord", Fault::Late(3 * SECOND));
    let put = client
        .put_record()
        .stream_name("orders")
        .partition_key("k")
        .data(Blob::new("x"))
        .send()
        .await;
    put.expect_err("too late");
    fake.fail_next("ListShards", Fault::Late(SECOND));
    let start = Instant::now();
    list(&client).await.expect("a late response in time");
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(fake.stream("orders").records(FIRST).len(), 1, "the request took effect");
}

#[tokio::test(start_paused = true)]
async fn latency_delays_the_response_and_not_the_effect() {
    let (fake, orders, client) =
        one_stream(FakeKinesis::builder().latency(Duration::from_millis(20)).build());
    let start = Instant::now();
    let (listed, ()) = tokio::join!(list(&client), async {
        sleep(Duration::from_millis(10)).await;
        orders.split(FIRST);
    });
    assert_eq!(
        listed.expect("a listing").shards().len(),
        1,
        "the listing took effect before the split"
    );
    assert_eq!(start.elapsed(), Duration::from_millis(20));
    fake.fail_next("ListShards", Fault::Late(SECOND));
    list(&client).await.expect("a listing");
    assert_eq!(start.elapsed(), Duration::from_millis(1040));
    fake.fail_next("ListShards", Fault::ConnectionReset);
    list(&client).await.expect_err("reset");
    assert_eq!(start.elapsed(), Duration::from_millis(1060));
}

#[tokio::test(start_paused = true)]
async fn latency_lets_a_paused_clock_advance_during_a_busy_loop() {
    let fake =
        FakeKinesis::builder().latency(Duration::from_millis(5)).limits(Limits::none()).build();
    fake.create_stream("orders", 1);
    let client = fake.client();
    let list_forever = async {
        loop {
            list(&client).await.expect("a listing");
        }
    };
    assert!(timeout(SECOND, list_forever).await.is_err());
    // The last request is sent at the moment the timeout fires.
    assert_eq!(fake.count("ListShards"), 201);
}

#[tokio::test(start_paused = true)]
async fn busy_loop_without_latency_lets_other_futures_run() {
    let fake = FakeKinesis::builder().limits(Limits::none()).build();
    fake.create_stream("orders", 1);
    let client = fake.client();
    let list_forever = async {
        loop {
            list(&client).await.expect("a listing");
        }
    };
    // Both futures share a task, so this one is polled only if the loop yields.
    let another = async {
        for _ in 0..3 {
            list(&client).await.expect("a listing");
        }
    };
    tokio::select! {
        biased;
        () = list_forever => {}
        () = another => {}
    }
    assert_eq!(fake.count("ListShards"), 7);
}
