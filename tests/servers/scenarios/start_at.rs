//! The start of a run.

use aws_sdk_kinesis::primitives::DateTime;
use kinesis_shards::StartAt;
use kinesis_shards::shard::ParentOutcome::{BeforeStart, Completed, Unlisted};
use kinesis_shards::shard::StartPosition;

use super::SOON;
use crate::known::Quirk;
use crate::offers::{Offers, assert_starts, parents};
use crate::reader::Reader;
use crate::server::Server;
use crate::stream::Stream;

/// The default start reads every record, in order.
pub(crate) async fn trim_horizon(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let [root] = stream.ids().await.try_into().expect("one shard");
    stream.put_into(&root, "old").await;
    let [low, high] = stream.split(&root).await;
    let shards = server.all_shards(&stream.name).poll_interval(SOON).start_at(StartAt::TrimHorizon);
    let mut offers = Offers::new(&server, shards);
    let shard = offers.this(&root).await;
    assert_starts(&shard, &StartPosition::TrimHorizon);
    let (records, _) = Reader::open(&server, &stream, &shard).await.rest().await;
    assert_eq!(records, ["old"]);
    shard.complete();
    for child in offers.these([&low, &high]).await {
        assert_starts(&child, &StartPosition::TrimHorizon);
        child.complete();
    }
    offers.nothing_more(2).await;
}

/// A shard that closed before the run is never offered. A later one starts at its first record.
pub(crate) async fn latest(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let [root] = stream.ids().await.try_into().expect("one shard");
    let [low, high] = stream.split(&root).await;
    stream.put_into(&low, "before the run").await;

    let shards = server.all_shards(&stream.name).poll_interval(SOON).start_at(StartAt::Latest);
    let mut offers = Offers::new(&server, shards);
    let [low_shard, high_shard] = offers.these([&low, &high]).await;
    for shard in [&low_shard, &high_shard] {
        assert_starts(shard, &StartPosition::Latest);
        assert_eq!(parents(shard), [(root.as_str(), BeforeStart)]);
    }
    let mut reader = Reader::open(&server, &stream, &low_shard).await;
    stream.put_into(&low, "in the run").await;
    let [low_low, low_high] = stream.split(&low).await;
    // Written before the child is listed. A start at LATEST would skip it.
    stream.put_into(&low_low, "in the child").await;

    let (records, _) = reader.rest().await;
    let lands_in_the_root = server.has(Quirk::WritesToClosedShards);
    assert_eq!(records, if lands_in_the_root { vec![] } else { vec!["in the run"] });
    low_shard.complete();
    let children = offers.these([&low_low, &low_high]).await;
    for child in &children {
        assert_starts(child, &StartPosition::TrimHorizon);
        assert_eq!(parents(child), [(low.as_str(), Completed)]);
    }
    let (records, _) = Reader::open(&server, &stream, &children[0]).await.rest().await;
    assert_eq!(records, if lands_in_the_root { vec![] } else { vec!["in the child"] });
    offers.nothing_more(2).await;
}

/// A start before the stream was created reads everything.
pub(crate) async fn timestamp_before_everything(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let [root] = stream.ids().await.try_into().expect("one shard");
    stream.put_into(&root, "first").await;
    let [low, high] = stream.split(&root).await;
    let an_hour_ago = DateTime::from_secs(server.now_apart().await.secs() - 3600);
    let start = StartAt::Timestamp(an_hour_ago);
    let mut offers =
        Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON).start_at(start));
    let shard = offers.this(&root).await;
    assert_starts(&shard, &StartPosition::Timestamp(an_hour_ago));
    let (records, _) = Reader::open(&server, &stream, &shard).await.rest().await;
    assert_eq!(records, ["first"]);
    offers.nothing_more(1).await;
    shard.complete();
    for child in offers.these([&low, &high]).await {
        assert_starts(&child, &StartPosition::TrimHorizon);
        child.complete();
    }
}

/// The run starts between two splits.
pub(crate) async fn timestamp(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let [root] = stream.ids().await.try_into().expect("one shard");
    let [low, high] = stream.split(&root).await;
    stream.put_into(&high, "before").await;
    let between = server.now_apart().await;
    stream.put_into(&high, "after").await;
    let [low_low, low_high] = stream.split(&low).await;

    let start = StartAt::Timestamp(between);
    let mut offers =
        Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON).start_at(start));
    let (first, all_before) = if server.has(Quirk::IgnoresShardFilter) {
        let shard = offers.this(&root).await;
        assert_starts(&shard, &StartPosition::Timestamp(between));
        shard.complete();
        (StartPosition::TrimHorizon, true)
    } else {
        (StartPosition::Timestamp(between), false)
    };
    let [low_shard, high_shard] = offers.these([&low, &high]).await;
    for shard in [&low_shard, &high_shard] {
        assert_starts(shard, &first);
        assert_eq!(
            parents(shard),
            [(root.as_str(), if all_before { Completed } else { Unlisted })]
        );
    }
    if !server.has(Quirk::WritesToClosedShards) {
        let (records, _) = Reader::open(&server, &stream, &high_shard).await.rest().await;
        assert_eq!(records, if all_before { vec!["before", "after"] } else { vec!["after"] });
    }
    let [high_low, high_high] = stream.split(&high).await;
    offers.nothing_more(2).await;
    low_shard.complete();
    high_shard.complete();
    for child in offers.these([&low_low, &low_high, &high_low, &high_high]).await {
        assert_starts(&child, &StartPosition::TrimHorizon);
        child.complete();
    }
    offers.nothing_more(2).await;
}
