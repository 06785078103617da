//! The checks, one function for each group of promises.

use tokio::time::{Duration, sleep};

use crate::checkpoint::store::CheckpointStore;
use crate::checkpoint::value::Checkpoint;
use crate::shard::position::StartPosition;
use crate::shard::stream_id::StreamId;
use crate::testing::store::samples::{after, ids, invalid_kinds, kinds, many, nth};
use crate::testing::store::under_test::{CHILDREN, DropAfter, Rows, StoreUnderTest};

/// Most stores return this many shards in more than one page.
const MANY: usize = 2_000;
const FIRST: &str = "shardId-000000000000";
const SECOND: &str = "shardId-000000000001";

/// The checkpoints that the store has confirmed, by stream.
type Confirmed = Vec<(StreamId, Rows)>;

pub(crate) async fn run<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    unknown_stream(store).await;
    every_kind(store).await;
    invalid_checkpoints(store).await;
    overwriting(store).await;
    streams_apart(store).await;
    namesakes(store).await;
    name_and_arn(store).await;
    shards_apart(store).await;
    forgetting(store).await;
    starting_over(store).await;
    end_keeps_children(store).await;
    dropped_saves(store).await;
    dropped_calls_and_others(store).await;
    concurrent_calls(store).await;
}

async fn assert_loads<S: CheckpointStore + ?Sized>(
    store: &StoreUnderTest<'_, S>,
    stream: &StreamId,
    expected: &Rows,
    promise: &str,
) {
    let loaded = store.load(stream, promise).await;
    if loaded == *expected {
        return;
    }
    let shards = expected.keys().chain(loaded.keys());
    let wrong = shards.map(|id| (id, expected.get(id), loaded.get(id))).find(|(_, a, b)| a != b);
    let (id, saved, actual) = wrong.expect("the rows differ");
    let text =
        |of: Option<&Checkpoint>| of.map_or("nothing".to_owned(), |of| format!("{of} ({of:?})"));
    panic!(
        "{promise}: load returned {} instead of {} for shard {id} of {stream}, and {} of {} shards",
        text(actual),
        text(saved),
        loaded.len(),
        expected.len()
    );
}

fn rows<const N: usize>(rows: [(&str, Checkpoint); N]) -> Rows {
    rows.map(|(id, checkpoint)| (id.to_owned(), checkpoint)).into()
}

async fn unknown_stream<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let promise = "load returns no shards and no error for an unknown stream";
    assert_loads(store, &store.stream("-unknown"), &Rows::new(), promise).await;
}

async fn every_kind<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-kinds");
    let mut expected = Rows::new();
    for (n, (kind, checkpoint)) in kinds().into_iter().enumerate() {
        let promise = format!("load returns what was saved ({kind})");
        let id = format!("shardId-{n:012}");
        store.save(&stream, &id, &checkpoint, &promise).await;
        expected.insert(id, checkpoint);
        assert_loads(store, &stream, &expected, &promise).await;
    }
    // Every kind once more, in place of a checkpoint of another kind.
    let promise = "a save replaces a checkpoint of another kind";
    let kinds = kinds();
    for (n, id) in expected.keys().cloned().collect::<Vec<_>>().into_iter().enumerate() {
        let (_, checkpoint) = &kinds[(n + 7) % kinds.len()];
        if n + 7 >= kinds.len() {
            // A shard's checkpoint never moves back unless the shard is forgotten.
            store.forget(&stream, &id, promise).await;
        }
        store.save(&stream, &id, checkpoint, promise).await;
        expected.insert(id, checkpoint.clone());
    }
    assert_loads(store, &stream, &expected, promise).await;
}

async fn invalid_checkpoints<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-invalid");
    let promise = "save rejects an invalid checkpoint and keeps the one before";
    let kept = rows([(FIRST, nth(1))]);
    store.save(&stream, FIRST, &nth(1), promise).await;
    for (kind, checkpoint) in invalid_kinds() {
        let promise = format!("{promise} ({kind})");
        for id in [FIRST, SECOND] {
            store.save_invalid(&stream, id, &checkpoint, &promise).await;
            assert_loads(store, &stream, &kept, &promise).await;
        }
    }
}

async fn overwriting<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-overwriting");
    let promise = "a save replaces the one before";
    let checkpoints = [
        Checkpoint::Start(StartPosition::TrimHorizon),
        // As texts, 10 sorts before 9.
        after("9", None),
        after("10", Some(0)),
        after("10", Some(9)),
        after("10", Some(10)),
        after("10", None),
        Checkpoint::End,
    ];
    for checkpoint in checkpoints {
        store.save(&stream, FIRST, &checkpoint, promise).await;
        assert_loads(store, &stream, &rows([(FIRST, checkpoint.clone())]), promise).await;
        let promise = "the same checkpoint can be saved again";
        store.save(&stream, FIRST, &checkpoint, promise).await;
        assert_loads(store, &stream, &rows([(FIRST, checkpoint)]), promise).await;
    }
}

async fn streams_apart<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let promise = "the store keeps streams apart";
    let names = ["-a", "-a-b", "-a.b", "-a_b", "-A", "-a-", "-a.", "-a_", "-aa", "-", "--a"];
    // A key that joins the stream's name and the shard's id would confuse these.
    let ids = ["b", "b-c", "b.c", "b_c", "c", "-b"];
    let mut streams = Vec::new();
    for name in names {
        let stream = store.stream(name);
        let mut expected = Rows::new();
        for id in ids {
            let checkpoint = nth(streams.len() * ids.len() + expected.len());
            store.save(&stream, id, &checkpoint, promise).await;
            expected.insert(id.to_owned(), checkpoint);
        }
        streams.push((stream, expected));
    }
    assert_all_load(store, &streams, promise).await;
    let promise = "forgetting the shards of one stream keeps those of the others";
    store.forget_all(&streams[0].0, &streams[0].1, promise).await;
    streams[0].1.clear();
    assert_all_load(store, &streams, promise).await;
}

async fn assert_all_load<S: CheckpointStore + ?Sized>(
    store: &StoreUnderTest<'_, S>,
    streams: &[(StreamId, Rows)],
    promise: &str,
) {
    for (stream, expected) in streams {
        assert_loads(store, stream, expected, promise).await;
    }
}

fn arn(region: &str, account: &str, name: &StreamId) -> StreamId {
    StreamId::from(format!("arn:aws:kinesis:{region}:{account}:stream/{}", name.name()))
}

async fn namesakes<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let promise = "streams of one name in two regions or accounts are kept apart";
    let name = store.stream("-namesakes");
    let places = [
        ("eu-west-1", "123456789012"),
        ("us-east-1", "123456789012"),
        ("eu-west-1", "210987654321"),
    ];
    let mut streams = Vec::new();
    for (region, account) in places {
        let stream = arn(region, account, &name);
        assert_loads(store, &stream, &Rows::new(), promise).await;
        let expected =
            rows([(FIRST, nth(2 * streams.len())), (SECOND, nth(2 * streams.len() + 1))]);
        store.save_all(&stream, &expected, promise).await;
        streams.push((stream, expected));
    }
    assert_all_load(store, &streams, promise).await;
    store.forget_all(&streams[1].0, &streams[1].1, promise).await;
    streams[1].1.clear();
    assert_all_load(store, &streams, promise).await;
}

async fn name_and_arn<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let promise = "a bare name beside an ARN of that name is refused";
    let name = store.stream("-by-arn");
    let by_arn = arn("eu-west-1", "123456789012", &name);
    store.save(&by_arn, FIRST, &nth(1), promise).await;
    assert_refused(store, &name, promise).await;
    assert_loads(store, &by_arn, &rows([(FIRST, nth(1))]), promise).await;
    store.forget(&by_arn, FIRST, promise).await;
    let promise = "a bare name is not refused beside an ARN whose shards are all forgotten";
    assert_loads(store, &name, &Rows::new(), promise).await;

    let promise = "an ARN beside the bare name is refused";
    let name = store.stream("-by-name");
    let by_arn = arn("eu-west-1", "123456789012", &name);
    store.save(&name, FIRST, &nth(1), promise).await;
    assert_refused(store, &by_arn, promise).await;
    assert_loads(store, &name, &rows([(FIRST, nth(1))]), promise).await;
    let promise = "a stream that has checkpoints of its own is not refused";
    store.save(&by_arn, FIRST, &nth(2), promise).await;
    assert_loads(store, &by_arn, &rows([(FIRST, nth(2))]), promise).await;
    assert_loads(store, &name, &rows([(FIRST, nth(1))]), promise).await;
}

async fn assert_refused<S: CheckpointStore + ?Sized>(
    store: &StoreUnderTest<'_, S>,
    stream: &StreamId,
    promise: &str,
) {
    let loaded = store.try_load(stream, promise).await;
    assert!(loaded.is_err(), "{promise}: load of {stream} returned {loaded:?} instead of an error");
}

async fn shards_apart<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let promise = "the store keeps shards apart and their ids unchanged";
    let stream = store.stream("-shards");
    let mut expected: Rows = ids().into_iter().enumerate().map(|(n, id)| (id, nth(n))).collect();
    for (id, checkpoint) in &expected {
        store.save(&stream, id, checkpoint, promise).await;
    }
    assert_loads(store, &stream, &expected, promise).await;
    while let Some((id, _)) = expected.pop_first() {
        let promise = format!("forgetting one shard ({id}) keeps the others");
        store.forget(&stream, &id, &promise).await;
        assert_loads(store, &stream, &expected, &promise).await;
    }
}

async fn forgetting<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-forgetting");
    let promise = "forgetting an unknown shard is not an error";
    store.forget(&stream, FIRST, promise).await;
    assert_loads(store, &stream, &Rows::new(), promise).await;
    store.save(&stream, FIRST, &Checkpoint::End, promise).await;
    store.forget(&stream, SECOND, promise).await;
    assert_loads(store, &stream, &rows([(FIRST, Checkpoint::End)]), promise).await;
    let promise = "load does not return a forgotten shard";
    store.forget(&stream, FIRST, promise).await;
    assert_loads(store, &stream, &Rows::new(), promise).await;
    let promise = "a forgotten shard can be forgotten again";
    store.forget(&stream, FIRST, promise).await;
    assert_loads(store, &stream, &Rows::new(), promise).await;
    // The shards of a re-created stream have the ids of the old one's.
    let promise = "a forgotten shard can be saved again, even at an earlier position";
    let checkpoint = Checkpoint::Start(StartPosition::TrimHorizon);
    store.save(&stream, FIRST, &checkpoint, promise).await;
    assert_loads(store, &stream, &rows([(FIRST, checkpoint)]), promise).await;
}

async fn starting_over<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-starting-over");
    let promise =
        "a start replaces any checkpoint, because Kinesis no longer accepts the old position";
    for (n, old) in [nth(7), Checkpoint::End].into_iter().enumerate() {
        let id = format!("shardId-{n:012}");
        store.save(&stream, &id, &old, promise).await;
        store.save(&stream, &id, &Checkpoint::Start(StartPosition::TrimHorizon), promise).await;
        store.save(&stream, &id, &nth(5), promise).await;
    }
    assert_loads(store, &stream, &rows([(FIRST, nth(5)), (SECOND, nth(5))]), promise).await;
}

/// The end of a shard can be saved after its children have started: another parent of a merge ended
/// earlier, or the end is saved again.
async fn end_keeps_children<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-ends");
    let promise = "the end of a shard leaves the checkpoints of its children unchanged";
    for (child, checkpoint) in CHILDREN.into_iter().zip([nth(1), Checkpoint::End]) {
        store.save(&stream, child, &checkpoint, promise).await;
    }
    store.save(&stream, FIRST, &Checkpoint::End, promise).await;
    store.save(&stream, FIRST, &Checkpoint::End, promise).await;
    let [left, right] = CHILDREN;
    let expected = rows([(FIRST, Checkpoint::End), (left, nth(1)), (right, Checkpoint::End)]);
    assert_loads(store, &stream, &expected, promise).await;
}

/// The points at which a call is dropped.
const DROPPED: [DropAfter; 13] = [
    DropAfter::Polls(0),
    DropAfter::Polls(1),
    DropAfter::Polls(2),
    DropAfter::Polls(3),
    DropAfter::Polls(5),
    DropAfter::Polls(10),
    DropAfter::Polls(30),
    DropAfter::Polls(100),
    DropAfter::Millis(1),
    DropAfter::Millis(2),
    DropAfter::Millis(4),
    DropAfter::Millis(8),
    DropAfter::Millis(16),
];
/// The time within which a dropped call takes effect in a faulty store.
const LATE: Duration = Duration::from_millis(100);

async fn dropped_saves<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-dropped");
    for (n, drop_after) in DROPPED.into_iter().enumerate() {
        let [old, new, newer] = [3 * n, 3 * n + 1, 3 * n + 2].map(nth);
        let promise = "a dropped save leaves the old checkpoint or the new one";
        store.save(&stream, FIRST, &old, promise).await;
        store.save_and_drop(&stream, FIRST, &new, drop_after).await;
        // Load once only: a dropped save may take effect at any time before a later save.
        let loaded = store.load(&stream, promise).await;
        let is_either = loaded == rows([(FIRST, old)]) || loaded == rows([(FIRST, new)]);
        assert!(
            is_either,
            "{promise}: load returned {loaded:?} for {stream} after a save that was dropped \
             after {drop_after:?}"
        );
        let promise = "later saves work after a dropped one";
        store.save(&stream, FIRST, &newer, promise).await;
        assert_loads(store, &stream, &rows([(FIRST, newer)]), promise).await;
    }
}

/// Each way to drop a call has a shard of its own, so that all of them share one wait.
async fn dropped_calls_and_others<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-dropped-late");
    let ids: Vec<String> = (0..DROPPED.len()).map(|n| format!("shardId-{n:012}")).collect();
    let dropped = || ids.iter().zip(DROPPED);
    let all_at = |n: usize| ids.iter().map(|id| (id.clone(), nth(n))).collect::<Rows>();

    let promise = "a dropped save does not take effect after a later one";
    store.save_all(&stream, &all_at(1), promise).await;
    for (id, drop_after) in dropped() {
        store.save_and_drop(&stream, id, &nth(2), drop_after).await;
        store.save(&stream, id, &nth(3), promise).await;
    }
    sleep(LATE).await;
    assert_loads(store, &stream, &all_at(3), promise).await;

    let promise = "a dropped forget does not take effect after a later save";
    for (id, drop_after) in dropped() {
        store.forget_and_drop(&stream, id, drop_after).await;
        store.save(&stream, id, &nth(4), promise).await;
    }
    sleep(LATE).await;
    assert_loads(store, &stream, &all_at(4), promise).await;

    let promise = "a dropped save does not take effect after a later forget";
    for (id, drop_after) in dropped() {
        store.save_and_drop(&stream, id, &nth(5), drop_after).await;
        store.forget(&stream, id, promise).await;
    }
    sleep(LATE).await;
    assert_loads(store, &stream, &Rows::new(), promise).await;
}

async fn concurrent_calls<S: CheckpointStore + ?Sized>(store: &StoreUnderTest<'_, S>) {
    let stream = store.stream("-many");
    let promise = "the store keeps every one of many concurrent saves";
    let mut expected = many(MANY);
    store.save_all(&stream, &expected, promise).await;
    assert_loads(store, &stream, &expected, promise).await;
    for checkpoint in expected.values_mut().step_by(10) {
        *checkpoint = Checkpoint::End;
    }
    store.save_all(&stream, &expected, promise).await;
    assert_loads(store, &stream, &expected, promise).await;
    let promise = "many concurrent calls of forget remove their shards and no others";
    let mut kept = expected.clone();
    let forgotten: Rows =
        kept.extract_if(.., |_, checkpoint| *checkpoint == Checkpoint::End).collect();
    store.forget_all(&stream, &forgotten, promise).await;
    assert_loads(store, &stream, &kept, promise).await;
    store.forget_all(&stream, &kept, promise).await;
    assert_loads(store, &stream, &Rows::new(), promise).await;
}

/// Makes the last calls before the store is closed: saves, forgets, and a save that is dropped.
pub(crate) async fn before_reopening<S: CheckpointStore>(
    store: &StoreUnderTest<'_, S>,
) -> Confirmed {
    let promise = "a save succeeds";
    let of_kinds = store.stream("-reopened");
    let kinds =
        kinds().into_iter().enumerate().map(|(n, (_, kind))| (format!("shardId-{n:012}"), kind));
    let kinds: Rows = kinds.collect();
    store.save_all(&of_kinds, &kinds, promise).await;
    let of_many = store.stream("-reopened-many");
    let many = many(200);
    store.save_all(&of_many, &many, promise).await;
    store
        .save_and_drop(&store.stream("-reopened-dropped"), FIRST, &nth(1), DropAfter::Polls(1))
        .await;
    let mut confirmed = vec![(of_kinds, kinds), (of_many, many)];
    change(store, &mut confirmed, 1).await;
    confirmed
}

/// Checks that the store still has everything that was confirmed, and that it can be changed.
pub(crate) async fn after_reopening<S: CheckpointStore>(
    store: &StoreUnderTest<'_, S>,
    mut confirmed: Confirmed,
) -> Confirmed {
    assert_all_load(store, &confirmed, "a reopened store has everything that was confirmed before")
        .await;
    change(store, &mut confirmed, 2).await;
    assert_all_load(store, &confirmed, "a reopened store saves and forgets").await;
    confirmed
}

/// Forgets one shard of each stream, and then saves another.
async fn change<S: CheckpointStore>(
    store: &StoreUnderTest<'_, S>,
    confirmed: &mut Confirmed,
    time: usize,
) {
    let promise = "a call succeeds";
    for (stream, rows) in confirmed {
        if let Some((id, _)) = rows.pop_first() {
            store.forget(stream, &id, promise).await;
        }
        let last = "shardId-999999999999";
        store.save(stream, last, &nth(time), promise).await;
        rows.insert(last.to_owned(), nth(time));
    }
}

pub(crate) async fn forget_all<S: CheckpointStore>(
    store: &StoreUnderTest<'_, S>,
    confirmed: Confirmed,
) {
    for (stream, rows) in confirmed {
        store.forget_all(&stream, &rows, "a call succeeds").await;
    }
}

/// Checks that nothing is left after [`forget_all`].
pub(crate) async fn all_forgotten<S: CheckpointStore>(store: &StoreUnderTest<'_, S>) {
    let promise = "a reopened store has nothing that was forgotten before";
    for name in ["-reopened", "-reopened-many"] {
        assert_loads(store, &store.stream(name), &Rows::new(), promise).await;
    }
}
