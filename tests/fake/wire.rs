//! The operations.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::operation::get_records::GetRecordsError;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
use aws_sdk_kinesis::operation::list_shards::ListShardsError;
use aws_sdk_kinesis::operation::merge_shards::MergeShardsError;
use aws_sdk_kinesis::operation::split_shard::SplitShardError;
use aws_sdk_kinesis::operation::update_shard_count::UpdateShardCountError;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    ScalingType, Shard, ShardFilter, ShardFilterType, ShardIteratorType, StreamMode,
    StreamModeDetails, StreamStatus,
};
use kinesis_shards::testing::FakeKinesis;

use crate::{FIRST, HOUR, entry, ids, list, trim_horizon};

#[tokio::test(start_paused = true)]
async fn stream_is_created_described_and_deleted() {
    let fake = FakeKinesis::new();
    let client = fake.client();
    client.create_stream().stream_name("orders").shard_count(3).send().await.expect("created");
    let on_demand =
        StreamModeDetails::builder().stream_mode(StreamMode::OnDemand).build().expect("complete");
    client
        .create_stream()
        .stream_name("clicks")
        .stream_mode_details(on_demand)
        .send()
        .await
        .expect("created");

    let again = client
        .create_stream()
        .stream_name("orders")
        .shard_count(1)
        .send()
        .await
        .expect_err("rejected");
    assert!(again.into_service_error().is_resource_in_use_exception());
    let names = client.list_streams().send().await.expect("listed");
    assert_eq!(
        (names.stream_names(), names.has_more_streams()),
        (&["clicks".into(), "orders".into()][..], false)
    );
    assert_eq!(names.stream_summaries().len(), 2);
    let first = client.list_streams().limit(1).send().await.expect("listed");
    assert_eq!((first.stream_names(), first.has_more_streams()), (&["clicks".into()][..], true));
    let rest = client.list_streams().set_next_token(first.next_token).send().await.expect("listed");
    assert_eq!(rest.stream_names(), ["orders"]);

    let summary =
        client.describe_stream_summary().stream_name("clicks").send().await.expect("described");
    let summary = summary.stream_description_summary().expect("always given");
    assert_eq!(summary.open_shard_count(), 4);
    assert_eq!(summary.stream_status(), &StreamStatus::Active);
    assert_eq!(summary.retention_period_hours(), 24);
    let arn = summary.stream_arn().to_owned();
    client
        .increase_stream_retention_period()
        .stream_arn(&arn)
        .retention_period_hours(48)
        .send()
        .await
        .expect("done");
    let whole = client.describe_stream().stream_arn(&arn).limit(3).send().await.expect("described");
    let whole = whole.stream_description().expect("always given");
    assert_eq!((whole.shards().len(), whole.has_more_shards()), (3, true));
    assert_eq!(whole.retention_period_hours(), 48);

    client.delete_stream().stream_arn(&arn).send().await.expect("deleted");
    let gone = client
        .list_shards()
        .stream_name("clicks")
        .send()
        .await
        .expect_err("gone")
        .into_service_error();
    assert!(gone.is_resource_not_found_exception());
    assert!(gone.message().expect("a message").contains("clicks"));
    assert_eq!(fake.counts()["CreateStream"], 3);
}

#[tokio::test(start_paused = true)]
async fn list_shards_token_stands_alone() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 2500);
    let client = fake.client();
    let first = list(&client).await.expect("a page");
    assert_eq!(first.shards().len(), 1000);
    let token = first.next_token().expect("more").to_owned();
    let second =
        client.list_shards().next_token(&token).max_results(10_000).send().await.expect("a page");
    assert_eq!(second.shards()[0].shard_id(), "shardId-000000001000");
    let third =
        client.list_shards().set_next_token(second.next_token).send().await.expect("a page");
    assert_eq!((third.shards().len(), third.next_token()), (500, None));
    let all: Vec<_> = first
        .shards
        .into_iter()
        .chain(second.shards)
        .flatten()
        .chain(third.shards.expect("more"))
        .collect();
    assert_eq!(all, orders.shards());

    let beside = client
        .list_shards()
        .next_token(&token)
        .stream_name("orders")
        .send()
        .await
        .expect_err("rejected");
    assert!(matches!(beside.into_service_error(), ListShardsError::InvalidArgumentException(_)));
    let garbage = client.list_shards().next_token("garbage").send().await.expect_err("rejected");
    assert!(garbage.into_service_error().is_invalid_argument_exception());
    fake.advance(Duration::from_secs(301)).await;
    let late = client.list_shards().next_token(&token).send().await.expect_err("rejected");
    assert!(matches!(late.into_service_error(), ListShardsError::ExpiredNextTokenException(_)));
    let errors: Vec<_> =
        fake.take_requests().iter().map(|request| request.error().map(str::to_owned)).collect();
    assert_eq!(
        errors[3..].iter().flatten().collect::<Vec<_>>(),
        ["InvalidArgumentException", "InvalidArgumentException", "ExpiredNextTokenException"]
    );
    assert!(fake.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn every_shard_filter_reaches_the_model() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 2);
    fake.advance(HOUR).await;
    let split = fake.now();
    let (low, high) = orders.split(FIRST);
    fake.advance(HOUR).await;
    let merged = orders.merge(&high, "shardId-000000000001");
    fake.advance(HOUR).await;
    let client = fake.client();
    let filtered = |kind, time: Option<DateTime>, shard: Option<&str>| {
        let filter = ShardFilter::builder()
            .r#type(kind)
            .set_timestamp(time)
            .set_shard_id(shard.map(str::to_owned));
        let request = client
            .list_shards()
            .stream_name("orders")
            .shard_filter(filter.build().expect("a type"));
        async move {
            let page = request.send().await.map_err(|error| error.code().map(str::to_owned))?;
            Ok::<_, Option<String>>(
                ids(page.shards()).into_iter().map(str::to_owned).collect::<Vec<_>>(),
            )
        }
    };
    let between = Some(DateTime::from(split + HOUR / 2));
    let second = "shardId-000000000001".to_owned();
    let expected = |ids: &[&String]| Ok(ids.iter().map(|id| (*id).clone()).collect());
    assert_eq!(filtered(ShardFilterType::AtLatest, None, None).await, expected(&[&low, &merged]));
    assert_eq!(
        filtered(ShardFilterType::AtTrimHorizon, None, None).await,
        expected(&[&FIRST.to_owned(), &second])
    );
    assert_eq!(
        filtered(ShardFilterType::FromTrimHorizon, None, None).await.map(|ids| ids.len()),
        Ok(5)
    );
    assert_eq!(
        filtered(ShardFilterType::AtTimestamp, between, None).await,
        expected(&[&second, &low, &high])
    );
    assert_eq!(
        filtered(ShardFilterType::FromTimestamp, between, None).await,
        expected(&[&second, &low, &high, &merged])
    );
    assert_eq!(
        filtered(ShardFilterType::AfterShardId, None, Some(&low)).await,
        expected(&[&high, &merged])
    );
    let rejected = Err(Some("InvalidArgumentException".to_owned()));
    assert_eq!(filtered(ShardFilterType::AtTimestamp, None, None).await, rejected);
    assert_eq!(filtered(ShardFilterType::AfterShardId, None, None).await, rejected);
    assert_eq!(filtered(ShardFilterType::AtLatest, between, None).await, rejected);
    let unknown = filtered(ShardFilterType::from("NONSENSE"), None, None).await;
    assert_eq!(unknown, Err(Some("ValidationException".to_owned())));
}

#[tokio::test(start_paused = true)]
async fn requests_reshard_a_stream() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    let client = fake.client();
    let split = |key: &str| {
        client.split_shard().stream_name("orders").shard_to_split(FIRST).new_starting_hash_key(key)
    };
    let bad = split("1").send().await.expect_err("rejected").into_service_error();
    assert!(matches!(bad, SplitShardError::InvalidArgumentException(_)));
    split(&(1_u128 << 127).to_string()).send().await.expect("split");
    let merge = client.merge_shards().stream_name("orders").shard_to_merge(FIRST);
    let bad =
        merge.adjacent_shard_to_merge("shardId-000000000001").send().await.expect_err("rejected");
    assert!(matches!(bad.into_service_error(), MergeShardsError::InvalidArgumentException(_)));
    let scale = |target| {
        client
            .update_shard_count()
            .stream_name("orders")
            .target_shard_count(target)
            .scaling_type(ScalingType::UniformScaling)
    };
    // The SDK retries a LimitExceededException, so this counts as three requests.
    let bad = scale(5).send().await.expect_err("rejected").into_service_error();
    assert!(matches!(bad, UpdateShardCountError::LimitExceededException(_)));
    let done = scale(4).send().await.expect("scaled");
    assert_eq!((done.current_shard_count(), done.target_shard_count()), (Some(2), Some(4)));
    assert_eq!(orders.open_shards().len(), 4);
    assert_eq!(fake.count("UpdateShardCount"), 4);
}

/// Returns the `Date` header of a response.
async fn date(fake: &FakeKinesis) -> Option<String> {
    let rejected = fake
        .client()
        .list_shards()
        .stream_name("nothing")
        .send()
        .await
        .expect_err("no such stream");
    rejected.raw_response()?.headers().get("date").map(str::to_owned)
}

#[tokio::test(start_paused = true)]
async fn date_header_shows_the_fakes_clock() {
    let fake = FakeKinesis::builder().date_header(true).build();
    assert_eq!(date(&fake).await.as_deref(), Some("Thu, 01 Jan 2026 00:00:00 GMT"));
    fake.advance(HOUR + Duration::from_millis(1999)).await;
    // The header has whole seconds.
    let dated = date(&fake).await;
    assert_eq!(dated.as_deref(), Some("Thu, 01 Jan 2026 01:00:01 GMT"));
    fake.client().list_streams().send().await.expect("the SDK takes the header");
    assert_eq!(date(&FakeKinesis::new()).await, None);
}

#[tokio::test(start_paused = true)]
async fn iterators_start_at_their_positions_and_reject_invalid_ones() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    let (_, sequence) = orders.put("a", "one");
    fake.advance(Duration::from_secs(5)).await;
    orders.put("b", "two \u{1F980} \"quoted\"");
    let client = fake.client();
    let iterator = trim_horizon(&client, FIRST).await;
    let read = client.get_records().shard_iterator(&iterator).limit(1).send().await.expect("read");
    assert_eq!(read.records()[0].sequence_number(), sequence);
    assert_eq!(read.records()[0].data().as_ref(), b"one");
    assert_eq!(read.millis_behind_latest(), Some(5000));
    let next = read.next_shard_iterator().expect("an open shard").to_owned();
    let read = client.get_records().shard_iterator(&next).send().await.expect("read");
    assert_eq!(read.records()[0].data().as_ref(), "two \u{1F980} \"quoted\"".as_bytes());
    assert_eq!(read.records()[0].approximate_arrival_timestamp().map(DateTime::as_secs_f64), {
        Some(DateTime::from(fake.now()).as_secs_f64())
    });
    assert_eq!(read.millis_behind_latest(), Some(0));

    let request = |kind| {
        client.get_shard_iterator().stream_name("orders").shard_id(FIRST).shard_iterator_type(kind)
    };
    let after = request(ShardIteratorType::AfterSequenceNumber)
        .starting_sequence_number(&sequence)
        .send()
        .await;
    let after = after.expect("an iterator").shard_iterator.expect("always given");
    let read = client.get_records().shard_iterator(after).send().await.expect("read");
    assert_eq!(read.records().len(), 1);
    for bad in [
        request(ShardIteratorType::AfterSequenceNumber),
        request(ShardIteratorType::AtSequenceNumber).starting_sequence_number("0"),
        request(ShardIteratorType::Latest).starting_sequence_number(&sequence),
        request(ShardIteratorType::AtTimestamp),
        request(ShardIteratorType::AtTimestamp).timestamp(DateTime::from(fake.now() + HOUR)),
    ] {
        let error = bad.send().await.expect_err("rejected").into_service_error();
        assert!(matches!(error, GetShardIteratorError::InvalidArgumentException(_)), "{error:?}");
    }
    let missing =
        client.get_shard_iterator().stream_name("orders").shard_id("shardId-000000000009");
    let missing =
        missing.shard_iterator_type(ShardIteratorType::Latest).send().await.expect_err("rejected");
    assert!(missing.into_service_error().is_resource_not_found_exception());
    let garbage =
        client.get_records().shard_iterator("garbage").send().await.expect_err("rejected");
    assert!(matches!(garbage.into_service_error(), GetRecordsError::InvalidArgumentException(_)));
    fake.advance(Duration::from_secs(301)).await;
    let late = client.get_records().shard_iterator(&next).send().await.expect_err("rejected");
    assert!(matches!(late.into_service_error(), GetRecordsError::ExpiredIteratorException(_)));
}

/// Reads every shard to its end or its tip, and follows the child shards of each response.
async fn read_all(
    fake: &FakeKinesis,
    client: &Client,
    shards: &[&str],
) -> BTreeMap<String, Vec<String>> {
    let mut todo: Vec<String> = shards.iter().map(ToString::to_string).collect();
    let (mut seen, mut read) = (BTreeSet::new(), BTreeMap::new());
    while let Some(shard) = todo.pop() {
        if !seen.insert(shard.clone()) {
            continue;
        }
        let records: &mut Vec<String> = read.entry(shard.clone()).or_default();
        let mut next = Some(trim_horizon(client, &shard).await);
        while let Some(iterator) = next.take() {
            let batch = client
                .get_records()
                .shard_iterator(iterator)
                .limit(100)
                .send()
                .await
                .expect("read");
            records.extend(
                batch
                    .records()
                    .iter()
                    .map(|record| String::from_utf8_lossy(record.data().as_ref()).into_owned()),
            );
            todo.extend(batch.child_shards().iter().map(|child| child.shard_id().to_owned()));
            let caught_up = batch.millis_behind_latest() == Some(0) && batch.records().is_empty();
            next = batch.next_shard_iterator.filter(|_| !caught_up);
            fake.advance(Duration::from_millis(250)).await;
        }
    }
    read
}

#[tokio::test(start_paused = true)]
async fn no_record_is_lost_across_a_split_and_a_merge() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 2);
    let client = fake.client();
    let put = async |from: usize| {
        for chunk in (from..from + 250).collect::<Vec<_>>().chunks(125) {
            let entry = |n: &usize| entry(&format!("key {n}"), &n.to_string());
            let put = client
                .put_records()
                .stream_name("orders")
                .set_records(Some(chunk.iter().map(entry).collect()));
            let done = put.send().await.expect("put");
            assert_eq!((done.failed_record_count(), done.records().len()), (Some(0), 125));
            fake.advance(Duration::from_secs(1)).await;
        }
    };
    put(0).await;
    let (_, high) = orders.split(FIRST);
    put(250).await;
    let merged = orders.merge(&high, "shardId-000000000001");
    put(500).await;
    orders.split(&merged);
    put(750).await;
    let one = client.put_record().stream_name("orders").partition_key("key").explicit_hash_key("0");
    let one = one.data(Blob::new("1000")).send().await.expect("put");
    assert_eq!(one.shard_id(), "shardId-000000000002");

    let read = read_all(&fake, &client, &[FIRST, "shardId-000000000001"]).await;
    assert_eq!(read.keys().map(String::as_str).collect::<Vec<_>>(), ids(&orders.shards()));
    let mut numbers: Vec<usize> =
        read.into_values().flatten().map(|text| text.parse().expect("a number")).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..=1000).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn end_of_a_closed_shard_names_its_children() {
    for with_last_records in [true, false] {
        let fake = FakeKinesis::builder().end_with_last_records(with_last_records).build();
        let orders = fake.create_stream("orders", 1);
        orders.put("a", "last words");
        let (low, high) = orders.split(FIRST);
        let client = fake.client();
        let iterator = trim_horizon(&client, FIRST).await;
        let mut read = client.get_records().shard_iterator(iterator).send().await.expect("read");
        assert_eq!(read.records().len(), 1);
        if !with_last_records {
            assert!(read.child_shards().is_empty());
            read = client
                .get_records()
                .set_shard_iterator(read.next_shard_iterator)
                .send()
                .await
                .expect("read");
            assert!(read.records().is_empty());
        }
        assert_eq!(read.next_shard_iterator(), None);
        let children: Vec<_> = read
            .child_shards()
            .iter()
            .map(|child| (child.shard_id(), child.parent_shards()))
            .collect();
        let parents = [FIRST.to_owned()];
        assert_eq!(children, [(low.as_str(), &parents[..]), (high.as_str(), &parents[..])]);
    }
}

#[tokio::test(start_paused = true)]
async fn closed_shards_expire_by_retention_or_by_the_test() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    let (low, high) = orders.split(FIRST);
    orders.split(&low);
    let client = fake.client();
    orders.expire(FIRST);
    let listed = list(&client).await.expect("listed");
    assert_eq!(ids(listed.shards())[..2], [low.as_str(), high.as_str()]);
    fake.advance(24 * HOUR).await;
    let listed = list(&client).await.expect("listed");
    let mut open = orders.open_shards();
    open.sort_unstable();
    assert_eq!(ids(listed.shards()), open);
}

#[tokio::test(start_paused = true)]
async fn recreated_stream_has_the_old_ids_and_new_sequence_numbers() {
    let fake = FakeKinesis::new();
    let old = fake.create_stream("orders", 2).shards();
    fake.delete_stream("orders");
    let new = fake.create_stream("orders", 2).shards();
    assert_eq!(ids(&old), ids(&new));
    for (old, new) in old.iter().zip(&new) {
        let start = |shard: &Shard| {
            shard.sequence_number_range().map(|range| range.starting_sequence_number().to_owned())
        };
        assert!(start(old) < start(new));
    }
}

#[tokio::test]
#[should_panic(
    expected = "ResourceNotFoundException: Stream orders under account 123456789012 not found."
)]
async fn call_on_a_missing_stream_panics_with_the_reason() {
    FakeKinesis::new().stream("orders").split(FIRST);
}

#[tokio::test(start_paused = true)]
async fn listing_shows_a_shard_as_closed_after_its_split() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 2);
    let client = fake.client();
    for _ in 0..3 {
        let listed = list(&client).await.expect("listed");
        assert_eq!(listed.shards(), orders.shards());
        orders.split(orders.open_shards().last().expect("an open shard"));
    }
}

#[tokio::test(start_paused = true)]
async fn records_of_a_fake_stream_equal_what_get_records_returns() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    orders.put("a", "old");
    fake.advance(23 * HOUR).await;
    orders.put("b", "new");
    let client = fake.client();
    for left in [2, 1] {
        let iterator = trim_horizon(&client, FIRST).await;
        let read = client.get_records().shard_iterator(iterator).send().await.expect("read");
        assert_eq!(read.records(), orders.records(FIRST));
        assert_eq!(read.records().len(), left);
        fake.advance(HOUR).await;
    }
}
