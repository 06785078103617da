//! The crate's own readers: all records of all shards as one stream, while others write and
//! reshard.

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
/// Of each shard, once all records have come.
const PAGES_MORE: usize = 3;

pub(crate) async fn all_records(server: Server) {
    read_while_it_is_resharded(server, ReadOptions::new(), StartAt::TrimHorizon).await;
}

pub(crate) async fn all_records_spread_over_tasks(server: Server) {
    let options = ReadOptions::new().spawn_on(tokio::runtime::Handle::current()).max_records(7);
    read_while_it_is_resharded(server, options, StartAt::TrimHorizon).await;
}

pub(crate) async fn all_records_from_latest(server: Server) {
    read_while_it_is_resharded(server, ReadOptions::new(), StartAt::Latest).await;
}

async fn read_while_it_is_resharded(server: Server, options: ReadOptions, start: StartAt) {
    let stream = Stream::create(&server, 2).await;
    let got: Arc<Mutex<Vec<Got>>> = Arc::default();
    // The shards of which a page has come: their readers have their iterators.
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
            let text = std::str::from_utf8(record.data()).expect("a text of ours").to_owned();
            got.lock().expect("no panic").push(Got { shard: record.shard_id().to_owned(), text });
            future::ready(())
        })
    });
    if start == StartAt::Latest {
        let open = stream.open_ids().await;
        let all_begun = begun.wait_for(|begun| open.iter().all(|id| begun.contains(id)));
        assert!(all_begun.await.is_ok(), "the reader has ended");
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
    // What comes twice has the time to come: each shard that is read gives some pages more.
    let enough = pages.load(Ordering::SeqCst) + PAGES_MORE * stream.open_ids().await.len();
    while pages.load(Ordering::SeqCst) < enough {
        tokio::time::sleep(SOON).await;
    }
    reading.abort();
    assert_exact(&written, &got.lock().expect("no panic"));
}
