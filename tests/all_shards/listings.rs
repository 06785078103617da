//! The `ListShards` requests: how many, and with which parameters.

use super::*;

use kinesis_shards::listing::ListRequest;

#[tokio::test(start_paused = true)]
async fn in_steady_state_a_poll_is_one_request_for_new_shards() {
    let mut bytes = Vec::new();
    for count in [10, 10_000] {
        let (kinesis, _stream) = setup(count);
        let client = kinesis.client();
        let mut shards = all_shards(&client, "orders");
        let out: Vec<_> = shards.by_ref().take(count as usize).collect().await;
        assert_eq!(kinesis.count("ListShards"), (count as usize).div_ceil(1_000));
        kinesis.clear_requests();
        assert!(within(SECOND * 31, &mut shards).await.is_empty());
        let requests = listings(&kinesis);
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0]["ExclusiveStartShardId"], format!("shardId-{:012}", count - 1));
        bytes.push(requests[0].to_string().len());
        drop(out);
    }
    assert_eq!(bytes[0], bytes[1]);
}

#[tokio::test(start_paused = true)]
async fn every_ten_minutes_and_after_not_found_the_listing_is_full() {
    let (kinesis, stream) = setup(1);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders");
    let _zero = shards.next().await.unwrap();
    assert!(within(SECOND * 60 * 25, &mut shards).await.is_empty());
    let full = listings(&kinesis)
        .iter()
        .filter(|body| body.get("ExclusiveStartShardId").is_none())
        .count();
    assert_eq!(full, 3, "at 0, 10 and 20 minutes");

    stream.delete();
    assert!(within(SECOND * 40, &mut shards).await.is_empty());
    kinesis.clear_requests();
    kinesis.create_stream("orders", 2);
    let again = within(SECOND * 40, &mut shards).await;
    assert_eq!(
        ids(&again),
        [ZERO, ONE],
        "the shards of the new stream are new, although a handle of the old one is out"
    );
    assert!(listings(&kinesis)[0].get("ExclusiveStartShardId").is_none());
}

#[tokio::test(start_paused = true)]
async fn follow_up_pages_carry_the_token_alone() {
    let kinesis = FakeKinesis::builder().page_size(2).build();
    let stream = kinesis.create_stream("orders", 5);
    let client = kinesis.client();
    for id in ["orders".to_owned(), stream.arn()] {
        kinesis.clear_requests();
        let found = all_shards(&client, &id).take(5).collect::<Vec<_>>().await;
        assert_eq!(found.len(), 5);
        let pages = listings(&kinesis);
        assert_eq!(pages.len(), 3);
        let field = if id == "orders" { "StreamName" } else { "StreamARN" };
        assert_eq!(pages[0], serde_json::json!({ field: id }));
        for page in &pages[1..] {
            assert_eq!(page.as_object().unwrap().keys().collect::<Vec<_>>(), ["NextToken"]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_expires_in_the_middle_of_paging_restarts_that_listing() {
    let tokens = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tokens);
    let client = Canned::client(move |body| match body["NextToken"].as_str() {
        None => Reply::shards(&[(ZERO, None)], Some("a")),
        Some(_) if count.fetch_add(1, Ordering::SeqCst) == 0 => {
            Reply::error(400, "ExpiredNextTokenException")
        }
        Some(_) => Reply::shards(&[(ONE, None)], None),
    });
    let mut shards = try_all_shards(&client, "orders");
    assert_eq!(shards.next().await.unwrap().unwrap().id(), ZERO);
    assert_eq!(shards.next().await.unwrap().unwrap().id(), ONE);
    assert_eq!(tokens.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_always_expires_is_an_error() {
    let begun = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&begun);
    let client = Canned::client(move |body| match body["NextToken"].as_str() {
        None => {
            count.fetch_add(1, Ordering::SeqCst);
            Reply::shards(&[(ZERO, None)], Some("a"))
        }
        Some(_) => Reply::error(400, "ExpiredNextTokenException"),
    });
    let error = try_all_shards(&client, "orders").next().await.unwrap().unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("ExpiredNextToken"), "{error}");
    assert_eq!(begun.load(Ordering::SeqCst), 4, "three restarts");
}

#[tokio::test(start_paused = true)]
async fn no_shard_is_offered_before_the_last_page() {
    // The child is on the first page, its parent on the second.
    let client = Canned::client(|body| match body["NextToken"].as_str() {
        None => Reply::shards(&[(ONE, Some(ZERO))], Some("a")),
        Some(_) => Reply::shards(&[(ZERO, None)], None),
    });
    let mut shards = all_shards(&client, "orders").poll_interval(SECOND * 100);
    let parent = shards.next().await.unwrap();
    assert_eq!(parent.id(), ZERO);
    assert!(shards.next().now_or_never().is_none());
    parent.complete();
    assert_eq!(shards.next().await.unwrap().id(), ONE);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_never_stops_paging_is_an_error() {
    let same_token = |_| Reply::shards(&[(ZERO, None)], Some("again"));
    let mut n = 0;
    let same_shards = move |_| {
        n += 1;
        Reply::shards(&[(ZERO, None)], Some(&n.to_string()))
    };
    let mut n = 0;
    let empty = move |_| {
        n += 1;
        Reply::shards(&[], Some(&n.to_string()))
    };
    let mut n = 0;
    let endless = move |_| {
        n += 1;
        Reply::shards(&[(&format!("shardId-{n:012}"), None)], Some(&n.to_string()))
    };
    let clients = [
        (Canned::client(same_token), "leads to itself"),
        (Canned::client(same_shards), "two pages begin with shardId-000000000000"),
        (Canned::client(empty), "0 with shards, 1000 empty"),
        (Canned::client(endless), "10000 with shards, 0 empty"),
    ];
    for (client, why) in clients {
        let error = try_all_shards(&client, "orders").next().await.unwrap().unwrap_err();
        assert!(matches!(error, ListError::MalformedList { .. }), "{error}");
        let error = error.to_string();
        assert!(error.contains("never end") && error.contains(why), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_empty_page_with_a_token_is_followed() {
    let client = Canned::client(|body| match body["NextToken"].as_str() {
        None => Reply::shards(&[], Some("a")),
        Some("a") => Reply::shards(&[], Some("b")),
        Some(_) => Reply::shards(&[(ZERO, None)], Some("")),
    });
    assert_eq!(all_shards(&client, "orders").next().await.unwrap().id(), ZERO);
}

#[tokio::test(start_paused = true)]
async fn expired_shards_are_forgotten() {
    let (kinesis, stream) = setup(1);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders");
    let mut current = shards.next().await.unwrap();
    for _ in 0..20 {
        let (low, _) = stream.split(current.id());
        let parent = current.id().to_owned();
        current.complete();
        let children: Vec<_> = shards.by_ref().take(2).collect().await;
        let mut children = children.into_iter();
        current = children.next().unwrap();
        assert_eq!(current.id(), low);
        stream.expire(&parent);
    }
    assert!(within(SECOND * 60 * 31, &mut shards).await.is_empty());
    assert_eq!(shards.tracked(), 21, "the open shards, which Kinesis still lists");
}

#[tokio::test(start_paused = true)]
async fn after_hours_without_a_poll_there_is_one_listing() {
    let (kinesis, _stream) = setup(1);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders");
    let _zero = shards.next().await.unwrap();
    kinesis.clear_requests();
    advance(SECOND * 3_600 * 5).await;
    assert!(within(SECOND, &mut shards).await.is_empty());
    assert_eq!(kinesis.count("ListShards"), 1);
}

#[tokio::test(start_paused = true)]
async fn the_full_listing_interval_counts_from_the_start_of_the_last_one() {
    for (every, full_every, fulls) in [(30, 600, 3), (30, 30, 41), (30, 60, 21), (60, 30, 21)] {
        let (kinesis, _stream) = setup(1);
        kinesis.fail_always("ListShards", Fault::Late(SECOND * 3));
        let mut shards = all_shards(&kinesis.client(), "orders")
            .poll_interval(SECOND * every)
            .full_listing_interval(SECOND * full_every);
        let _zero = shards.next().await.unwrap();
        assert!(within(SECOND * 1_201, &mut shards).await.is_empty());
        let full = listings(&kinesis)
            .iter()
            .filter(|body| body.get("ExclusiveStartShardId").is_none())
            .count();
        assert_eq!(full, fulls, "every {every} s, full every {full_every} s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_first_response_without_shards_replays_nothing_under_latest() {
    let mut calls = 0;
    let client = Canned::client(move |_| {
        calls += 1;
        if calls == 1 { Reply::ok("{}") } else { Reply::shards(&[(ZERO, None)], None) }
    });
    let mut shards = try_all_shards(&client, "orders").start_at(StartAt::Latest);
    let error = shards.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, ListError::MalformedList { .. }) && error.to_string().contains("`Shards`"),
        "{error}"
    );
    assert_eq!(shards.next().await.unwrap().unwrap().start(), &StartPosition::Latest);
}

#[tokio::test(start_paused = true)]
async fn list_now_does_nothing_while_a_listing_is_in_flight() {
    let (kinesis, _stream) = setup(1);
    kinesis.fail_always("ListShards", Fault::Late(SECOND));
    let mut lists = shard_lists(&kinesis.client(), "orders", SECOND * 30);
    for is_full in [true, false, false] {
        assert!(lists.next().now_or_never().is_none());
        if !lists.is_listing() {
            advance(SECOND * 30).await;
            assert!(lists.next().now_or_never().is_none());
        }
        assert!(lists.is_listing());
        lists.list_now(ListRequest::Full);
        assert_eq!(lists.next().await.unwrap().unwrap().is_full(), is_full);
    }
    lists.list_now(ListRequest::Full);
    let requested = Instant::now();
    assert!(lists.next().await.unwrap().unwrap().is_full());
    assert_eq!(requested.elapsed(), SECOND, "at once");
}

#[tokio::test(start_paused = true)]
async fn list_now_after_a_failure_waits_for_the_next_attempt_which_is_full() {
    let (kinesis, _stream) = setup(1);
    let mut lists = shard_lists(&kinesis.client(), "orders", SECOND * 30);
    assert!(lists.next().await.unwrap().unwrap().is_full());
    kinesis.fail_times("ListShards", 3, Fault::InternalFailure);
    lists.list_now(ListRequest::Additions);
    assert!(lists.next().await.unwrap().is_err());
    lists.list_now(ListRequest::Full);
    assert!(lists.next().now_or_never().is_none());
    assert!(lists.next().await.unwrap().unwrap().is_full());
}

#[tokio::test(start_paused = true)]
async fn empty_pages_between_others_end_no_listing() {
    let mut n = 0;
    let client = Canned::client(move |_| {
        n += 1;
        let id = format!("shardId-{n:012}");
        let next = (n < 3_000).then(|| n.to_string());
        if n % 2 == 0 {
            Reply::shards(&[], next.as_deref().or(Some("end")))
        } else {
            Reply::shards(&[(&id, None)], next.as_deref())
        }
    });
    let list = shard_lists(&client, "orders", SECOND).next().await.unwrap().unwrap();
    assert_eq!(list.shards().count(), 1_501);
}

#[tokio::test(start_paused = true)]
async fn each_partial_list_begins_after_the_greatest_known_id() {
    let (kinesis, stream) = setup(1);
    let mut lists = shard_lists(&kinesis.client(), "orders", SECOND * 30);
    let mut known = ZERO.to_owned();
    assert!(lists.next().await.unwrap().unwrap().is_full());
    for _ in 0..3 {
        kinesis.clear_requests();
        assert!(!lists.next().await.unwrap().unwrap().is_full());
        assert_eq!(listings(&kinesis)[0]["ExclusiveStartShardId"], known);
        let (_, greatest) = stream.split(&known);
        assert_eq!(lists.next().await.unwrap().unwrap().shards().count(), 2);
        known = greatest;
    }
}

/// Only a run that continues an earlier one from a time needs the unfiltered list too.
#[tokio::test(start_paused = true)]
async fn a_full_listing_is_one_request() {
    let t = DateTime::from_secs(1_700_000_000);
    for (start, resume, requests) in [
        (StartAt::TrimHorizon, false, 1),
        (StartAt::TrimHorizon, true, 1),
        (StartAt::Timestamp(t), false, 1),
        (StartAt::Timestamp(t), true, 2),
    ] {
        let (kinesis, _stream) = setup(1);
        let entry = resume.then(|| (ONE.to_owned(), Progress::Finished));
        let mut shards = all_shards(&kinesis.client(), "orders").start_at(start).resume(entry);
        assert_eq!(shards.next().await.unwrap().id(), ZERO);
        assert_eq!(kinesis.count("ListShards"), requests, "{start:?}, {resume}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_streams_of_lists_and_shards_are_never_terminated() {
    use futures::stream::FusedStream;

    let (kinesis, _stream) = setup(1);
    let client = kinesis.client();
    let mut lists = shard_lists(&client, "orders", SECOND);
    let (mut shards, mut results) =
        (all_shards(&client, "orders"), try_all_shards(&client, "orders"));
    for _ in 0..2 {
        assert!(!lists.is_terminated() && !shards.is_terminated() && !results.is_terminated());
        let _list = lists.next().await.unwrap().unwrap();
        let (first, second) = (shards.next().now_or_never(), results.next().now_or_never());
        drop((first, second));
    }
}
