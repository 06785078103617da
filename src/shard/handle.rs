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
/// Read it, to its end or as far as you like, and then end the handle in one of three ways:
///
/// * [`complete`](Self::complete) or [`complete_with`](Self::complete_with): the shard is closed,
///   and its children may start.
/// * [`abandon`](Self::abandon): it is handed back, to be offered again; its children still wait.
/// * drop it: what that means is set by [`OnDrop`], and by default the shard is closed, as if
///   completed. That holds for every way of dropping: leaving a scope, `?`, a panic, a task that is
///   aborted.
///
/// Each of them takes the handle by value, so that a shard cannot be completed twice:
///
/// ```compile_fail,E0382
/// # fn example(shard: kinesis_shards::ShardHandle) {
/// shard.complete();
/// shard.complete();
/// # }
/// ```
///
/// A handle is owned and `Send + 'static`: move it into a task, a channel, a struct. It outlives
/// the stream that gave it; ending it then has no effect. A handle that is leaked
/// ([`std::mem::forget`]) never closes, and its children wait for ever.
#[must_use = "a handle that is dropped closes its shard, and its children start"]
pub struct ShardHandle {
    offer: Arc<Offer>,
    on_drop: OnDrop,
    has_ended: bool,
}

/// A shard that is offered, and the cell in which its handle says how it ended. It is made when the
/// shard is first seen and is not moved again.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) shard: Shard,
    pub(crate) context: Arc<StreamContext>,
    pub(crate) start: StartPosition,
    /// How the parent and the adjacent parent ended, where there are such.
    pub(crate) parents: [Option<ParentOutcome>; 2],
    /// The start is a time that the run found out for `LATEST`, not one that the user gave.
    pub(crate) is_estimate: bool,
    completion: Completion,
    end_claim: EndClaim,
    /// The stream was created again: what has the shard's id now is another shard.
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
            is_gone: AtomicBool::new(false),
            reader: AtomicWaker::new(),
        }
    }

    /// The same, whose start is an estimate or not.
    pub(crate) fn estimated(self, is_estimate: bool) -> Self {
        Self { is_estimate, ..self }
    }

    /// The same shard, with another start.
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

    /// Waits for the handle to end. The next handle for the shard begins anew.
    pub(crate) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<HandleOutcome> {
        self.completion.poll_ended(cx)
    }

    /// Tells the reader that the shard is gone, with the stream that it was of.
    pub(crate) fn retire(&self) {
        self.is_gone.store(true, Ordering::Release);
        self.reader.wake();
    }

    /// Whether the shard is gone. Registers the reader's waker.
    pub(crate) fn poll_gone(&self, cx: &mut Context<'_>) -> bool {
        self.reader.register(cx.waker());
        self.is_gone.load(Ordering::Acquire)
    }

    /// Claims that the shard has ended, for a reader whose response did not say so.
    pub(crate) fn claim_end(&self) -> Standing {
        let standing = self.end_claim.make();
        if standing == Standing::New {
            self.completion.wake();
        }
        standing
    }

    /// Withdraws that claim: the shard goes on.
    pub(crate) fn withdraw_end(&self) {
        self.end_claim.withdraw();
    }

    /// Hears the claim, if there is a new one. Call it after `poll_ended`, which registers the
    /// waker.
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
        Self { offer, on_drop, has_ended: false }
    }

    /// The shard's id, such as `shardId-000000000042`.
    #[must_use]
    pub fn id(&self) -> &str {
        self.offer.shard.shard_id()
    }

    /// The shard as Kinesis described it when it was first listed.
    ///
    /// Of a shard known from its parent's [`complete_with`](Self::complete_with), Kinesis told the
    /// id, the parents and the hash key range, but no sequence numbers.
    #[must_use]
    pub fn shard(&self) -> &Shard {
        &self.offer.shard
    }

    /// The stream that the shard belongs to, as it was named to [`all_shards`](crate::all_shards).
    #[must_use]
    pub fn stream(&self) -> &StreamId {
        self.offer.stream()
    }

    /// Where to read this shard from.
    #[must_use]
    pub fn start(&self) -> &StartPosition {
        &self.offer.start
    }

    /// Each parent's id and how it ended: none for a shard the stream began with, one after a
    /// split, two after a merge (the parent, then the adjacent parent).
    pub fn parents(&self) -> impl Iterator<Item = (&str, ParentOutcome)> {
        let Offer { shard, parents, .. } = &*self.offer;
        [shard.parent_shard_id(), shard.adjacent_parent_shard_id()]
            .into_iter()
            .zip(*parents)
            .filter_map(|(id, outcome)| Some((id?, outcome?)))
    }

    /// A `GetShardIterator` request for this shard from its [`start`](Self::start), ready to be
    /// sent.
    ///
    /// ```
    /// # async fn first_iterator(client: &aws_sdk_kinesis::Client, shard: &kinesis_shards::ShardHandle)
    /// # -> Result<Option<String>, aws_sdk_kinesis::Error> {
    /// let iterator = shard.get_shard_iterator(client).send().await?.shard_iterator;
    /// # Ok(iterator) }
    /// ```
    #[must_use]
    pub fn get_shard_iterator(&self, client: &Client) -> GetShardIteratorFluentBuilder {
        get_shard_iterator(client, &self.offer, &self.offer.start)
    }

    /// Closes the shard: its children may start.
    ///
    /// A child that is known and waits for nobody else is ready in the very next poll of the
    /// stream. If no child is known yet, the stream lists the shards at once.
    ///
    /// Complete a shard that Kinesis has closed, once its last record is processed. To complete one
    /// that is still open costs the order between it and the children that it may get, and one
    /// listing.
    pub fn complete(self) {
        self.complete_with([]);
    }

    /// Closes the shard, and names its children: the `ChildShards` of the last `GetRecords` (the
    /// one that came with no next iterator). They are known at once, with no request.
    ///
    /// Children that make no sense (no id, not this shard's) or whose other parent is not known yet
    /// are left to the next listing, which then starts at once.
    pub fn complete_with(self, children: impl IntoIterator<Item = ChildShard>) {
        self.end(HandleOutcome::Closed(ParentOutcome::Completed, children.into_iter().collect()));
    }

    /// Hands the shard back unfinished: it is offered again, with the same start, and its children
    /// go on waiting.
    ///
    /// A shard that started at [`Latest`](StartPosition::Latest) comes back with the
    /// [`Timestamp`](StartPosition::Timestamp) at which the shards were first asked for, by
    /// Kinesis's clock and up to a second or so early: a second `LATEST` would skip what was
    /// written since the first.
    ///
    /// The delay before it comes back grows from 100 ms to the poll interval while the same shard
    /// keeps coming back; a handle held for longer than the poll interval starts again from 100 ms.
    pub fn abandon(self) {
        self.end(HandleOutcome::Abandoned);
    }

    /// Dropping it hands the shard back, whatever was set.
    pub(crate) fn reoffered_on_drop(self) -> Self {
        let mut handle = self;
        handle.on_drop = OnDrop::Reoffer;
        handle
    }

    pub(crate) fn offer(&self) -> Arc<Offer> {
        Arc::clone(&self.offer)
    }

    /// Kinesis says that there is no such shard: it is closed if the next complete listing does not
    /// name it either, and else handed back.
    pub(crate) fn expire(self) {
        self.end(HandleOutcome::Expired);
    }

    fn end(mut self, ending: HandleOutcome) {
        self.has_ended = true;
        self.offer.completion.end(ending);
    }
}

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
