//! Arguments that the setters refuse, and the greatest that they accept.

use super::*;

use kinesis_shards::AllShards;
use kinesis_shards::listing::ListRequest;
use kinesis_shards::listing::ShardLists;

/// Returns the message of the panic.
fn refusal<T>(set: impl FnOnce() -> T + Send + 'static) -> String
where
    T: Send + 'static,
{
    let panic = std::thread::spawn(move || drop(set())).join().expect_err("a panic");
    *panic.downcast::<String>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_zero_interval_panics() {
    let client = FakeKinesis::new().client();
    let c = client.clone();
    let poll = refusal(move || all_shards(&c, "orders").poll_interval(Duration::ZERO));
    assert!(poll.contains("the poll interval of stream orders is zero"), "{poll}");
    let c = client.clone();
    let full = refusal(move || try_all_shards(&c, "orders").full_listing_interval(Duration::ZERO));
    assert!(full.contains("the full listing interval of stream orders is zero"), "{full}");
    let c = client.clone();
    let lists = refusal(move || shard_lists(&c, "orders", Duration::ZERO));
    assert!(lists.contains("the poll interval of stream orders is zero"), "{lists}");
    let c = client.clone();
    let full =
        refusal(move || shard_lists(&c, "orders", SECOND).full_listing_interval(Duration::ZERO));
    assert!(full.contains("the full listing interval of stream orders is zero"), "{full}");
}

type Set<S> = fn(S) -> S;

#[tokio::test(start_paused = true)]
async fn a_setter_after_the_first_poll_panics() {
    let (kinesis, _stream) = setup(1);
    let client = kinesis.client();
    let setters: [(&str, Set<AllShards>); 5] = [
        ("poll_interval", |shards| shards.poll_interval(SECOND)),
        ("full_listing_interval", |shards| shards.full_listing_interval(SECOND)),
        ("start_at", |shards| shards.start_at(StartAt::Latest)),
        ("resume", |shards| shards.resume([])),
        ("on_drop", |shards| shards.on_drop(OnDrop::Reoffer)),
    ];
    for (name, set) in setters {
        let mut shards = all_shards(&client, "orders");
        let _zero = shards.next().await;
        let why = refusal(move || set(shards));
        assert_eq!(why, format!("{name} must be called before the stream of shards is polled"));
    }
    let setters: [(&str, Set<ShardLists>); 2] = [
        ("full_listing_interval", |lists| lists.full_listing_interval(SECOND)),
        ("from_timestamp", |lists| lists.from_timestamp(DateTime::from_secs(0))),
    ];
    for (name, set) in setters {
        let mut lists = shard_lists(&client, "orders", SECOND);
        let _first = lists.next().await;
        let why = refusal(move || set(lists));
        assert!(why.starts_with(&format!("{name} must be called before")), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn intervals_may_be_infinite() {
    let (kinesis, stream) = setup(1);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders")
        .poll_interval(Duration::MAX)
        .full_listing_interval(Duration::MAX);
    let zero = shards.next().await.unwrap();
    stream.split(ZERO);
    assert!(within(SECOND * 3_600 * 24 * 400, &mut shards).await.is_empty());
    // Without a tick, the closing lists at once.
    zero.abandon();
    shards.next().await.unwrap().complete();
    assert_eq!(shards.by_ref().take(2).count().await, 2);

    let mut lists = shard_lists(&client, "orders", Duration::MAX);
    assert!(lists.next().await.unwrap().unwrap().is_full());
    lists.list_now(ListRequest::Additions);
    assert!(!lists.next().await.unwrap().unwrap().is_full());
}
