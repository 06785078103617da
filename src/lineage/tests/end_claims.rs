//! Claims of readers that their shard has ended.

use super::*;

use crate::shard::end_claim::Standing;

#[test]
fn a_claim_requests_a_full_list_that_confirms_it_by_showing_the_shard_as_closed() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let handle = driven.one();
    driven.wakes();
    assert_eq!(handle.offer().claim_end(), Standing::New);
    assert_eq!(driven.wakes(), 1);
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
    assert_eq!((driven.take_list_request(), handle.offer().claim_end()), (None, Standing::Heard));
    driven.list(vec![closed(shard(0, &[])), shard(1, &[0])]);
    driven.nothing();
    assert_eq!(handle.offer().claim_end(), Standing::Closed);
    assert_eq!(driven.take_list_request(), None);
    handle.complete();
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed]);
}

#[test]
fn a_claim_is_refused_by_a_full_list_that_was_requested_after_the_claim() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let handle = driven.one();
    let _ = handle.offer().claim_end();
    driven.nothing();
    // This list may be older than the claim.
    driven.list(vec![shard(0, &[])]);
    driven.nothing();
    assert_eq!(handle.offer().claim_end(), Standing::Heard);
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full), "one more");
    driven.list(vec![shard(0, &[])]);
    driven.nothing();
    assert_eq!(driven.take_list_request(), None, "a refused claim requests no list");
    assert_eq!(handle.offer().claim_end(), Standing::New, "the next claim is new");
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
    driven.list(vec![shard(1, &[])]);
    assert_eq!(driven.ready().len(), 1);
    assert_eq!(
        handle.offer().claim_end(),
        Standing::New,
        "a list that omits the shard confirms nothing"
    );
}

#[test]
fn a_claim_is_left_to_its_reader_when_the_lists_have_ended() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let handle = driven.one();
    let _ = handle.offer().claim_end();
    driven.nothing();
    driven.lists = None;
    driven.nothing();
    assert_eq!(handle.offer().claim_end(), Standing::Unheard);
    driven.nothing();
    handle.complete();
    assert!(matches!(driven.poll(), Poll::Ready(None)));
}

#[test]
fn a_lineage_that_is_dropped_leaves_its_claims_to_the_readers() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let handle = driven.one();
    let _ = handle.offer().claim_end();
    driven.nothing();
    assert_eq!(handle.offer().claim_end(), Standing::Heard);
    drop(driven);
    assert_eq!(handle.offer().claim_end(), Standing::Unheard);
}

#[test]
fn the_claim_for_a_shard_that_was_closed_is_forgotten() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let handle = driven.one();
    let _ = handle.offer().claim_end();
    driven.nothing();
    handle.complete();
    let child = driven.one();
    // This list began before the claim: an open claim would request one more.
    driven.list(vec![shard(0, &[]), shard(1, &[0])]);
    driven.nothing();
    assert_eq!(driven.take_list_request(), None);
    child.complete();
}

#[test]
fn a_list_confirms_the_claims_for_the_shards_that_it_shows_as_closed_and_no_other() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
    let handles = driven.ready();
    for handle in &handles {
        let _ = handle.offer().claim_end();
    }
    driven.nothing();
    driven.send(ShardList::additions("orders", vec![closed(shard(0, &[])), shard(1, &[])]));
    driven.nothing();
    let standings: Vec<_> = handles.iter().map(|handle| handle.offer().claim_end()).collect();
    assert_eq!(standings, [Standing::Closed, Standing::Heard]);
}

#[test]
fn the_claims_for_other_shards_stay_when_a_shard_is_closed() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
    let mut handles = driven.ready();
    let one = handles.pop().unwrap();
    let _ = one.offer().claim_end();
    driven.nothing();
    handles.pop().unwrap().complete();
    driven.nothing();
    assert_eq!(one.offer().claim_end(), Standing::Heard);
}

#[test]
fn the_first_full_listing_that_begins_after_a_claim_refuses_it() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    let handle = driven.one();
    // Two lists and more have been taken in before.
    for _ in 0..3 {
        driven.list(vec![shard(0, &[])]);
        driven.nothing();
    }
    let _ = handle.offer().claim_end();
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
    assert_eq!(handle.offer().claim_end(), Standing::Heard, "no list has come");
    driven.send(ShardList::additions("orders", vec![]));
    driven.nothing();
    assert_eq!(handle.offer().claim_end(), Standing::Heard, "a partial list decides nothing");
    driven.list(vec![shard(0, &[])]);
    driven.nothing();
    assert_eq!(handle.offer().claim_end(), Standing::New);
}

#[test]
fn the_claims_of_a_deleted_stream_s_readers_are_left_to_them() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    let old = driven.one();
    let _ = old.offer().claim_end();
    driven.nothing();
    assert_eq!(driven.take_list_request(), Some(ListRequest::Full));
    driven.list(vec![closed(shard_from(0, &[], "211"))]);
    let _new = driven.one();
    assert_eq!(old.offer().claim_end(), Standing::Unheard);
}
