//! Where each shard starts, by `StartAt` and `resume`.

use super::*;

fn assert_start(handles: &[ShardHandle], expected: &[(u64, StartPosition)]) {
    let mut starts: Vec<_> =
        handles.iter().map(|handle| (handle.id().to_owned(), handle.start().clone())).collect();
    starts.sort_by(|a, b| a.0.cmp(&b.0));
    let expected: Vec<_> = expected.iter().map(|(n, start)| (id(*n), start.clone())).collect();
    assert_eq!(starts, expected);
}

use StartPosition::{After, Latest, TrimHorizon};

#[test]
fn latest_replays_nothing_of_a_stream_that_was_resharded_earlier() {
    let mut driven = Driven::new(|lineage| lineage.start_at(StartAt::Latest));
    driven.list(vec![
        closed(shard(0, &[])),
        closed(shard(1, &[0])),
        shard(2, &[0]),
        shard(3, &[1]),
    ]);
    let out = driven.ready();
    assert_start(&out, &[(2, Latest), (3, Latest)]);
    assert_eq!(outcomes(&out[0]), [ParentOutcome::BeforeStart]);
    drop(out);
    driven.list(vec![closed(shard(2, &[0])), shard(4, &[2]), shard(5, &[])]);
    assert_start(&driven.ready(), &[(4, TrimHorizon), (5, TrimHorizon)]);
}

#[test]
fn latest_loses_nothing_during_the_first_listing() {
    // The stream is resharded between the pages: 0 is open on the first page, and the second names
    // its children 1 and 2, and the child of 2.
    let mut driven = Driven::new(|lineage| lineage.start_at(StartAt::Latest));
    driven.list(vec![shard(0, &[]), shard(1, &[0]), closed(shard(2, &[0])), shard(3, &[2])]);
    let zero = driven.ready();
    assert_start(&zero, &[(0, Latest)]);
    drop(zero);
    let children = driven.ready();
    assert_start(&children, &[(1, TrimHorizon), (2, TrimHorizon)]);
    drop(children);
    assert_start(&driven.ready(), &[(3, TrimHorizon)]);
}

#[test]
fn a_timestamp_applies_to_shards_of_the_first_list_that_have_no_parent_in_it() {
    let t = aws_sdk_kinesis::primitives::DateTime::from_secs(1_700_000_000);
    let mut driven = Driven::new(|lineage| lineage.start_at(StartAt::Timestamp(t)));
    driven.list(vec![shard(1, &[0]), closed(shard(2, &[])), shard(3, &[2])]);
    let first = driven.ready();
    assert_start(&first, &[(1, StartPosition::Timestamp(t)), (2, StartPosition::Timestamp(t))]);
    drop(first);
    assert_start(&driven.ready(), &[(3, TrimHorizon)]);
    driven.list(vec![shard(9, &[8])]);
    assert_start(&driven.ready(), &[(9, TrimHorizon)]);
}

fn resumed(start: StartAt, progress: Vec<(u64, Progress)>) -> Driven {
    Driven::new(|lineage| {
        lineage.start_at(start).resume(progress.into_iter().map(|(n, progress)| (id(n), progress)))
    })
}

#[test]
fn resume_with_a_finished_parent_and_an_unread_sibling() {
    let after = After("49590338271490256608559692538361571095921575989136588898".to_owned());
    for start in [StartAt::TrimHorizon, StartAt::Latest] {
        let mut driven =
            resumed(start, vec![(0, Progress::Finished), (1, Progress::At(after.clone()))]);
        driven.list(vec![
            closed(shard(0, &[])),
            closed(shard(1, &[0])),
            shard(2, &[0]),
            shard(3, &[1]),
        ]);
        let out = driven.ready();
        assert_start(&out, &[(1, after.clone()), (2, TrimHorizon)]);
        assert_eq!(outcomes(&out[0]), [ParentOutcome::EarlierRun]);
        drop(out);
        assert_start(&driven.ready(), &[(3, TrimHorizon)]);
    }
}

#[test]
fn a_descendant_of_a_named_shard_starts_at_the_horizon_under_latest() {
    // 0 is named and has expired. 1, which is closed, and 3 descend from it; 9 does not.
    let mut driven = resumed(StartAt::Latest, vec![(0, Progress::Finished)]);
    driven.list(vec![closed(shard(1, &[0])), shard(3, &[1]), shard(9, &[])]);
    let out = driven.ready();
    assert_start(&out, &[(1, TrimHorizon), (9, Latest)]);
    assert_eq!(outcomes(&out[0]), [ParentOutcome::EarlierRun]);
    drop(out);
    assert_start(&driven.ready(), &[(3, TrimHorizon)]);
}

/// Like [`resumed`], where records of the shards `past` were processed.
fn resumed_started(start: StartAt, progress: Vec<(u64, Progress)>, past: &[u64]) -> Driven {
    let mut driven = resumed(start, progress);
    driven.lineage.resume_started(past.iter().copied().map(id));
    driven
}

/// The Java library removes the checkpoint of a finished shard while Kinesis still lists it.
#[test]
fn the_unnamed_ancestors_of_a_shard_that_was_started_are_finished() {
    let t = StartAt::Timestamp(aws_sdk_kinesis::primitives::DateTime::from_secs(1_700_000_000));
    let graph = || {
        let ancestors = [closed(shard(0, &[])), closed(shard(1, &[])), closed(shard(2, &[0]))];
        // 3 is a merge of 2 and 1.
        ancestors
            .into_iter()
            .chain([closed(shard(3, &[2, 1])), shard(4, &[3]), shard(5, &[3])])
            .collect()
    };
    for start in [StartAt::TrimHorizon, StartAt::Latest, t] {
        let named = vec![(4, Progress::At(After("7".into()))), (5, Progress::At(TrimHorizon))];
        let mut driven = resumed_started(start, named, &[4]);
        driven.list(graph());
        let out = driven.ready();
        assert_start(&out, &[(4, After("7".into())), (5, TrimHorizon)]);
        assert_eq!(outcomes(&out[0]), [ParentOutcome::EarlierRun]);
        // The ancestors are not offered later either.
        driven.list(graph());
        driven.list(graph());
        driven.nothing();
    }
    // A name alone says nothing about the ancestors: the end of one parent of a merge names the
    // child.
    let named = vec![(4, Progress::At(TrimHorizon)), (5, Progress::At(TrimHorizon))];
    let mut driven = resumed_started(StartAt::TrimHorizon, named, &[]);
    driven.list(graph());
    assert_eq!(ids(&driven.ready()), [0, 1]);
}

#[test]
fn a_named_ancestor_starts_where_its_entry_says() {
    let named = vec![(1, Progress::At(After("3".into()))), (2, Progress::At(After("7".into())))];
    let mut driven = resumed_started(StartAt::TrimHorizon, named, &[1, 2]);
    driven.list(vec![closed(shard(0, &[])), closed(shard(1, &[0])), shard(2, &[1])]);
    let out = driven.ready();
    assert_start(&out, &[(1, After("3".into()))]);
    drop(out);
    assert_start(&driven.ready(), &[(2, After("7".into()))]);
}

/// 6 is a merge of 0 and 5, and was started before 5, whose ancestor 1 is unfinished: an earlier
/// run that has no rows for the descendants of 1 leaves it so.
#[test]
fn an_unnamed_ancestor_that_follows_an_unfinished_shard_is_not_finished() {
    let graph = || {
        let closed = [shard(0, &[]), shard(1, &[]), shard(2, &[1]), shard(5, &[2])].map(closed);
        // 2 is an ancestor of 6 two generations up.
        closed.into_iter().chain([shard(6, &[0, 5]), shard(4, &[1])]).collect::<Vec<_>>()
    };
    let t = StartAt::Timestamp(aws_sdk_kinesis::primitives::DateTime::from_secs(1_700_000_000));
    for start in [StartAt::TrimHorizon, StartAt::Latest, t] {
        for merged in [Progress::At(After("7".into())), Progress::Finished] {
            let named = vec![
                (0, Progress::Finished),
                (1, Progress::At(After("3".into()))),
                (6, merged.clone()),
            ];
            let mut driven = resumed_started(start, named, &[0, 1, 6]);
            driven.list(graph());
            let out = driven.ready();
            assert_start(&out, &[(1, After("3".into()))]);
            drop(out);
            let out = driven.ready();
            assert_start(&out, &[(2, TrimHorizon), (4, TrimHorizon)]);
            drop(out);
            let out = driven.ready();
            assert_start(&out, &[(5, TrimHorizon)]);
            drop(out);
            let out = driven.ready();
            match merged {
                Progress::Finished => assert_start(&out, &[]),
                Progress::At(at) => assert_start(&out, &[(6, at)]),
            }
        }
    }
    // The other parents of a started shard are finished, although no entry names them.
    let named = vec![(1, Progress::At(After("3".into()))), (6, Progress::At(After("7".into())))];
    let mut driven = resumed_started(StartAt::TrimHorizon, named, &[1, 6]);
    driven.list(graph());
    assert_eq!(ids(&driven.ready()), [1]);
}

/// The earlier run began at the tip, when 0 and 1 were closed. It processed a record of 2, and none
/// of 3, a child of 1.
#[test]
fn a_shard_that_was_closed_before_the_earlier_run_is_not_read_although_its_sibling_was_started() {
    let named = vec![(2, Progress::At(After("7".into()))), (3, Progress::At(TrimHorizon))];
    let mut driven = resumed_started(StartAt::Latest, named, &[2]);
    driven.list(vec![
        closed(shard(0, &[])),
        closed(shard(1, &[0])),
        shard(2, &[0]),
        shard(3, &[1]),
    ]);
    assert_start(&driven.ready(), &[(2, After("7".into())), (3, TrimHorizon)]);
}

#[test]
fn the_finished_ancestors_of_an_earlier_run_do_not_apply_to_a_stream_created_again() {
    let mut driven =
        resumed_started(StartAt::TrimHorizon, vec![(1, Progress::At(After("7".into())))], &[1]);
    driven.list(vec![closed(shard_from(0, &[], "111")), shard_from(1, &[0], "112")]);
    assert_eq!(ids(&driven.ready()), [1]);
    driven.list(vec![shard_from(0, &[], "211"), shard_from(1, &[0], "212")]);
    assert_eq!(ids(&driven.ready()), [0]);
}

#[test]
fn a_shard_of_unknown_descent_is_not_skipped_when_the_earlier_run_has_expired() {
    // 0 is named and unlisted. 4 is unlisted too and may descend from 0: 5 must not start at
    // LATEST.
    let mut driven = resumed(StartAt::Latest, vec![(0, Progress::Finished)]);
    driven.list(vec![shard(5, &[4])]);
    assert_start(&driven.ready(), &[(5, TrimHorizon)]);
}

#[test]
fn a_repeat_in_a_list_does_not_hide_an_expired_shard() {
    let mut driven =
        resumed(StartAt::Latest, vec![(0, Progress::Finished), (1, Progress::Finished)]);
    driven.list(vec![shard(1, &[]), shard(1, &[]), shard(5, &[4])]);
    assert_start(&driven.ready(), &[(5, TrimHorizon)]);
}

#[test]
fn a_merge_of_an_unlisted_parent_and_one_closed_before_the_run_starts_at_the_horizon() {
    // 0 is named and unlisted. 3 is unlisted too and may descend from it. 2 was closed before the
    // run, and does not.
    let mut driven = resumed(StartAt::Latest, vec![(0, Progress::Finished)]);
    driven.list(vec![closed(shard(2, &[])), shard(4, &[3, 2]), shard(5, &[2])]);
    let out = driven.ready();
    assert_start(&out, &[(4, TrimHorizon), (5, Latest)]);
    assert_eq!(outcomes(&out[0]), [ParentOutcome::Unlisted, ParentOutcome::BeforeStart]);
}

#[test]
fn a_finished_shard_with_an_unread_parent_is_not_offered_and_its_child_is_ready() {
    let mut driven = resumed(StartAt::TrimHorizon, vec![(1, Progress::Finished)]);
    driven.list(vec![shard(0, &[]), shard(1, &[0]), shard(2, &[1])]);
    let out = driven.ready();
    assert_eq!(ids(&out), [0, 2]);
    drop(out);
    driven.nothing();
}

#[test]
fn the_entries_of_an_earlier_run_do_not_apply_to_a_stream_created_again() {
    let mut driven =
        resumed(StartAt::TrimHorizon, vec![(0, Progress::Finished), (1, Progress::Finished)]);
    driven.list(vec![shard_from(0, &[], "111")]);
    driven.nothing();
    driven.list(vec![shard_from(0, &[], "211"), shard_from(1, &[], "212")]);
    assert_eq!(ids(&driven.ready()), [0, 1]);
}

#[test]
fn a_child_whose_parent_was_closed_while_the_first_list_is_taken_in_starts_at_the_horizon() {
    // The list contradicts itself: 0 is open in it, and has a child. Shards are observed as they
    // are taken.
    for drop_it in [true, false] {
        let mut driven = Driven::new(|lineage| lineage.start_at(StartAt::Latest));
        driven.list(vec![shard(0, &[]), shard(1, &[0])]);
        let Poll::Ready(Some(Ok(zero))) = driven.poll() else { panic!("0 is not ready") };
        assert_eq!(*zero.start(), Latest);
        if drop_it {
            drop(zero);
        } else {
            zero.complete();
        }
        assert_start(&driven.ready(), &[(1, TrimHorizon)]);
    }
}

#[test]
fn a_full_list_without_a_shard_is_not_the_first_list() {
    for start in [StartAt::Latest, StartAt::TrimHorizon] {
        let mut driven = Driven::new(|lineage| lineage.start_at(start));
        let empty = full(vec![]).unwrap();
        let began = empty.run_began;
        driven.send(Ok(empty));
        driven.nothing();
        driven.list(vec![closed(shard(0, &[])), shard(1, &[0]), shard(2, &[])]);
        // The stream may have been created since: nothing written after the run began is skipped.
        let since = StartPosition::Timestamp(began.into());
        let expected = if start == StartAt::Latest { since } else { StartPosition::TrimHorizon };
        let ready = driven.ready();
        let starts: Vec<_> = ready.iter().map(|handle| handle.start().clone()).collect();
        assert_eq!(starts, [expected.clone(), expected]);
        drop(ready);
    }
}

#[test]
fn a_shard_of_unknown_descent_starts_at_latest_if_the_earlier_run_is_listed_whole() {
    let mut driven = resumed(StartAt::Latest, vec![(1, Progress::Finished)]);
    driven.list(vec![shard(1, &[]), shard(5, &[4])]);
    assert_start(&driven.ready(), &[(5, Latest)]);
}

#[test]
fn an_entry_applies_to_a_shard_that_the_first_full_list_omits_and_the_second_names() {
    let mut driven = resumed(StartAt::TrimHorizon, vec![(1, Progress::At(After("7".into())))]);
    driven.lineage.track_forgotten();
    driven.list(vec![shard(0, &[])]);
    assert_eq!(ids(&driven.ready()), [0]);
    assert!(driven.lineage.take_forgotten().is_empty());
    driven.list(vec![shard(0, &[]), shard(1, &[])]);
    assert_start(&driven.ready(), &[(1, After("7".into()))]);
}

#[test]
fn an_entry_whose_shard_two_full_lists_omit_is_forgotten() {
    let mut driven = resumed(StartAt::TrimHorizon, vec![(1, Progress::At(After("7".into())))]);
    driven.lineage.track_forgotten();
    for _ in 0..2 {
        driven.list(vec![shard(0, &[])]);
        drop(driven.ready());
    }
    assert_eq!(driven.lineage.take_forgotten(), [id(1)]);
    assert!(driven.lineage.take_forgotten().is_empty(), "told once");
    driven.list(vec![shard(0, &[]), shard(1, &[])]);
    assert_start(&driven.ready(), &[(1, TrimHorizon)]);
}

#[test]
fn an_unlisted_ancestor_of_a_shard_that_was_started_was_finished_by_the_earlier_run() {
    let mut driven =
        resumed_started(StartAt::TrimHorizon, vec![(1, Progress::At(After("7".into())))], &[1]);
    driven.list(vec![shard(1, &[0])]);
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::EarlierRun]);
}

#[test]
fn only_the_time_that_stands_for_latest_is_an_estimate() {
    let t = aws_sdk_kinesis::primitives::DateTime::from_secs(1_700_000_000);
    let earlier = aws_sdk_kinesis::primitives::DateTime::from_secs(1_600_000_000);
    let at = StartPosition::Timestamp(t);
    // The run begins at `t`.
    for (start, progress, is_estimate) in [
        (StartAt::Timestamp(t), vec![], false),
        (StartAt::Latest, vec![(0, Progress::At(StartPosition::Timestamp(earlier)))], false),
        (StartAt::TrimHorizon, vec![(0, Progress::At(at))], false),
        (StartAt::TrimHorizon, vec![], false),
        (StartAt::Latest, vec![], true),
    ] {
        let mut driven = resumed(start, progress);
        let run_began = t.try_into().unwrap();
        driven.send(full(vec![]).map(|list| ShardList { run_began, ..list }));
        driven.list(vec![shard(0, &[])]);
        assert_eq!(driven.one().offer().is_estimate, is_estimate, "{start:?}");
    }
}

/// The children of a skipped shard that expires were not read by the earlier run.
#[test]
fn the_expiry_of_a_skipped_parent_makes_no_shard_wanted() {
    use crate::listing::shard_list::Extent;

    let mut driven = resumed(StartAt::TrimHorizon, vec![(7, Progress::Finished)]);
    let filtered = |shards: Vec<Shard>| {
        let wanted = Extent::Filtered([id(9)].into());
        full(shards).map(|list| ShardList { extent: wanted, ..list })
    };
    driven.send(filtered(vec![closed(shard(0, &[])), closed(shard(1, &[0])), shard(9, &[])]));
    assert_eq!(ids(&driven.ready()), [9]);
    driven.send(filtered(vec![closed(shard(1, &[0])), shard(9, &[])]));
    driven.nothing();
}
