//! Runs that continue an earlier one.

use kinesis_shards::StartAt;
use kinesis_shards::shard::ParentOutcome::{Completed, EarlierRun, Unlisted};
use kinesis_shards::shard::{Progress, StartPosition};

use super::SOON;
use crate::known::Quirk;
use crate::offers::{Offers, assert_starts, parents};
use crate::reader::Reader;
use crate::server::Server;
use crate::stream::Stream;

/// Two shards. The first was split, and so was its lower child.
struct Resharded {
    stream: Stream,
    finished: String,
    half_read: String,
    low: String,
    high: String,
    grandchildren: [String; 2],
    progress: Vec<(String, Progress)>,
    after: StartPosition,
}

async fn resharded(server: &Server) -> Resharded {
    let stream = Stream::create(server, 2).await;
    let [finished, half_read] = stream.ids().await.try_into().expect("two shards");
    let first = stream.put_into(&half_read, "read").await;
    assert_eq!(first.shard, half_read);
    for text in ["unread", "unread too"] {
        stream.put_into(&half_read, text).await;
    }
    let [low, high] = stream.split(&finished).await;
    let grandchildren = stream.split(&low).await;
    let after = StartPosition::After(first.sequence);
    let progress = vec![
        (finished.clone(), Progress::Finished),
        (half_read.clone(), Progress::At(after.clone())),
    ];
    Resharded { stream, finished, half_read, low, high, grandchildren, progress, after }
}

pub(crate) async fn resume_half_way(server: Server) {
    let Resharded { stream, finished, half_read, low, high, grandchildren, progress, after } =
        resharded(&server).await;
    let shards = server.all_shards(&stream.name).poll_interval(SOON).resume(progress);
    let mut offers = Offers::new(&server, shards);

    let [half, low_shard, high_shard] = offers.these([&half_read, &low, &high]).await;
    assert_starts(&half, &after);
    let (records, _) = Reader::open(&server, &stream, &half).await.rest().await;
    assert_eq!(records, ["unread", "unread too"]);
    for child in [&low_shard, &high_shard] {
        assert_eq!(parents(child), [(finished.as_str(), EarlierRun)]);
        assert_starts(child, &StartPosition::TrimHorizon);
    }
    offers.nothing_more(2).await;
    low_shard.complete();
    let [a, b] = &grandchildren;
    for grandchild in offers.these([a, b]).await {
        assert_eq!(parents(&grandchild), [(low.as_str(), Completed)]);
        assert_starts(&grandchild, &StartPosition::TrimHorizon);
    }
    offers.nothing_more(2).await;
}

/// `Latest` applies to shards that the earlier run did not know. The descendants of shards that it
/// read are read from their first record, closed or open.
pub(crate) async fn resume_under_latest(server: Server) {
    let Resharded { stream, half_read, low, high, grandchildren, progress, after, .. } =
        resharded(&server).await;
    let shards = server
        .all_shards(&stream.name)
        .poll_interval(SOON)
        .start_at(StartAt::Latest)
        .resume(progress);
    let mut offers = Offers::new(&server, shards);

    let [half, low_shard, high_shard] = offers.these([&half_read, &low, &high]).await;
    assert_starts(&half, &after);
    assert_starts(&low_shard, &StartPosition::TrimHorizon);
    assert_starts(&high_shard, &StartPosition::TrimHorizon);
    low_shard.complete();
    let [a, b] = &grandchildren;
    for grandchild in offers.these([a, b]).await {
        assert_starts(&grandchild, &StartPosition::TrimHorizon);
    }
    offers.nothing_more(2).await;
}

/// The earlier run finished all closed shards, so the open ones are offered at once.
pub(crate) async fn resume_of_finished_parents(server: Server) {
    let Resharded { stream, finished, half_read, low, high, grandchildren, .. } =
        resharded(&server).await;
    let finished = [finished, half_read, low.clone()].map(|id| (id, Progress::Finished));
    let shards = server.all_shards(&stream.name).poll_interval(SOON).resume(finished);
    let mut offers = Offers::new(&server, shards);
    let [a, b] = &grandchildren;
    let [_, a_shard, _] = offers.these([&high, a, b]).await;
    assert_eq!(parents(&a_shard), [(low.as_str(), EarlierRun)]);
    offers.nothing_more(3).await;
}

/// A listing from a timestamp omits shards that closed before it. Those that the earlier run named
/// are still offered, and their descendants are read from their first record.
pub(crate) async fn resume_under_timestamp(server: Server) {
    let stream = Stream::create(&server, 2).await;
    let [named, unnamed] = stream.ids().await.try_into().expect("two shards");
    let read = stream.put_into(&named, "read").await;
    stream.put_into(&named, "unread").await;
    let [low, high] = stream.split(&named).await;
    let [unnamed_low, unnamed_high] = stream.split(&unnamed).await;
    let now = server.now_apart().await;

    let after = StartPosition::After(read.sequence);
    let shards =
        server.all_shards(&stream.name).poll_interval(SOON).start_at(StartAt::Timestamp(now));
    let shards = shards.resume([(named.clone(), Progress::At(after.clone()))]);
    let mut offers = Offers::new(&server, shards);
    let at_now = StartPosition::Timestamp(now);
    let half = if server.has(Quirk::IgnoresShardFilter) {
        let [half, closed_before] = offers.these([&named, &unnamed]).await;
        assert_starts(&closed_before, &at_now);
        closed_before.complete();
        for child in offers.these([&unnamed_low, &unnamed_high]).await {
            assert_starts(&child, &StartPosition::TrimHorizon);
        }
        half
    } else {
        let [half, a, b] = offers.these([&named, &unnamed_low, &unnamed_high]).await;
        for shard in [a, b] {
            assert_starts(&shard, &at_now);
            assert_eq!(parents(&shard), [(unnamed.as_str(), Unlisted)]);
        }
        half
    };
    assert_starts(&half, &after);
    let (records, _) = Reader::open(&server, &stream, &half).await.rest().await;
    assert_eq!(records, ["unread"]);
    offers.nothing_more(2).await;
    half.complete();
    for child in offers.these([&low, &high]).await {
        assert_starts(&child, &StartPosition::TrimHorizon);
        assert_eq!(parents(&child), [(named.as_str(), Completed)]);
    }
    offers.nothing_more(2).await;
}
