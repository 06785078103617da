//! The handle of an offered shard.

use std::fmt;
use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_kinesis::types::{ChildShard, Shard};

use crate::shard::offer::Offer;
use crate::shard::outcome::{HandleOutcome, OnDrop, ParentOutcome};
use crate::shard::position::StartPosition;
use crate::shard::stream_context::StreamContext;
use crate::shard::stream_id::StreamId;
use crate::util::received_shard::ReceivedShard;

/// One shard, and the right to read it: all its parents have been processed.
///
/// Read the shard to its end, or as far as you like, and then end the handle in one of three ways:
///
/// * [`complete`](Self::complete) or [`complete_with`](Self::complete_with) closes the shard: its
///   children may start.
/// * [`abandon`](Self::abandon) gives the shard back: it is re-offered, and its children wait.
/// * Dropping the handle does as [`OnDrop`] says, and by default closes the shard as if it had been
///   completed. That holds for every drop: at the end of a scope, by `?`, by a panic, by an aborted
///   task.
///
/// `complete` and `abandon` take the handle by value, so that a shard cannot be completed twice:
///
/// ```compile_fail,E0382
/// # fn example(shard: kinesis_shards::ShardHandle) {
/// shard.complete();
/// shard.complete();
/// # }
/// ```
///
/// A handle is owned and `Send + 'static`: move it into a task, a channel, a struct. It may outlive
/// the stream that offered it; ending it then has no effect. A handle that is leaked
/// ([`std::mem::forget`]) never closes, and its children wait for ever.
#[must_use = "a handle that is dropped closes its shard, and its children start"]
pub struct ShardHandle {
    offer: Arc<Offer>,
    /// A start in place of the offered one: that of a checkpoint. Boxed, since most handles have
    /// none.
    start: Option<Box<StartPosition>>,
    on_drop: OnDrop,
    has_ended: bool,
}

impl ShardHandle {
    pub(crate) fn new(offer: Arc<Offer>, on_drop: OnDrop) -> Self {
        Self { offer, start: None, on_drop, has_ended: false }
    }

    /// Returns the shard's id, such as `shardId-000000000042`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.offer.shard.shard_id()
    }

    /// Returns the shard as Kinesis described it when it was first listed.
    ///
    /// A shard announced by its parent's [`complete_with`](Self::complete_with) has no sequence
    /// numbers yet.
    ///
    /// A shard that was listed in CBOR (feature `cbor`) is a part of its page, which the handle
    /// keeps in memory. The first call copies the shard.
    #[must_use]
    pub fn shard(&self) -> &Shard {
        self.offer.shard.sdk()
    }

    /// Returns the stream of the shard, as it was given to [`all_shards`](crate::all_shards).
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        self.offer.stream()
    }

    /// Returns where to read the shard from.
    #[must_use]
    pub fn start(&self) -> &StartPosition {
        self.start.as_deref().unwrap_or(&self.offer.start)
    }

    /// Returns each parent's id and how it ended: no parent for an original shard of the stream,
    /// one after a split, two after a merge (the parent, then the adjacent parent).
    pub fn parents(&self) -> impl Iterator<Item = (&str, ParentOutcome)> {
        let Offer { shard, parents, .. } = &*self.offer;
        shard
            .parent_ids()
            .into_iter()
            .zip(*parents)
            .filter_map(|(id, outcome)| Some((id?, outcome?)))
    }

    /// Returns a `GetShardIterator` request for this shard from its [`start`](Self::start), ready
    /// to be sent.
    ///
    /// ```
    /// use aws_sdk_kinesis::Client;
    /// use kinesis_shards::ShardHandle;
    ///
    /// # async fn example(
    /// #     client: &Client,
    /// #     shard: &ShardHandle,
    /// # ) -> Result<Option<String>, aws_sdk_kinesis::Error> {
    /// let iterator = shard.get_shard_iterator(client).send().await?.shard_iterator;
    /// # Ok(iterator)
    /// # }
    /// ```
    #[must_use]
    pub fn get_shard_iterator(&self, client: &Client) -> GetShardIteratorFluentBuilder {
        self.offer.begin_reading();
        self.offer.get_shard_iterator(client, self.start())
    }

    /// Closes the shard: its children may start.
    ///
    /// A known child with no other open parent is ready in the very next poll of the stream. If no
    /// child is known yet, the stream lists the shards at once.
    ///
    /// Complete a shard that Kinesis has closed, once its last record is processed. Completing one
    /// that is still open costs one listing, and the order between it and its later children.
    pub fn complete(self) {
        self.complete_with([]);
    }

    /// Closes the shard, and names its children: the `ChildShards` of the last `GetRecords`
    /// response, which has no next iterator. They are known at once, without a request.
    ///
    /// A child that has no id, is not this shard's, or has another parent that is not known yet, is
    /// left to the next listing, which then starts at once.
    pub fn complete_with(self, children: impl IntoIterator<Item = ChildShard>) {
        self.end(HandleOutcome::Closed(ParentOutcome::Completed, children.into_iter().collect()));
    }

    /// Gives the shard back unfinished: it is re-offered with the same start, and its children
    /// still wait.
    ///
    /// A shard that started at [`Latest`](StartPosition::Latest) is re-offered with the
    /// [`Timestamp`](StartPosition::Timestamp) when the run began, by Kinesis's clock or up to
    /// about a second earlier: a second `LATEST` would skip what was written since the first.
    ///
    /// The delay before the re-offer grows from 100 ms to the poll interval while the same shard
    /// keeps being abandoned. It starts again from 100 ms after a handle was held for longer than
    /// the poll interval.
    pub fn abandon(self) {
        self.end(HandleOutcome::Abandoned);
    }

    /// Replaces the start.
    pub(crate) fn starting_at(self, start: StartPosition) -> Self {
        let mut handle = self;
        handle.start = Some(Box::new(start));
        handle
    }

    /// Makes a drop abandon the shard under any [`OnDrop`].
    pub(crate) fn reoffered_on_drop(self) -> Self {
        let mut handle = self;
        handle.on_drop = OnDrop::Reoffer;
        handle
    }

    /// Returns the shard as it was received, without a copy.
    pub(crate) fn received(&self) -> &ReceivedShard {
        &self.offer.shard
    }

    pub(crate) fn context(&self) -> &StreamContext {
        &self.offer.context
    }

    pub(crate) fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.offer)
    }

    /// Gives the shard back: another worker reads it. It is re-offered at once.
    pub(crate) fn give_back(self) {
        self.end(HandleOutcome::Returned);
    }

    /// Reports that Kinesis knows no such shard: it is closed if the next complete listing omits
    /// it, and re-offered otherwise.
    pub(crate) fn expire(self) {
        self.end(HandleOutcome::Expired);
    }

    /// Ends the shard before its end, since the run ends there: neither the shard nor a descendant
    /// is offered again.
    pub(crate) fn stop(self) {
        self.end(HandleOutcome::Stopped);
    }

    fn end(mut self, outcome: HandleOutcome) {
        self.has_ended = true;
        self.offer.end(outcome);
    }
}

impl Drop for ShardHandle {
    fn drop(&mut self) {
        if !self.has_ended {
            self.offer.end(match self.on_drop {
                OnDrop::Close => HandleOutcome::Closed(ParentOutcome::Dropped, Vec::new()),
                OnDrop::Reoffer => HandleOutcome::Abandoned,
            });
        }
    }
}

impl fmt::Debug for ShardHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardHandle")
            .field("stream", &self.stream().name())
            .field("id", &self.id())
            .field("start", self.start())
            .field("parents", &self.parents().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}
