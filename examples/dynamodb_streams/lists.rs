//! The shards of a table, in the order of the crate: lists of them, made from `DescribeStream`.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodbstreams::types::Shard as TableShard;
use aws_sdk_kinesis::types::{SequenceNumberRange, Shard};
use futures::{Stream, stream};
use kinesis_shards::lineage::parents_first;
use kinesis_shards::listing::ShardList;
use kinesis_shards::{OnDrop, ShardHandle, StartAt};
use tokio::time::sleep;

use super::table_stream::{BoxError, Description, TableStream};

/// How often all shards are listed. The end of a shard does not wait for it.
const LIST_INTERVAL: Duration = Duration::from_secs(30);

/// When [`TableStream::lists`] lists again.
enum Next {
    AtOnce,
    Later,
    /// The last list was final.
    Never,
}

impl TableStream {
    /// Returns every shard once, after its parent has ended. The stream ends when the change stream
    /// was disabled and all its shards are read.
    pub(crate) fn shards(
        self: Arc<Self>,
        start_at: StartAt,
    ) -> impl Stream<Item = Result<ShardHandle, BoxError>> {
        let lists = Arc::clone(&self).lists();
        let shards = parents_first(lists).start_at(start_at).on_drop(OnDrop::Reoffer);
        let mut shards = Box::pin(shards);
        stream::poll_fn(move |cx| {
            let polled = shards.as_mut().poll_next(cx);
            // The combinator requests a list, for example, when a shard has ended and no child of
            // it is known.
            if polled.is_pending() && shards.as_mut().take_list_request().is_some() {
                self.list_now.notify_one();
            }
            polled
        })
    }

    /// Lists the shards once per interval, and when [`list_now`](Self::list_now) is notified. Each
    /// list is full: the ids of new shards are not greater than those of older ones, so that no
    /// request names the new shards alone.
    fn lists(self: Arc<Self>) -> impl Stream<Item = Result<ShardList, BoxError>> {
        stream::try_unfold(Next::AtOnce, move |next| {
            let stream = Arc::clone(&self);
            async move {
                match next {
                    Next::AtOnce => {}
                    Next::Later => tokio::select! {
                        () = sleep(LIST_INTERVAL) => {}
                        () = stream.list_now.notified() => {}
                    },
                    Next::Never => return Ok(None),
                }
                let Description { shards, is_final } = stream.describe(None).await?;
                // All pages together: a child may be on an earlier page than its parent.
                let shards = shards.into_iter().map(as_kinesis).collect::<Result<_, _>>()?;
                let list = ShardList::full(&stream.arn, shards)?;
                Ok(Some((list, if is_final { Next::Never } else { Next::Later })))
            }
        })
    }
}

/// Converts a shard to the type of the combinator. A shard has one parent at most, and no range of
/// hash keys.
fn as_kinesis(shard: TableShard) -> Result<Shard, BoxError> {
    let range = shard.sequence_number_range.map(|range| {
        SequenceNumberRange::builder()
            .starting_sequence_number(range.starting_sequence_number.unwrap_or_default())
            .set_ending_sequence_number(range.ending_sequence_number)
            .build()
    });
    let shard = Shard::builder()
        .shard_id(shard.shard_id.unwrap_or_default())
        .set_parent_shard_id(shard.parent_shard_id)
        .set_sequence_number_range(range.transpose()?);
    Ok(shard.build()?)
}
