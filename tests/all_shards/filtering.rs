//! Shards that a filter drops.

use std::future;

use kinesis_shards::{Checkpoints, MemoryStore};

use super::*;

const UNREAD: &str = "abandoned again without being read";

#[tokio::test(start_paused = true)]
async fn a_filter_closes_shards_by_default() {
    let (kinesis, stream) = setup(2);
    stream.split(ZERO);
    let mut shards = all_shards(&kinesis.client(), "orders")
        .filter(|shard| future::ready(shard.id() != ZERO))
        .boxed();
    let found = within(SECOND, &mut shards).await;
    assert_eq!(ids(&found), [ONE, "shardId-000000000002", "shardId-000000000003"]);
    assert_eq!(found[1].parents().collect::<Vec<_>>(), [(ZERO, ParentOutcome::Dropped)]);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_a_filter_abandons_is_logged_ever_more_rarely() {
    let (kinesis, _stream) = setup(2);
    let client = kinesis.client();
    let log = Logged::start();
    let mut shards = all_shards(&client, "orders")
        .on_drop(OnDrop::Reoffer)
        .filter(|shard| future::ready(shard.id() != ZERO))
        .boxed();
    let one = within(SECOND * 10, &mut shards).await;
    assert_eq!((ids(&one), log.count("WARN")), (vec![ONE], 0));
    for (minutes, warnings) in [(1, 1), (10, 2), (30, 4)] {
        assert!(within(SECOND * 60 * minutes, &mut shards).await.is_empty());
        assert_eq!(log.count(UNREAD), warnings, "{}", log.text());
    }
    assert_eq!(log.count("WARN"), 4);
    assert!(log.text().contains("a filter on the stream of shards") && log.text().contains(ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_shard_with_checkpoints_that_a_filter_abandons_is_logged_too() {
    let (kinesis, _stream) = setup(2);
    let client = kinesis.client();
    let log = Logged::start();
    let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await.unwrap();
    let mut shards = all_shards(&client, "orders")
        .checkpoints(&checkpoints)
        .filter(|shard| future::ready(shard.id() != ZERO))
        .boxed();
    assert_eq!(within(SECOND * 60, &mut shards).await.len(), 1);
    assert_eq!((log.count(UNREAD), log.count("WARN")), (1, 1), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_reader_fails_each_time_is_not_unread() {
    let (kinesis, _stream) = setup(1);
    let client = kinesis.client();
    let log = Logged::start();
    let mut shards = all_shards(&client, "orders").on_drop(OnDrop::Reoffer);
    for _ in 0..20 {
        drop(shards.next().await.unwrap().get_shard_iterator(&client));
    }
    for _ in 0..20 {
        drop(shards.next().await.unwrap().records(&client));
    }
    assert_eq!(log.count(UNREAD), 0, "{}", log.text());
}
