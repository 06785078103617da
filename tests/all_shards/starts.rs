//! Where shards start.

use super::*;

#[tokio::test(start_paused = true)]
async fn each_full_listing_is_filtered_by_the_same_timestamp() {
    let (kinesis, stream) = setup(1);
    let client = kinesis.client();
    stream.split(ZERO);
    kinesis.advance(SECOND * 60).await;
    let t = DateTime::from(kinesis.now());
    kinesis.advance(SECOND * 60).await;
    stream.split(ONE);
    let mut shards = all_shards(&client, "orders").start_at(StartAt::Timestamp(t));
    let open_at_t = within(SECOND * 1_300, &mut shards).await;
    assert_eq!(
        ids(&open_at_t),
        [ONE, "shardId-000000000002"],
        "a shard that was closed earlier is not listed"
    );
    assert!(open_at_t.iter().all(|shard| shard.start() == &StartPosition::Timestamp(t)));
    drop(open_at_t);
    let children = within(SECOND, &mut shards).await;
    assert_eq!(children.len(), 2);
    assert!(children.iter().all(|shard| shard.start() == &StartPosition::TrimHorizon));
    let filters: Vec<_> =
        listings(&kinesis).iter().filter_map(|body| body.get("ShardFilter").cloned()).collect();
    assert_eq!(filters.len(), 3, "at 0, 10 and 20 minutes");
    assert!(
        filters.iter().all(|filter| filter == &filters[0] && filter["Type"] == "FROM_TIMESTAMP")
    );
}

#[tokio::test(start_paused = true)]
async fn under_a_timestamp_resume_continues_shards_that_were_closed_before_it() {
    let (kinesis, stream) = setup(2);
    let client = kinesis.client();
    let (_, last) = stream.put("a", "read by the earlier run");
    let (two, three) = stream.split(ZERO);
    let (four, five) = stream.split(ONE);
    let (six, seven) = stream.split(&two);
    kinesis.advance(SECOND * 60).await;
    let t = DateTime::from(kinesis.now());
    let half_read = Progress::At(StartPosition::After(last.clone()));
    let mut shards = all_shards(&client, "orders")
        .start_at(StartAt::Timestamp(t))
        .resume([(ZERO.to_owned(), half_read)]);
    let mut first = within(SECOND, &mut shards).await;
    // 0 was closed before t, but is unfinished; 1 was closed before t, and is skipped.
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
async fn under_a_timestamp_resume_continues_below_expired_parents() {
    let (kinesis, stream) = setup(2);
    let client = kinesis.client();
    // 0 was read. 4 descends from it by 2; 0 and 2 have expired. 4 was closed before t, unread.
    let (two, three) = stream.split(ZERO);
    let (four, five) = stream.split(&two);
    let (six, seven) = stream.split(&four);
    // The earlier run did not know 1.
    let (eight, nine) = stream.split(ONE);
    kinesis.advance(SECOND * 60).await;
    let t = DateTime::from(kinesis.now());
    kinesis.advance(SECOND * 60).await;
    stream.expire(ZERO);
    stream.expire(&two);
    let mut shards = all_shards(&client, "orders")
        .start_at(StartAt::Timestamp(t))
        .resume([(ZERO.to_owned(), Progress::Finished)]);
    let first = within(SECOND, &mut shards).await;
    assert_eq!(ids(&first), [&three, &four, &five, &eight, &nine]);
    for shard in &first {
        let descends_from_zero = shard.id() < eight.as_str();
        let expected = if descends_from_zero {
            StartPosition::TrimHorizon
        } else {
            StartPosition::Timestamp(t)
        };
        assert_eq!(shard.start(), &expected, "{}", shard.id());
    }
    drop(first);
    assert_eq!(ids(&within(SECOND, &mut shards).await), [six, seven]);
}

#[tokio::test(start_paused = true)]
async fn latest_on_a_stream_that_is_created_later_reads_all_its_records() {
    let kinesis = FakeKinesis::new();
    let client = kinesis.client();
    let began = StartPosition::Timestamp(DateTime::from(kinesis.now()));
    let mut shards = try_all_shards(&client, "orders").start_at(StartAt::Latest);
    assert!(matches!(shards.next().await, Some(Err(ListError::StreamNotFound { .. }))));
    let stream = kinesis.create_stream("orders", 1);
    stream.put("a", "written before the shard was found");
    stream.split(ZERO);
    let found: Vec<_> =
        within(SECOND * 5, &mut shards).await.into_iter().filter_map(Result::ok).collect();
    assert_eq!(ids(&found), [ZERO], "closed already, and unread");
    assert_eq!(found[0].start(), &began);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_abandoned_under_latest_starts_when_the_run_began() {
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

/// A stream has at least one shard, unless it is being created.
#[tokio::test(start_paused = true)]
async fn a_first_list_without_a_shard_is_retried() {
    for start in [StartAt::Latest, StartAt::TrimHorizon] {
        let (kinesis, stream) = setup(1);
        let client = kinesis.client();
        stream.split(ZERO);
        kinesis.fail_times("ListShards", 3, Fault::NoShards);
        let began = kinesis.now();
        let mut shards = try_all_shards(&client, "orders").start_at(start);
        for _ in 0..3 {
            let error = shards.next().await.unwrap().unwrap_err();
            assert!(
                error.is_retryable() && error.to_string().contains("it names no shard"),
                "{error}"
            );
        }
        let shard = shards.next().await.unwrap().unwrap();
        // The stream may have been created since: nothing written after the run began is skipped.
        let since = StartPosition::Timestamp(began.into());
        let expected = if start == StartAt::Latest { since } else { StartPosition::TrimHorizon };
        assert_eq!((shard.id(), shard.start()), (ZERO, &expected));
    }
}

#[tokio::test(start_paused = true)]
async fn a_later_full_list_without_a_shard_forgets_nothing() {
    let (kinesis, _stream) = setup(2);
    let client = kinesis.client();
    let mut shards =
        all_shards(&client, "orders").poll_interval(SECOND * 20).full_listing_interval(SECOND * 60);
    let _out: Vec<_> = shards.by_ref().take(2).collect().await;
    kinesis.fail_times("ListShards", 20, Fault::NoShards);
    assert!(within(SECOND * 60 * 60, &mut shards).await.is_empty());
    assert_eq!(shards.tracked(), 2);
}
