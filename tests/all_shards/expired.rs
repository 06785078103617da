//! Shards whose reader gets `ResourceNotFoundException`.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_client_of_another_region_closes_no_shard() {
    let (kinesis, stream) = setup(1);
    stream.put("a", "unread");
    stream.split(ZERO);
    let client = kinesis.client();
    let elsewhere = FakeKinesis::new();
    let log = Logged::start();
    let mut shards = all_shards(&client, "orders");
    for _ in 0..3 {
        let shard = timeout(SECOND * 60, shards.next()).await.expect("a re-offer").unwrap();
        assert_eq!(shard.id(), ZERO);
        assert!(shard.records(&elsewhere.client()).next().await.is_none());
        kinesis.clear_requests();
    }
    let shard = timeout(SECOND * 60, shards.next()).await.expect("a re-offer").unwrap();
    assert_eq!(
        listings(&kinesis),
        [serde_json::json!({ "StreamName": "orders" })],
        "one full listing"
    );
    let log = log.text();
    assert!(log.contains("WARN") && log.contains("region") && log.contains(ZERO), "{log}");
    assert!(log.contains(r#"stream="orders""#), "{log}");
    // The right client reads the shard.
    assert_eq!(shard.records(&client).next().await.unwrap().unwrap().data(), b"unread");
}

#[tokio::test(start_paused = true)]
async fn expired_shards_are_closed_by_one_full_listing() {
    let (kinesis, stream) = setup(2);
    stream.split(ZERO);
    stream.split(ONE);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders");
    let parents: Vec<_> = shards.by_ref().take(2).collect().await;
    stream.expire(ZERO);
    stream.expire(ONE);
    kinesis.clear_requests();
    for parent in parents {
        assert!(parent.records(&client).next().await.is_none());
    }
    let children = within(SECOND * 20, &mut shards).await;
    assert_eq!(children.len(), 4);
    for child in &children {
        assert!(child.parents().all(|(_, how)| how == ParentOutcome::Unlisted));
    }
    assert_eq!(kinesis.bodies("ListShards"), [serde_json::json!({ "StreamName": "orders" })]);
}

/// The stream of shards hears of the expiry when it begins a partial listing.
#[tokio::test(start_paused = true)]
async fn an_expiry_that_coincides_with_a_partial_listing_requests_a_full_one() {
    let (kinesis, stream) = setup(1);
    stream.split(ZERO);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders").poll_interval(SECOND * 30);
    let parent = shards.next().await.unwrap();
    stream.expire(ZERO);
    assert!(parent.records(&client).next().await.is_none());
    advance(SECOND * 30).await;
    assert_eq!(within(SECOND * 20, &mut shards).await.len(), 2);
}
