//! Reads the changes of a table, each shard after its parent.

use std::pin::pin;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use kinesis_shards::StartAt;

use super::read::{Event, read};
use super::table_stream::{BoxError, TableStream};

/// Reads all shards concurrently, and passes their events to `f`. The changes of one item arrive in
/// the order in which they were made. Ends if the stream was disabled.
pub(crate) async fn follow(
    stream: Arc<TableStream>,
    start_at: StartAt,
    f: impl Fn(&str, Event) + Send + Sync,
) -> Result<(), BoxError> {
    let (stream, f) = (&stream, &f);
    let shards = Arc::clone(stream).shards(start_at);
    shards
        .try_for_each_concurrent(None, |shard| async move {
            let id = shard.id().to_owned();
            let mut events = pin!(read(Arc::clone(stream), id, shard.start().clone()));
            while let Some(event) = events.next().await {
                f(shard.id(), event?);
            }
            let children = stream.children(shard.id()).await;
            shard.complete_with(children);
            Ok(())
        })
        .await
}
