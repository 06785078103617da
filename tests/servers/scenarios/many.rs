//! Many shards, and the number of requests they take.

use std::collections::BTreeSet;
use std::time::Instant;

use kinesis_shards::shard::StartPosition;

use super::order::complete_closed;
use super::{NEVER, SOON};
use crate::offers::{Offers, assert_starts};
use crate::server::Server;
use crate::stream::Stream;

/// More shards than fit a page of kinesis-local or of the fake, which is 100.
const MANY: usize = 150;

async fn many_shards(server: &Server) -> Stream {
    Stream::create(server, i32::try_from(MANY).expect("a count")).await
}

pub(crate) async fn pages(server: Server) {
    let stream = many_shards(&server).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let shards = offers.next_sorted(MANY).await;
    assert_eq!(
        shards.iter().map(|shard| shard.id().to_owned()).collect::<Vec<_>>(),
        stream.ids().await
    );
    offers.nothing_more(2).await;

    // The last shard of the second page.
    let last = shards.last().expect("a shard").id().to_owned();
    let [low, high] = stream.split(&last).await;
    drop(shards);
    drop(offers.these([&low, &high]).await);
    offers.nothing_more(2).await;
    assert_eq!(offers.tracked(), MANY + 2);
}

/// The stream is resharded several times before the run.
pub(crate) async fn closed_shards_at_start(server: Server) {
    let stream = Stream::create(&server, 2).await;
    for _ in 0..3 {
        let open = stream.open_ids().await;
        let mut children = Vec::new();
        for shard in &open {
            children.push(stream.split(shard).await);
        }
        // Siblings are adjacent.
        for [low, high] in &children {
            stream.merge(low, high).await;
        }
    }
    let open: BTreeSet<_> = stream.open_ids().await.into_iter().collect();
    assert_eq!((open.len(), stream.ids().await.len()), (2, 2 + 3 * (4 + 2)));
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let first = offers.next_sorted(2).await;
    offers.nothing_more(1).await;
    for shard in &first {
        assert_starts(shard, &StartPosition::TrimHorizon);
    }
    assert_eq!(complete_closed(&stream, &mut offers, first).await, open);
}

/// A poll that finds no new shard is one request, however many shards there are.
pub(crate) async fn cheap_polls(server: Server) {
    let stream = many_shards(&server).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let shards = offers.next_sorted(MANY).await;
    let (before, since) = (server.requests.list_shards(), Instant::now());
    offers.nothing_more(8).await;
    let polls = since.elapsed().as_millis() / SOON.as_millis() + 2;
    let sent = server.requests.list_shards() - before;
    assert!(sent as u128 <= polls, "{sent} requests in {:?}", since.elapsed());
    assert_eq!(
        server.requests.total(),
        server.requests.list_shards(),
        "requests other than ListShards"
    );
    drop(shards);
}

/// Closing 150 shards without known children causes one listing.
pub(crate) async fn burst_of_closings(server: Server) {
    let stream = many_shards(&server).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(NEVER));
    let shards = offers.next_sorted(MANY).await;
    let before = server.requests.list_shards();
    for shard in shards {
        shard.complete();
    }
    offers.nothing_but(before + 1).await;
}

/// A `select!` in a loop drops `next()` again and again. That loses no shard and restarts no
/// listing.
pub(crate) async fn dropped_next(server: Server) {
    let stream = many_shards(&server).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(NEVER));
    let mut shards = Vec::new();
    while shards.len() < MANY {
        // The future is dropped after one poll.
        if let Some(shard) = offers.poll_once().await {
            shards.push(shard);
        } else {
            tokio::task::yield_now().await;
        }
    }
    shards.sort_by(|a, b| a.id().cmp(b.id()));
    assert_eq!(
        shards.iter().map(|shard| shard.id().to_owned()).collect::<Vec<_>>(),
        stream.ids().await
    );
    assert!(server.requests.list_shards() <= 2, "{} requests", server.requests.list_shards());
}
