//! Streams that do not exist, no longer or not yet, and a server that is down.

use kinesis_shards::{ListError, StreamId};

use super::{NEVER, SOON};
use crate::known::Quirk;
use crate::offers::Offers;
use crate::reader::Reader;
use crate::server::Server;
use crate::stream::Stream;

pub(crate) async fn mistyped_name(server: Server) {
    let stream = Stream::named(&server, server.new_name());
    let mut offers = Offers::new(&server, server.all_shards(&stream.name).poll_interval(SOON));
    for _ in 0..3 {
        let error = offers.error().await;
        assert!(matches!(error, ListError::StreamNotFound { .. }), "{error:?}");
        assert!(!error.is_retryable());
        assert_eq!(*error.stream(), StreamId::from(&stream.name));
    }
    stream.create_again(2).await;
    let [a, b] = stream.ids().await.try_into().expect("two shards");
    let a_shard = offers.next_past_errors().await;
    let b_shard = offers.next().await;
    let mut ids = [a_shard.id(), b_shard.id()];
    ids.sort_unstable();
    assert_eq!(ids, [a, b]);
    offers.nothing_more(2).await;
}

pub(crate) async fn arn(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let arn = stream.arn().await;
    let mut offers = Offers::new(&server, server.all_shards(&arn).poll_interval(SOON));
    let parent = offers.next().await;
    assert_eq!(parent.stream().arn(), Some(arn.as_str()));
    assert_eq!(parent.stream().name(), stream.name);
    stream.put_into(parent.id(), "by name").await;
    let [low, high] = stream.split(parent.id()).await;
    let (records, _) = Reader::open(&server, &stream, &parent).await.rest().await;
    assert_eq!(records, ["by name"]);
    parent.complete();
    drop(offers.these([&low, &high]).await);
    offers.nothing_more(2).await;
}

pub(crate) async fn deleted_and_recreated(server: Server) {
    let stream = create_with_sequence_numbers(&server, 2).await;
    let [a, b] = stream.ids().await.try_into().expect("two shards");
    let shards =
        server.all_shards(&stream.name).poll_interval(SOON).full_listing_interval(SOON * 2);
    let mut offers = Offers::new(&server, shards);
    let [old_a, old_b] = offers.these([&a, &b]).await;
    stream.delete().await;
    for _ in 0..2 {
        let error = offers.error().await;
        assert!(matches!(error, ListError::StreamNotFound { .. }), "{error:?}");
    }
    old_a.complete();

    server.next_second().await;
    stream.create_again(2).await;
    let new_a = offers.next_past_errors().await;
    let new_b = offers.next().await;
    let mut ids = [new_a.id(), new_b.id()];
    ids.sort_unstable();
    assert_eq!(ids, [&a, &b]);
    // The handles of the old stream have no effect on the new one.
    old_b.abandon();
    offers.nothing_more(3).await;
    let [low, high] = stream.split(&a).await;
    offers.nothing_more(2).await;
    let new_parent = if new_a.id() == a { new_a } else { new_b };
    new_parent.complete();
    drop(offers.these([&low, &high]).await);
}

/// No listing fails between the two streams, so only the sequence numbers of the shards differ.
pub(crate) async fn recreated_between_listings(server: Server) {
    let stream = create_with_sequence_numbers(&server, 1).await;
    let shards =
        server.all_shards(&stream.name).poll_interval(SOON).full_listing_interval(SOON * 2);
    let mut offers = Offers::new(&server, shards);
    let old = offers.next().await;
    let id = old.id().to_owned();
    // No listing is in flight, and none begins before the next poll.
    stream.delete().await;
    server.next_second().await;
    stream.create_again(1).await;
    let new = offers.this(&id).await;
    old.complete();
    offers.nothing_more(2).await;
    let [low, high] = stream.split(&id).await;
    offers.nothing_more(2).await;
    new.complete();
    drop(offers.these([&low, &high]).await);
}

pub(crate) async fn server_killed_and_restarted(server: Server) {
    let stream = create_with_sequence_numbers(&server, 1).await;
    let shards = server.all_shards(&stream.name).poll_interval(SOON).full_listing_interval(NEVER);
    let mut offers = Offers::new(&server, shards);
    let old = offers.next().await;
    let id = old.id().to_owned();
    server.kill();
    for _ in 0..3 {
        let error = offers.error().await;
        assert!(matches!(error, ListError::ListShards { .. }) && error.is_retryable(), "{error:?}");
    }
    assert_eq!(old.id(), id);

    // The server loses its data, so the stream is gone after the restart.
    server.restart().await;
    while !matches!(offers.error().await, ListError::StreamNotFound { .. }) {}
    server.next_second().await;
    stream.create_again(1).await;
    let new = offers.next_past_errors().await;
    assert_eq!(new.id(), id);
    old.complete();
    offers.nothing_more(3).await;
    let [low, high] = stream.split(&id).await;
    new.complete();
    drop(offers.these([&low, &high]).await);
}

async fn create_with_sequence_numbers(server: &Server, shards: i32) -> Stream {
    let stream = Stream::create(server, shards).await;
    if server.has(Quirk::StartsEveryShardAtZero) {
        for id in stream.ids().await {
            stream.put_into(&id, "makes the starting sequence number 1").await;
        }
    }
    stream
}
