//! Sequence numbers that are not numbers, as some servers that imitate Kinesis make them up.

use kinesis_shards::testing::Fault;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_sequence_number_that_is_no_number_is_never_confirmed_and_a_restart_loads() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load_with(CheckpointOptions::new().save_interval(Duration::ZERO)).await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    let last = after(&next(&mut records).await.ack());
    checkpoints.flush().await;
    // It is longer than a number of Kinesis, so that it counts as a later one.
    let number = format!("record-{:060}", 7);
    let page = format!(
        r#"{{"Records":[{{"SequenceNumber":"{number}","PartitionKey":"a","Data":"Nw=="}}],"NextShardIterator":"next"}}"#
    );
    world.kinesis.fail_next("GetRecords", Fault::Body(page));
    let odd = next(&mut records).await.ack();
    assert_eq!(odd.sequence_number(), number);
    // The iterator of that page is made up too, and so is the number to go on from.
    while let Ok(next) = timeout(Duration::from_mins(5), records.next()).await {
        next.expect("not the end").expect_err("there are no more records");
        if world.events().len() > 10 {
            break;
        }
    }

    let events = world.events();
    assert!(events.contains(&format!("{FIRST}: failed 3")), "{events:?}");
    assert!(!events.iter().any(|event| event.contains("saved record-")), "{events:?}");
    drop((records, checkpoints));
    assert_eq!(world.store.get(FIRST), Some(last));
    world.load().await;
}
