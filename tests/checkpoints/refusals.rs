//! Kinesis refuses the position of a checkpoint.

use super::store::Answer;
use super::*;

const START: Checkpoint = Checkpoint::Start(StartPosition::TrimHorizon);

/// An earlier run has acknowledged record 0 of the first shard, out of three.
async fn one_of_three_is_done() -> (World, Checkpoint) {
    let world = World::new(1);
    world.put(0..3);
    let checkpoints = world.load().await;
    let first = next(&mut world.records(&checkpoints)).await.ack();
    checkpoints.flush().await;
    (world, after(&first))
}

fn has_gap(world: &World) -> bool {
    gaps(world) > 0
}

fn about_something_else() -> Fault {
    Fault::Error { status: 400, code: "InvalidArgumentException".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_argument_that_is_not_the_sequence_number_leaves_the_checkpoint() {
    let (world, done) = one_of_three_is_done().await;
    let calls = world.store.calls(FIRST);
    world.kinesis.fail_always("GetShardIterator", about_something_else());
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    for _ in 0..5 {
        let error = records.next().await.expect("not the end").unwrap_err();
        assert_eq!(error.code(), Some("InvalidArgumentException"));
    }
    checkpoints.flush().await;
    assert_eq!((world.store.get(FIRST), world.store.calls(FIRST)), (Some(done), calls));
    assert!(!has_gap(&world));
    world.kinesis.clear_faults();
    let again = loop {
        if let Ok(record) = records.next().await.expect("not the end") {
            break record;
        }
    };
    assert_eq!(number(&again), 1, "it goes on where it was");
}

#[tokio::test(start_paused = true)]
async fn a_position_that_is_refused_once_is_asked_for_again() {
    let (world, done) = one_of_three_is_done().await;
    let calls = world.store.calls(FIRST);
    world.kinesis.fail_next("GetShardIterator", Fault::InvalidSequenceNumber);
    let retries = Arc::new(Mutex::new(Vec::new()));
    let options = ReadOptions::new().on_event({
        let retries = Arc::clone(&retries);
        move |event| {
            if let kinesis_shards::records::ReadEventKind::Retry { failures, .. } = event.kind {
                retries.lock().unwrap().push(failures);
            }
        }
    });
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints).with_options(options);
    assert_eq!(numbers(&take(&mut records, 1).await), [1]);
    assert_eq!((world.store.get(FIRST), world.store.calls(FIRST)), (Some(done), calls));
    assert!(!has_gap(&world));
    assert_eq!(*retries.lock().unwrap(), [1]);
}

/// A page in between shows that Kinesis takes the position.
#[tokio::test(start_paused = true)]
async fn refusals_with_a_page_in_between_are_not_in_a_row() {
    let (world, done) = one_of_three_is_done().await;
    world.kinesis.on_request({
        let reads = Mutex::new(0);
        let asks = Mutex::new(0);
        move |request| match request.operation() {
            "GetRecords" => {
                let mut reads = reads.lock().unwrap();
                *reads += 1;
                // An empty page, and then the iterator is lost.
                let is_lost = *reads % 2 == 0;
                (*reads <= 8).then_some(if is_lost {
                    Fault::ExpiredIterator
                } else {
                    Fault::EmptyRead
                })
            }
            "GetShardIterator" => {
                let mut asks = asks.lock().unwrap();
                *asks += 1;
                (*asks <= 8 && *asks % 2 == 1).then_some(Fault::InvalidSequenceNumber)
            }
            _ => None,
        }
    });
    let checkpoints = world.load().await;
    assert_eq!(numbers(&take(&mut world.records(&checkpoints), 1).await), [1]);
    assert_eq!(world.store.get(FIRST), Some(done));
    assert!(!has_gap(&world));
}

/// A run against the stream of the same name in another account.
#[tokio::test(start_paused = true)]
async fn a_refused_checkpoint_stays_in_the_store_until_a_record_is_acknowledged() {
    let (world, done) = one_of_three_is_done().await;
    let calls = world.store.calls(FIRST);
    world.kinesis.fail_times("GetShardIterator", 2, Fault::InvalidSequenceNumber);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let taken = take(&mut records, 3).await;
    assert_eq!(numbers(&taken), [0, 1, 2], "from the oldest record");
    assert_eq!(checkpoints.get(FIRST), Some(START));
    assert_eq!(gaps(&world), 1);
    drop((taken, records));
    let stopped = checkpoints.shutdown(Duration::from_secs(10)).await;
    assert_eq!(stopped.checkpoints(), [(FIRST.to_owned(), done.clone())]);
    drop(checkpoints);
    assert_eq!((world.store.get(FIRST), world.store.calls(FIRST)), (Some(done), calls));

    let checkpoints = world.load().await;
    assert_eq!(numbers(&take(&mut world.records(&checkpoints), 1).await), [1]);
}

#[tokio::test(start_paused = true)]
async fn the_first_acknowledgement_saves_the_start_and_then_the_record() {
    let (world, _) = one_of_three_is_done().await;
    let calls = world.store.calls(FIRST).len();
    world.kinesis.fail_times("GetShardIterator", 2, Fault::InvalidSequenceNumber);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    let first = next(&mut records).await;
    // The start fails at first; more is acknowledged meanwhile.
    world.store.next([Answer::Fails, Answer::FailsButKeepsIt]);
    let first = first.ack();
    assert_eq!(number(&first), 0);
    checkpoints.flush().await;
    let start = || Call::Save(START);
    let expected = [start(), start(), start(), Call::Save(after(&first))];
    assert_eq!(world.store.calls(FIRST)[calls..], expected);
    let second = next(&mut records).await.ack();
    checkpoints.flush().await;
    assert_eq!(world.store.calls(FIRST)[calls + 4..], [Call::Save(after(&second))]);
}

/// All its records have expired: no record will come that could be acknowledged.
#[tokio::test(start_paused = true)]
async fn the_end_of_a_shard_that_was_refused_and_is_empty_opens_its_children() {
    let (world, _) = one_of_three_is_done().await;
    world.kinesis.advance(Duration::from_hours(23)).await;
    world.orders.split(FIRST);
    world.kinesis.advance(Duration::from_hours(2)).await;
    world.orders.put("customer 1", "7");
    world.kinesis.fail_times("GetShardIterator", 2, Fault::InvalidSequenceNumber);
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    assert_eq!(number(&next(&mut records).await.ack()), 7);
    let calls = world.store.calls(FIRST);
    assert_eq!(calls[calls.len() - 2..], [Call::Save(START), Call::Save(Checkpoint::End)]);
}

/// What was acknowledged before the refusal is saved before the shard starts over.
#[tokio::test(start_paused = true)]
async fn a_shard_starts_over_once_its_refused_checkpoint_is_durable() {
    let (world, _) = one_of_three_is_done().await;
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    world.store.always(Answer::Fails);
    let second = next(&mut records).await.ack();
    drop(records);
    world.kinesis.fail_times("GetShardIterator", 2, Fault::InvalidSequenceNumber);
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_mins(1)).await;
    assert!(!has_gap(&world));
    world.store.always(None);
    assert_eq!(numbers(&take(&mut records, 1).await), [0]);
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), Some(after(&second)), "and stays");
}
