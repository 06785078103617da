//! Two cases in which a run from `Latest` could skip records that were written after it began.

use kinesis_shards::{ListError, StartAt};

use super::SOON;
use crate::offers::Offers;
use crate::reader::Reader;
use crate::server::Server;
use crate::stream::Stream;

/// The stream is created after the run began, so the run reads all its records.
pub(crate) async fn latest_before_the_stream_exists(server: Server) {
    let stream = Stream::named(&server, server.new_name());
    let shards = server.all_shards(&stream.name).poll_interval(SOON).start_at(StartAt::Latest);
    let mut offers = Offers::new(&server, shards);
    assert!(matches!(offers.error().await, ListError::StreamNotFound { .. }));
    stream.create_again(1).await;
    let [root] = stream.ids().await.try_into().expect("one shard");
    stream.put_into(&root, "first").await;

    let shard = offers.next_past_errors().await;
    let (records, _) = Reader::open(&server, &stream, &shard).await.rest().await;
    assert_eq!(records, ["first"], "read from {:?}", shard.start());
}

/// A reader fails between reading a record and processing it, and abandons the shard. A second
/// start at `LATEST` would skip the record.
pub(crate) async fn abandoned_under_latest(server: Server) {
    let stream = Stream::create(&server, 1).await;
    let shards = server.all_shards(&stream.name).poll_interval(SOON).start_at(StartAt::Latest);
    let mut offers = Offers::new(&server, shards);
    let shard = offers.next().await;
    let mut reader = Reader::open(&server, &stream, &shard).await;
    stream.put_into(shard.id(), "first").await;
    let (records, _) = reader.rest().await;
    assert_eq!(records, ["first"]);
    shard.abandon();

    let shard = offers.next().await;
    let (records, _) = Reader::open(&server, &stream, &shard).await.rest().await;
    assert_eq!(records, ["first"], "read again from {:?}", shard.start());
}
