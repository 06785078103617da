//! A stream that is deleted and created again while its shards are read.

use super::*;

/// Collects the items that a stream yields within this time.
async fn within<S: Stream + Unpin>(time: Duration, stream: &mut S) -> Vec<S::Item> {
    stream.take_until(sleep(time)).collect().await
}

#[tokio::test(start_paused = true)]
async fn readers_of_old_shards_end_and_each_record_is_read_once() {
    for by_batches in [false, true] {
        for spawns in [false, true] {
            let (kinesis, _, client) = fake(2);
            let ends = Arc::new(Mutex::new(Vec::new()));
            let options = ReadOptions::new().on_event({
                let ends = Arc::clone(&ends);
                move |event| {
                    if let ReadEventKind::Ended(end) = event.kind {
                        ends.lock().unwrap().push((event.shard_id.to_owned(), end.clone()));
                    }
                }
            });
            let runtime = spawns.then(tokio::runtime::Handle::current);
            let options = runtime.into_iter().fold(options, ReadOptions::spawn_on);
            let shards = all_shards(&client, "orders");
            let mut numbers = if by_batches {
                let batches = shards.batches(&client).with_options(options);
                batches
                    .flat_map(|batch| stream::iter(batch.unwrap()))
                    .map(|record| number(&record))
                    .boxed()
            } else {
                let records = shards.records(&client).with_options(options);
                records.map(|record| number(&record.unwrap())).boxed()
            };
            assert!(within(Duration::from_secs(5), &mut numbers).await.is_empty());
            kinesis.delete_stream("orders");
            let orders = kinesis.create_stream("orders", 2);
            // Until a full list shows the new stream, the old readers read its shards by their ids.
            put(&orders, 0..3);
            let mut first = within(Duration::from_mins(50), &mut numbers).await;
            first.sort_unstable();
            first.dedup();
            assert_eq!(first, [0, 1, 2]);
            let mut ended = ends.lock().unwrap().clone();
            ended.sort_by(|a, b| a.0.cmp(&b.0));
            let expired = |id: &str| (id.to_owned(), EndReason::Expired);
            assert_eq!(ended, [expired(FIRST), expired("shardId-000000000001")]);
            put(&orders, 3..6);
            assert_eq!(
                within(Duration::from_mins(50), &mut numbers).await,
                [3, 4, 5],
                "each record is read once"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_idle_reader_is_woken_when_its_stream_is_recreated() {
    let (kinesis, _, client) = fake(1);
    let options = ReadOptions::new().idle_interval(Duration::from_hours(48));
    let mut shards = all_shards(&client, "orders");
    let mut records = shards.next().await.unwrap().records(&client).with_options(options);
    assert!(timeout(Duration::from_mins(1), records.next()).await.is_err());
    kinesis.delete_stream("orders");
    kinesis.create_stream("orders", 1);
    let both = future::join(records.next(), shards.next());
    let (end, new) = timeout(Duration::from_mins(11), both).await.expect("at the next full list");
    assert!(end.is_none());
    assert_eq!(records.ended(), Some(&EndReason::Expired));
    assert_eq!(new.unwrap().id(), FIRST);
}
