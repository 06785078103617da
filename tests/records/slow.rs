//! Pages that do not arrive in time, on a slow connection, or not whole.

use super::*;

fn limits(kinesis: &FakeKinesis) -> Vec<u64> {
    kinesis.bodies("GetRecords").iter().filter_map(|body| body["Limit"].as_u64()).collect()
}

/// 200 records of 40 kB are more than 10 MB as base64. At 50 kB/s they take minutes.
#[tokio::test(start_paused = true)]
async fn a_page_that_cannot_arrive_in_time_is_read_in_parts() {
    for runtime in [None, Some(tokio::runtime::Handle::current())] {
        let (kinesis, orders, client) = fake(1);
        kinesis.set_limits(Limits::none());
        for number in 0..200_u32 {
            orders.put_to(FIRST, format!("{number:040000}"));
        }
        kinesis.fail_always("GetRecords", Fault::SlowBody(50_000));
        let options = runtime.into_iter().fold(ReadOptions::new(), ReadOptions::spawn_on);
        let mut records =
            first(all_shards(&client, "orders")).await.records(&client).with_options(options);
        assert_eq!(take(&mut records, 200).await, (0..200).collect::<Vec<_>>());
        let limits = limits(&kinesis);
        let failed =
            kinesis.requests().iter().filter(|request| request.operation() == "GetRecords").count();
        assert!(failed < 40, "{limits:?}");
        assert_eq!(limits[..4], [10_000, 5_000, 2_500, 1_250]);
        // The limit does not oscillate between sizes that arrive and sizes that do not.
        let min = limits.iter().position(|limit| limit == limits.iter().min().unwrap()).unwrap();
        assert!(limits[min..].iter().all(|limit| *limit <= 2 * limits[min]), "{limits:?}");
        // Whole pages are read again when the connection is fast again.
        kinesis.clear_faults();
        for number in 0..3_000 {
            orders.put_to(FIRST, number.to_string());
        }
        assert_eq!(take(&mut records, 3_000).await, (0..3_000).collect::<Vec<_>>());
        assert!(*self::limits(&kinesis).last().unwrap() > 500, "{:?}", self::limits(&kinesis));
    }
}

/// Even a single record takes longer than 60 s.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_arrive_in_time_gets_a_longer_timeout() {
    let (kinesis, orders, client) = fake(1);
    for number in 0..2_u32 {
        orders.put_to(FIRST, "0".repeat(900_000) + &number.to_string());
    }
    kinesis.fail_always("GetRecords", Fault::SlowBody(5_000));
    let mut records = first(all_shards(&client, "orders"))
        .await
        .records(&client)
        .with_options(ReadOptions::new().max_records(2));
    assert_eq!(take(&mut records, 2).await, [0, 1]);
}

/// A proxy may limit the size of responses.
#[tokio::test(start_paused = true)]
async fn a_truncated_page_is_read_in_parts() {
    let (kinesis, orders, client) = fake(1);
    kinesis.set_limits(Limits::none());
    put(&orders, 0..100);
    kinesis.on_request(|request| {
        let limit = request.body()["Limit"].as_u64();
        limit.filter(|limit| *limit > 50).map(|_| Fault::TruncatedBody)
    });
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    assert_eq!(take(&mut records, 100).await, (0..100).collect::<Vec<_>>());
}
