//! Closing a shard, and the listing that follows or is saved.

use std::time::Instant;

use kinesis_shards::ShardHandle;
use kinesis_shards::shard::ParentOutcome::Completed;
use kinesis_shards::shard::StartPosition;

use super::{NEVER, SOON};
use crate::offers::{Offers, assert_starts, parents};
use crate::reader::{End, Reader};
use crate::server::Server;
use crate::stream::Stream;

/// Closing a shard whose children are not known lists at once, even with a poll interval of an
/// hour.
pub(crate) async fn complete_lists_at_once(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(NEVER));
    let parent = offers.next().await;
    let [low, high] = stream.split(parent.id()).await;
    let before = server.requests.list_shards();
    parent.complete();
    drop(offers.these([&low, &high]).await);
    assert_eq!(server.requests.list_shards(), before + 1);
}

/// The children that the last `GetRecords` names are offered without a listing, and can be read.
pub(crate) async fn complete_with_child_shards(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(NEVER));
    let parent = offers.next().await;
    let parent_id = parent.id().to_owned();
    stream.put_into(&parent_id, "to the parent").await;
    let [low, high] = stream.split(&parent_id).await;
    stream.put_into(&low, "to the child").await;
    let before = server.requests.list_shards();

    complete_as_read(&server, &stream, parent, &["to the parent"]).await;
    let [low_shard, high_shard] = offers.these([&low, &high]).await;
    for child in [&low_shard, &high_shard] {
        assert_eq!(parents(child), [(parent_id.as_str(), Completed)]);
        assert_starts(child, &StartPosition::TrimHorizon);
    }
    let (records, end) = Reader::open(&server, &stream, &low_shard).await.rest().await;
    assert!(matches!(end, End::Idle), "{end:?}");
    assert_eq!(records, ["to the child"]);
    offers.nothing_for(SOON).await;
    assert_eq!(server.requests.list_shards(), before, "no ListShards was sent");

    // The next listing names the children too, with their sequence numbers. They are the same
    // shards.
    high_shard.complete();
    offers.nothing_but(before + 1).await;
}

pub(crate) async fn complete_with_both_parents_of_a_merge(server: Server) {
    let stream = Stream::create(&server, 2).await;
    let [a, b] = stream.ids().await.try_into().expect("two shards");
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(NEVER));
    let [a_shard, b_shard] = offers.these([&a, &b]).await;
    let merged = stream.merge(&a, &b).await;
    let before = server.requests.list_shards();

    complete_as_read(&server, &stream, b_shard, &[]).await;
    offers.nothing_for(SOON).await;
    complete_as_read(&server, &stream, a_shard, &[]).await;
    let child = offers.this(&merged).await;
    assert_eq!(parents(&child), [(a.as_str(), Completed), (b.as_str(), Completed)]);
    assert_eq!(server.requests.list_shards(), before, "no ListShards was sent");
}

async fn complete_as_read(server: &Server, stream: &Stream, shard: ShardHandle, records: &[&str]) {
    let (read, end) = Reader::open(server, stream, &shard).await.rest().await;
    assert_eq!(read, records);
    let End::Closed(children) = end else { panic!("{shard:?} is closed, but its end is {end:?}") };
    assert!(!children.is_empty(), "the end of {shard:?} names its children");
    shard.complete_with(children);
}

/// A shard that is completed while it is open causes one listing and no loop. Its children are
/// offered after it is split.
pub(crate) async fn closed_early(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let poll_interval = SOON * 10;
    let mut offers =
        Offers::new(&server, server.all_shards(&stream.name).poll_interval(poll_interval));
    let parent = offers.next().await;
    let parent_id = parent.id().to_owned();
    let (before, since) = (server.requests.list_shards(), Instant::now());
    parent.complete();
    offers.nothing_for(poll_interval / 2).await;
    let sent = server.requests.list_shards() - before;
    let polls = since.elapsed().as_millis() / poll_interval.as_millis();
    assert!(sent as u128 <= polls + 2, "{sent} requests in {:?}", since.elapsed());

    let [low, high] = stream.split(&parent_id).await;
    for child in offers.these([&low, &high]).await {
        assert_eq!(parents(&child), [(parent_id.as_str(), Completed)]);
        child.complete();
    }
}

/// A handle that outlives its stream of shards can still be read, and closes without effect. The
/// next run offers the shard again.
pub(crate) async fn handles_outlive_the_stream(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let shard = offers.next().await;
    drop(offers);
    stream.put_into(shard.id(), "late").await;
    let (records, _) = Reader::open(&server, &stream, &shard).await.rest().await;
    assert_eq!(records, ["late"]);
    let id = shard.id().to_owned();
    shard.complete();

    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    offers.this(&id).await.abandon();
}
