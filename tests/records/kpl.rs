//! Aggregated records of the Kinesis Producer Library.

use super::*;

#[tokio::test(start_paused = true)]
async fn an_aggregated_record_is_split_into_its_user_records() {
    let (_, orders, client) = fake(1);
    orders.put_to(FIRST, "0");
    orders.put_to(FIRST, include_bytes!("../kpl/three.bin"));
    orders.put_to(FIRST, "4");
    orders.split(FIRST);
    let shard = first(all_shards(&client, "orders")).await;
    let records = shard.records(&client).with_options(ReadOptions::new().deaggregate());
    let records: Vec<Record> = records.map(Result::unwrap).collect().await;
    let data: Vec<_> =
        records.iter().map(|record| std::str::from_utf8(record.data()).unwrap()).collect();
    assert_eq!(data, ["0", "first", "second", "third", "4"]);
    let subs: Vec<_> = records.iter().map(Record::sub_sequence_number).collect();
    assert_eq!(subs, [None, Some(0), Some(1), Some(2), None]);
    assert_eq!(records[1].sequence_number(), records[3].sequence_number());
}

/// The explicit hash keys of the second and the third user record are the least and the greatest.
#[tokio::test(start_paused = true)]
async fn user_records_of_other_shards_are_dropped_if_requested() {
    let (_, orders, client) = fake(2);
    orders.put_to(FIRST, include_bytes!("../kpl/three.bin"));
    orders.put_to(FIRST, "whole");
    orders.split(FIRST);
    let shard = first(all_shards(&client, "orders")).await;
    let options = ReadOptions::new().deaggregate_own_hash_range();
    let records = shard.records(&client).with_options(options);
    let records: Vec<Record> = records.map(Result::unwrap).collect().await;
    let data: Vec<_> = records.iter().map(Record::data).collect();
    assert_eq!(data, [&b"first"[..], b"second", b"whole"]);
}

#[tokio::test(start_paused = true)]
async fn the_aggregated_records_of_all_shards_are_split_page_by_page() {
    let (_, orders, client) = fake(1);
    for _ in 0..3 {
        orders.put_to(FIRST, include_bytes!("../kpl/three.bin"));
    }
    let options = ReadOptions::new().deaggregate().max_records(1);
    let records = all_shards(&client, "orders").records(&client).with_options(options);
    let records = records.take(9).map(Result::unwrap).collect();
    let records: Vec<Record> = timeout(Duration::from_mins(1), records).await.expect("9 records");
    let data: Vec<_> = records.iter().map(Record::data).collect();
    assert_eq!(data, [&b"first"[..], b"second", b"third"].repeat(3));
}
