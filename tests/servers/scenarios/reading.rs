//! The readers of the crate: all records of all shards as one stream, during writes and reshards.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, future};
use kinesis_shards::records::{FanOut, ReadEventKind};
use kinesis_shards::{ReadOptions, ShardStreamExt, StartAt, all_shards};

use tokio::sync::watch;

use super::SOON;
use super::records::reshard;
use crate::known::Quirk;
use crate::server::Server;
use crate::stream::Stream;
use crate::writers::{Got, Writers, assert_exact};

const KEYS: usize = 4;
const PHASE: usize = 16;
/// The number of pages to read from each shard after all records were read.
const EXTRA_PAGES: usize = 3;

pub(crate) async fn all_records(server: Server) {
    let stream = Stream::create(&server, 2).await;
    read_during_reshards(
        &server,
        &stream,
        ReadOptions::new(),
        StartAt::TrimHorizon,
        Quirk::NeverEndsAShard,
    )
    .await;
}

pub(crate) async fn all_records_spread_over_tasks(server: Server) {
    let options = ReadOptions::new().spawn_on(tokio::runtime::Handle::current()).max_records(7);
    let stream = Stream::create(&server, 2).await;
    read_during_reshards(&server, &stream, options, StartAt::TrimHorizon, Quirk::NeverEndsAShard)
        .await;
}

pub(crate) async fn all_records_from_latest(server: Server) {
    let stream = Stream::create(&server, 2).await;
    read_during_reshards(
        &server,
        &stream,
        ReadOptions::new(),
        StartAt::Latest,
        Quirk::NeverEndsAShard,
    )
    .await;
}

pub(crate) async fn all_records_by_fan_out(server: Server) {
    let stream = Stream::create(&server, 2).await;
    let consumer = FanOut::register(&server.client, &*stream.name, "billing").await;
    let consumer = consumer.expect("a consumer");
    let again = FanOut::register(&server.client, &*stream.name, "billing").await;
    assert_eq!(again.expect("the same consumer").arn(), consumer.arn());
    let options = ReadOptions::new().fan_out(&consumer);
    read_during_reshards(
        &server,
        &stream,
        options,
        StartAt::TrimHorizon,
        Quirk::NeverEndsASubscription,
    )
    .await;
    consumer.deregister(&server.client).await.expect("the consumer is deregistered");
}

pub(crate) async fn records_by_fan_out_without_reshards(server: Server) {
    let stream = Stream::create(&server, 2).await;
    let consumer = FanOut::register(&server.client, &*stream.name, "billing").await;
    let options = ReadOptions::new().fan_out(&consumer.expect("a consumer"));
    let mut records = all_shards(&server.client, &stream.name)
        .records(&server.other_client())
        .with_options(options);
    let mut last = [None; KEYS];
    for n in 0..KEYS * PHASE {
        stream.put(&format!("key {}", n % KEYS), &n.to_string()).await;
        let record = records.next().await.expect("a stream without an end").expect("a record");
        let number: usize = std::str::from_utf8(record.data()).expect("a text").parse().expect("n");
        assert!(last[number % KEYS].replace(number) < Some(number), "{number} is out of order");
    }
    assert_eq!(
        last.iter().flatten().sum::<usize>(),
        (KEYS * (PHASE - 1)..KEYS * PHASE).sum::<usize>()
    );
}

async fn read_during_reshards(
    server: &Server,
    stream: &Stream,
    options: ReadOptions,
    start: StartAt,
    never_ends: Quirk,
) {
    let got: Arc<Mutex<Vec<Got>>> = Arc::default();
    // The shards of which a page was read: their readers have iterators.
    let (reading_from, mut begun) = watch::channel(HashSet::new());
    let pages: Arc<AtomicUsize> = Arc::default();
    let count = Arc::clone(&pages);
    let options = options
        .idle_interval(SOON)
        .min_read_interval(Duration::from_millis(20))
        .on_event(move |event| {
            if let ReadEventKind::Page { .. } = event.kind {
                count.fetch_add(1, Ordering::SeqCst);
                reading_from.send_if_modified(|shards| shards.insert(event.shard_id.to_owned()));
            }
        });
    let records = all_shards(&server.client, &stream.name)
        .poll_interval(SOON)
        .start_at(start)
        .records(&server.other_client())
        .with_options(options);
    let reading = tokio::spawn({
        let got = Arc::clone(&got);
        records.for_each(move |record| {
            let record = record.expect("a record");
            let text = std::str::from_utf8(record.data()).expect("a text").to_owned();
            got.lock().expect("no panic").push(Got { shard: record.shard_id().to_owned(), text });
            future::ready(())
        })
    });
    if start == StartAt::Latest {
        let open = stream.open_ids().await;
        let all_begun = begun.wait_for(|begun| open.iter().all(|id| begun.contains(id)));
        assert!(all_begun.await.is_ok(), "the readers ended");
    }
    let writers = Writers::start(stream, KEYS);
    if server.has(never_ends) {
        writers.write(4 * PHASE).await;
    } else {
        reshard(stream, &writers).await;
    }
    let written = writers.stop().await;
    let all: usize = written.values().sum();
    while got.lock().expect("no panic").len() < all {
        tokio::time::sleep(SOON).await;
    }
    // A few more pages of each shard, so that a duplicate has time to arrive.
    let enough = pages.load(Ordering::SeqCst) + EXTRA_PAGES * stream.open_ids().await.len();
    while pages.load(Ordering::SeqCst) < enough {
        tokio::time::sleep(SOON).await;
    }
    reading.abort();
    assert_exact(&written, &got.lock().expect("no panic"));
}
