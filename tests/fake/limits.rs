//! AWS's limits.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::error::SdkError;
use aws_sdk_kinesis::operation::get_records::{GetRecordsError, GetRecordsOutput};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::ShardIteratorType;
use kinesis_shards::testing::{FakeKinesis, Limits};

use crate::{FIRST, SECOND, entry, list, one_stream, trim_horizon, without_retries};

async fn read(client: &Client, iterator: &str) -> Result<GetRecordsOutput, GetRecordsError> {
    let read = client.get_records().shard_iterator(iterator).send().await;
    read.map_err(SdkError::into_service_error)
}

fn is_throttled<T>(result: &Result<T, GetRecordsError>) -> bool {
    matches!(result, Err(GetRecordsError::ProvisionedThroughputExceededException(_)))
}

#[tokio::test(start_paused = true)]
async fn shard_admits_five_reads_a_second() {
    let (fake, _, client) = one_stream(FakeKinesis::new());
    let iterator = trim_horizon(&client, FIRST).await;
    for _ in 0..5 {
        read(&client, &iterator).await.expect("within the limit");
    }
    assert!(is_throttled(&read(&client, &iterator).await));
    fake.advance(SECOND).await;
    read(&client, &iterator).await.expect("another second");
    assert_eq!(fake.reads_per_second("orders", FIRST), 6);
    fake.assert_read_rate_at_most(6);

    fake.set_limits(Limits::aws().reads(false));
    for _ in 0..100 {
        read(&client, &iterator).await.expect("no limit");
    }
}

#[tokio::test(start_paused = true)]
#[should_panic(
    expected = "shardId-000000000000 of stream orders got 6 GetRecords within a second, more than 5"
)]
async fn read_rate_assertion_names_the_shard() {
    let fake = FakeKinesis::builder().limits(Limits::none()).build();
    fake.create_stream("orders", 1);
    let client = fake.client();
    let iterator = trim_horizon(&client, FIRST).await;
    for _ in 0..6 {
        read(&client, &iterator).await.expect("no limit");
        fake.advance(Duration::from_millis(190)).await;
    }
    fake.assert_read_rate_at_most(5);
}

#[tokio::test(start_paused = true)]
async fn read_of_ten_mebibytes_blocks_the_shard_for_five_seconds() {
    let fake = FakeKinesis::new();
    let orders = fake.create_stream("orders", 1);
    // Data and keys together are exactly 10 MiB.
    for _ in 0..10 {
        orders.put("k", vec![0; (1 << 20) - 1]);
    }
    orders.put("k", "one more");
    let client = without_retries(&fake);
    let first = read(&client, &trim_horizon(&client, FIRST).await).await.expect("read");
    assert_eq!(first.records().len(), 10);
    let next = first.next_shard_iterator().expect("more");
    fake.advance(Duration::from_millis(4999)).await;
    assert!(is_throttled(&read(&client, next).await));
    fake.advance(Duration::from_millis(1)).await;
    assert_eq!(read(&client, next).await.expect("read").records().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn sdk_retries_past_a_limit_on_a_paused_clock() {
    let fake = FakeKinesis::new();
    fake.create_stream("orders", 1);
    let client = Client::from_conf(
        fake.config().retry_config(RetryConfig::standard().with_max_attempts(10)).build(),
    );
    let iterator = trim_horizon(&client, FIRST).await;
    for _ in 0..20 {
        read(&client, &iterator).await.expect("a retry is admitted");
    }
    assert!(fake.count("GetRecords") > 20);
}

#[tokio::test(start_paused = true)]
async fn shard_admits_five_iterators_a_second() {
    let fake = FakeKinesis::new();
    fake.create_stream("orders", 2);
    let client = without_retries(&fake);
    for _ in 0..5 {
        trim_horizon(&client, FIRST).await;
    }
    let latest = |shard| {
        let request = client.get_shard_iterator().stream_name("orders").shard_id(shard);
        request.shard_iterator_type(ShardIteratorType::Latest).send()
    };
    let rejected = latest(FIRST).await.expect_err("rejected").into_service_error();
    assert!(rejected.is_provisioned_throughput_exceeded_exception());
    latest("shardId-000000000001").await.expect("each shard has its own limit");
}

#[tokio::test(start_paused = true)]
async fn stream_admits_a_thousand_listings_a_second() {
    let fake = FakeKinesis::builder().log_requests(false).build();
    fake.create_stream("orders", 1);
    fake.create_stream("clicks", 1);
    let client = without_retries(&fake);
    for _ in 0..1000 {
        list(&client).await.expect("within the limit");
    }
    let rejected = list(&client).await.expect_err("rejected");
    assert!(rejected.into_service_error().is_limit_exceeded_exception());
    let other = client.list_shards().stream_name("clicks").send().await;
    other.expect("each stream has its own limit");
    assert!(fake.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn shard_admits_a_thousand_records_a_second_and_throttles_the_rest() {
    let (fake, orders, client) = one_stream(FakeKinesis::new());
    let put = async |count: usize| {
        let entries = (0..count).map(|_| entry("k", "x")).collect();
        client
            .put_records()
            .stream_name("orders")
            .set_records(Some(entries))
            .send()
            .await
            .expect("a response")
    };
    assert_eq!(put(500).await.failed_record_count(), Some(0));
    assert_eq!(put(499).await.failed_record_count(), Some(0));
    let partial = put(3).await;
    assert_eq!(partial.failed_record_count(), Some(2));
    assert_eq!(partial.records()[0].shard_id(), Some(FIRST));
    assert_eq!(partial.records()[1].error_code(), Some("ProvisionedThroughputExceededException"));
    assert_eq!(partial.records()[1].sequence_number(), None);
    let one = client.put_record().stream_name("orders").partition_key("k").data(Blob::new("x"));
    let rejected = one.send().await.expect_err("rejected").into_service_error();
    assert!(rejected.is_provisioned_throughput_exceeded_exception());
    // `FakeStream::put` is not a request and does not count.
    orders.put("k", "x");
    fake.advance(SECOND).await;
    assert_eq!(put(500).await.failed_record_count(), Some(0));
}
