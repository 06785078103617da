//! A stream that ends when all its shards are read.

use super::*;

use futures::stream::FusedStream;

/// Returns a lineage that ends, with a first list.
fn until(shards: Vec<Shard>) -> Driven {
    let driven = Driven::new(|mut lineage| {
        lineage.set_ends_when_read();
        lineage
    });
    driven.list(shards);
    driven
}

impl Driven {
    /// Begins the listing that the lineage requests, which must be full, and delivers this list.
    fn list_on_request(&mut self, shards: Vec<Shard>) {
        self.nothing();
        assert_eq!(self.take_list_request(), Some(ListRequest::Full));
        assert_eq!(self.take_list_request(), None);
        self.list(shards);
    }

    fn has_ended(&mut self) -> bool {
        matches!(self.poll(), Poll::Ready(None)) && self.lineage.is_terminated()
    }

    /// Delivers a list that names shard 1, the child of shard 0, and stops it.
    fn assert_child_is_offered_and_ends_the_stream(&mut self) {
        self.send(ShardList::additions("orders", vec![shard(1, &[0])]));
        self.one().stop();
        self.list_on_request(vec![closed(shard(0, &[])), shard(1, &[0])]);
        assert!(self.has_ended());
    }
}

#[test]
fn a_stopped_shard_ends_the_stream_after_one_more_list() {
    let mut driven = until(vec![shard(0, &[]), shard(1, &[])]);
    let shards = driven.ready();
    assert_eq!(ids(&shards), [0, 1]);
    shards.into_iter().for_each(ShardHandle::stop);
    driven.list_on_request(vec![shard(0, &[]), shard(1, &[])]);
    assert!(driven.has_ended());
}

#[test]
fn the_descendants_of_a_stopped_shard_are_not_offered() {
    let mut driven = until(vec![shard(0, &[]), shard(1, &[]), shard(2, &[0, 1]), shard(3, &[2])]);
    let mut shards = driven.ready();
    shards.remove(1).complete();
    driven.nothing();
    shards.remove(0).stop();
    let (parents, children) = ([shard(0, &[]), shard(1, &[])], [shard(2, &[0, 1]), shard(3, &[2])]);
    driven.list_on_request([&parents[..], &children[..], &[shard(4, &[3])]].concat());
    assert!(driven.has_ended());
}

#[test]
fn a_list_that_was_in_flight_when_the_last_shard_ended_is_not_the_last() {
    let mut driven = until(vec![shard(0, &[])]);
    let only = driven.one();
    Pin::new(&mut driven.lineage).listing_begins(true);
    only.stop();
    driven.nothing();
    driven.list(vec![shard(0, &[])]);
    driven.list_on_request(vec![shard(0, &[]), shard(1, &[])]);
    driven.one().stop();
    driven.list_on_request(vec![shard(0, &[]), shard(1, &[])]);
    assert!(driven.has_ended());
}

#[test]
fn a_closed_shard_without_a_child_is_waited_for() {
    let mut driven = until(vec![closed(shard(0, &[]))]);
    driven.one().complete();
    driven.list_on_request(vec![closed(shard(0, &[]))]);
    driven.nothing();
    assert_eq!(driven.take_list_request(), None, "the next list comes by itself");
    driven.send(ShardList::additions("orders", vec![]));
    driven.nothing();
    driven.assert_child_is_offered_and_ends_the_stream();
}

/// The response to the last read has named the children, but no list has.
#[test]
fn children_that_only_their_parent_has_named_are_read() {
    let mut driven = until(vec![shard(0, &[])]);
    driven.one().complete_with([child_shard(1, &[0]), child_shard(2, &[0])]);
    let children = driven.ready();
    assert_eq!(ids(&children), [1, 2]);
    children.into_iter().for_each(ShardHandle::stop);
    driven.list_on_request(vec![shard(0, &[])]);
    assert!(driven.has_ended());
}

#[test]
fn a_child_that_is_malformed_is_waited_for_though_the_list_is_stale() {
    let mut driven = until(vec![shard(0, &[])]);
    driven.one().complete_with([child_shard(1, &[0, 7])]);
    driven.list_on_request(vec![shard(0, &[])]);
    driven.nothing();
    driven.assert_child_is_offered_and_ends_the_stream();
}

#[test]
fn a_shard_that_was_completed_while_open_has_no_child_to_wait_for() {
    let mut driven = until(vec![shard(0, &[])]);
    driven.one().complete();
    driven.list_on_request(vec![shard(0, &[])]);
    assert!(driven.has_ended());
}

#[test]
fn a_shard_that_an_earlier_run_has_finished_may_have_a_child_that_is_not_listed_yet() {
    let mut driven = Driven::new(|mut lineage| {
        lineage.set_ends_when_read();
        lineage.resume([(id(0), Progress::Finished)])
    });
    driven.list(vec![closed(shard(0, &[]))]);
    driven.nothing();
    driven.assert_child_is_offered_and_ends_the_stream();
}

#[test]
fn a_run_whose_shards_an_earlier_one_has_finished_ends_with_its_first_list() {
    let mut driven = Driven::new(|mut lineage| {
        lineage.set_ends_when_read();
        lineage.resume([(id(0), Progress::Finished), (id(1), Progress::Finished)])
    });
    driven.list(vec![closed(shard(0, &[])), shard(1, &[0])]);
    assert!(driven.has_ended());
}

/// The parent was omitted from the list that named its child, and is listed again later.
#[test]
fn a_parent_that_is_listed_after_its_child_does_not_wait_for_another() {
    let mut driven = until(vec![shard(1, &[0])]);
    driven.one().stop();
    driven.list_on_request(vec![closed(shard(0, &[])), shard(1, &[0])]);
    driven.one().complete();
    driven.list_on_request(vec![closed(shard(0, &[])), shard(1, &[0])]);
    assert!(driven.has_ended());
}

#[test]
fn an_expired_shard_ends_by_the_list_that_omits_it() {
    let mut driven = until(vec![shard(0, &[]), shard(1, &[])]);
    let mut shards = driven.ready();
    shards.remove(0).expire();
    shards.remove(0).stop();
    driven.list_on_request(vec![shard(1, &[])]);
    driven.list_on_request(vec![shard(1, &[])]);
    assert!(driven.has_ended());
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_shard_holds_the_end() {
    let mut driven = until(vec![shard(0, &[])]);
    driven.one().abandon();
    driven.nothing();
    assert_eq!(driven.take_list_request(), None);
    tokio::time::advance(Duration::from_secs(1)).await;
    driven.one().stop();
    driven.list_on_request(vec![shard(0, &[])]);
    assert!(driven.has_ended());
}

#[test]
fn the_shards_of_a_stream_that_was_created_again_are_read() {
    let mut driven = until(vec![shard(0, &[])]);
    driven.one().stop();
    driven.list_on_request(vec![shard_from(0, &[], "2")]);
    driven.one().stop();
    driven.list_on_request(vec![shard_from(0, &[], "2")]);
    assert!(driven.has_ended());
}
