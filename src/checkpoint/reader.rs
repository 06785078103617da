//! Reads one shard from its checkpoint, and ends it when its end is durable.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use futures::Stream;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FusedStream;
use tokio::time::Duration;

use crate::checkpoint::acker::ReadSession;
use crate::checkpoint::children::children_of;
use crate::checkpoint::claims::Claim;
use crate::checkpoint::consumer::Consumer;
use crate::checkpoint::event::CheckpointEventKind;
use crate::checkpoint::lease::{Lease, LeaseEnd};
use crate::checkpoint::page::UnackedPage;
use crate::checkpoint::page_contents::PageContents;
use crate::checkpoint::resume::ResumePoint;
use crate::checkpoint::shard::CheckpointedShard;
use crate::checkpoint::shard_state::Incarnation;
use crate::checkpoint::start_barrier::{BarrierWait, StartBarrier};
use crate::checkpoint::value::Checkpoint;
use crate::records::error::ReadError;
use crate::records::event::EndReason;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::read_shard::sealed::Read;
use crate::records::shard_reader::{ShardReader, Step};
use crate::shard::handle::ShardHandle;
use crate::shard::position::StartPosition;
use crate::util::runtime::{LastRuntime, Timer};

/// The reader of one shard with its checkpoint.
pub struct Reader {
    consumer: Consumer,
    /// `None` if another reader has the shard, and once this one has ended.
    claim: Option<Claim>,
    client: Client,
    /// `None` once this reader has ended.
    handle: Option<ShardHandle>,
    session: Arc<ReadSession>,
    /// Reads the pages of records.
    pages: ShardReader,
    /// The checkpoint that the shard is resumed from.
    resume: Arc<ResumePoint>,
    /// The position that `pages` started at.
    read_from: StartPosition,
    /// How often in a row Kinesis has refused that position.
    refusals: u32,
    state: State,
    /// The timer of [`Consumer::watch_save_task`].
    save_task_watch: Timer,
    is_paused: bool,
    ended: Option<EndReason>,
}

/// A checkpoint that Kinesis refuses this often in a row is given up.
const MAX_REFUSALS: u32 = 2;
/// How long to wait before a refused position is requested again.
const REFUSAL_RETRY_DELAY: Duration = Duration::from_secs(1);

enum State {
    /// The shard cannot be read: another reader has it, or the worker has stopped.
    Failed(Option<ReadError>),
    /// The start of the shard is not durable yet; or the shard starts at a time, as others do whose
    /// start is not durable yet.
    Starting {
        barrier: Option<BarrierWait>,
    },
    Reading,
    /// Kinesis has refused the position once. It is requested again.
    RetryingPosition(Timer),
    /// Kinesis has refused the position again, or the shard lost its data. The shard starts over
    /// once its checkpoint is durable.
    StartingOver(Option<ReadError>),
    /// All records were delivered, but not all are acknowledged.
    Draining(ReadEnd),
    /// All records were acknowledged, and the end named no children: they are listed.
    ListingChildren(BoxFuture<'static, Vec<ChildShard>>, LastRuntime),
    /// All records were acknowledged, but the end is not durable yet.
    Finishing(Vec<ChildShard>),
}

/// How reading has ended.
enum ReadEnd {
    /// The shard has ended, with these children.
    End(Vec<ChildShard>),
    /// Kinesis no longer knows the shard.
    Expired,
}

impl Reader {
    pub(crate) fn new(
        shard: CheckpointedShard,
        client: &Client,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
    ) -> Self {
        let CheckpointedShard {
            claim,
            handle,
            consumer,
            state,
            incarnation,
            read_from,
            resume,
            failure,
            ..
        } = shard;
        let reader_state = if claim.is_none() {
            let stream = &consumer.shared.stream;
            State::Failed(failure.or_else(|| Some(ReadError::in_use(stream, handle.id()))))
        } else if shard.is_finished {
            // The end may not be durable yet if another reader reached it.
            State::Finishing(Vec::new())
        } else if shard.is_at_start {
            let barrier =
                StartBarrier::applies_to(&read_from).then(|| consumer.shared.start_barrier.wait());
            State::Starting { barrier }
        } else {
            State::Reading
        };
        let pages = ShardReader::new(client, handle.offer(), read_from.clone(), options, permits)
            .start_kind(shard.start_kind)
            .resumed()
            .monitored(&consumer.shared.monitor);
        let session = Arc::new(ReadSession::new(Arc::clone(&consumer.shared), state, incarnation));
        Self {
            consumer,
            claim,
            client: client.clone(),
            handle: Some(handle),
            session,
            pages,
            resume: Arc::new(resume),
            read_from,
            refusals: 0,
            state: reader_state,
            save_task_watch: Timer::default(),
            is_paused: false,
            ended: None,
        }
    }

    fn page(&self, contents: PageContents) -> UnackedPage {
        UnackedPage::new(contents, Arc::clone(&self.session))
    }

    fn end(&mut self, end: EndReason) {
        let Some(handle) = self.handle.take() else { return };
        self.session.end();
        self.session.take_undelivered();
        self.claim = None;
        self.pages.options().emit_end(&handle, &end);
        match &end {
            EndReason::EndOfShard { children } => handle.complete_with(children.clone()),
            EndReason::Expired => handle.expire(),
            EndReason::Reached => handle.stop(),
            EndReason::LeaseMoved | EndReason::LeaseLost => handle.give_back(),
            _ => handle.abandon(),
        }
        self.ended = Some(end);
    }

    /// Returns whether reading is paused: a save has been overdue for longer than the limit.
    fn poll_paused(&mut self, cx: &mut Context<'_>) -> bool {
        let ReadSession { shared, state, .. } = &*self.session;
        state.reader_waker.register(cx.waker());
        let unsaved = state.unsaved_for();
        let limit = shared.options.store_outage_limit;
        let since = unsaved.filter(|unsaved| limit.is_some_and(|limit| *unsaved > limit));
        if let (Some(since), false) = (since, self.is_paused) {
            let (stream, shard) = (shared.stream.name(), state.id.as_str());
            tracing::error!(
                stream,
                shard,
                ?since,
                "reading is paused until the store is back: no checkpoint could be saved"
            );
            shared.report(shard, CheckpointEventKind::Paused { since });
        }
        self.is_paused = since.is_some();
        self.is_paused
    }

    /// Handles a refusal of the position of the checkpoint. The position is requested again at
    /// first, since one response may be wrong.
    fn position_refused(&mut self, error: ReadError) {
        let Some(handle) = &self.handle else { return };
        if self.pages.has_received_page() {
            self.refusals = 0;
        }
        self.refusals += 1;
        if self.refusals >= MAX_REFUSALS {
            self.state = State::StartingOver(Some(error));
            return;
        }
        let (stream, shard) = (handle.stream().name(), handle.id());
        let wait = REFUSAL_RETRY_DELAY;
        tracing::warn!(
            stream,
            shard,
            %error,
            ?wait,
            "Kinesis refused the position of the checkpoint; retrying"
        );
        self.pages.options().emit_retry(handle, &error, self.refusals, wait);
        self.state = State::RetryingPosition(Timer::default());
    }

    /// Reads the shard from its oldest record. The store keeps the checkpoint until a record is
    /// acknowledged: the client may be one of another region or account.
    fn start_over(&mut self, incarnation: Incarnation) {
        if let (Some(handle), State::StartingOver(Some(error))) = (&self.handle, &self.state) {
            tracing::warn!(
                stream = handle.stream().name(),
                shard = handle.id(),
                %error,
                "Kinesis refused the checkpoint; the shard is read from its oldest record, and the \
                 store keeps the checkpoint until a record is acknowledged: check the client's \
                 region and account, unless the stream was created again"
            );
        }
        if let Some(expired) = self.resume.take_expired() {
            self.session.report_gap(&expired, None);
        }
        let ReadSession { shared, state, .. } = &*self.session;
        let (shared, state) = (Arc::clone(shared), Arc::clone(state));
        self.read_from = StartPosition::TrimHorizon;
        self.pages = self.pages.restarted_at(self.read_from.clone());
        self.resume = Arc::default();
        self.session = Arc::new(ReadSession::new(shared, state, incarnation));
        self.state = State::Reading;
    }

    /// Waits for the acknowledgement of all records.
    fn drain(&mut self, end: ReadEnd) {
        self.session.await_acks();
        self.state = State::Draining(end);
    }

    fn poll_reading(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<UnackedPage, ReadError>>> {
        if self.poll_paused(cx) {
            // The request in flight continues without its permit, and its page is kept.
            self.pages.poll_in_flight(cx);
            self.consumer.watch_save_task(&mut self.save_task_watch, cx);
            return Poll::Pending;
        }
        if !self.session.may_deliver() {
            // The waker is registered: the lease continues or ends.
            if self.session.is_delivering() {
                self.pages.poll_in_flight(cx);
            } else {
                // Another worker may subscribe to the shard soon.
                self.pages.yield_shard(cx);
            }
            return Poll::Pending;
        }
        if let Some(contents) = self.session.take_undelivered() {
            return Poll::Ready(Some(Ok(self.page(contents))));
        }
        let next = self.pages.poll_next(cx);
        if let Some(start) = self.pages.take_earlier_start() {
            self.read_from = start.clone();
            let ReadSession { shared, state, incarnation, .. } = &*self.session;
            shared.schedule(state, state.move_start_back(incarnation, start));
        }
        if self.pages.take_takeover()
            && let Some(lease) = &self.session.state.lease
        {
            lease.report_takeover();
        }
        match ready!(next) {
            Step::Batch(batch) => {
                self.session.receive_page();
                let (lag, received_at) = (batch.lag(), batch.received_at());
                let resume = Arc::clone(&self.resume);
                let contents = PageContents::new(lag, received_at, batch.into_iter(), resume);
                return Poll::Ready(Some(Ok(self.page(contents))));
            }
            Step::End(children) => {
                if let Some(expired) = self.resume.take_expired_at_end() {
                    self.session.report_gap(&expired, None);
                }
                self.drain(ReadEnd::End(children));
            }
            // As at a shutdown: a consumer that collects records acknowledges the last of them when
            // the stream has ended.
            Step::Reached => {
                self.end(EndReason::Reached);
                return Poll::Ready(None);
            }
            // If the shard has expired, it will be forgotten, and the gap is reported then.
            Step::Expired => self.drain(ReadEnd::Expired),
            Step::Replaced => {
                if let Some(lost @ Checkpoint::After { .. }) = self.session.state.checkpoint() {
                    self.session.report_gap(&lost, None);
                }
                self.resume = Arc::default();
                self.state = State::StartingOver(None);
            }
            Step::Failed(error) if self.resume.is_refused(&error) => self.position_refused(error),
            Step::Failed(error) => {
                self.end(EndReason::Failed);
                return Poll::Ready(Some(Err(error)));
            }
        }
        self.poll_page(cx)
    }

    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<UnackedPage, ReadError>>> {
        if matches!(self.state, State::Reading) {
            self.consumer.ensure_save_task();
        } else {
            self.consumer.watch_save_task(&mut self.save_task_watch, cx);
        }
        let session = Arc::clone(&self.session);
        let ReadSession { shared, state, .. } = &*session;
        if let Some(lease) = &state.lease {
            lease.note_poll();
        }
        loop {
            if self.handle.is_none() {
                return Poll::Ready(None);
            }
            state.reader_waker.register(cx.waker());
            if let Some(end) = state.lease.as_ref().and_then(Lease::end_reason) {
                match end {
                    LeaseEnd::Finished => {}
                    LeaseEnd::Moved { .. } => self.end(EndReason::LeaseMoved),
                    LeaseEnd::Lost { .. } => self.end(EndReason::LeaseLost),
                }
                if self.handle.is_none() {
                    return Poll::Ready(None);
                }
            }
            // If the stream was created again, the new shard with this id has its own reader.
            let is_over = shared.is_shut_down() || !state.is_current(&session.incarnation);
            let is_stopped =
                matches!(&self.state, State::Failed(Some(error)) if error.is_worker_stopped());
            if is_over && !is_stopped {
                self.end(EndReason::Dropped);
                return Poll::Ready(None);
            }
            match &mut self.state {
                State::Failed(error) => {
                    let error = error.take();
                    self.end(EndReason::Failed);
                    return Poll::Ready(error.map(Err));
                }
                State::Starting { barrier } => {
                    ready!(state.poll_durable(cx));
                    if let Some(barrier) = barrier {
                        ready!(barrier.poll_open(cx));
                    }
                    self.state = State::Reading;
                }
                State::Reading => return self.poll_reading(cx),
                State::RetryingPosition(timer) => {
                    ready!(timer.poll(cx, REFUSAL_RETRY_DELAY));
                    self.pages = self.pages.restarted_at(self.read_from.clone());
                    self.state = State::Reading;
                }
                State::StartingOver(_) => {
                    // Without a new incarnation, the next round ends this reader.
                    if let Some(incarnation) = ready!(state.poll_start_over(&session.incarnation)) {
                        self.start_over(incarnation);
                        return self.poll_page(cx);
                    }
                }
                State::Draining(read_end) => {
                    if !session.is_settled() {
                        return Poll::Pending;
                    }
                    match read_end {
                        ReadEnd::Expired => self.end(EndReason::Expired),
                        ReadEnd::End(_) if !session.is_all_acknowledged() => {
                            self.end(EndReason::Unacknowledged);
                        }
                        ReadEnd::End(children) if children.is_empty() => {
                            let Some(handle) = &self.handle else { return Poll::Ready(None) };
                            let children = children_of(self.client.clone(), handle.offer());
                            self.state =
                                State::ListingChildren(children.boxed(), LastRuntime::default());
                        }
                        ReadEnd::End(children) => {
                            session.finish(children);
                            self.state = State::Finishing(std::mem::take(children));
                        }
                    }
                }
                State::ListingChildren(children, runtime) => {
                    if runtime.has_changed()
                        && let Some(handle) = &self.handle
                    {
                        *children = children_of(self.client.clone(), handle.offer()).boxed();
                    }
                    let children = ready!(children.as_mut().poll(cx));
                    session.finish(&children);
                    self.state = State::Finishing(children);
                }
                State::Finishing(children) => {
                    ready!(state.poll_durable(cx));
                    let children = std::mem::take(children);
                    self.end(EndReason::EndOfShard { children });
                }
            }
        }
    }
}

impl Read for Reader {
    fn set_options(&mut self, options: Arc<ReadOptions>) {
        assert!(!self.pages.was_polled(), "set the options before the first poll");
        self.pages.set_options(options);
    }

    fn lag(&self) -> Option<Duration> {
        self.pages.lag()
    }

    fn shard_id(&self) -> Option<&str> {
        self.handle.as_ref().map(ShardHandle::id)
    }

    fn ended(&self) -> Option<&EndReason> {
        self.ended.as_ref()
    }
}

impl Stream for Reader {
    type Item = Result<UnackedPage, ReadError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.get_mut().poll_page(cx)
    }
}

impl FusedStream for Reader {
    fn is_terminated(&self) -> bool {
        self.ended.is_some()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.end(EndReason::Dropped);
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("shard_id", &self.shard_id())
            .field("lag", &self.lag())
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}
