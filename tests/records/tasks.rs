//! Reads that are tasks of a runtime.

use aws_sdk_kinesis::config::interceptors::BeforeSerializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorInput;
use tokio::runtime::{Builder, Handle};

use super::*;

#[tokio::test(start_paused = true)]
async fn dropping_the_readers_aborts_their_tasks() {
    let (kinesis, orders, client) = fake(50);
    kinesis.on_request(|request| {
        (request.operation() == "GetRecords").then_some(Fault::Late(Duration::from_secs(3)))
    });
    put(&orders, 0..10);
    let tasks = || Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 0);
    let options = ReadOptions::new().max_records(1).spawn_on(Handle::current());
    let mut batches = all_shards(&client, "orders").batches(&client).with_options(options);
    assert!(timeout(Duration::from_secs(1), batches.next()).await.is_err());
    assert_eq!(tasks(), 50);
    // The next page is read ahead.
    timeout(Duration::from_mins(1), batches.next()).await.unwrap().unwrap().unwrap();
    assert!(tasks() > 0);
    drop(batches);
    sleep(Duration::from_millis(1)).await;
    assert_eq!(tasks(), 0);
}

/// An interceptor that panics, as a defect of a client's HTTP stack would.
#[derive(Debug)]
struct Panics;

impl Intercept for Panics {
    fn name(&self) -> &'static str {
        "Panics"
    }

    fn read_before_execution(
        &self,
        request: &BeforeSerializationInterceptorContextRef<'_>,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        assert!(
            request.input().downcast_ref::<GetShardIteratorInput>().is_none(),
            "a defect of the client"
        );
        Ok(())
    }
}

/// Returns the payload with which the reader panics.
async fn panic_of(mut records: kinesis_shards::records::Records) -> Box<dyn std::any::Any + Send> {
    let reading = tokio::spawn(async move { records.next().await.is_some() });
    timeout(Duration::from_mins(1), reading)
        .await
        .expect("an end")
        .expect_err("a panic")
        .into_panic()
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_a_task_is_resumed_and_abandons_the_shard() {
    let (kinesis, _, client) = fake(1);
    let panics = Client::from_conf(kinesis.config().interceptor(Panics).build());
    let mut shards = all_shards(&client, "orders");
    let options = ReadOptions::new().spawn_on(Handle::current());
    let records = shards.next().await.unwrap().records(&panics).with_options(options);
    let panic = panic_of(records).await;
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a defect of the client"));
    assert_eq!(shards.next().await.unwrap().id(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn a_reader_panics_after_its_runtime_has_shut_down() {
    let (_, _, client) = fake(1);
    let other = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let options = ReadOptions::new().spawn_on(other.handle().clone());
    let records = first(all_shards(&client, "orders")).await.records(&client).with_options(options);
    std::thread::spawn(|| drop(other)).join().unwrap();
    let panic = panic_of(records).await;
    let text = panic.downcast_ref::<String>().unwrap();
    assert!(text.contains("spawn_on") && text.contains("shut down"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_aborted_reader_does_not_affect_another() {
    let (_, orders, client) = fake(2);
    orders.put_to("shardId-000000000001", "1");
    let mut shards = all_shards(&client, "orders");
    let options = ReadOptions::new().spawn_on(Handle::current());
    let aborted = shards.next().await.unwrap().records(&client).with_options(options.clone());
    let mut other = shards.next().await.unwrap().records(&client).with_options(options);
    let reading = tokio::spawn(aborted.for_each(|_| ready(())));
    sleep(Duration::from_millis(1)).await;
    reading.abort();
    assert_eq!(take(&mut other, 1).await, [1]);
    assert_eq!(shards.next().await.unwrap().id(), FIRST);
}

#[tokio::test(start_paused = true)]
async fn received_at_is_the_time_at_which_the_response_arrived() {
    for (runtime, waits) in [(Some(Handle::current()), false), (None, true)] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..2);
        let options =
            runtime.into_iter().fold(ReadOptions::new().max_records(1), ReadOptions::spawn_on);
        let mut batches =
            first(all_shards(&client, "orders")).await.batches(&client).with_options(options);
        let began = kinesis.now();
        let batch = batches.next().await.unwrap().unwrap();
        assert_eq!(batch.received_at(), began);
        sleep(Duration::from_mins(2)).await;
        // With a runtime, the page arrived in the meantime.
        let batch = batches.next().await.unwrap().unwrap();
        let after = batch.received_at().duration_since(began).unwrap();
        assert_eq!(after >= Duration::from_mins(2), waits, "{after:?}");
    }
}
