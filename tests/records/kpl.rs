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
