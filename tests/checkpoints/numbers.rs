//! Sequence numbers that are not numbers, as some servers that imitate Kinesis send.

use kinesis_shards::testing::Fault;

use super::*;

#[tokio::test(start_paused = true)]
async fn a_sequence_number_that_is_not_a_number_is_never_saved() {
    let world = World::new(1);
    world.put(0..2);
    let checkpoints = world.load_with(CheckpointOptions::new().save_interval(Duration::ZERO)).await;
    let mut records = world.records(&checkpoints);
    next(&mut records).await.ack();
    let last = after(&next(&mut records).await.ack());
    checkpoints.flush().await;
    // A longer number counts as a later one.
    let number = format!("record-{:060}", 7);
    let page = format!(
        r#"{{"Records":[{{"SequenceNumber":"{number}","PartitionKey":"a","Data":"Nw=="}}],
        "NextShardIterator":"next"}}"#
    );
    world.kinesis.fail_next("GetRecords", Fault::Body(page));
    let invalid = next(&mut records).await.ack();
    assert_eq!(invalid.sequence_number(), number);
    // The next iterator is invalid, and so is the sequence number to continue from.
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
