//! Parents before children.

use std::collections::BTreeSet;

use kinesis_shards::shard::ParentOutcome::Completed;
use kinesis_shards::shard::StartPosition;

use super::SOON;
use crate::offers::{Offers, assert_starts, parents};
use crate::server::Server;
use crate::stream::{Stream, is_closed};

pub(crate) async fn split(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let parent = offers.next().await;
    assert_eq!(parents(&parent), []);
    let parent_id = parent.id().to_owned();

    let [low, high] = stream.split(&parent_id).await;
    offers.nothing_more(2).await;
    parent.complete();
    for child in offers.these([&low, &high]).await {
        assert_eq!(parents(&child), [(parent_id.as_str(), Completed)]);
        assert_starts(&child, &StartPosition::TrimHorizon);
        assert!(!is_closed(child.shard()), "{child:?}");
        assert_eq!(child.stream().name(), stream.name);
        child.complete();
    }
    offers.nothing_more(3).await;
}

/// The child waits for both parents, whichever is closed first.
pub(crate) async fn merge(server: Server) {
    let stream = Stream::create(&server, 4).await;
    let ids = stream.ids().await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let [a, b, c, d] = offers.these([&ids[0], &ids[1], &ids[2], &ids[3]]).await;

    for (parent, adjacent, first_closed) in [(a, b, "parent"), (c, d, "adjacent parent")] {
        let (parent_id, adjacent_id) = (parent.id().to_owned(), adjacent.id().to_owned());
        let child_id = stream.merge(&parent_id, &adjacent_id).await;
        let (first, second) =
            if first_closed == "parent" { (parent, adjacent) } else { (adjacent, parent) };
        first.complete();
        offers.nothing_more(2).await;
        second.complete();
        let child = offers.this(&child_id).await;
        let both = BTreeSet::from([(parent_id.as_str(), true), (adjacent_id.as_str(), true)]);
        let named: BTreeSet<_> =
            parents(&child).into_iter().map(|(id, how)| (id, how == Completed)).collect();
        assert_eq!(named, both);
        drop(child);
    }
    offers.nothing_more(3).await;
}

/// Each generation is split after the one before it was offered.
pub(crate) async fn three_generations(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let grandparent = offers.next().await;
    let [low, high] = stream.split(grandparent.id()).await;
    let [low_low, low_high] = stream.split(&low).await;
    offers.nothing_more(2).await;

    grandparent.complete();
    let [low_shard, high_shard] = offers.these([&low, &high]).await;
    high_shard.complete();
    offers.nothing_more(2).await;
    low_shard.complete();
    let grandchildren = offers.these([&low_low, &low_high]).await;
    for grandchild in &grandchildren {
        assert_eq!(parents(grandchild), [(low.as_str(), Completed)]);
    }
    offers.nothing_more(3).await;
}

/// Four generations appear between two listings, and are still offered in order.
pub(crate) async fn generations_between_two_listings(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let mut shard = offers.next().await;
    let mut id = shard.id().to_owned();
    let mut chain = Vec::new();
    for _ in 0..3 {
        let [low, high] = stream.split(&id).await;
        chain.push([low.clone(), high]);
        id = low;
    }
    for [low, high] in &chain {
        shard.complete();
        let [low, high] = offers.these([low, high]).await;
        high.complete();
        offers.nothing_more(1).await;
        shard = low;
    }
    shard.complete();
    offers.nothing_more(2).await;
}

/// A shard is split and its children are merged: the grandchild waits for both.
pub(crate) async fn split_and_merged_again(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let [root] = stream.ids().await.try_into().expect("one shard");
    let [low, high] = stream.split(&root).await;
    let merged = stream.merge(&low, &high).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));

    offers.this(&root).await.complete();
    let [low_shard, high_shard] = offers.these([&low, &high]).await;
    low_shard.complete();
    offers.nothing_more(2).await;
    high_shard.complete();
    let last = offers.this(&merged).await;
    assert_eq!(parents(&last), [(low.as_str(), Completed), (high.as_str(), Completed)]);
    offers.nothing_more(2).await;
}

pub(crate) async fn update_shard_count_up(server: Server) {
    update_shard_count(server, 2, 4).await;
}

pub(crate) async fn update_shard_count_down(server: Server) {
    update_shard_count(server, 4, 2).await;
}

async fn update_shard_count(server: Server, from: i32, to: i32) {
    let stream = Stream::create(&server, from).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let first = offers.next_sorted(stream.ids().await.len()).await;
    stream.update_shard_count(to).await;

    let open: BTreeSet<_> = stream.open_ids().await.into_iter().collect();
    assert_eq!(i32::try_from(open.len()), Ok(to), "the number of open shards");
    let offered_open: BTreeSet<_> = complete_closed(&stream, &mut offers, first).await;
    assert_eq!(offered_open, open);
}

/// Completes each closed shard when it is offered, until every listed shard was offered once and
/// after its parents. Returns the ids of the open shards.
pub(super) async fn complete_closed(
    stream: &Stream,
    offers: &mut Offers,
    first: Vec<kinesis_shards::ShardHandle>,
) -> BTreeSet<String> {
    let listed = stream.shards().await;
    let mut offered = BTreeSet::new();
    let mut completed = BTreeSet::new();
    let mut open = Vec::new();
    let mut next = first.into_iter();
    while offered.len() < listed.len() {
        let shard = match next.next() {
            Some(shard) => shard,
            None => offers.next().await,
        };
        assert!(offered.insert(shard.id().to_owned()), "offered twice: {shard:?}");
        for (parent, outcome) in parents(&shard) {
            assert!(
                completed.contains(parent) && outcome == Completed,
                "{shard:?} was offered before {parent} was closed"
            );
        }
        // The handle has the shard as it was first listed. It may have closed since.
        let now = listed.iter().find(|now| now.shard_id() == shard.id()).expect("a listed shard");
        assert_eq!(shard.shard().parent_shard_id(), now.parent_shard_id());
        assert_eq!(shard.shard().adjacent_parent_shard_id(), now.adjacent_parent_shard_id());
        if is_closed(now) {
            completed.insert(shard.id().to_owned());
            shard.complete();
        } else {
            open.push(shard);
        }
    }
    offers.nothing_more(2).await;
    open.iter().map(|shard| shard.id().to_owned()).collect()
}
