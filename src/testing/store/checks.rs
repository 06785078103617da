//! The promises, one after the other.

use tokio::time::{Duration, sleep};

use super::probe::{CHILDREN, Probe, Rows, Until};
use super::samples::{after, ids, invalid_kinds, kinds, many, nth};
use crate::{Checkpoint, CheckpointStore, StartPosition, StreamId};

/// More than a page of most stores.
const MANY: usize = 2_000;
const FIRST: &str = "shardId-000000000000";
const SECOND: &str = "shardId-000000000001";

/// What was confirmed, by stream.
type Confirmed = Vec<(StreamId, Rows)>;

pub(super) async fn run<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    unknown(probe).await;
    every_kind(probe).await;
    invalid(probe).await;
    overwriting(probe).await;
    streams_apart(probe).await;
    name_and_arn(probe).await;
    shards_apart(probe).await;
    forgetting(probe).await;
    starting_over(probe).await;
    ends(probe).await;
    dropped_saves(probe).await;
    dropped_calls_and_others(probe).await;
    side_by_side(probe).await;
}

async fn is<S: CheckpointStore + ?Sized>(
    probe: &Probe<'_, S>,
    stream: &StreamId,
    expected: &Rows,
    promise: &str,
) {
    let loaded = probe.load(stream, promise).await;
    if loaded == *expected {
        return;
    }
    let shards = expected.keys().chain(loaded.keys());
    let wrong = shards.map(|id| (id, expected.get(id), loaded.get(id))).find(|(_, a, b)| a != b);
    let (id, was, came) = wrong.expect("they differ somewhere");
    let text = |of: Option<&Checkpoint>| of.map_or("nothing".to_owned(), |of| format!("{of} ({of:?})"));
    let (was, came) = (text(was), text(came));
    panic!(
        "{promise}: of shard {id} of {stream}, load gives {came}; it was to give {was}. It gives {} shards of {}",
        loaded.len(),
        expected.len()
    );
}

fn rows<const N: usize>(rows: [(&str, Checkpoint); N]) -> Rows {
    rows.map(|(id, checkpoint)| (id.to_owned(), checkpoint)).into()
}

async fn unknown<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let promise = "a stream that is not known loads as empty, which is no error";
    is(probe, &probe.stream("-unknown"), &Rows::new(), promise).await;
}

async fn every_kind<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-kinds");
    let mut expected = Rows::new();
    for (n, (kind, checkpoint)) in kinds().into_iter().enumerate() {
        let promise = format!("what is saved is what is loaded ({kind})");
        let id = format!("shardId-{n:012}");
        probe.save(&stream, &id, &checkpoint, &promise).await;
        expected.insert(id, checkpoint);
        is(probe, &stream, &expected, &promise).await;
    }
    // The same again, each in the place of another kind.
    let promise = "a checkpoint of any kind takes the place of one of another";
    let kinds = kinds();
    for (n, id) in expected.keys().cloned().collect::<Vec<_>>().into_iter().enumerate() {
        let (_, checkpoint) = &kinds[(n + 7) % kinds.len()];
        if n + 7 >= kinds.len() {
            // It never goes back, until it is forgotten.
            probe.forget(&stream, &id, promise).await;
        }
        probe.save(&stream, &id, checkpoint, promise).await;
        expected.insert(id, checkpoint.clone());
    }
    is(probe, &stream, &expected, promise).await;
}

async fn invalid<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-invalid");
    let promise = "a checkpoint that cannot be loaded again is refused by save, and the one before stays";
    let kept = rows([(FIRST, nth(1))]);
    probe.save(&stream, FIRST, &nth(1), promise).await;
    for (kind, checkpoint) in invalid_kinds() {
        let promise = format!("{promise} ({kind})");
        for id in [FIRST, SECOND] {
            probe.save_invalid(&stream, id, &checkpoint, &promise).await;
            is(probe, &stream, &kept, &promise).await;
        }
    }
}

async fn overwriting<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-overwriting");
    let promise = "a save takes the place of the one before";
    let life = [
        Checkpoint::Start(StartPosition::TrimHorizon),
        // 9 and 10: by their text, the later would be the lesser.
        after("9", None),
        after("10", Some(0)),
        after("10", Some(9)),
        after("10", Some(10)),
        after("10", None),
        Checkpoint::End,
    ];
    for checkpoint in life {
        probe.save(&stream, FIRST, &checkpoint, promise).await;
        is(probe, &stream, &rows([(FIRST, checkpoint.clone())]), promise).await;
        let promise = "the same may be saved again";
        probe.save(&stream, FIRST, &checkpoint, promise).await;
        is(probe, &stream, &rows([(FIRST, checkpoint)]), promise).await;
    }
}

async fn streams_apart<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let promise = "streams are kept apart";
    let names = ["-a", "-a-b", "-a.b", "-a_b", "-A", "-a-", "-a.", "-a_", "-aa", "-", "--a"];
    // A key that joins the two would take one shard of one stream for another of another.
    let ids = ["b", "b-c", "b.c", "b_c", "c", "-b"];
    let mut streams = Vec::new();
    for name in names {
        let stream = probe.stream(name);
        let mut expected = Rows::new();
        for id in ids {
            let checkpoint = nth(streams.len() * ids.len() + expected.len());
            probe.save(&stream, id, &checkpoint, promise).await;
            expected.insert(id.to_owned(), checkpoint);
        }
        streams.push((stream, expected));
    }
    all_are(probe, &streams, promise).await;
    let promise = "what is forgotten of one stream is kept of the others";
    probe.forget_all(&streams[0].0, &streams[0].1, promise).await;
    streams[0].1.clear();
    all_are(probe, &streams, promise).await;
}

async fn all_are<S: CheckpointStore + ?Sized>(
    probe: &Probe<'_, S>,
    streams: &[(StreamId, Rows)],
    promise: &str,
) {
    for (stream, expected) in streams {
        is(probe, stream, expected, promise).await;
    }
}

async fn name_and_arn<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let promise = "a stream by its name and by its ARN is the same";
    let name = probe.stream("-by-name");
    let arn = StreamId::from(format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{}", name.name()));
    probe.save(&name, FIRST, &nth(1), promise).await;
    is(probe, &arn, &rows([(FIRST, nth(1))]), promise).await;
    probe.save(&arn, FIRST, &nth(2), promise).await;
    probe.save(&arn, SECOND, &nth(3), promise).await;
    is(probe, &name, &rows([(FIRST, nth(2)), (SECOND, nth(3))]), promise).await;
    probe.forget(&arn, FIRST, promise).await;
    probe.forget(&name, SECOND, promise).await;
    is(probe, &name, &Rows::new(), promise).await;
    is(probe, &arn, &Rows::new(), promise).await;
}

async fn shards_apart<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let promise = "shards are kept apart, and their ids as they are";
    let stream = probe.stream("-shards");
    let mut expected: Rows = ids().into_iter().enumerate().map(|(n, id)| (id, nth(n))).collect();
    for (id, checkpoint) in &expected {
        probe.save(&stream, id, checkpoint, promise).await;
    }
    is(probe, &stream, &expected, promise).await;
    while let Some((id, _)) = expected.pop_first() {
        let promise = format!("forgetting one shard ({id}) leaves the others");
        probe.forget(&stream, &id, &promise).await;
        is(probe, &stream, &expected, &promise).await;
    }
}

async fn forgetting<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-forgetting");
    let promise = "that nothing is known of what is to be forgotten is no error";
    probe.forget(&stream, FIRST, promise).await;
    is(probe, &stream, &Rows::new(), promise).await;
    probe.save(&stream, FIRST, &Checkpoint::End, promise).await;
    probe.forget(&stream, SECOND, promise).await;
    is(probe, &stream, &rows([(FIRST, Checkpoint::End)]), promise).await;
    let promise = "what was forgotten is gone";
    probe.forget(&stream, FIRST, promise).await;
    is(probe, &stream, &Rows::new(), promise).await;
    let promise = "what was forgotten may be forgotten again";
    probe.forget(&stream, FIRST, promise).await;
    is(probe, &stream, &Rows::new(), promise).await;
    // A stream that was deleted and created again: its shards have the ids of the old one's.
    let promise = "what was forgotten may be saved again, also from an earlier place";
    let checkpoint = Checkpoint::Start(StartPosition::TrimHorizon);
    probe.save(&stream, FIRST, &checkpoint, promise).await;
    is(probe, &stream, &rows([(FIRST, checkpoint)]), promise).await;
}

async fn starting_over<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-starting-over");
    let promise = "a start takes the place of anything: Kinesis does not take the old position any more";
    for (n, old) in [nth(7), Checkpoint::End].into_iter().enumerate() {
        let id = format!("shardId-{n:012}");
        probe.save(&stream, &id, &old, promise).await;
        probe.save(&stream, &id, &Checkpoint::Start(StartPosition::TrimHorizon), promise).await;
        probe.save(&stream, &id, &nth(5), promise).await;
    }
    is(probe, &stream, &rows([(FIRST, nth(5)), (SECOND, nth(5))]), promise).await;
}

/// The other parent of a merge may have ended before, and its child begun; or an end is saved again.
async fn ends<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-ends");
    let promise = "the end of a shard leaves the children that it names where they are";
    for (child, checkpoint) in CHILDREN.into_iter().zip([nth(1), Checkpoint::End]) {
        probe.save(&stream, child, &checkpoint, promise).await;
    }
    probe.save(&stream, FIRST, &Checkpoint::End, promise).await;
    probe.save(&stream, FIRST, &Checkpoint::End, promise).await;
    let [left, right] = CHILDREN;
    let expected = rows([(FIRST, Checkpoint::End), (left, nth(1)), (right, Checkpoint::End)]);
    is(probe, &stream, &expected, promise).await;
}

/// How far a call goes before it is dropped: so many polls, or for so many milliseconds.
const DROPPED: [Until; 13] = [
    Until::Polls(0),
    Until::Polls(1),
    Until::Polls(2),
    Until::Polls(3),
    Until::Polls(5),
    Until::Polls(10),
    Until::Polls(30),
    Until::Polls(100),
    Until::Millis(1),
    Until::Millis(2),
    Until::Millis(4),
    Until::Millis(8),
    Until::Millis(16),
];
/// For what was dropped to take effect, should it.
const LATE: Duration = Duration::from_millis(100);

async fn dropped_saves<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-dropped");
    for (n, until) in DROPPED.into_iter().enumerate() {
        let [old, new, newer] = [3 * n, 3 * n + 1, 3 * n + 2].map(nth);
        let promise = "a save that is dropped leaves the old or the new";
        probe.save(&stream, FIRST, &old, promise).await;
        probe.begin_save(&stream, FIRST, &new, until).await;
        // Loaded once: it may take effect at any time, until there is a later call.
        let loaded = probe.load(&stream, promise).await;
        let is_either = loaded == rows([(FIRST, old)]) || loaded == rows([(FIRST, new)]);
        assert!(is_either, "{promise}: of {stream}, dropped after {until:?}, load gives {loaded:?}");
        let promise = "after a save that was dropped, later ones work";
        probe.save(&stream, FIRST, &newer, promise).await;
        is(probe, &stream, &rows([(FIRST, newer)]), promise).await;
    }
}

/// A shard for each way to drop a call: then all of them are waited for together.
async fn dropped_calls_and_others<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-dropped-late");
    let ids: Vec<String> = (0..DROPPED.len()).map(|n| format!("shardId-{n:012}")).collect();
    let dropped = || ids.iter().zip(DROPPED);
    let all_at = |n: usize| ids.iter().map(|id| (id.clone(), nth(n))).collect::<Rows>();

    let promise = "a save that was dropped does not take effect after a later one";
    probe.save_all(&stream, &all_at(1), promise).await;
    for (id, until) in dropped() {
        probe.begin_save(&stream, id, &nth(2), until).await;
        probe.save(&stream, id, &nth(3), promise).await;
    }
    sleep(LATE).await;
    is(probe, &stream, &all_at(3), promise).await;

    let promise = "what a forget that was dropped may have forgotten is kept when it is saved later";
    for (id, until) in dropped() {
        probe.begin_forget(&stream, id, until).await;
        probe.save(&stream, id, &nth(4), promise).await;
    }
    sleep(LATE).await;
    is(probe, &stream, &all_at(4), promise).await;

    let promise = "a save that was dropped does not bring back what is forgotten later";
    for (id, until) in dropped() {
        probe.begin_save(&stream, id, &nth(5), until).await;
        probe.forget(&stream, id, promise).await;
    }
    sleep(LATE).await;
    is(probe, &stream, &Rows::new(), promise).await;
}

async fn side_by_side<S: CheckpointStore + ?Sized>(probe: &Probe<'_, S>) {
    let stream = probe.stream("-many");
    let promise = "of many shards that are saved side by side, all are kept";
    let mut expected = many(MANY);
    probe.save_all(&stream, &expected, promise).await;
    is(probe, &stream, &expected, promise).await;
    for checkpoint in expected.values_mut().step_by(10) {
        *checkpoint = Checkpoint::End;
    }
    probe.save_all(&stream, &expected, promise).await;
    is(probe, &stream, &expected, promise).await;
    let promise = "of many shards that are forgotten side by side, all are gone, and no others";
    let mut kept = expected.clone();
    let forgotten: Rows = kept.extract_if(.., |_, checkpoint| *checkpoint == Checkpoint::End).collect();
    probe.forget_all(&stream, &forgotten, promise).await;
    is(probe, &stream, &kept, promise).await;
    probe.forget_all(&stream, &kept, promise).await;
    is(probe, &stream, &Rows::new(), promise).await;
}

/// Saves, forgets, and drops a save: the last things before the store is closed.
pub(super) async fn before_reopening<S: CheckpointStore>(probe: &Probe<'_, S>) -> Confirmed {
    let promise = "a save is answered";
    let of_kinds = probe.stream("-reopened");
    let kinds = kinds().into_iter().enumerate().map(|(n, (_, kind))| (format!("shardId-{n:012}"), kind));
    let kinds: Rows = kinds.collect();
    probe.save_all(&of_kinds, &kinds, promise).await;
    let of_many = probe.stream("-reopened-many");
    let many = many(200);
    probe.save_all(&of_many, &many, promise).await;
    probe.begin_save(&probe.stream("-reopened-dropped"), FIRST, &nth(1), Until::Polls(1)).await;
    let mut confirmed = vec![(of_kinds, kinds), (of_many, many)];
    change(probe, &mut confirmed, 1).await;
    confirmed
}

/// All that was confirmed is there, and may be changed.
pub(super) async fn after_reopening<S: CheckpointStore>(
    probe: &Probe<'_, S>,
    mut confirmed: Confirmed,
) -> Confirmed {
    all_are(probe, &confirmed, "what was confirmed before the store was closed is there when it is reopened")
        .await;
    change(probe, &mut confirmed, 2).await;
    all_are(probe, &confirmed, "a store that was reopened saves and forgets").await;
    confirmed
}

/// Forgets one shard of each stream, and saves another last of all.
async fn change<S: CheckpointStore>(probe: &Probe<'_, S>, confirmed: &mut Confirmed, time: usize) {
    let promise = "a call is answered";
    for (stream, rows) in confirmed {
        if let Some((id, _)) = rows.pop_first() {
            probe.forget(stream, &id, promise).await;
        }
        let last = "shardId-999999999999";
        probe.save(stream, last, &nth(time), promise).await;
        rows.insert(last.to_owned(), nth(time));
    }
}

pub(super) async fn forget_all<S: CheckpointStore>(probe: &Probe<'_, S>, confirmed: Confirmed) {
    for (stream, rows) in confirmed {
        probe.forget_all(&stream, &rows, "a call is answered").await;
    }
}

/// After the end.
pub(super) async fn all_forgotten<S: CheckpointStore>(probe: &Probe<'_, S>) {
    let promise = "what was forgotten before the store was closed is gone when it is reopened";
    for name in ["-reopened", "-reopened-many"] {
        is(probe, &probe.stream(name), &Rows::new(), promise).await;
    }
}
