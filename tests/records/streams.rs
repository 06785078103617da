//! What the streams tell besides their items: lag, size hints, termination.

use std::error::Error as _;

use kinesis_shards::try_all_shards;

use super::*;

const LAG: Duration = Duration::from_millis(1_234);

/// A closed shard with a page of three records, and its lag.
async fn closed() -> (FakeKinesis, Client, ShardHandle) {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..3);
    orders.split(FIRST);
    let shard = first(all_shards(&client, "orders")).await;
    (kinesis, client, shard)
}

#[tokio::test(start_paused = true)]
async fn the_records_of_a_shard_are_terminated_after_the_last_one() {
    let (_, client, shard) = closed().await;
    let mut records = shard.records(&client);
    assert_eq!((records.size_hint(), records.is_terminated()), ((0, None), false));
    for left in [2, 1, 0] {
        assert!(records.next().await.unwrap().is_ok());
        assert_eq!((records.size_hint(), records.is_terminated()), ((left, None), false));
    }
    assert!(records.next().await.is_none());
    assert_eq!((records.size_hint(), records.is_terminated()), ((0, None), true));
}

#[tokio::test(start_paused = true)]
async fn the_batches_of_a_shard_are_terminated_after_the_last_one() {
    let (_, client, shard) = closed().await;
    let mut batches = shard.batches(&client);
    assert_eq!((batches.lag(), batches.is_terminated()), (None, false));
    let batch = batches.next().await.unwrap().unwrap();
    assert_eq!((batches.lag(), batches.is_terminated()), (batch.lag(), false));
    assert_eq!(batch.lag(), Some(Duration::ZERO));
    assert_eq!(batch.len(), 3);
    assert_eq!(batch.into_sdk().len(), 3);
    assert!(batches.next().await.is_none());
    assert!(batches.is_terminated());
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_batches_is_that_of_the_last_page() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..2);
    sleep(LAG).await;
    put(&orders, 2..3);
    let shard = first(all_shards(&client, "orders")).await;
    let mut batches = shard.batches(&client).with_options(ReadOptions::new().max_records(2));
    let batch = batches.next().await.unwrap().unwrap();
    assert_eq!((batch.lag(), batches.lag()), (Some(LAG), Some(LAG)));
}

/// A stream of results reads its shards as a stream of shards does.
#[tokio::test(start_paused = true)]
async fn the_shards_of_a_stream_of_results_are_read_alike() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..2);
    sleep(LAG).await;
    put(&orders, 2..3);
    let shards = || try_all_shards(&client, "orders");
    let options = || ReadOptions::new().max_records(2);

    let mut batches = shards().batches(&client).with_options(options());
    assert_eq!(batches.next().await.unwrap().unwrap().len(), 2);
    assert_eq!(batches.lags().collect::<Vec<_>>(), [(FIRST, Some(LAG))]);
    assert!(!batches.is_terminated());
    drop(batches);

    let mut records = shards().records(&client).with_options(options());
    assert!(records.next().await.unwrap().is_ok());
    assert_eq!(records.lags().collect::<Vec<_>>(), [(FIRST, Some(LAG))]);
    drop(records);
    let requests = kinesis.requests();
    let mut reads = requests.iter().filter(|request| request.operation() == "GetRecords");
    assert!(reads.all(|request| request.body()["Limit"] == 2));
}

#[tokio::test(start_paused = true)]
async fn the_batches_of_all_shards_are_terminated_once_all_have_ended() {
    let (_, client, shard) = closed().await;
    let mut batches = stream::iter([shard]).batches(&client);
    assert!(!batches.is_terminated());
    assert!(batches.next().await.unwrap().is_ok());
    assert!(!batches.is_terminated());
    assert!(batches.next().await.is_none());
    assert!(batches.is_terminated());
}

#[tokio::test(start_paused = true)]
async fn the_source_of_an_error_is_that_of_the_sdk() {
    for (operation, fault) in
        [("GetRecords", Fault::KmsDisabled), ("GetShardIterator", Fault::AccessDenied)]
    {
        let (kinesis, _, client) = fake(1);
        kinesis.fail_next(operation, fault);
        let shard = first(all_shards(&client, "orders")).await;
        let error = shard.records(&client).next().await.unwrap().unwrap_err();
        assert_eq!(error.operation(), operation);
        let source = error.source().expect("a source");
        assert!(source.source().is_some(), "{source}");
        assert!(error.message().is_some_and(|message| !message.is_empty()), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_lag_of_records_is_that_of_the_last_page() {
    let (_, orders, client) = fake(1);
    put(&orders, 0..2);
    sleep(LAG).await;
    put(&orders, 2..3);
    let shard = first(all_shards(&client, "orders")).await;
    let mut records = shard.records(&client).with_options(ReadOptions::new().max_records(2));
    assert_eq!(records.lag(), None);
    assert!(records.next().await.unwrap().is_ok());
    assert_eq!(records.lag(), Some(LAG));
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "set the options before the first poll")]
async fn options_that_are_set_after_the_first_poll_panic() {
    let (_, _, client) = fake(1);
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    assert!(poll!(records.next()).is_pending());
    let _ = records.with_options(ReadOptions::new());
}
