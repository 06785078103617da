//! How often a shard is read.

use super::*;

#[tokio::test(start_paused = true)]
async fn behind_it_reads_on_at_once_within_the_limits_and_at_the_tip_once_a_second() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..40);
    let mut records =
        first(all_shards(&client, "orders")).await.records(&client).with(ReadOptions::new().max_records(1));
    let began = Instant::now();
    assert_eq!(take(&mut records, 40).await.len(), 40);
    let behind = began.elapsed();
    assert!((39 * 200..=39 * 211).contains(&behind.as_millis()), "{behind:?}");
    let reads = kinesis.count("GetRecords");
    assert!(timeout(Duration::from_mins(10), records.next()).await.is_err());
    let reads = kinesis.count("GetRecords") - reads;
    assert!((600..=670).contains(&reads), "{reads} reads in 600 s");
    assert!(kinesis.requests().iter().all(|request| request.error().is_none()), "a limit was met");
    assert!(kinesis.reads_per_second("orders", FIRST) <= 5);
}

#[tokio::test(start_paused = true)]
async fn two_mebibytes_a_second_are_not_exceeded() {
    let (kinesis, orders, client) = fake(1);
    for _ in 0..30 {
        orders.put_to(FIRST, vec![0_u8; 1_000_000]);
        sleep(Duration::from_secs(1)).await;
    }
    let mut batches = first(all_shards(&client, "orders")).await.batches(&client);
    let (mut read, began) = (0, Instant::now());
    while read < 30 {
        read += batches.next().await.unwrap().unwrap().as_sdk().len();
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(kinesis.requests().iter().all(|request| request.error().is_none()), "a limit was met");
}

#[test]
#[should_panic(expected = "max_records is 0")]
fn no_records_at_a_time_are_refused() {
    let _ = ReadOptions::new().max_records(0);
}
