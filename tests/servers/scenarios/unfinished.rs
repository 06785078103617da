//! A shard that is not read to its end is offered again, or is closed when its handle is dropped.

use kinesis_shards::OnDrop;
use kinesis_shards::shard::ParentOutcome::{Completed, Dropped};

use super::{NEVER, SOON};
use crate::offers::{Offers, parents};
use crate::server::Server;
use crate::stream::Stream;

pub(crate) async fn abandoned(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    let shard = offers.next().await;
    let (id, start) = (shard.id().to_owned(), shard.start().clone());
    let [low, high] = stream.split(&id).await;

    let mut shard = shard;
    for _ in 0..3 {
        shard.abandon();
        shard = offers.this(&id).await;
        assert_eq!(*shard.start(), start);
    }
    offers.nothing_more(2).await;
    shard.complete();
    for child in offers.these([&low, &high]).await {
        assert_eq!(parents(&child), [(id.as_str(), Completed)]);
        child.complete();
    }
    offers.nothing_more(2).await;
}

/// The handle is dropped directly, and by a task that is aborted.
pub(crate) async fn dropped_under_reoffer(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let shards = server.all_shards(&stream.name).poll_interval(SOON).on_drop(OnDrop::Reoffer);
    let mut offers = Offers::new(&server, shards);
    let shard = offers.next().await;
    let id = shard.id().to_owned();
    let [low, high] = stream.split(&id).await;

    drop(shard);
    let shard = offers.this(&id).await;
    let reader = tokio::spawn(async move {
        let _shard = shard;
        std::future::pending::<()>().await;
    });
    reader.abort();
    let shard = offers.this(&id).await;
    offers.nothing_more(2).await;
    shard.complete();
    for child in offers.these([&low, &high]).await {
        child.complete();
    }
    offers.nothing_more(2).await;
}

pub(crate) async fn dropped_under_close(server: Server) {
    let stream = Stream::create(&server, 2).await;
    let [a, b] = stream.ids().await.try_into().expect("two shards");
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(NEVER));
    let [a_shard, b_shard] = offers.these([&a, &b]).await;
    let merged = stream.merge(&a, &b).await;
    a_shard.complete();
    drop(b_shard);
    let child = offers.this(&merged).await;
    assert_eq!(parents(&child), [(a.as_str(), Completed), (b.as_str(), Dropped)]);
}
