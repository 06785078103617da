//! Faults: scripted, by a hook, and random.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Shard, ShardFilter, ShardFilterType, ShardIteratorType};
use kinesis_shards::testing::{FakeKinesis, Fault, Limits, RandomFaults};

use crate::{FIRST, SECOND, entry, ids, is_open, list, one_stream, trim_horizon};

async fn listed(client: &Client) -> Vec<Shard> {
    list(client).await.expect("a listing").shards.expect("shards")
}

/// Returns the code of a failed request's error, and whether the SDK has a type for it.
fn code_and_type<O: Debug, E: ProvideErrorMetadata + Debug, R: Debug>(
    response: Result<O, SdkError<E, R>>,
) -> (Option<String>, bool) {
    match response {
        Err(SdkError::ServiceError(error)) => {
            let error = error.into_err();
            (error.code().map(str::to_owned), !format!("{error:?}").starts_with("Unhandled"))
        }
        other => panic!("not an error response: {other:?}"),
    }
}

/// Sends a request of `operation`, which must fail.
async fn fail(client: &Client, operation: &str) -> (Option<String>, bool) {
    match operation {
        "ListShards" => code_and_type(list(client).await),
        "ListStreams" => code_and_type(client.list_streams().send().await),
        "DescribeStream" => {
            code_and_type(client.describe_stream().stream_name("orders").send().await)
        }
        "SplitShard" => {
            let split = client.split_shard().stream_name("orders").shard_to_split(FIRST);
            code_and_type(split.new_starting_hash_key("9").send().await)
        }
        "GetShardIterator" => {
            let request = client.get_shard_iterator().stream_name("orders").shard_id(FIRST);
            let request = request.shard_iterator_type(ShardIteratorType::Latest);
            code_and_type(request.send().await)
        }
        "GetRecords" => code_and_type(client.get_records().shard_iterator("any").send().await),
        "PutRecord" => {
            let put = client.put_record().stream_name("orders").partition_key("k");
            code_and_type(put.data(Blob::new("x")).send().await)
        }
        "PutRecords" => {
            let put = client.put_records().stream_name("orders").records(entry("k", "x"));
            code_and_type(put.send().await)
        }
        other => panic!("{other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn every_error_has_its_code_and_its_type_in_the_sdk() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
    let control = ["ListShards", "ListStreams", "DescribeStream", "SplitShard"].as_slice();
    let data = ["GetShardIterator", "GetRecords", "PutRecord", "PutRecords"].as_slice();
    let encrypted = &data[1..];
    let unlisted = ["ListShards", "DescribeStream", "SplitShard"].as_slice();
    let teapot = Fault::Error { status: 400, code: "Teapot".into() };
    for (fault, operations, code, typed) in [
        (Fault::Throttled, control, "LimitExceededException", true),
        (Fault::Throttled, data, "ProvisionedThroughputExceededException", true),
        (Fault::LimitExceeded, control, "LimitExceededException", true),
        (Fault::InternalFailure, control, "InternalFailure", false),
        (Fault::InternalFailure, data, "InternalFailureException", true),
        (Fault::ServiceUnavailable, control, "ServiceUnavailable", false),
        (Fault::ServiceUnavailable, data, "ServiceUnavailable", false),
        (Fault::AccessDenied, unlisted, "AccessDeniedException", true),
        (Fault::AccessDenied, data, "AccessDeniedException", true),
        (Fault::ResourceNotFound, unlisted, "ResourceNotFoundException", true),
        (Fault::ResourceNotFound, data, "ResourceNotFoundException", true),
        (Fault::ExpiredNextToken, &control[..2], "ExpiredNextTokenException", true),
        (Fault::ExpiredIterator, &["GetRecords"], "ExpiredIteratorException", true),
        (Fault::KmsThrottling, encrypted, "KMSThrottlingException", true),
        (Fault::KmsDisabled, encrypted, "KMSDisabledException", true),
        (Fault::KmsAccessDenied, encrypted, "KMSAccessDeniedException", true),
        (Fault::KmsInvalidState, encrypted, "KMSInvalidStateException", true),
        (Fault::KmsNotFound, encrypted, "KMSNotFoundException", true),
        (Fault::KmsOptInRequired, encrypted, "KMSOptInRequired", true),
        (teapot, control, "Teapot", false),
    ] {
        for operation in operations {
            fake.fail_next(operation, fault.clone());
            let error = fail(&client, operation).await;
            assert_eq!(error, (Some(code.to_owned()), typed), "{operation}: {fault:?}");
            let requests = fake.take_requests();
            assert_eq!((requests[0].error(), requests[0].fault()), (Some(code), Some(&fault)));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn script_picks_the_requests_that_fail() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
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
    list(&client).await.expect("the faults are cleared");
}

#[tokio::test(start_paused = true)]
async fn sdk_gives_up_after_three_attempts() {
    let (fake, _, _) = one_stream(FakeKinesis::new());
    let client = fake.client();
    fake.fail_times("ListShards", 2, Fault::InternalFailure);
    list(&client).await.expect("the third attempt");
    assert_eq!(fake.count("ListShards"), 3);
    fake.fail_times("ListShards", 3, Fault::ConnectionRefused);
    assert!(matches!(list(&client).await.expect_err("three faults"), SdkError::DispatchFailure(_)));
    assert_eq!(fake.count("ListShards"), 6);
}

#[tokio::test(start_paused = true)]
async fn fakes_do_not_share_a_retry_quota() {
    let (broken, _, _) = one_stream(FakeKinesis::new());
    broken.fail_always("ListShards", Fault::InternalFailure);
    let client = broken.client();
    for _ in 0..100 {
        list(&client).await.expect_err("always");
    }
    assert!(broken.count("ListShards") < 300, "the quota is used up");
    let (fake, _, _) = one_stream(FakeKinesis::new());
    fake.fail_times("ListShards", 2, Fault::InternalFailure);
    list(&fake.client()).await.expect("the third attempt");
}

#[tokio::test]
#[should_panic(expected = "ListShard is not an operation")]
async fn mistyped_operation_panics() {
    FakeKinesis::new().fail_next("ListShard", Fault::Throttled);
}

#[tokio::test]
async fn fault_that_cannot_apply_to_the_operation_panics() {
    let fake = FakeKinesis::new();
    let panics = |operation: &str, fault: &Fault| {
        let setters: [&dyn Fn(); 4] = [
            &|| fake.fail_next(operation, fault.clone()),
            &|| fake.fail_nth(operation, 2, fault.clone()),
            &|| fake.fail_times(operation, 2, fault.clone()),
            &|| fake.fail_always(operation, fault.clone()),
        ];
        setters.map(|set| std::panic::catch_unwind(AssertUnwindSafe(set)).is_err())
    };
    for (operation, fault) in [
        ("GetRecords", Fault::EmptyPage),
        ("PutRecord", Fault::EmptyRead),
        ("ListShards", Fault::KmsDisabled),
        ("GetShardIterator", Fault::KmsThrottling),
        ("ListShards", Fault::EndWithLastRecords(false)),
        ("PutRecord", Fault::ThrottleEntries(vec![0])),
        ("GetRecords", Fault::ExpiredNextToken),
        ("ListStreams", Fault::ResourceNotFound),
        ("SplitShard", Fault::NotJson),
    ] {
        assert_eq!(panics(operation, &fault), [true; 4], "{operation}: {fault:?}");
    }
    assert_eq!(panics("PutRecords", &Fault::KmsDisabled), [false; 4]);
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "EmptyRead, which the hook returned, cannot apply to ListShards")]
async fn hook_that_returns_a_fault_of_another_operation_panics() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
    fake.on_request(|_| Some(Fault::EmptyRead));
    let _ = list(&client).await;
}

#[tokio::test(start_paused = true)]
async fn faults_of_one_operation_can_be_cleared_alone() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
    fake.fail_always("ListShards", Fault::AccessDenied);
    fake.fail_next("ListShards", Fault::Throttled);
    fake.fail_always("ListStreams", Fault::AccessDenied);
    fake.clear_faults_of("ListShards");
    list(&client).await.expect("the faults are cleared");
    client.list_streams().send().await.expect_err("not cleared");
}

/// Calls the fake when it is dropped.
struct LastCall(FakeKinesis);

impl Drop for LastCall {
    fn drop(&mut self) {
        self.0.set_limits(Limits::none());
    }
}

#[tokio::test]
async fn replaced_hook_may_call_the_fake_when_it_is_dropped() {
    let fake = FakeKinesis::new();
    let last = LastCall(fake.clone());
    fake.on_request(move |_| (last.0.count("ListShards") > 9).then_some(Fault::Throttled));
    fake.on_request(|_| None);
}

async fn read_all(client: &Client) -> Vec<String> {
    let iterator = trim_horizon(client, FIRST).await;
    let read = client.get_records().shard_iterator(iterator).send().await.expect("read");
    read.records()
        .iter()
        .map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn reset_connection_has_carried_out_the_request() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
    let put = |data: &str| {
        client.put_record().stream_name("orders").partition_key("k").data(Blob::new(data)).send()
    };
    fake.fail_next("PutRecord", Fault::ConnectionReset);
    assert!(matches!(put("carried out").await.expect_err("reset"), SdkError::DispatchFailure(_)));
    fake.fail_next("PutRecord", Fault::ConnectionRefused);
    assert!(matches!(
        put("not carried out").await.expect_err("refused"),
        SdkError::DispatchFailure(_)
    ));
    assert_eq!(read_all(&client).await, ["carried out"]);
}

#[tokio::test(start_paused = true)]
async fn damaged_bodies_are_errors() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
    let no_id = r#"{"Shards":[{"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}}]}"#;
    for fault in [Fault::TruncatedBody, Fault::NotJson, Fault::WrongTypes, Fault::Body("[]".into())]
    {
        fake.fail_next("ListShards", fault.clone());
        let error = list(&client).await.map(|listed| format!("{listed:?}"));
        assert!(matches!(error, Err(SdkError::ResponseError(_))), "{fault:?}: {error:?}");
    }
    fake.fail_next("ListShards", Fault::Body(no_id.into()));
    // The SDK takes an empty id for a missing one, so the crate has to reject it.
    assert_eq!(ids(&listed(&client).await), [""]);
    let cycle = r#"{"Shards":[{"ShardId":"a","ParentShardId":"a",
        "HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"},
        "SequenceNumberRange":{"StartingSequenceNumber":"1"}}]}"#;
    fake.fail_next("ListShards", Fault::Body(cycle.into()));
    assert_eq!(listed(&client).await[0].parent_shard_id(), Some("a"));
}

#[tokio::test(start_paused = true)]
async fn rejected_position_has_the_message_of_aws() {
    let (fake, orders, client) = one_stream(FakeKinesis::new());
    let number = orders.put_to(FIRST, "1");
    let start_at = async |number: &str| {
        let request = client.get_shard_iterator().stream_name("orders").shard_id(FIRST);
        let request = request.shard_iterator_type(ShardIteratorType::AtSequenceNumber);
        request.starting_sequence_number(number).send().await
    };
    fake.fail_next("GetShardIterator", Fault::InvalidSequenceNumber);
    for number in [number.as_str(), &"7".repeat(56)] {
        let error = start_at(number).await.unwrap_err();
        assert_eq!(error.code(), Some("InvalidArgumentException"));
        assert!(error.message().unwrap().contains("StartingSequenceNumber"), "{error:?}");
    }
    assert!(start_at(&number).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn listings_lag_omit_and_contradict() {
    let (fake, orders, client) = one_stream(FakeKinesis::new());
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
    let latest = client
        .list_shards()
        .stream_name("orders")
        .shard_filter(filter)
        .send()
        .await
        .expect("a listing");
    assert_eq!(ids(latest.shards()), [&low, &high]);
    assert_eq!(listed(&client).await, truth);
}

#[tokio::test(start_paused = true)]
async fn listing_continues_after_an_empty_page() {
    let (fake, orders, client) = one_stream(FakeKinesis::new());
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
async fn empty_read_loses_nothing() {
    let (fake, orders, client) = one_stream(FakeKinesis::new());
    orders.put("k", "x");
    orders.split(FIRST);
    fake.fail_next("GetRecords", Fault::EmptyRead);
    let iterator = trim_horizon(&client, FIRST).await;
    let empty = client.get_records().shard_iterator(iterator).send().await.expect("read");
    assert!(empty.records().is_empty() && empty.millis_behind_latest() > Some(0));
    let read = client
        .get_records()
        .set_shard_iterator(empty.next_shard_iterator)
        .send()
        .await
        .expect("read");
    assert_eq!((read.records().len(), read.child_shards().len()), (1, 2));
}

/// Reads the shard to its end and returns the number of records in each response.
async fn read_to_end(fake: &FakeKinesis, client: &Client) -> Vec<usize> {
    let (mut next, mut records) = (Some(trim_horizon(client, FIRST).await), Vec::new());
    while let Some(iterator) = next {
        let read = client.get_records().shard_iterator(iterator).send().await.expect("read");
        records.push(read.records().len());
        next = read.next_shard_iterator;
        fake.advance(SECOND).await;
    }
    records
}

#[tokio::test(start_paused = true)]
async fn end_of_a_shard_comes_with_its_last_records_or_later() {
    for with_last_records in [true, false] {
        let fake = FakeKinesis::builder().end_with_last_records(with_last_records).build();
        let orders = fake.create_stream("orders", 1);
        let client = fake.client();
        orders.put("k", "x");
        orders.split(FIRST);
        let usual = if with_last_records { vec![1] } else { vec![1, 0] };
        assert_eq!(read_to_end(&fake, &client).await, usual);
        fake.fail_next("GetRecords", Fault::EndWithLastRecords(!with_last_records));
        assert_ne!(read_to_end(&fake, &client).await, usual);
        assert_eq!(read_to_end(&fake, &client).await, usual);
        let faults = RandomFaults::seeded(1).rate_of(
            "GetRecords",
            Fault::EndWithLastRecords(!with_last_records),
            0.5,
        );
        fake.fail_at_random(faults);
        let mut seen = [0, 0];
        for _ in 0..20 {
            seen[read_to_end(&fake, &client).await.len() - 1] += 1;
        }
        assert!(seen.iter().all(|times| *times > 2), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn failed_entries_of_a_put_leave_the_others_written() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
    let put = async || {
        let put = client.put_records().stream_name("orders");
        let put = ["0", "1", "2"].iter().fold(put, |put, data| put.records(entry("k", data)));
        put.send().await.expect("a response")
    };
    fake.fail_next("PutRecords", Fault::ThrottleEntries(vec![0, 2]));
    let done = put().await;
    assert_eq!(done.failed_record_count(), Some(2));
    let codes: Vec<_> = done.records().iter().map(|entry| entry.error_code()).collect();
    let throttled = Some("ProvisionedThroughputExceededException");
    assert_eq!(codes, [throttled, None, throttled]);
    let message =
        "Rate exceeded for shard shardId-000000000000 in stream orders under account 123456789012.";
    assert_eq!(done.records()[0].error_message(), Some(message));
    fake.fail_next("PutRecords", Fault::FailEntries(vec![1]));
    let done = put().await;
    assert_eq!(done.records()[1].error_code(), Some("InternalFailure"));
    assert_eq!(read_all(&client).await, ["1", "0", "2"]);
    fake.fail_at_random(RandomFaults::seeded(1).rate(Fault::ThrottleSomeEntries(0), 1.0));
    let mut failures = BTreeSet::new();
    for _ in 0..40 {
        failures.insert(put().await.failed_record_count());
    }
    assert!(failures.contains(&Some(0)) && failures.len() > 2, "{failures:?}");
}

#[tokio::test(start_paused = true)]
async fn hook_sees_every_request_and_may_call_the_fake() {
    let fake = FakeKinesis::builder().page_size(1).build();
    let orders = fake.create_stream("orders", 2);
    let client = fake.client();
    let (hooked, done) = (orders.clone(), Arc::new(AtomicBool::new(false)));
    let first_time = Arc::clone(&done);
    fake.on_request(move |request| {
        let is_second_page =
            request.operation() == "ListShards" && request.body().get("NextToken").is_some();
        if is_second_page
            && request.stream_name() == Some("orders")
            && !first_time.swap(true, Ordering::Relaxed)
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
    let error = client.list_streams().send().await.expect_err("the fault of the hook");
    assert_eq!(error.code(), Some("AccessDeniedException"));
    assert_eq!(fake.bodies("ListShards")[0]["StreamName"], "orders");
    assert!(fake.bodies("ListShards")[1].get("StreamName").is_none());
    fake.clear_faults();
    client.list_streams().send().await.expect("the hook is cleared");
}

#[tokio::test(start_paused = true)]
async fn iterator_and_token_of_a_recreated_stream_are_rejected() {
    let fake = FakeKinesis::builder().page_size(1).build();
    let orders = fake.create_stream("orders", 2);
    let client = fake.client();
    let old = orders.shards();
    let page = list(&client).await.expect("a page");
    orders.put("k", "x");
    let iterator = trim_horizon(&client, FIRST).await;
    orders.recreate(2);
    let read = client.get_records().shard_iterator(iterator).send().await.expect_err("gone");
    assert!(read.into_service_error().is_resource_not_found_exception());
    let next = client.list_shards().set_next_token(page.next_token).send().await.expect_err("gone");
    assert!(next.into_service_error().is_resource_not_found_exception());
    let new = orders.shards();
    assert_eq!(ids(&old), ids(&new));
    assert!(
        old.iter()
            .zip(&new)
            .all(|(old, new)| old.sequence_number_range() != new.sequence_number_range())
    );
}

/// Returns the faults that 200 listings met.
async fn faults_of(seed: u64) -> Vec<Option<Fault>> {
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
async fn random_faults_are_the_same_for_the_same_seed() {
    let faults = faults_of(1).await;
    assert_eq!(faults, faults_of(1).await);
    assert_ne!(faults, faults_of(2).await);
    let omissions: Vec<_> =
        faults.iter().flatten().filter(|fault| matches!(fault, Fault::OmitSomeShards(_))).collect();
    assert!(omissions.len() > 10 && omissions.windows(2).any(|pair| pair[0] != pair[1]));
    for kind in [Fault::Throttled, Fault::ConnectionReset, Fault::TruncatedBody] {
        assert!(faults.iter().flatten().filter(|fault| **fault == kind).count() > 5, "{kind:?}");
    }
}
