//! The handle of an offered shard.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use aws_sdk_kinesis::types::{ChildShard, Shard};
use futures::task::AtomicWaker;

use crate::shard::completion::Completion;
use crate::shard::end_claim::{EndClaim, Standing};
use crate::shard::outcome::{HandleOutcome, OnDrop, ParentOutcome};
use crate::shard::position::StartPosition;
use crate::shard::stream_context::StreamContext;
use crate::shard::stream_id::StreamId;
use crate::util::clock::now;

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
    /// A start in place of the offered one: that of a checkpoint.
    start: Option<StartPosition>,
    on_drop: OnDrop,
    has_ended: bool,
}

/// An offered shard, shared by its handle, its readers and the stream of shards.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) shard: Shard,
    pub(crate) context: Arc<StreamContext>,
    pub(crate) start: StartPosition,
    /// How the parent and the adjacent parent ended, if there are such.
    pub(crate) parents: [Option<ParentOutcome>; 2],
    /// The start is a time that stands for `LATEST`, not one that the user gave.
    pub(crate) is_estimate: bool,
    completion: Completion,
    end_claim: EndClaim,
    /// A reader has begun since the shard was last offered.
    was_read: AtomicBool,
    /// The stream was created again: another shard has the id now.
    is_gone: AtomicBool,
    reader: AtomicWaker,
}

impl Offer {
    pub(crate) fn new(
        shard: Shard,
        context: Arc<StreamContext>,
        start: StartPosition,
        parents: [Option<ParentOutcome>; 2],
    ) -> Self {
        let end_claim = EndClaim::of(&shard);
        Self {
            shard,
            context,
            start,
            parents,
            is_estimate: false,
            completion: Completion::default(),
            end_claim,
            was_read: AtomicBool::new(false),
            is_gone: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    /// Sets whether the start is an estimate.
    pub(crate) fn estimated(self, is_estimate: bool) -> Self {
        Self { is_estimate, ..self }
    }

    /// Offers the same shard with another start.
    pub(crate) fn again(&self, start: StartPosition) -> Self {
        Self::new(self.shard.clone(), Arc::clone(&self.context), start, self.parents)
    }

    /// Returns the stream that the shard belongs to.
    pub(crate) fn stream(&self) -> &StreamId {
        &self.context.id
    }

    /// Returns the time by Kinesis's clock, or up to a second or so earlier.
    pub(crate) fn now(&self, client: &Client) -> SystemTime {
        self.to_server_time(now(client))
    }

    /// Converts a time by the client's clock; see [`now`](Self::now).
    pub(crate) fn to_server_time(&self, client_time: SystemTime) -> SystemTime {
        self.context.clock.to_server_time(client_time)
    }

    /// Waits until the handle has ended, and takes the outcome.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<HandleOutcome> {
        self.completion.poll_ended(cx)
    }

    /// Ends the reader: the stream of the shard was deleted.
    pub(crate) fn retire(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// Returns whether the stream of the shard was deleted, and registers the reader's waker.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> bool {
        self.reader.register(cx.waker());
        self.is_gone.load(Ordering::Acquire)
    }

    /// Notes that a reader begins. It withdraws the claim that an earlier reader may have left.
    pub(crate) fn begin_reading(&self) {
        self.was_read.store(true, Ordering::Relaxed);
        self.end_claim.withdraw();
    }

    /// Returns whether a reader has begun since the last call.
    pub(crate) fn take_was_read(&self) -> bool {
        self.was_read.swap(false, Ordering::Relaxed)
    }

    /// Claims that the shard has ended, for a reader whose response does not say so.
    pub(crate) fn claim_end(&self) -> Standing {
        let standing = self.end_claim.make();
        if standing == Standing::New {
            self.completion.wake();
        }
        standing
    }

    /// Withdraws the claim: the shard continues.
    pub(crate) fn withdraw_end(&self) {
        self.end_claim.withdraw();
    }

    /// Hears a new claim, if there is one. Call it after `poll_ended`, which registers the waker.
    pub(crate) fn hears_end_claim(&self) -> bool {
        self.end_claim.hear()
    }

    pub(crate) fn confirm_end(&self) {
        self.end_claim.confirm();
    }

    pub(crate) fn refuse_end(&self) {
        self.end_claim.refuse();
    }

    pub(crate) fn leave_end_claim(&self) {
        self.end_claim.leave();
    }
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
    #[must_use]
    pub fn shard(&self) -> &Shard {
        &self.offer.shard
    }

    /// Returns the stream of the shard, as it was given to [`all_shards`](crate::all_shards).
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        self.offer.stream()
    }

    /// Returns where to read the shard from.
    #[must_use]
    pub fn start(&self) -> &StartPosition {
        self.start.as_ref().unwrap_or(&self.offer.start)
    }

    /// Returns each parent's id and how it ended: no parent for an original shard of the stream,
    /// one after a split, two after a merge (the parent, then the adjacent parent).
    pub fn parents(&self) -> impl Iterator<Item = (&str, ParentOutcome)> {
        let Offer { shard, parents, .. } = &*self.offer;
        [shard.parent_shard_id(), shard.adjacent_parent_shard_id()]
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
        get_shard_iterator(client, &self.offer, self.start())
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
        handle.start = Some(start);
        handle
    }

    /// Makes a drop abandon the shard under any [`OnDrop`].
    pub(crate) fn reoffered_on_drop(self) -> Self {
        let mut handle = self;
        handle.on_drop = OnDrop::Reoffer;
        handle
    }

    pub(crate) fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.offer)
    }

    /// Reports that Kinesis knows no such shard: it is closed if the next complete listing omits
    /// it, and re-offered otherwise.
    pub(crate) fn expire(self) {
        self.end(HandleOutcome::Expired);
    }

    fn end(mut self, outcome: HandleOutcome) {
        self.has_ended = true;
        self.offer.completion.end(outcome);
    }
}

/// Returns a `GetShardIterator` request for a shard from a position.
pub(crate) fn get_shard_iterator(
    client: &Client,
    offer: &Offer,
    from: &StartPosition,
) -> GetShardIteratorFluentBuilder {
    let (name, arn) = offer.stream().name_or_arn();
    client
        .get_shard_iterator()
        .set_stream_name(name)
        .set_stream_arn(arn)
        .shard_id(offer.shard.shard_id())
        .shard_iterator_type(from.iterator_type())
        .set_starting_sequence_number(from.sequence_number().map(str::to_owned))
        .set_timestamp(from.timestamp())
}

impl Drop for ShardHandle {
    fn drop(&mut self) {
        if !self.has_ended {
            self.offer.completion.end(match self.on_drop {
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
