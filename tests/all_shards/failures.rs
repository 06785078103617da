//! Listings that fail.

use aws_sdk_kinesis::types::Shard;
use kinesis_shards::Error;

use super::*;

#[tokio::test(start_paused = true)]
async fn each_malformed_response_is_one_err_and_affects_no_handle() {
    let malformed = [
        || Reply::ok("not JSON"),
        || Reply::ok(r#"{"Shards":"#),
        || Reply::ok("[]"),
        || Reply::ok("{}"),
        || Reply::ok(r#"{"Shards":null}"#),
        || {
            Reply::ok(
                r#"{"Shards":[{"HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}}]}"#,
            )
        },
        || Reply::ok(r#"{"Shards":[{"ShardId":7}]}"#),
        || Reply::shards(&[("", None)], None),
        || Reply::shards(&[(ZERO, Some(ZERO))], None),
        || Reply::shards(&[(ZERO, Some(ONE)), (ONE, Some(ZERO))], None),
        || Reply::error(500, "InternalFailure"),
        || Reply::Response(503, "<html>busy</html>".to_owned()),
        || Reply::error(400, "LimitExceededException"),
        || Reply::Refused,
    ];
    for (n, reply) in malformed.into_iter().enumerate() {
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
async fn a_server_that_never_responds_runs_into_the_timeout_of_the_client() {
    let client = Canned::client(|_| Reply::Silence);
    let timeout = aws_sdk_kinesis::config::timeout::TimeoutConfig::builder()
        .operation_timeout(SECOND * 5)
        .build();
    let config = client.config().to_builder().timeout_config(timeout).build();
    let client = aws_sdk_kinesis::Client::from_conf(config);
    let mut shards = try_all_shards(&client, "orders");
    let error = shards.next().await.unwrap().unwrap_err();
    assert!(
        matches!(error, ListError::ListShards { code: None, .. }) && error.is_retryable(),
        "{error}"
    );
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
async fn closings_while_listings_fail_do_not_shorten_the_backoff() {
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
    assert_eq!(
        calls.load(Ordering::SeqCst),
        2,
        "one at once; the others wait for the next attempt"
    );
}

#[tokio::test(start_paused = true)]
async fn a_mistyped_name_is_an_error_and_is_retried() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    let mut shards = try_all_shards(&client, "ordres");
    let error = shards.next().await.unwrap().unwrap_err();
    assert!(matches!(error, ListError::StreamNotFound { .. }), "{error}");
    assert!(!error.is_retryable());
    assert!(error.to_string().contains("ordres"), "{error}");
    assert!(std::error::Error::source(&error).is_some(), "the SDK's error is kept");
    kinesis.create_stream("ordres", 1);
    let found = within(SECOND * 5, &mut shards).await;
    assert_eq!(found.into_iter().filter_map(Result::ok).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_invalid_stream_is_an_error_without_a_request() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    for bad in [
        "",
        "no such name!",
        "arn:aws:s3:::bucket",
        "arn:aws:kinesis:us-east-1:123456789012:stream/",
        TABLE_STREAM,
    ] {
        let mut shards = try_all_shards(&client, bad);
        let error = shards.next().await.unwrap().unwrap_err();
        assert!(
            matches!(error, ListError::InvalidStream { .. }) && !error.is_retryable(),
            "{error}"
        );
        assert!(
            shards.next().await.unwrap().is_err(),
            "the stream retries, like after any failure"
        );
    }
    assert_eq!(kinesis.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_table_is_refused_with_what_to_use_instead() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    let error = all_shards(&client, TABLE_STREAM).ready().await.unwrap_err().to_string();
    assert!(
        error.contains("DynamoDB table") && error.contains("lineage::parents_first"),
        "{error}"
    );

    // The order is that of any other stream, and Kinesis is not asked for its records.
    let shard = Shard::builder().shard_id("shardId-00000001700000000000-9e3779b9").build().unwrap();
    let lists = stream::iter([ShardList::full(TABLE_STREAM, vec![shard])]);
    let mut records = parents_first(lists).records(&client);
    let error = records.next().await.unwrap().unwrap_err();
    assert!(matches!(&error, Error::Read(_)) && !error.is_retryable(), "{error}");
    assert!(error.to_string().contains("read them with DynamoDB Streams"), "{error}");
    assert_eq!(kinesis.requests().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_revoked_permission_is_an_error_of_its_own() {
    for (code, retryable) in [
        ("AccessDeniedException", false),
        ("UnrecognizedClientException", false),
        ("ExpiredTokenException", true),
    ] {
        let client = Canned::client(move |_| Reply::error(400, code));
        let error = try_all_shards(&client, "orders").next().await.unwrap().unwrap_err();
        assert!(
            matches!(&error, ListError::AccessDenied { code: c, .. } if c == code),
            "{error:?}"
        );
        assert_eq!(error.is_retryable(), retryable, "{code}");
    }
}
