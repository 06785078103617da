//! Servers that know no CBOR, and clients that name a protocol.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::retry::RetryConfig;
use futures::{StreamExt, TryStreamExt};
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::records::ReadEventKind;
use kinesis_shards::testing::{CborSupport, FakeKinesis, FakeStream, Fault};
use kinesis_shards::{ReadOptions, ShardStreamExt, try_all_shards};
use tokio::time::{Instant, timeout};

const RECORDS: usize = 40;

/// Creates a fake with 40 records, half of them in shards that are closed.
fn fake(support: CborSupport) -> (FakeKinesis, FakeStream) {
    let kinesis = FakeKinesis::builder().cbor(support).build();
    let orders = kinesis.create_stream("orders", 2);
    for number in 0..RECORDS {
        if number == RECORDS / 2 {
            orders.split("shardId-000000000000");
            orders.split("shardId-000000000001");
        }
        orders.put(&format!("customer {number}"), number.to_string());
    }
    (kinesis, orders)
}

/// Reads all records, and returns how often a request was retried.
async fn read_all(client: &Client) -> usize {
    let retries = Arc::new(AtomicUsize::new(0));
    let options = ReadOptions::new().on_event({
        let retries = Arc::clone(&retries);
        move |event| {
            if matches!(event.kind, ReadEventKind::Retry { .. }) {
                retries.fetch_add(1, Ordering::Relaxed);
            }
        }
    });
    let records = try_all_shards(client, "orders").records(client).with_options(options);
    let records = timeout(Duration::from_hours(1), records.take(RECORDS).try_collect::<Vec<_>>());
    let mut numbers: Vec<usize> = records
        .await
        .expect("all records arrive")
        .expect("no failure is yielded")
        .iter()
        .map(|record| String::from_utf8_lossy(record.data()).parse().unwrap())
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..RECORDS).collect::<Vec<_>>());
    retries.load(Ordering::Relaxed)
}

fn formats(kinesis: &FakeKinesis) -> Vec<bool> {
    kinesis.requests().iter().map(kinesis_shards::testing::Request::is_cbor).collect()
}

#[tokio::test(start_paused = true)]
async fn own_requests_are_in_cbor() {
    let (kinesis, _) = fake(CborSupport::Supported);
    assert_eq!(read_all(&kinesis.client()).await, 0);
    assert!(formats(&kinesis).iter().all(|is_cbor| *is_cbor));
    assert!(kinesis.requests().iter().all(|request| request.error().is_none()));
}

#[tokio::test(start_paused = true)]
async fn a_server_without_cbor_is_asked_in_json_at_once_and_from_then_on() {
    for support in [
        CborSupport::JsonResponses,
        CborSupport::SerializationException,
        CborSupport::UnsupportedMediaType,
        CborSupport::InternalError,
    ] {
        for retries in [RetryConfig::standard(), RetryConfig::disabled()] {
            let (kinesis, _) = fake(support);
            let config = kinesis.config().retry_config(retries);
            let begun = Instant::now();
            assert_eq!(read_all(&Client::from_conf(config.build())).await, 0, "{support:?}");
            let formats = formats(&kinesis);
            assert!(formats[0], "{support:?}");
            assert!(formats[1..].iter().all(|is_cbor| !is_cbor), "{support:?}: {formats:?}");
            let requests = kinesis.requests();
            let at = usize::from(support != CborSupport::JsonResponses);
            assert_eq!(requests[at].operation(), "ListShards");
            assert_eq!(requests[at].at(), begun, "{support:?}: it was sent without a delay");
        }
    }
}

/// kinesalite sends times in seconds, and a page that does not fit into 16 KiB is damaged. The
/// reader then continues in JSON. Were a time not the same in both formats, it would take the shard
/// for one of a stream that was created again, and read it from its oldest record.
#[tokio::test(start_paused = true)]
async fn a_reader_that_switches_from_the_cbor_of_kinesalite_to_json_repeats_no_record() {
    let kinesis = FakeKinesis::builder().cbor(CborSupport::Kinesalite).build();
    let orders = kinesis.create_stream("orders", 1);
    let records = try_all_shards(&kinesis.client(), "orders").records(&kinesis.client());
    let mut records = std::pin::pin!(records);
    tokio::time::advance(Duration::from_millis(7)).await;
    let written_at = kinesis.now();
    for number in 0..3 {
        orders.put("customer", number.to_string());
        let record = records.next().await.unwrap().unwrap();
        assert_eq!(record.data(), number.to_string().as_bytes());
        let arrived = SystemTime::try_from(record.arrival_time().unwrap()).unwrap();
        assert!(written_at <= arrived + Duration::from_millis(1) && arrived <= kinesis.now());
    }
    assert!(formats(&kinesis).iter().all(|is_cbor| *is_cbor));
    for number in 3..6 {
        orders.put("customer", number.to_string().repeat(8 * 1_024));
    }
    kinesis.fail_next("GetRecords", Fault::ExpiredIterator);
    for number in 3..6 {
        let record = records.next().await.unwrap().unwrap();
        assert_eq!(record.data(), number.to_string().repeat(8 * 1_024).as_bytes());
    }
    assert_eq!(formats(&kinesis).last(), Some(&false));
    orders.put("customer", "6");
    assert_eq!(records.next().await.unwrap().unwrap().data(), b"6");
}

#[tokio::test(start_paused = true)]
async fn a_client_whose_configuration_switches_cbor_off_sends_json() {
    let (kinesis, _) = fake(CborSupport::Supported);
    let config = kinesis.config().protocol(CborProtocol::disabled());
    read_all(&Client::from_conf(config.build())).await;
    assert!(formats(&kinesis).iter().all(|is_cbor| !is_cbor));
}

#[tokio::test(start_paused = true)]
async fn a_client_in_cbor_fails_once_at_a_server_without_cbor() {
    let (kinesis, _) = fake(CborSupport::SerializationException);
    let protocol = CborProtocol::new();
    let client = |protocol: &CborProtocol| {
        Client::from_conf(kinesis.config().protocol(protocol.clone()).build())
    };
    let list = async |client: Client| client.list_shards().stream_name("orders").send().await;
    let error = list(client(&protocol)).await.unwrap_err().into_service_error();
    assert_eq!(error.meta().code(), Some("SerializationException"));
    // Clones share what the first response has shown.
    assert_eq!(list(client(&protocol)).await.unwrap().shards().len(), 6);
    assert!(list(client(&CborProtocol::new())).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn an_error_in_cbor_does_not_switch_to_json() {
    let (kinesis, _) = fake(CborSupport::Supported);
    for (operation, code) in [
        ("ListShards", "SerializationException"),
        ("GetShardIterator", "InternalFailureException"),
        ("GetRecords", "ServiceUnavailable"),
    ] {
        kinesis.fail_next(operation, Fault::Error { status: 503, code: code.to_owned() });
    }
    let config = kinesis.config().retry_config(RetryConfig::standard());
    assert_eq!(read_all(&Client::from_conf(config.build())).await, 2);
    assert!(formats(&kinesis).iter().all(|is_cbor| *is_cbor));
}

#[tokio::test(start_paused = true)]
async fn invalid_cbor_switches_to_json_and_a_page_of_html_does_not() {
    for (fault, is_cbor) in
        [(Fault::NotJson, true), (Fault::WrongTypes, false), (Fault::TruncatedBody, false)]
    {
        let (kinesis, _) = fake(CborSupport::Supported);
        let client =
            Client::from_conf(kinesis.config().retry_config(RetryConfig::disabled()).build());
        kinesis.fail_next("GetRecords", fault.clone());
        kinesis.fail_next("GetShardIterator", fault.clone());
        assert_eq!(read_all(&client).await, 2, "{fault:?}");
        let formats = formats(&kinesis);
        assert!(formats[0] && formats[1..].contains(&is_cbor), "{fault:?}");
        assert_eq!(formats.last(), Some(&is_cbor), "{fault:?}");
    }
}
