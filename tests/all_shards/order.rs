//! The order of offers, and how handles end.

use super::*;

#[tokio::test(start_paused = true)]
async fn the_shards_of_a_split_and_a_merge_come_parents_first_without_a_timer() {
    let (kinesis, stream) = setup(2);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders");
    let begun = Instant::now();
    let zero = shards.next().await.unwrap();
    let one = shards.next().await.unwrap();
    let (two, three) = stream.split(ZERO);
    zero.complete();
    let two = {
        let s = shards.next().await.unwrap();
        assert_eq!(s.id(), two);
        s
    };
    let three_handle = shards.next().await.unwrap();
    assert_eq!(three_handle.id(), three);
    assert_eq!(three_handle.parents().collect::<Vec<_>>(), [(ZERO, ParentOutcome::Completed)]);
    let four = stream.merge(&three, ONE);
    one.complete();
    assert!(shards.next().now_or_never().is_none());
    drop(three_handle);
    let merged = shards.next().await.unwrap();
    assert_eq!(merged.id(), four);
    assert_eq!(
        merged.parents().collect::<Vec<_>>(),
        [(three.as_str(), ParentOutcome::Dropped), (ONE, ParentOutcome::Completed)]
    );
    assert_eq!(begun.elapsed(), Duration::ZERO, "no timer has fired");
    drop((two, merged));
}

#[tokio::test(start_paused = true)]
async fn one_closing_is_one_listing_and_so_are_a_thousand_together() {
    let (kinesis, _stream) = setup(1_001);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders").poll_interval(SECOND * 1_000);
    let mut out: Vec<_> = shards.by_ref().take(1_001).collect().await;
    kinesis.clear_requests();
    out.pop().unwrap().complete();
    assert!(shards.next().now_or_never().is_none());
    assert_eq!(kinesis.count("ListShards"), 1);
    drop(out);
    assert!(shards.next().now_or_never().is_none());
    assert_eq!(kinesis.count("ListShards"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_shard_closed_early_does_not_spin() {
    let (kinesis, stream) = setup(1);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders");
    shards.next().await.unwrap().complete();
    assert!(within(SECOND * 29, &mut shards).await.is_empty());
    assert_eq!(kinesis.count("ListShards"), 2, "the first listing, and the one for the closing");
    stream.split(ZERO);
    let children = within(SECOND * 31, &mut shards).await;
    assert_eq!(children.len(), 2, "found by the interval");
    assert_eq!(kinesis.count("ListShards"), 3);
}

#[tokio::test(start_paused = true)]
async fn complete_with_children_needs_no_listing() {
    let (kinesis, stream) = setup(1);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders").poll_interval(SECOND * 100);
    let zero = shards.next().await.unwrap();
    stream.put("a", "1");
    stream.split(ZERO);
    let mut iterator = zero.get_shard_iterator(&client).send().await.unwrap().shard_iterator;
    let children = loop {
        let page = client.get_records().set_shard_iterator(iterator).send().await.unwrap();
        match page.next_shard_iterator {
            None => break page.child_shards.unwrap(),
            next => iterator = next,
        }
    };
    kinesis.clear_requests();
    zero.complete_with(children);
    let children: Vec<_> = shards.by_ref().take(2).collect().await;
    assert_eq!(ids(&children), [ONE, "shardId-000000000002"]);
    assert_eq!(kinesis.count("ListShards"), 0);
    assert!(
        within(SECOND * 101, &mut shards).await.is_empty(),
        "the next list does not offer them again"
    );
}

#[tokio::test(start_paused = true)]
async fn dropping_next_while_a_listing_is_in_flight_loses_nothing() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let gate = Arc::new(tokio::sync::Notify::new());
    let client = Canned::client(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::shards(&[(ZERO, None)], None)
    });
    // The listing waits for its credentials.
    let slow = SlowCredentials(Arc::clone(&gate));
    let client = aws_sdk_kinesis::Client::from_conf(
        client.config().to_builder().credentials_provider(slow).build(),
    );
    let mut shards = all_shards(&client, "orders");
    for _ in 0..10 {
        assert!(shards.next().now_or_never().is_none());
    }
    gate.notify_one();
    assert_eq!(shards.next().await.unwrap().id(), ZERO);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

#[derive(Debug)]
struct SlowCredentials(Arc<tokio::sync::Notify>);

impl aws_sdk_kinesis::config::ProvideCredentials for SlowCredentials {
    fn provide_credentials<'a>(
        &'a self,
    ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        aws_credential_types::provider::future::ProvideCredentials::new(async {
            self.0.notified().await;
            Ok(aws_sdk_kinesis::config::Credentials::new("x", "x", None, None, "test"))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn one_listing_is_in_flight_at_a_time() {
    let (kinesis, _stream) = setup(3);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders").poll_interval(SECOND * 1_000);
    let out: Vec<_> = shards.by_ref().take(3).collect().await;
    kinesis.clear_requests();
    kinesis.fail_always("ListShards", Fault::Late(SECOND * 4));
    for shard in out {
        // The first listing is in flight when the others are closed: they share the second.
        shard.complete();
        assert!(within(SECOND, &mut shards).await.is_empty());
        assert_eq!(kinesis.count("ListShards"), 1);
    }
    assert!(within(SECOND * 100, &mut shards).await.is_empty());
    let sent: Vec<Instant> = kinesis.requests().iter().map(Request::at).collect();
    assert_eq!(sent.len(), 2);
    assert!(sent[1] - sent[0] >= SECOND * 4, "the second request came before the first response");
}

#[tokio::test(start_paused = true)]
async fn a_closing_before_a_due_tick_is_served_by_its_listing() {
    let (kinesis, _stream) = setup(1);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders");
    let zero = shards.next().await.unwrap();
    kinesis.clear_requests();
    kinesis.fail_always("ListShards", Fault::Late(SECOND));
    advance(SECOND * 31).await;
    zero.complete();
    assert!(within(SECOND * 20, &mut shards).await.is_empty());
    assert_eq!(kinesis.count("ListShards"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_shards_of_one_list_and_their_later_descendants_are_read_to_the_end() {
    let (kinesis, stream) = setup(2);
    let client = kinesis.client();
    let listed = client.list_shards().stream_name("orders").send().await.unwrap();
    let list = ShardList::full("orders", listed.shards.unwrap()).unwrap();
    let write = |numbers: std::ops::Range<u32>| {
        for n in numbers {
            stream.put(&n.to_string(), n.to_string());
        }
    };
    write(0..20);
    let (_, high) = stream.split(ZERO);
    write(20..40);
    stream.merge(&high, ONE);
    write(40..60);
    kinesis.clear_requests();

    let shards = parents_first(stream::iter([Ok::<_, ListError>(list)])).map(Result::unwrap);
    let mut records = shards.records(&client);
    let mut read = BTreeSet::new();
    while read.len() < 60 {
        let record =
            timeout(SECOND * 600, records.next()).await.expect("a record").unwrap().unwrap();
        assert!(read.insert(record.into_data()), "read twice");
    }
    assert_eq!(kinesis.count("ListShards"), 0);
    // The open shards are read until Kinesis no longer knows them, since no list follows.
    stream.delete();
    assert!(timeout(SECOND * 600, records.next()).await.expect("an end").is_none());
    assert!(records.next().await.is_none(), "the end is final");
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_reader_fails_is_reoffered_and_its_children_wait() {
    let (kinesis, stream) = setup(1);
    let client = kinesis.client();
    stream.split(ZERO);
    let attempts = AtomicUsize::new(0);
    let opened = Mutex::new(Vec::new());
    all_shards(&client, "orders")
        .on_drop(OnDrop::Reoffer)
        .take(5)
        .for_each_concurrent(None, |shard| {
            opened.lock().unwrap().push(shard.id().to_owned());
            let fails = shard.id() == ZERO && attempts.fetch_add(1, Ordering::SeqCst) < 2;
            async move { if fails { drop(shard) } else { shard.complete() } }
        })
        .await;
    assert_eq!(*opened.lock().unwrap(), [ZERO, ZERO, ZERO, ONE, "shardId-000000000002"]);
}
