//! The readers of the crate: all records of all shards as one stream, during writes and reshards.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::{StreamExt, future};
use kinesis_shards::records::ReadEventKind;
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
    read_during_reshards(server, ReadOptions::new(), StartAt::TrimHorizon).await;
}

pub(crate) async fn all_records_spread_over_tasks(server: Server) {
    let options = ReadOptions::new().spawn_on(tokio::runtime::Handle::current()).max_records(7);
    read_during_reshards(server, options, StartAt::TrimHorizon).await;
}

pub(crate) async fn all_records_from_latest(server: Server) {
    read_during_reshards(server, ReadOptions::new(), StartAt::Latest).await;
}

async fn read_during_reshards(server: Server, options: ReadOptions, start: StartAt) {
    let stream = Stream::create(&server, 2).await;
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
    let writers = Writers::start(&stream, KEYS);
    if server.has(Quirk::NeverEndsAShard) {
        writers.write(4 * PHASE).await;
    } else {
        reshard(&stream, &writers).await;
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
