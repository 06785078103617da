//! Errors that no retry mends: from `ready` at once, or as items.

use kinesis_shards::{Error, ShardStreamExt};

use super::*;

#[tokio::test(start_paused = true)]
async fn ready_fails_at_once_on_a_stream_that_does_not_exist() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    let error = all_shards(&client, "orders").ready().await.unwrap_err();
    assert!(matches!(error, ListError::StreamNotFound { .. }), "{error}");
    let error = all_shards(&client, "no such name").ready().await.unwrap_err();
    assert!(matches!(error, ListError::InvalidStream { .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn ready_retries_passing_failures_and_loses_no_shard() {
    let (kinesis, _stream) = setup(3);
    let client = kinesis.client();
    kinesis.fail_times("ListShards", 12, Fault::InternalFailure);
    let shards = all_shards(&client, "orders").ready().await.unwrap();
    assert_eq!(shards.take(3).collect::<Vec<_>>().await.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_results_yields_listing_errors_and_records() {
    let (kinesis, stream) = setup(1);
    stream.put("key", "a record");
    let client = kinesis.client();
    kinesis.fail_times("ListShards", 3, Fault::InternalFailure);
    let mut records = try_all_shards(&client, "orders").records(&client);
    let error = records.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::List(_)) && error.is_retryable(), "{error}");
    assert_eq!(records.next().await.unwrap().unwrap().data(), b"a record");
    kinesis.fail_next("GetRecords", Fault::AccessDenied);
    let error = records.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::Read(_)) && !error.is_retryable(), "{error}");
    // The shard is offered again.
    assert_eq!(records.next().await.unwrap().unwrap().data(), b"a record");
}
