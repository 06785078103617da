//! The rate at which a shard is read.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_reader_keeps_to_the_limits_and_reads_once_a_second_at_the_tip() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..40);
    let mut records = first(all_shards(&client, "orders"))
        .await
        .records(&client)
        .with_options(ReadOptions::new().max_records(1));
    let began = Instant::now();
    assert_eq!(take(&mut records, 40).await.len(), 40);
    let behind = began.elapsed();
    assert!((39 * 200..=39 * 211).contains(&behind.as_millis()), "{behind:?}");
    let reads = kinesis.count("GetRecords");
    assert!(timeout(Duration::from_mins(10), records.next()).await.is_err());
    let reads = kinesis.count("GetRecords") - reads;
    assert!((599..=601).contains(&reads), "{reads} reads in 600 s");
    assert!(
        kinesis.requests().iter().all(|request| request.error().is_none()),
        "a limit was exceeded"
    );
    assert!(kinesis.reads_per_second("orders", FIRST) <= 5);
}

/// Several idle shards share a tick of their interval, and so a wake-up of the task that polls.
#[tokio::test(start_paused = true)]
async fn idle_shards_share_their_wake_ups() {
    const SHARDS: u32 = 64;
    const SECONDS: u32 = 60;
    let (kinesis, _, client) = fake(SHARDS);
    let mut batches = pin!(all_shards(&client, "orders").batches(&client));
    // The first reads do not count: they come at once.
    assert!(timeout(Duration::from_secs(3), batches.next()).await.is_err());
    let (reads, mut polls) = (kinesis.count("GetRecords"), 0);
    let polled = future::poll_fn(|cx| {
        polls += 1;
        batches.as_mut().poll_next(cx)
    });
    assert!(timeout(Duration::from_secs(SECONDS.into()), polled).await.is_err());
    let reads = kinesis.count("GetRecords") - reads;
    assert_eq!(reads, (SHARDS * SECONDS) as usize, "each shard once a second");
    // A tick takes four polls, since the requests pass through the SDK together. The shards are
    // listed meanwhile, too. At times of their own, the reads would take 256 polls a second.
    assert!((80 * SECONDS..=84 * SECONDS).contains(&polls), "{polls} polls");
    assert!(kinesis.requests().iter().all(|request| request.error().is_none()));
}

/// AWS counts a read from the time at which it was served, which a slow response hides.
#[tokio::test(start_paused = true)]
async fn the_pause_begins_when_the_response_arrives() {
    let (kinesis, orders, client) = fake(1);
    let late = Duration::from_millis(700);
    kinesis.on_request(move |_| Some(Fault::Late(late)));
    put(&orders, 0..4);
    for _ in 0..3 {
        orders.put_to(FIRST, vec![b'0'; 1_000_000]);
    }
    let options = ReadOptions::new().max_records(1);
    let mut records =
        first(all_shards(&client, "orders")).await.records(&client).with_options(options);
    assert_eq!(take(&mut records, 7).await.len(), 7);
    let reads: Vec<_> =
        kinesis.requests().into_iter().filter(|r| r.operation() == "GetRecords").collect();
    let pauses: Vec<Duration> =
        reads.windows(2).map(|pair| pair[1].at() - (pair[0].at() + late)).collect();
    assert!(pauses[..3].iter().all(|pause| (200..=211).contains(&pause.as_millis())), "{pauses:?}");
    // AWS allows a million bytes in about half a second.
    assert!(pauses[4..].iter().all(|pause| (477..=520).contains(&pause.as_millis())), "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn two_mebibytes_a_second_are_not_exceeded() {
    let (kinesis, orders, client) = fake(1);
    for _ in 0..30 {
        orders.put_to(FIRST, vec![0_u8; 1_000_000]);
        sleep(Duration::from_secs(1)).await;
    }
    let mut batches = first(all_shards(&client, "orders")).await.batches(&client);
    let (mut read, began) = (0, Instant::now());
    while read < 30 {
        read += batches.next().await.unwrap().unwrap().len();
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    assert!(
        kinesis.requests().iter().all(|request| request.error().is_none()),
        "a limit was exceeded"
    );
}

#[test]
#[should_panic(expected = "max_records is 0")]
fn a_max_records_of_zero_panics() {
    let _ = ReadOptions::new().max_records(0);
}

/// AWS sends empty pages while the reader is behind.
#[tokio::test(start_paused = true)]
async fn an_empty_page_behind_the_tip_is_followed_without_an_idle_pause() {
    let (kinesis, orders, client) = fake(1);
    put(&orders, 0..1);
    sleep(Duration::from_secs(10)).await;
    kinesis.fail_times("GetRecords", 20, Fault::EmptyRead);
    let mut records = first(all_shards(&client, "orders")).await.records(&client);
    let began = Instant::now();
    assert_eq!(take(&mut records, 1).await, [0]);
    assert!((20 * 200..=20 * 211).contains(&began.elapsed().as_millis()), "{began:?}");
}
