//! Refusals of a checkpoint's position by Kinesis.

use super::store::Response;
use super::*;

const START: Checkpoint = Checkpoint::Start(StartPosition::TrimHorizon);

/// Returns a world in which an earlier run has acknowledged the first of three records.
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

fn another_invalid_argument() -> Fault {
    Fault::Error { status: 400, code: "InvalidArgumentException".to_owned() }
}

#[tokio::test(start_paused = true)]
async fn another_invalid_argument_leaves_the_checkpoint_unchanged() {
    let (world, done) = one_of_three_is_done().await;
    let calls = world.store.calls(FIRST);
    world.kinesis.fail_always("GetShardIterator", another_invalid_argument());
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
    assert_eq!(number(&again), 1, "the shard continues after its checkpoint");
}

#[tokio::test(start_paused = true)]
async fn a_position_that_is_refused_once_is_requested_again() {
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

/// A page in between shows that Kinesis accepts the position.
#[tokio::test(start_paused = true)]
async fn refusals_with_a_page_in_between_are_not_in_a_row() {
    let (world, done) = one_of_three_is_done().await;
    world.kinesis.on_request({
        let reads = Mutex::new(0);
        let iterators = Mutex::new(0);
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
                let mut iterators = iterators.lock().unwrap();
                *iterators += 1;
                (*iterators <= 8 && *iterators % 2 == 1).then_some(Fault::InvalidSequenceNumber)
            }
            _ => None,
        }
    });
    let checkpoints = world.load().await;
    assert_eq!(numbers(&take(&mut world.records(&checkpoints), 1).await), [1]);
    assert_eq!(world.store.get(FIRST), Some(done));
    assert!(!has_gap(&world));
}

/// The run reads the stream of the same name in another account.
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
    let report = checkpoints.shutdown(Duration::from_secs(10)).await;
    assert_eq!(report.checkpoints(), [(FIRST.to_owned(), done.clone())]);
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
    // The start cannot be saved at first.
    world.store.next([Response::Fails, Response::FailsAfterSaving]);
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

/// All records of the shard have expired, so that none can be acknowledged.
#[tokio::test(start_paused = true)]
async fn the_end_of_an_empty_shard_that_started_over_opens_its_children() {
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

/// Acknowledgements before the refusal are saved first.
#[tokio::test(start_paused = true)]
async fn a_shard_starts_over_once_its_refused_checkpoint_is_durable() {
    let (world, _) = one_of_three_is_done().await;
    let checkpoints = world.load().await;
    let mut records = world.records(&checkpoints);
    world.store.always(Response::Fails);
    let second = next(&mut records).await.ack();
    drop(records);
    world.kinesis.fail_times("GetShardIterator", 2, Fault::InvalidSequenceNumber);
    let mut records = world.records(&checkpoints);
    nothing_for(&mut records, Duration::from_mins(1)).await;
    assert!(!has_gap(&world));
    world.store.always(None);
    assert_eq!(numbers(&take(&mut records, 1).await), [0]);
    checkpoints.flush().await;
    assert_eq!(world.store.get(FIRST), Some(after(&second)), "the checkpoint stays");
}
