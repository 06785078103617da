//! Unusual consumers: callbacks that panic, extreme options, and printed values.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

/// Returns the next batch, and catches panics of the poll.
async fn next_caught(
    batches: &mut kinesis_shards::records::Batches,
) -> Option<kinesis_shards::records::Batch> {
    loop {
        let next = std::future::poll_fn(|cx| {
            match catch_unwind(AssertUnwindSafe(|| batches.poll_next_unpin(cx))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => std::task::Poll::Ready(Err(panic)),
            }
        });
        if let Ok(next) = timeout(Duration::from_hours(1), next).await.expect("an item") {
            return next.map(Result::unwrap);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_on_event_loses_no_page() {
    for runtime in [None, Some(tokio::runtime::Handle::current())] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..20);
        orders.split(FIRST);
        kinesis.fail_nth("GetRecords", 2, Fault::Throttled);
        let events = Arc::new(Mutex::new(0));
        let options = ReadOptions::new().max_records(3).on_event({
            let events = Arc::clone(&events);
            move |_| {
                *events.lock().unwrap() += 1;
                panic!("a panic in on_event")
            }
        });
        let options = runtime.into_iter().fold(options, ReadOptions::spawn_on);
        let mut batches =
            first(all_shards(&client, "orders")).await.batches(&client).with_options(options);
        let mut numbers = Vec::new();
        while let Some(batch) = next_caught(&mut batches).await {
            numbers.extend(batch.into_iter().map(|record| number(&record)));
        }
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        assert!(matches!(batches.ended(), Some(EndReason::EndOfShard { .. })));
        assert!(*events.lock().unwrap() >= 9, "pages, a retry and the end");
    }
}

#[tokio::test(start_paused = true)]
async fn the_maximum_intervals_do_not_overflow() {
    // The first pause is a random part of the interval.
    fastrand::seed(1);
    for options in [
        ReadOptions::new().idle_interval(Duration::MAX),
        ReadOptions::new().min_read_interval(Duration::MAX),
        ReadOptions::new().idle_interval(Duration::MAX).min_read_interval(Duration::MAX),
    ] {
        let (kinesis, orders, client) = fake(1);
        put(&orders, 0..1);
        let mut records = first(all_shards(&client, "orders"))
            .await
            .records(&client)
            .with_options(options.clone());
        assert_eq!(take(&mut records, 1).await, [0]);
        put(&orders, 1..2);
        assert!(timeout(Duration::from_hours(24), records.next()).await.is_err());
        assert_eq!(kinesis.count("GetRecords"), 1);
        // A retry waits for the interval, too.
        kinesis.fail_next("GetRecords", Fault::Throttled);
        let mut again =
            first(all_shards(&client, "orders")).await.records(&client).with_options(options);
        assert!(timeout(Duration::from_secs(1), again.next()).await.is_err());
    }
}

#[tokio::test(start_paused = true)]
async fn debug_output_and_errors_hold_no_data_of_records() {
    let (kinesis, orders, client) = fake(1);
    // The data as text, as bytes, and as base64.
    let secret = "a secret of customer 1";
    let numbers = format!("{:?}", secret.as_bytes());
    let is_clean = |text: &str| {
        let is_clean = !text.contains(secret)
            && !text.contains(&numbers[1..20])
            && !text.contains("YSBzZWNyZXQ");
        assert!(is_clean, "{text}");
    };
    for _ in 0..20 {
        orders.put_to(FIRST, secret);
    }
    kinesis.fail_next("GetRecords", Fault::TruncatedBody);
    let retries = Arc::new(Mutex::new(Vec::new()));
    let options = ReadOptions::new().on_event({
        let retries = Arc::clone(&retries);
        move |event| retries.lock().unwrap().push(format!("{event:?} {event:#?}"))
    });
    let mut batches =
        first(all_shards(&client, "orders")).await.batches(&client).with_options(options);
    let batch = batches.next().await.unwrap().unwrap();
    is_clean(&format!("{batch:?} {batches:?}"));
    let mut records = batch.into_iter();
    is_clean(&format!("{records:?} {records:#?}"));
    is_clean(&format!("{:?}", records.next().unwrap()));
    let retries = retries.lock().unwrap();
    assert!(retries.iter().any(|text| text.contains("Retry")), "{retries:?}");
    retries.iter().for_each(|text| is_clean(text));
}
