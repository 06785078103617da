//! An offered shard, as its handle, its readers and the stream of shards share it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_shard_iterator::builders::GetShardIteratorFluentBuilder;
use futures::task::AtomicWaker;

use crate::shard::completion::Completion;
use crate::shard::end_claim::{EndClaim, Standing};
use crate::shard::outcome::{HandleOutcome, ParentOutcome};
use crate::shard::position::StartPosition;
use crate::shard::stream_context::StreamContext;
use crate::shard::stream_id::StreamId;
use crate::util::clock::now;
use crate::util::received_shard::ReceivedShard;

/// An offered shard, shared by its handle, its readers and the stream of shards.
#[derive(Debug)]
pub(crate) struct Offer {
    pub(crate) shard: ReceivedShard,
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
        shard: impl Into<ReceivedShard>,
        context: Arc<StreamContext>,
        start: StartPosition,
        parents: [Option<ParentOutcome>; 2],
    ) -> Self {
        let shard = shard.into();
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

    /// Offers the same shard with another start, which may be an estimate.
    pub(crate) fn again(&self, start: StartPosition, is_estimate: bool) -> Self {
        let context = Arc::clone(&self.context);
        Self { is_estimate, ..Self::new(self.shard.clone(), context, start, self.parents) }
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

    /// Returns a `GetShardIterator` request for the shard from a position.
    pub(crate) fn get_shard_iterator(
        &self,
        client: &Client,
        from: &StartPosition,
    ) -> GetShardIteratorFluentBuilder {
        let (name, arn) = self.stream().name_or_arn();
        client
            .get_shard_iterator()
            .set_stream_name(name)
            .set_stream_arn(arn)
            .shard_id(self.shard.shard_id())
            .shard_iterator_type(from.iterator_type())
            .set_starting_sequence_number(from.sequence_number().map(str::to_owned))
            .set_timestamp(from.timestamp())
    }

    /// Ends the handle, with this outcome.
    pub(crate) fn end(&self, outcome: HandleOutcome) {
        self.completion.end(outcome);
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

    /// Returns whether a list shows that the shard is closed.
    pub(crate) fn is_known_to_be_closed(&self) -> bool {
        self.end_claim.is_confirmed()
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
