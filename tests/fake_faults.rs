//! What goes wrong on demand, through the real SDK.
#![cfg(feature = "testing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::config::timeout::TimeoutConfig;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType, ShardIteratorType};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, RandomFaults};
use tokio::time::Instant;

const FIRST: &str = "shardId-000000000000";

fn one_stream() -> (FakeKinesis, FakeStream, Client) {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    let client = Client::from_conf(fake.config().retry_config(RetryConfig::disabled()).build());
    (fake, orders, client)
}

async fn list(client: &Client) -> Result<ListShardsOutput, SdkError<ListShardsError>> {
    client.list_shards().stream_name("orders").send().await
}

async fn listed(client: &Client) -> Vec<Shard> {
    list(client).await.expect("a listing").shards.expect("shards")
}

fn ids(shards: &[Shard]) -> Vec<&str> {
    shards.iter().map(Shard::shard_id).collect()
}

fn is_open(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_none())
}

#[tokio::test(start_paused = true)]
async fn every_error_has_its_code() {
    let (fake, _, client) = one_stream();
    for (fault, code) in [
        (Fault::Throttled, "LimitExceededException"),
        (Fault::LimitExceeded, "LimitExceededException"),
        (Fault::InternalFailure, "InternalFailure"),
        (Fault::ServiceUnavailable, "ServiceUnavailable"),
        (Fault::AccessDenied, "AccessDeniedException"),
        (Fault::ResourceNotFound, "ResourceNotFoundException"),
        (Fault::ExpiredNextToken, "ExpiredNextTokenException"),
        (Fault::Error { status: 400, code: "Teapot".into() }, "Teapot"),
    ] {
        fake.fail_next("ListShards", fault.clone());
        let error = list(&client).await.expect_err("a fault");
        assert_eq!(error.code(), Some(code));
        let requests = fake.take_requests();
        assert_eq!((requests[0].error(), requests[0].fault()), (Some(code), Some(&fault)));
    }
    let read = async || client.get_records().shard_iterator("any").send().await.expect_err("a fault");
    for (fault, code) in [
        (Fault::Throttled, "ProvisionedThroughputExceededException"),
        (Fault::ExpiredIterator, "ExpiredIteratorException"),
        (Fault::InternalFailure, "InternalFailureException"),
        (Fault::KmsThrottling, "KMSThrottlingException"),
        (Fault::KmsDisabled, "KMSDisabledException"),
        (Fault::KmsAccessDenied, "KMSAccessDeniedException"),
        (Fault::KmsInvalidState, "KMSInvalidStateException"),
        (Fault::KmsNotFound, "KMSNotFoundException"),
        (Fault::KmsOptInRequired, "KMSOptInRequired"),
    ] {
        fake.fail_next("GetRecords", fault);
        let error = read().await.into_service_error();
        assert_eq!(error.code(), Some(code));
        assert!(!format!("{error:?}").starts_with("Unhandled"), "{code} is one the SDK knows");
    }
}

#[tokio::test(start_paused = true)]
async fn a_script_says_which_request_fails() {
    let (fake, _, client) = one_stream();
    fake.fail_nth("ListShards", 3, Fault::AccessDenied);
    fake.fail_times("ListShards", 1, Fault::Throttled);
    let mut codes = Vec::new();
    for _ in 0..4 {
        codes.push(list(&client).await.err().and_then(|error| error.code().map(str::to_owned)));
    }
    let codes: Vec<_> = codes.iter().map(Option::as_deref).collect();
    assert_eq!(codes, [Some("LimitExceededException"), None, Some("AccessDeniedException"), None]);
    fake.fail_always("ListShards", Fault::AccessDenied);
    fake.fail_next("ListShards", Fault::Throttled);
    assert_eq!(list(&client).await.expect_err("next").code(), Some("LimitExceededException"));
    assert_eq!(list(&client).await.expect_err("always").code(), Some("AccessDeniedException"));
    client.list_streams().send().await.expect("another operation");
    fake.clear_faults();
    list(&client).await.expect("no more faults");
}

#[tokio::test(start_paused = true)]
async fn the_sdk_gives_up_after_three_attempts() {
    let (fake, _, _) = one_stream();
    let client = fake.client();
    fake.fail_times("ListShards", 2, Fault::InternalFailure);
    list(&client).await.expect("the third attempt");
    assert_eq!(fake.count("ListShards"), 3);
    fake.fail_times("ListShards", 3, Fault::ConnectionRefused);
    assert!(matches!(list(&client).await.expect_err("three faults"), SdkError::DispatchFailure(_)));
    assert_eq!(fake.count("ListShards"), 6);
}

#[tokio::test(start_paused = true)]
async fn the_retries_of_one_fake_are_not_taken_from_another() {
    let (broken, _, _) = one_stream();
    broken.fail_always("ListShards", Fault::InternalFailure);
    let client = broken.client();
    for _ in 0..100 {
        list(&client).await.expect_err("always");
    }
    assert!(broken.count("ListShards") < 300, "its quota is used up");
    let (fake, _, _) = one_stream();
    fake.fail_times("ListShards", 2, Fault::InternalFailure);
    list(&fake.client()).await.expect("the third attempt");
}

#[tokio::test]
#[should_panic(expected = "ListShard is not an operation")]
async fn a_mistyped_operation_is_no_silent_success() {
    FakeKinesis::new().fail_next("ListShard", Fault::Throttled);
}

#[tokio::test(start_paused = true)]
async fn requests_time_out() {
    let (fake, orders, _) = one_stream();
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(2)).build();
    let config = fake.config().retry_config(RetryConfig::disabled()).timeout_config(timeouts);
    let client = Client::from_conf(config.build());
    fake.fail_next("ListShards", Fault::NeverAnswers);
    let start = Instant::now();
    assert!(matches!(list(&client).await.expect_err("no answer"), SdkError::TimeoutError(_)));
    assert_eq!(start.elapsed().as_secs(), 2);
    // Late enough to time out, and carried out all the same.
    fake.fail_next("PutRecord", Fault::Late(Duration::from_secs(3)));
    let put = client.put_record().stream_name("orders").partition_key("k").data(Blob::new("x")).send().await;
    assert!(matches!(put.expect_err("too late"), SdkError::TimeoutError(_)));
    fake.fail_next("ListShards", Fault::Late(Duration::from_secs(1)));
    let start = Instant::now();
    list(&client).await.expect("late, but in time");
    assert_eq!(start.elapsed().as_secs(), 1);
    assert_eq!(read_all(&client).await, ["x"]);
    drop(orders);
}

async fn read_all(client: &Client) -> Vec<String> {
    let ask = client.get_shard_iterator().stream_name("orders").shard_id(FIRST);
    let iterator = ask.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let read = client.get_records().set_shard_iterator(iterator.shard_iterator).send().await.expect("read");
    read.records().iter().map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_breaks_may_have_carried_the_request() {
    let (fake, _, client) = one_stream();
    let put = |data: &str| {
        client.put_record().stream_name("orders").partition_key("k").data(Blob::new(data)).send()
    };
    fake.fail_next("PutRecord", Fault::ConnectionReset);
    assert!(matches!(put("carried out").await.expect_err("reset"), SdkError::DispatchFailure(_)));
    fake.fail_next("PutRecord", Fault::ConnectionRefused);
    assert!(matches!(put("not carried out").await.expect_err("refused"), SdkError::DispatchFailure(_)));
    assert_eq!(read_all(&client).await, ["carried out"]);
}

#[tokio::test(start_paused = true)]
async fn broken_bodies_are_errors() {
    let (fake, _, client) = one_stream();
    let no_id = r#"{"Shards":[{"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}}]}"#;
    for fault in [Fault::TruncatedBody, Fault::NotJson, Fault::WrongTypes, Fault::Body("[]".into())] {
        fake.fail_next("ListShards", fault.clone());
        let error = list(&client).await.map(|listed| format!("{listed:?}"));
        assert!(matches!(error, Err(SdkError::ResponseError(_))), "{fault:?}: {error:?}");
    }
    fake.fail_next("ListShards", Fault::Body(no_id.into()));
    let answer = list(&client).await;
    assert!(answer.is_err() || answer.is_ok_and(|listed| listed.shards()[0].shard_id().is_empty()));
    let cycle = r#"{"Shards":[{"ShardId":"a","ParentShardId":"a","HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},
        "SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#;
    fake.fail_next("ListShards", Fault::Body(cycle.into()));
    assert_eq!(listed(&client).await[0].parent_shard_id(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn listings_lag_omit_and_contradict() {
    let (fake, orders, client) = one_stream();
    fake.advance(Duration::from_mins(1)).await;
    let (low, high) = orders.split(FIRST);
    fake.advance(Duration::from_secs(5)).await;
    let (lowest, _) = orders.split(&low);
    let truth = listed(&client).await;
    assert_eq!(truth, orders.shards());

    fake.fail_next("ListShards", Fault::StaleListing(Duration::from_secs(3)));
    let shards = listed(&client).await;
    assert_eq!(ids(&shards), [FIRST, &low, &high]);
    assert_eq!(shards.iter().map(is_open).collect::<Vec<_>>(), [false, true, true]);
    fake.fail_next("ListShards", Fault::StaleListing(Duration::from_secs(30)));
    assert_eq!(ids(&listed(&client).await), [FIRST]);

    fake.fail_next("ListShards", Fault::OmitShard(low.clone()));
    assert_eq!(ids(&listed(&client).await), [FIRST, &high, &lowest, "shardId-000000000004"]);

    fake.fail_next("ListShards", Fault::ParentStillOpen(low.clone()));
    let shards = listed(&client).await;
    assert_eq!(ids(&shards), ids(&truth));
    assert!(is_open(&shards[1]) && !is_open(&shards[0]));

    fake.fail_next("ListShards", Fault::NoChildrenYet(FIRST.into()));
    let shards = listed(&client).await;
    assert_eq!((ids(&shards), is_open(&shards[0])), (vec![FIRST], false));

    let filter = ShardFilter::builder().r#type(ShardFilterType::AtLatest).build().expect("a type");
    fake.fail_next("ListShards", Fault::StaleListing(Duration::from_secs(3)));
    let latest =
        client.list_shards().stream_name("orders").shard_filter(filter).send().await.expect("a listing");
    assert_eq!(ids(latest.shards()), [&low, &high]);
    assert_eq!(listed(&client).await, truth);
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_goes_on_where_it_began() {
    let (fake, orders, client) = one_stream();
    orders.split(FIRST);
    fake.fail_times("ListShards", 2, Fault::EmptyPage);
    let mut page = list(&client).await.expect("a page");
    let (mut shards, mut pages) = (page.shards.take().unwrap_or_default(), 1);
    while let Some(token) = page.next_token {
        page = client.list_shards().next_token(token).send().await.expect("a page");
        shards.extend(page.shards.take().unwrap_or_default());
        pages += 1;
    }
    assert_eq!((shards, pages), (orders.shards(), 3));
}

#[tokio::test(start_paused = true)]
async fn an_empty_read_loses_nothing() {
    let (fake, orders, client) = one_stream();
    orders.put("k", "x");
    orders.split(FIRST);
    fake.fail_next("GetRecords", Fault::EmptyRead);
    let ask = client.get_shard_iterator().stream_name("orders").shard_id(FIRST);
    let iterator = ask.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    let empty = client.get_records().set_shard_iterator(iterator.shard_iterator).send().await.expect("read");
    assert!(empty.records().is_empty() && empty.millis_behind_latest() > Some(0));
    let read = client.get_records().set_shard_iterator(empty.next_shard_iterator).send().await.expect("read");
    assert_eq!((read.records().len(), read.child_shards().len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_hook_sees_every_request_and_may_act_on_the_fake() {
    let fake = FakeKinesis::builder().page_size(1).build();
    let orders = fake.create_stream("orders", 2);
    let client = fake.client();
    let (hooked, done) = (orders.clone(), Arc::new(AtomicBool::new(false)));
    let first_time = Arc::clone(&done);
    fake.on_request(move |request| {
        let second_page = request.operation() == "ListShards" && request.body().get("NextToken").is_some();
        if second_page && request.stream_name() == Some("orders") && !first_time.swap(true, Ordering::Relaxed)
        {
            hooked.split("shardId-000000000001");
        }
        (request.operation() == "ListStreams").then_some(Fault::AccessDenied)
    });
    let mut page = list(&client).await.expect("a page");
    let mut shards = page.shards.take().unwrap_or_default();
    while let Some(token) = page.next_token {
        page = client.list_shards().next_token(token).send().await.expect("a page");
        shards.extend(page.shards.take().unwrap_or_default());
    }
    assert!(done.load(Ordering::Relaxed));
    assert_eq!(shards, orders.shards());
    assert_eq!(shards.len(), 4);
    fake.fail_always("ListStreams", Fault::InternalFailure);
    let error = client.list_streams().send().await.expect_err("the hook's fault, before the script's");
    assert_eq!(error.code(), Some("AccessDeniedException"));
    assert_eq!(fake.bodies("ListShards")[0]["StreamName"], "orders");
    assert!(fake.bodies("ListShards")[1].get("StreamName").is_none());
    fake.clear_faults();
    client.list_streams().send().await.expect("no more hook");
}

#[tokio::test(start_paused = true)]
async fn a_stream_recreated_under_an_iterator_and_a_token() {
    let fake = FakeKinesis::builder().page_size(1).build();
    let orders = fake.create_stream("orders", 2);
    let client = fake.client();
    let old = orders.shards();
    let page = list(&client).await.expect("a page");
    orders.put("k", "x");
    let ask = client.get_shard_iterator().stream_name("orders").shard_id(FIRST);
    let iterator = ask.shard_iterator_type(ShardIteratorType::TrimHorizon).send().await.expect("an iterator");
    orders.recreate(2);
    let read =
        client.get_records().set_shard_iterator(iterator.shard_iterator).send().await.expect_err("gone");
    assert!(read.into_service_error().is_resource_not_found_exception());
    let next = client.list_shards().set_next_token(page.next_token).send().await.expect_err("gone");
    assert!(next.into_service_error().is_resource_not_found_exception());
    let new = orders.shards();
    assert_eq!(ids(&old), ids(&new));
    assert!(
        old.iter().zip(&new).all(|(old, new)| old.sequence_number_range() != new.sequence_number_range())
    );
}

/// What became of 200 listings.
async fn fate(seed: u64) -> Vec<Option<Fault>> {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 4);
    orders.split(FIRST);
    let faults = RandomFaults::seeded(seed)
        .rate(Fault::Throttled, 0.1)
        .rate(Fault::ConnectionReset, 0.1)
        .rate(Fault::TruncatedBody, 0.1)
        .rate(Fault::OmitSomeShards(0), 0.2)
        .rate_of("ListShards", Fault::Late(Duration::from_millis(700)), 0.1);
    fake.fail_at_random(faults);
    let client = fake.client();
    for _ in 0..200 {
        let _ = list(&client).await;
    }
    fake.requests().iter().map(|request| request.fault().cloned()).collect()
}

#[tokio::test(start_paused = true)]
async fn chance_is_the_same_for_the_same_seed() {
    let faults = fate(1).await;
    assert_ne!(faults, fate(2).await);
    let omissions: Vec<_> =
        faults.iter().flatten().filter(|fault| matches!(fault, Fault::OmitSomeShards(_))).collect();
    assert!(omissions.len() > 10 && omissions.windows(2).any(|pair| pair[0] != pair[1]));
    for kind in [Fault::Throttled, Fault::ConnectionReset, Fault::TruncatedBody] {
        assert!(faults.iter().flatten().filter(|fault| **fault == kind).count() > 5, "{kind:?}");
    }
}
