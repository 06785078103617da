//! Records without checkpoints, processed by key or in chunks.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

/// The children of a shard open when its last record was taken, and their records wait for those of
/// the parent.
#[tokio::test(start_paused = true)]
async fn the_records_of_a_child_wait_for_those_of_its_parent_with_the_same_key() {
    let (_kinesis, orders, client) = fake(1);
    let put = |numbers: std::ops::Range<u32>| {
        for number in numbers {
            for key in ["customer 1", "customer 2", "customer 3", "customer 4"] {
                orders.put(key, number.to_string());
            }
        }
    };
    put(0..2);
    let (lower, upper) = orders.split(FIRST);
    put(2..4);
    orders.merge(&lower, &upper);
    put(4..6);
    let by_key = Mutex::new(BTreeMap::<String, Vec<u32>>::new());
    let has_overtaken = Mutex::new(false);
    let all = all_shards(&client, "orders").records(&client).for_each_by_key(8, |record| {
        let record = record.unwrap();
        let (key, number) = (record.partition_key().unwrap().to_owned(), number(&record));
        let slow = key == "customer 1";
        let mut by_key = by_key.lock().unwrap();
        by_key.entry(key).or_default().push(number);
        let slowest = by_key.get("customer 1").map_or(0, Vec::len);
        *has_overtaken.lock().unwrap() |= by_key.values().any(|of_key| of_key.len() > slowest + 3);
        sleep(if slow { SECOND * 30 } else { SECOND })
    });
    assert!(timeout(Duration::from_mins(10), all).await.is_err(), "the stream never ends");
    let by_key = by_key.into_inner().unwrap();
    assert_eq!(by_key.len(), 4);
    assert!(by_key.values().all(|numbers| *numbers == [0, 1, 2, 3, 4, 5]), "{by_key:?}");
    assert!(has_overtaken.into_inner().unwrap(), "the other keys do not wait");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_a_vector_of_records() {
    let (_kinesis, orders, client) = fake(2);
    put(&orders, 0..5);
    let mut chunks = all_shards(&client, "orders").records(&client).chunks(3, SECOND);
    for expected in [[0, 1, 2].as_slice(), &[3, 4]] {
        let chunk: Vec<Record> = chunks.next().await.unwrap().unwrap();
        assert!(chunk.iter().map(number).eq(expected.iter().copied()));
    }
}
