//! The front door.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;

use crate::lineage::graph::ListRequest;
use crate::lineage::{DEFAULT_POLL_INTERVAL, ParentsFirst, parents_first};
use crate::listing::error::ListError;
use crate::listing::shard_lists;
use crate::listing::shard_lists::ShardLists;
use crate::shard::handle::ShardHandle;
use crate::shard::outcome::OnDrop;
use crate::shard::position::{Progress, StartAt};
use crate::shard::stream_id::StreamId;

/// Stream of [`all_shards`].
#[must_use = "streams do nothing unless polled"]
pub struct AllShards {
    shards: TryAllShards,
}

/// Stream of [`try_all_shards`].
#[must_use = "streams do nothing unless polled"]
pub struct TryAllShards {
    lineage: ParentsFirst<ShardLists>,
}

impl TryAllShards {
    fn new(client: &Client, stream: StreamId) -> Self {
        Self { lineage: parents_first(shard_lists(client, stream, DEFAULT_POLL_INTERVAL)) }
    }
}

/// The setters, the same for both streams.
macro_rules! setters {
    () => {
        /// How often the shards are listed. Each such listing is one request, however many shards
        /// the stream has. It is also the longest delay between attempts while listing fails, and
        /// before a shard that was handed back is offered again.
        ///
        /// Children are rarely found by it: closing a shard lists at once, unless its children are
        /// known.
        ///
        /// # Default
        ///
        /// 30 seconds.
        ///
        /// # Panics
        ///
        /// If `interval` is zero, and after the first poll. One of more than 30 years counts as 30
        /// years.
        #[must_use = "a setter gives back the stream that it has set"]
        #[track_caller]
        pub fn poll_interval(mut self, interval: Duration) -> Self {
            let lineage = self.lineage_mut();
            lineage.lists_mut().set_interval(interval);
            lineage.set_max_reoffer_delay(interval);
            self
        }

        /// How often the listing asks for all shards instead of those that are new: it catches what
        /// a partial listing cannot, and lets expired shards be forgotten. It takes one request for
        /// every 1,000 shards.
        ///
        /// # Default
        ///
        /// 10 minutes.
        ///
        /// # Panics
        ///
        /// If `interval` is zero, and after the first poll.
        #[must_use = "a setter gives back the stream that it has set"]
        #[track_caller]
        pub fn full_listing_interval(mut self, interval: Duration) -> Self {
            self.lineage_mut().lists_mut().set_full_interval(interval);
            self
        }

        /// Where the run begins.
        ///
        /// # Default
        ///
        /// [`StartAt::TrimHorizon`].
        ///
        /// # Panics
        ///
        /// After the first poll.
        #[must_use = "a setter gives back the stream that it has set"]
        #[track_caller]
        pub fn start_at(mut self, start: StartAt) -> Self {
            let lineage = self.lineage_mut();
            lineage.set_start_at(start);
            lineage.lists_mut().set_from(if let StartAt::Timestamp(from) = start {
                Some(from)
            } else {
                None
            });
            self
        }

        /// Goes on from what an earlier run left: how far it came with each shard, by shard id.
        ///
        /// It wins over [`start_at`](Self::start_at). A shard that is named starts where it says,
        /// closed or open, or is not offered at all if it was [`Finished`](Progress::Finished);
        /// what descends from a named shard and is not named itself starts at `TrimHorizon`, also
        /// under [`StartAt::Latest`]. Remember a shard as finished for as long as Kinesis lists it.
        ///
        /// An entry is used by the first shard that bears its id. A stream that was deleted and
        /// created again *between* two runs, or before the second full listing of this one, has the
        /// same shard ids, and Kinesis says nothing by which the two could be told apart here:
        /// start it without `resume`.
        ///
        /// # Default
        ///
        /// Nothing.
        ///
        /// # Panics
        ///
        /// After the first poll.
        ///
        /// ```
        /// use kinesis_shards::{StartAt, all_shards};
        /// use kinesis_shards::shard::{Progress, StartPosition};
        ///
        /// # fn example(client: &aws_sdk_kinesis::Client) {
        /// let last = "49590338271490256608559692538361571095921575989136588898".to_owned();
        /// let shards = all_shards(client, "orders").start_at(StartAt::Latest).resume([
        ///     ("shardId-000000000000".to_owned(), Progress::Finished),
        ///     ("shardId-000000000001".to_owned(), Progress::At(StartPosition::After(last))),
        /// ]);
        /// # }
        /// ```
        #[must_use = "a setter gives back the stream that it has set"]
        #[track_caller]
        pub fn resume(mut self, progress: impl IntoIterator<Item = (String, Progress)>) -> Self {
            let lineage = self.lineage_mut();
            lineage.set_resume(progress);
            let include_closed = lineage.is_resumed();
            lineage.lists_mut().set_include_closed(include_closed);
            self
        }

        /// What dropping an unfinished handle means.
        ///
        /// # Default
        ///
        /// [`OnDrop::Close`].
        ///
        /// # Panics
        ///
        /// After the first poll.
        #[must_use = "a setter gives back the stream that it has set"]
        #[track_caller]
        pub fn on_drop(mut self, on_drop: OnDrop) -> Self {
            self.lineage_mut().set_on_drop(on_drop);
            self
        }

        /// How many shards are remembered: those that wait or are out, and those closed that may
        /// still be listed.
        #[must_use]
        pub fn tracked(&self) -> usize {
            self.lineage().tracked()
        }
    };
}

impl AllShards {
    setters!();

    pub(crate) fn lineage(&self) -> &ParentsFirst<ShardLists> {
        &self.shards.lineage
    }

    pub(crate) fn lineage_mut(&mut self) -> &mut ParentsFirst<ShardLists> {
        &mut self.shards.lineage
    }
}

impl TryAllShards {
    setters!();

    pub(crate) fn lineage(&self) -> &ParentsFirst<ShardLists> {
        &self.lineage
    }

    pub(crate) fn lineage_mut(&mut self) -> &mut ParentsFirst<ShardLists> {
        &mut self.lineage
    }
}

impl Stream for TryAllShards {
    type Item = Result<ShardHandle, ListError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut lineage = Pin::new(&mut self.lineage);
        let before = lineage.get_ref().under_way();
        loop {
            if let Poll::Ready(shard) = lineage.as_mut().poll_next(cx) {
                return Poll::Ready(shard);
            }
            // One listing at a time: what is closed while one is under way is looked at again when
            // that has come.
            if let Some(listing) = lineage.get_ref().under_way() {
                if before != Some(listing) {
                    lineage.as_mut().listing_begins(listing.is_full);
                }
                return Poll::Pending;
            }
            match lineage.as_mut().take_list_request() {
                Some(wanted) => {
                    lineage.as_mut().get_pin_mut().list_now(wanted == ListRequest::Full)
                }
                None => return Poll::Pending,
            }
        }
    }
}

impl Stream for AllShards {
    type Item = ShardHandle;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<ShardHandle>> {
        loop {
            match ready!(Pin::new(&mut self.shards).poll_next(cx)) {
                Some(Ok(shard)) => return Poll::Ready(Some(shard)),
                Some(Err(error)) => {
                    let lists = self.shards.lineage.get_ref();
                    tracing::warn!(
                        stream = %lists.stream(),
                        %error,
                        retryable = error.is_retryable(),
                        next_attempt_in = ?lists.retry_in(),
                        "listing the shards failed; it is tried again, and the shards already out go on"
                    );
                }
                None => return Poll::Ready(None),
            }
        }
    }
}

impl FusedStream for AllShards {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl FusedStream for TryAllShards {
    fn is_terminated(&self) -> bool {
        false
    }
}

impl fmt::Debug for AllShards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AllShards").field(&self.shards.lineage).finish()
    }
}

impl fmt::Debug for TryAllShards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TryAllShards").field(&self.lineage).finish()
    }
}

/// Every shard of a stream, each one once, and each after its parents, as [`all_shards`] does, with
/// each failed listing as one `Err`.
///
/// After an `Err` poll on: the stream never ends by itself, and the next attempt follows on a
/// schedule that [`shard_lists`](crate::listing::shard_lists()) describes. It tells a mistyped name
/// or a revoked permission from silence:
///
/// ```no_run
/// use futures::StreamExt;
/// use kinesis_shards::{ListError, try_all_shards};
///
/// # async fn example(client: &aws_sdk_kinesis::Client) -> Result<(), ListError> {
/// let mut shards = try_all_shards(client, "ordres");
/// while let Some(shard) = shards.next().await {
///     match shard {
///         Ok(shard) => { tokio::spawn(async move { /* read it */ shard.complete() }); }
///         Err(error) if error.is_retryable() => eprintln!("{error}"), // with the reason: throttling, no answer, no connection, ...
///         Err(error) => return Err(error),
///     }
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
///
/// See [`ListError`]. None of them touches a handle that is out.
///
/// # Panics
///
/// Polling it panics outside a tokio runtime with its time driver enabled.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing: all state lives in the stream.
pub fn try_all_shards(client: &Client, stream: impl Into<StreamId>) -> TryAllShards {
    TryAllShards::new(client, stream.into())
}

/// Every shard of a stream, each one once, and each after its parents.
///
/// The shards are listed every 30 seconds, and at once when a shard is closed whose children are
/// not known. A shard is offered as a [`ShardHandle`] when all its parents are closed; completing
/// or dropping the handle closes it. A listing that fails is logged (`tracing`, level `WARN`) and
/// tried again; [`try_all_shards`] yields it instead. The stream never ends by itself: stop with
/// `take_until`, or by dropping it.
///
/// ```no_run
/// use aws_config::BehaviorVersion;
/// use futures::StreamExt;
/// use kinesis_shards::all_shards;
///
/// # async fn example() {
/// let client = aws_sdk_kinesis::Client::new(&aws_config::load_defaults(BehaviorVersion::latest()).await);
///
/// all_shards(&client, "orders")
///     .for_each_concurrent(None, |shard| async move {
///         println!("{} opens at {:?}", shard.id(), shard.start());
///         // ... read it ...
///         shard.complete(); // its children may start now
///     })
///     .await;
/// # }
/// ```
///
/// # It works only while it is polled
///
/// Nothing runs in the background: no task is spawned, and the shards are listed only while the
/// stream is polled. So do not wait for one shard's end between two polls: `while let Some(shard) =
/// shards.next().await { read(shard).await }` never leaves the first open shard. Read shards
/// concurrently, with `for_each_concurrent` as above, a [`JoinSet`](tokio::task::JoinSet),
/// `flat_map_unordered` or the like.
///
/// # Panics
///
/// Polling it panics outside a tokio runtime with its time driver enabled.
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing: all state lives in the stream. Dropping the stream frees
/// everything; handles that outlive it close into the void.
pub fn all_shards(client: &Client, stream: impl Into<StreamId>) -> AllShards {
    AllShards { shards: try_all_shards(client, stream) }
}
