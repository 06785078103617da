//! The example on a stream whose responses are scripted.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::types::ChildShard;
use futures::TryStreamExt;
use kinesis_shards::StartAt;
use kinesis_shards::shard::StartPosition;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::example::demo;
use crate::example::read::read;
use crate::{Run, Seen};

const SECOND: Duration = Duration::from_secs(1);
const TRIM_HORIZON: &str = "TRIM_HORIZON";
const AFTER: &str = "AFTER_SEQUENCE_NUMBER";

/// A page of the model has 10 changes.
fn three_pages() -> Run {
    let mut run = Run::new(1);
    (0..25).for_each(|_| run.put("a"));
    run
}

fn number(n: u64) -> String {
    format!("{n:021}")
}

#[tokio::test(start_paused = true)]
async fn the_demonstration_loses_nothing_and_would_tell() {
    assert!(demo::run().await.unwrap());
    let run = three_pages();
    let stream = run.stream.describe(None).await.unwrap();
    let id = stream.shards[0].shard_id().unwrap();
    let request = run.stream.client.get_records().shard_iterator(format!("0 {id}"));
    let changes = request.send().await.unwrap().records.unwrap();
    let is_good = |skipped: Option<usize>, written| {
        let mut ledger = demo::Ledger::default();
        let read = changes.iter().enumerate().filter(|(n, _)| Some(*n) != skipped);
        read.for_each(|(_, change)| ledger.note(change));
        ledger.print_summary(written)
    };
    assert!(is_good(None, 10));
    assert!(!is_good(None, 9), "a repeated change");
    assert!(!is_good(Some(9), 10), "a lost change");
    assert!(!is_good(Some(4), 9), "a change out of order");
}

#[tokio::test(start_paused = true)]
async fn an_expired_iterator_is_replaced_after_the_last_change() {
    let run = three_pages();
    run.fail("GetRecords", &[0, 2, 3], "ExpiredIteratorException");
    run.read_to_end().await.unwrap();
    run.assert_all_once();
    let after = || (AFTER.to_owned(), Some(number(10)));
    let from_horizon = || (TRIM_HORIZON.to_owned(), None);
    assert_eq!(run.iterators(), [from_horizon(), from_horizon(), after(), after()]);
}

#[tokio::test(start_paused = true)]
async fn a_trimmed_position_is_a_gap_and_the_oldest_change_comes_next() {
    // At `GetRecords`, and at `GetShardIterator` after an iterator has expired.
    for at_iterator in [false, true] {
        let run = three_pages();
        let mut reads = 0;
        run.on_request(move |operation, body| {
            reads += usize::from(operation == "GetRecords");
            let is_after = body["ShardIteratorType"] == AFTER;
            match operation {
                "GetRecords" if reads == 3 && at_iterator => Some(Err("ExpiredIteratorException")),
                "GetRecords" if reads == 3 => Some(Err("TrimmedDataAccessException")),
                "GetShardIterator" if is_after => Some(Err("TrimmedDataAccessException")),
                _ => None,
            }
        });
        run.read_to_end().await.unwrap();
        let seen = run.seen.lock().unwrap();
        assert_eq!(seen.gaps, [number(20)]);
        // The model keeps what it said to be trimmed.
        let twice = (1..=20).chain(1..=25).collect::<Vec<_>>();
        assert_eq!(seen.versions["a"], twice, "{at_iterator}");
        assert_eq!(run.iterators().last(), Some(&(TRIM_HORIZON.to_owned(), None)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_horizon_that_moves_before_the_first_read_is_no_gap_and_no_busy_loop() {
    let run = three_pages();
    run.fail("GetRecords", &[0, 1, 2, 3, 4], "TrimmedDataAccessException");
    let began = Instant::now();
    run.read_to_end().await.unwrap();
    run.assert_all_once();
    assert!(began.elapsed() >= SECOND * 5);
    assert_eq!(run.iterators().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_not_found_has_ended() {
    let mut run = Run::new(2);
    (0..20).for_each(|n| run.put(&format!("customer {n}")));
    let mut gone = None;
    run.on_request(move |_, body| {
        let id = body["ShardId"].as_str().map(str::to_owned)?;
        let gone = gone.get_or_insert_with(|| id.clone());
        (*gone == id).then_some(Err("ResourceNotFoundException"))
    });
    run.read_to_end().await.unwrap();
    let seen = run.seen.lock().unwrap();
    assert!((1..20).contains(&seen.versions.len()), "{:?}", seen.versions);
    assert!(seen.gaps.is_empty(), "nothing of the shard was read before");
}

#[tokio::test(start_paused = true)]
async fn throttled_requests_are_retried_once_each_and_with_growing_delays() {
    for operation in ["DescribeStream", "GetShardIterator", "GetRecords"] {
        for code in ["LimitExceededException", "ProvisionedThroughputExceededException"] {
            let run = three_pages();
            run.fail(operation, &[0, 1, 2, 3, 4], code);
            let read = run.spawn(StartAt::TrimHorizon);
            sleep(SECOND * 20).await;
            let times: Vec<_> = run.requests(operation).iter().map(|it| it.at).take(6).collect();
            let delays: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert_eq!(delays.len(), 5, "{operation}");
            // Each is doubled, and up to twice as long at random.
            for (delay, least) in delays.iter().zip([250, 500, 1_000, 2_000, 4_000]) {
                let least = Duration::from_millis(least);
                assert!(*delay >= least, "{operation}: {delays:?}");
                assert!(*delay <= least * 2 + SECOND / 4, "{operation}: {delays:?}");
            }
            run.model.disable();
            read.await.unwrap().unwrap();
            run.assert_all_once();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_no_retry_mends_ends_the_program() {
    for operation in ["DescribeStream", "GetShardIterator", "GetRecords"] {
        let run = three_pages();
        run.fail(operation, &[0], "AccessDeniedException");
        let error = run.read_to_end().await.unwrap_err();
        assert!(error.contains("AccessDeniedException"), "{operation}: {error}");
        assert_eq!(run.requests(operation).len(), 1, "{operation} was retried");
    }
}

#[tokio::test(start_paused = true)]
async fn children_are_read_at_once_with_and_without_child_shards() {
    for is_refused in [false, true] {
        let mut run = Run::new(1);
        run.on_request(move |_, body| {
            let is_filtered = !body["ShardFilter"].is_null();
            (is_refused && is_filtered).then_some(Err("ValidationException"))
        });
        let read = run.spawn(StartAt::TrimHorizon);
        for end in 1..=3 {
            // The next list would come 30 s after the first.
            sleep(SECOND * 2).await;
            let began = Instant::now();
            run.put("a");
            run.model.rotate(false);
            run.put("a");
            sleep(SECOND * 5).await;
            let last = *run.seen.lock().unwrap().times.last().unwrap();
            assert_eq!(run.seen.lock().unwrap().versions["a"].len(), 2 * end);
            assert!(last - began < SECOND * 3, "{:?}", last - began);
        }
        let lists = run.requests("DescribeStream").len() - run.filtered();
        if is_refused {
            assert_eq!(run.filtered(), 1, "it was refused once, and is not requested again");
            // One list at the start, and one for each end, of two pages from the third on.
            assert!(lists >= 4, "{lists}");
        } else {
            assert_eq!((run.filtered(), lists), (3, 1), "no list was needed");
        }
        run.model.disable();
        read.await.unwrap().unwrap();
        run.assert_all_once();
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ignores_the_filter_makes_no_shard_its_own_child() {
    let mut run = Run::new(1);
    run.put("a");
    run.model.rotate(false);
    run.put("a");
    let listed = run.stream.describe(None).await.unwrap().shards;
    let shards = listed.iter().map(
        |shard| json!({"ShardId": shard.shard_id(), "ParentShardId": shard.parent_shard_id()}),
    );
    let description = json!({"StreamDescription": {
        "StreamStatus": "ENABLED", "Shards": shards.collect::<Vec<_>>(),
    }});
    run.on_request(move |_, body| {
        (!body["ShardFilter"].is_null()).then(|| Ok(description.clone()))
    });
    // The newest first.
    let [child, parent] = [0, 1].map(|n| listed[n].shard_id().unwrap());
    let children = run.stream.children(parent).await;
    assert_eq!(children.iter().map(ChildShard::shard_id).collect::<Vec<_>>(), [child]);
    assert!(run.stream.children(child).await.is_empty());
    run.read_to_end().await.unwrap();
    run.assert_all_once();
}

#[tokio::test(start_paused = true)]
async fn pages_that_never_end_are_an_error() {
    let run = Run::new(1);
    run.on_request(|operation, _| {
        (operation == "DescribeStream").then(|| {
            Ok(json!({"StreamDescription": {
                "StreamStatus": "ENABLED", "Shards": [], "LastEvaluatedShardId": "shardId-1",
            }}))
        })
    });
    let error = run.read_to_end().await.unwrap_err();
    assert!(error.contains("shardId-1 leads to itself"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_start_at_a_time_skips_what_is_older_and_nothing_else() {
    // The combinator gives such a start if the stream had no shard when a run from `Latest` began.
    let mut run = Run::new(1);
    let began = SystemTime::now();
    run.put_at("old", began - Duration::from_hours(2));
    // AWS rounds the time of a change to a second.
    run.put_at("a", began - SECOND);
    run.put_at("a", began + SECOND);
    run.written.remove("old");
    run.model.disable();
    let shards = run.stream.describe(None).await.unwrap().shards;
    let id = shards[0].shard_id().unwrap().to_owned();
    let from = StartPosition::Timestamp(began.into());
    let mut events = pin!(read(Arc::clone(&run.stream), id, from));
    while let Some(event) = events.try_next().await.unwrap() {
        run.seen.lock().unwrap().note(event);
    }
    run.assert_all_once();
}

#[tokio::test(start_paused = true)]
async fn a_latest_iterator_that_expires_skips_nothing() {
    let mut run = Run::new(1);
    let old = SystemTime::now() - Duration::from_hours(2);
    run.put_at("old", old);
    run.written.clear();
    run.fail("GetRecords", &[2], "ExpiredIteratorException");
    let read = run.spawn(StartAt::Latest);
    sleep(SECOND + SECOND / 2).await;
    // Between the second read and the third, which fails.
    run.put("a");
    sleep(SECOND * 5).await;
    run.put("a");
    run.model.disable();
    read.await.unwrap().unwrap();
    run.assert_all_once();
    let kinds: Vec<_> = run.iterators().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["LATEST", TRIM_HORIZON]);
}

#[tokio::test(start_paused = true)]
async fn a_latest_iterator_that_comes_late_skips_nothing() {
    let mut run = Run::new(1);
    run.fail("GetShardIterator", &[0, 1, 2], "LimitExceededException");
    let read = run.spawn(StartAt::Latest);
    // The third attempt comes 750 ms after the first, or later.
    sleep(SECOND * 3 / 5).await;
    assert_eq!(run.iterators().len(), 2, "the test writes between two attempts");
    run.put("a");
    sleep(SECOND * 20).await;
    run.model.disable();
    read.await.unwrap().unwrap();
    run.assert_all_once();
}

#[tokio::test(start_paused = true)]
async fn an_idle_shard_is_read_once_a_second_and_a_busy_one_five_times() {
    let mut run = Run::new(1);
    let read = run.spawn(StartAt::TrimHorizon);
    sleep(SECOND * 60).await;
    let idle = run.requests("GetRecords").len();
    assert!((58..=61).contains(&idle), "{idle}");
    (0..200).for_each(|_| run.put("a"));
    sleep(SECOND * 8).await;
    run.assert_all_once();
    let times = run.requests("GetRecords");
    assert!(times.windows(6).all(|six| six[5].at - six[0].at >= SECOND), "6 reads in a second");
    read.abort();
}

#[tokio::test(start_paused = true)]
async fn many_ends_at_once_do_not_exceed_the_rate_of_describe_stream() {
    let mut run = Run::new(40);
    let read = run.spawn(StartAt::TrimHorizon);
    for n in 0..200 {
        if n == 100 {
            sleep(SECOND * 10).await;
            run.model.rotate(true);
        }
        run.put(&format!("customer {n}"));
    }
    sleep(SECOND * 60).await;
    run.model.disable();
    read.await.unwrap().unwrap();
    run.assert_all_once();
    let described = run.requests("DescribeStream");
    assert!(run.filtered() >= 40);
    let exceeds = described.windows(11).any(|eleven| eleven[10].at - eleven[0].at < SECOND);
    assert!(!exceeds, "more than 10 requests in a second");
}

#[test]
fn a_change_that_is_missing_would_be_noticed() {
    let seen = Seen::default();
    let check = || seen.assert_all_once(&[("a".to_owned(), 1)].into());
    assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_err());
}
