//! The whole, through the real SDK, on the in-process Kinesis and on servers that misbehave; the clock is paused.

mod support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::primitives::DateTime;
use futures::{FutureExt, StreamExt};
use kinesis_shards::testing::{FakeKinesis, FakeStream};
use kinesis_shards::{
    Error, OnDrop, ParentOutcome, Progress, ShardHandle, StartAt, StartPosition, all_shards, try_all_shards,
};
use serde_json::Value;
use tokio::time::{Duration, Instant, advance};

use support::{Canned, Reply, within};

const SECOND: Duration = Duration::from_secs(1);
const ZERO: &str = "shardId-000000000000";
const ONE: &str = "shardId-000000000001";

fn setup(shards: u32) -> (FakeKinesis, FakeStream) {
    let kinesis = FakeKinesis::new();
    let stream = kinesis.create_stream("orders", shards);
    (kinesis, stream)
}

fn ids(handles: &[ShardHandle]) -> Vec<&str> {
    handles.iter().map(ShardHandle::id).collect()
}

fn listings(kinesis: &FakeKinesis) -> Vec<Value> {
    kinesis.requests().iter().map(|request| request.body().clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_split_and_a_merge_arrive_parents_first_with_no_wait_for_the_interval() {
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
    assert_eq!(begun.elapsed(), Duration::ZERO, "not one timer was waited for");
    drop((two, merged));
}

#[tokio::test(start_paused = true)]
async fn one_closing_is_one_listing_and_so_are_a_thousand_in_a_burst() {
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
    assert_eq!(kinesis.count("ListShards"), 2, "the first, and the one for the closing");
    stream.split(ZERO);
    let children = within(SECOND * 31, &mut shards).await;
    assert_eq!(children.len(), 2, "found by the interval");
    assert_eq!(kinesis.count("ListShards"), 3);
}

#[tokio::test(start_paused = true)]
async fn in_steady_state_a_poll_is_one_request_for_what_is_new() {
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
    let full = listings(&kinesis).iter().filter(|body| body.get("ExclusiveStartShardId").is_none()).count();
    assert_eq!(full, 3, "at 0, 10 and 20 minutes");

    stream.delete();
    assert!(within(SECOND * 40, &mut shards).await.is_empty());
    kinesis.clear_requests();
    kinesis.create_stream("orders", 2);
    let again = within(SECOND * 40, &mut shards).await;
    assert_eq!(
        ids(&again),
        [ZERO, ONE],
        "the old stream's handle is still out, the new one's shards are new"
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
    let asked = Arc::clone(&tokens);
    let client = Canned::client(move |body| match body["NextToken"].as_str() {
        None => Reply::shards(&[(ZERO, None)], Some("a")),
        Some(_) if asked.fetch_add(1, Ordering::SeqCst) == 0 => {
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
async fn a_token_that_always_expires_is_an_error_in_the_end() {
    let client = Canned::client(|body| match body["NextToken"].as_str() {
        None => Reply::shards(&[(ZERO, None)], Some("a")),
        Some(_) => Reply::error(400, "ExpiredNextTokenException"),
    });
    let error = try_all_shards(&client, "orders").next().await.unwrap().unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("ExpiredNextToken"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_judged_before_the_last_page() {
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
        Canned::client(same_token),
        Canned::client(same_shards),
        Canned::client(empty),
        Canned::client(endless),
    ];
    for client in clients {
        let error = try_all_shards(&client, "orders").next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::MalformedList { .. }), "{error}");
        assert!(error.to_string().contains("never end"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn empty_pages_with_a_token_are_gone_through() {
    let client = Canned::client(|body| match body["NextToken"].as_str() {
        None => Reply::shards(&[], Some("a")),
        Some("a") => Reply::shards(&[], Some("b")),
        Some(_) => Reply::shards(&[(ZERO, None)], Some("")),
    });
    assert_eq!(all_shards(&client, "orders").next().await.unwrap().id(), ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_nonsense_is_one_err_a_listing_and_loses_no_handle() {
    let nonsense = [
        || Reply::ok("not JSON"),
        || Reply::ok(r#"{"Shards":"#),
        || Reply::ok("[]"),
        || Reply::ok(r#"{"Shards":[{"ShardId":7}]}"#),
        || Reply::shards(&[("", None)], None),
        || Reply::shards(&[(ZERO, Some(ZERO))], None),
        || Reply::shards(&[(ZERO, Some(ONE)), (ONE, Some(ZERO))], None),
        || Reply::error(500, "InternalFailure"),
        || Reply::Answer(503, "<html>busy</html>".to_owned()),
        || Reply::error(400, "LimitExceededException"),
        || Reply::Refused,
    ];
    for (n, reply) in nonsense.into_iter().enumerate() {
        let mut calls = 0;
        let client = Canned::client(move |_| {
            calls += 1;
            match calls {
                1 => Reply::shards(&[(ZERO, None), (ONE, Some(ZERO))], None),
                2..=4 => reply(),
                _ => Reply::shards(&[("shardId-000000000002", None)], None),
            }
        });
        let mut shards = try_all_shards(&client, "orders").poll_interval(SECOND);
        let parent = shards.next().await.unwrap().unwrap();
        for _ in 0..3 {
            let error = shards.next().await.unwrap().expect_err("a failed listing");
            assert!(error.to_string().contains("orders"), "{n}: {error}");
            assert!(error.is_retryable(), "{n}: {error}");
        }
        parent.complete();
        let child = shards.next().await.unwrap().unwrap();
        assert_eq!(child.id(), ONE, "{n}");
        assert_eq!(child.parents().collect::<Vec<_>>(), [(ZERO, ParentOutcome::Completed)]);
        assert_eq!(shards.next().await.unwrap().unwrap().id(), "shardId-000000000002", "{n}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_runs_into_the_clients_timeout() {
    let client = Canned::client(|_| Reply::Silence);
    let timeout =
        aws_sdk_kinesis::config::timeout::TimeoutConfig::builder().operation_timeout(SECOND * 5).build();
    let config = client.config().to_builder().timeout_config(timeout).build();
    let client = aws_sdk_kinesis::Client::from_conf(config);
    let mut shards = try_all_shards(&client, "orders");
    let error = shards.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::ListShards { code: None, .. }) && error.is_retryable(), "{error}");
}

#[tokio::test(start_paused = true)]
async fn failed_listings_back_off_up_to_the_poll_interval() {
    let times = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&times);
    let client = Canned::client(move |_| {
        log.lock().unwrap().push(Instant::now());
        Reply::error(500, "InternalFailure")
    });
    let mut shards = try_all_shards(&client, "orders").poll_interval(SECOND * 4);
    assert!(within(SECOND * 60, &mut shards).await.iter().all(Result::is_err));
    let times = times.lock().unwrap();
    let gaps: Vec<Duration> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // Timers have a granularity of 1 ms.
    for (gap, most) in gaps.iter().zip([500, 1_000, 2_000, 4_000, 4_000, 4_000]) {
        let most = Duration::from_millis(most);
        assert!(
            *gap >= most / 2 && *gap <= most + Duration::from_millis(2),
            "{gap:?} of {most:?}, in {gaps:?}"
        );
    }
    assert!(gaps.len() < 40, "{}", gaps.len());
}

#[tokio::test(start_paused = true)]
async fn closings_while_listing_fails_do_not_shorten_the_back_off() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let client = Canned::client(move |_| match count.fetch_add(1, Ordering::SeqCst) {
        0 => Reply::shards(&[(ZERO, None), (ONE, None), ("shardId-000000000002", None)], None),
        _ => Reply::error(500, "InternalFailure"),
    });
    let mut shards = try_all_shards(&client, "orders").poll_interval(SECOND * 10);
    let out: Vec<_> = shards.by_ref().take(3).collect().await;
    for shard in out {
        drop(shard);
        let _ = shards.next().now_or_never();
    }
    assert_eq!(calls.load(Ordering::SeqCst), 2, "one at once; the rest waits for its next attempt");
}

#[tokio::test(start_paused = true)]
async fn a_mistyped_name_is_told_from_silence_and_waited_for() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    let mut shards = try_all_shards(&client, "ordres");
    let error = shards.next().await.unwrap().unwrap_err();
    assert!(matches!(error, Error::StreamNotFound { .. }), "{error}");
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("ordres"), "{error}");
    assert!(std::error::Error::source(&error).is_some(), "the SDK's error is kept");
    kinesis.create_stream("ordres", 1);
    let found = within(SECOND * 5, &mut shards).await;
    assert_eq!(found.into_iter().filter_map(Result::ok).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_stream_is_an_error_without_a_request() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    for bad in ["", "no such name!", "arn:aws:s3:::bucket", "arn:aws:kinesis:us-east-1:123456789012:stream/"]
    {
        let mut shards = try_all_shards(&client, bad);
        let error = shards.next().await.unwrap().unwrap_err();
        assert!(matches!(error, Error::InvalidStream { .. }) && !error.is_retryable(), "{error}");
        assert!(shards.next().await.unwrap().is_err(), "it goes on, at the same pace as any failure");
    }
    assert_eq!(kinesis.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_permission_is_told_apart() {
    for (code, retryable) in [
        ("AccessDeniedException", false),
        ("UnrecognizedClientException", false),
        ("ExpiredTokenException", true),
    ] {
        let client = Canned::client(move |_| Reply::error(400, code));
        let error = try_all_shards(&client, "orders").next().await.unwrap().unwrap_err();
        assert!(matches!(&error, Error::AccessDenied { code: c, .. } if c == code), "{error:?}");
        assert_eq!(error.is_retryable(), retryable, "{code}");
    }
}

#[test]
#[should_panic(expected = "the poll interval of stream orders is zero")]
fn a_zero_interval_is_refused_at_construction() {
    let _ = all_shards(&FakeKinesis::new().client(), "orders").poll_interval(Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_setter_after_the_first_poll_is_refused() {
    let (kinesis, _stream) = setup(1);
    let mut shards = all_shards(&kinesis.client(), "orders");
    let _zero = shards.next().await;
    let setter = std::thread::spawn(move || drop(shards.poll_interval(SECOND)));
    assert!(setter.join().is_err());
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
    assert!(within(SECOND * 101, &mut shards).await.is_empty(), "the next list offers them no second time");
}

#[tokio::test(start_paused = true)]
async fn a_timestamp_asks_for_the_same_instant_in_every_full_listing() {
    let (kinesis, stream) = setup(1);
    let client = kinesis.client();
    stream.split(ZERO);
    kinesis.advance(SECOND * 60).await;
    let t = DateTime::from(kinesis.now());
    kinesis.advance(SECOND * 60).await;
    stream.split(ONE);
    let mut shards = all_shards(&client, "orders").start_at(StartAt::Timestamp(t));
    let open_at_t = within(SECOND * 1_300, &mut shards).await;
    assert_eq!(ids(&open_at_t), [ONE, "shardId-000000000002"], "what was closed before is not listed");
    assert!(open_at_t.iter().all(|shard| shard.start() == &StartPosition::Timestamp(t)));
    drop(open_at_t);
    let children = within(SECOND, &mut shards).await;
    assert_eq!(children.len(), 2);
    assert!(children.iter().all(|shard| shard.start() == &StartPosition::TrimHorizon));
    let filters: Vec<_> =
        listings(&kinesis).iter().filter_map(|body| body.get("ShardFilter").cloned()).collect();
    assert_eq!(filters.len(), 3, "at 0, 10 and 20 minutes");
    assert!(filters.iter().all(|filter| filter == &filters[0] && filter["Type"] == "FROM_TIMESTAMP"));
}

#[tokio::test(start_paused = true)]
async fn under_a_timestamp_resume_still_goes_on_with_shards_closed_before_it() {
    let (kinesis, stream) = setup(2);
    let client = kinesis.client();
    let (_, last) = stream.put("a", "read by the earlier run");
    let (two, three) = stream.split(ZERO);
    let (four, five) = stream.split(ONE);
    let (six, seven) = stream.split(&two);
    kinesis.advance(SECOND * 60).await;
    let t = DateTime::from(kinesis.now());
    let half_read = Progress::At(StartPosition::After(last.clone()));
    let mut shards =
        all_shards(&client, "orders").start_at(StartAt::Timestamp(t)).resume([(ZERO.to_owned(), half_read)]);
    let mut first = within(SECOND, &mut shards).await;
    // 0 was closed before t, but was half read; 1 was closed before t, and is nobody's business.
    assert_eq!(ids(&first), [ZERO, &four, &five]);
    assert_eq!(first[0].start(), &StartPosition::After(last));
    assert_eq!(first[1].start(), &StartPosition::Timestamp(t));
    first.remove(0).complete();
    let mut children = within(SECOND, &mut shards).await;
    assert_eq!(ids(&children), [two, three], "2 was closed before t too");
    assert!(children.iter().all(|shard| shard.start() == &StartPosition::TrimHorizon));
    children.remove(0).complete();
    assert_eq!(ids(&within(SECOND, &mut shards).await), [six, seven]);
}

#[tokio::test(start_paused = true)]
async fn dropping_next_while_a_listing_is_under_way_loses_nothing() {
    let calls = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&calls);
    let gate = Arc::new(tokio::sync::Notify::new());
    let client = Canned::client(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        Reply::shards(&[(ZERO, None)], None)
    });
    // An interceptor-free way to make the listing take time: the credentials do.
    let slow = SlowCredentials(Arc::clone(&gate));
    let client =
        aws_sdk_kinesis::Client::from_conf(client.config().to_builder().credentials_provider(slow).build());
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
    fn provide_credentials<'a>(&'a self) -> aws_credential_types::provider::future::ProvideCredentials<'a>
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
async fn one_listing_at_a_time_whatever_is_closed_meanwhile() {
    let (kinesis, _stream) = setup(3);
    let client = kinesis.client();
    let mut shards = all_shards(&client, "orders");
    let out: Vec<_> = shards.by_ref().take(3).collect().await;
    kinesis.clear_requests();
    let waiting = tokio::spawn(async move { shards.next().await });
    for shard in out {
        tokio::spawn(async move { shard.complete() });
    }
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert!(kinesis.count("ListShards") <= 3);
    assert!(!waiting.is_finished());
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn a_failing_reader_gets_its_shard_again_and_its_children_wait() {
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
    assert_eq!(shards.tracked(), 21, "the open ones, all that Kinesis still lists");
}

#[tokio::test(start_paused = true)]
async fn it_survives_a_pause_of_hours_without_a_burst_of_listings() {
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
async fn latest_on_a_stream_that_does_not_exist_yet_reads_all_that_is_written_from_then_on() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    let began = StartPosition::Timestamp(DateTime::from(kinesis.now()));
    let mut shards = try_all_shards(&client, "orders").start_at(StartAt::Latest);
    assert!(matches!(shards.next().await, Some(Err(Error::StreamNotFound { .. }))));
    let stream = kinesis.create_stream("orders", 1);
    stream.put("a", "written before the shard was found");
    stream.split(ZERO);
    let found: Vec<_> = within(SECOND * 5, &mut shards).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(ids(&found), [ZERO], "closed already, and unread");
    assert_eq!(found[0].start(), &began);
}

#[tokio::test(start_paused = true)]
async fn a_shard_handed_back_under_latest_comes_back_from_when_the_run_began() {
    let (kinesis, _stream) = setup(1);
    let client = kinesis.client();
    let began = DateTime::from(kinesis.now());
    let mut shards = all_shards(&client, "orders").start_at(StartAt::Latest);
    let zero = shards.next().await.unwrap();
    assert_eq!(zero.start(), &StartPosition::Latest);
    kinesis.advance(SECOND * 60).await;
    zero.abandon();
    let again = shards.next().await.unwrap();
    assert_eq!(again.start(), &StartPosition::Timestamp(began));
    again.abandon();
    assert_eq!(shards.next().await.unwrap().start(), &StartPosition::Timestamp(began));
}
