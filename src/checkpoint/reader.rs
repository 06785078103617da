//! Reads one shard from its checkpoint, and ends it when the end is durable.

use std::iter::FusedIterator;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use futures::Stream;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FusedStream;
use tokio::time::Duration;

use crate::checkpoint::acker::{ReadSession, UnackedRecord};
use crate::checkpoint::checkpoints::Checkpoints;
use crate::checkpoint::children::children_of;
use crate::checkpoint::claims::Claim;
use crate::checkpoint::event::CheckpointEventKind;
use crate::checkpoint::resume::Resume;
use crate::checkpoint::shard_state::Incarnation;
use crate::checkpoint::shards::CheckpointedShard;
use crate::checkpoint::value::Checkpoint;
use crate::records::batch::BatchRecords;
use crate::records::error::ReadError;
use crate::records::event::EndReason;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::read_shard::sealed::Read;
use crate::records::record::Record;
use crate::records::shard_reader::{Next, ShardReader};
use crate::shard::handle::ShardHandle;
use crate::shard::position::StartPosition;
use crate::util::runtime::{LastRuntime, Timer};

pub struct Reader {
    checkpoints: Checkpoints,
    claim: Option<Claim>,
    client: Client,
    handle: Option<ShardHandle>,
    session: Arc<ReadSession>,
    pages: ShardReader,
    /// What the last run, or the last reader, has left; none once the first record after it was
    /// seen.
    resume: Arc<Resume>,
    /// The position that `pages` began at.
    from: StartPosition,
    /// How often in a row Kinesis has refused that position.
    refusals: u32,
    state: State,
    /// Of who waits for the store: see `Checkpoints::watch_saving`.
    watch: Timer,
    is_paused: bool,
    ended: Option<EndReason>,
}

/// A checkpoint is given up after this number of refusals in a row.
const MAX_REFUSALS: u32 = 2;
/// The position that was refused is asked for again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(1);

enum State {
    /// Another reader has the shard.
    InUse,
    /// Its start is not durable yet; or it begins at a time, and the start of another that does is
    /// not. It is not read before.
    Starting {
        at_a_time: bool,
    },
    Reading,
    /// Kinesis has refused the position once; it is asked again after this.
    AskingAgain(Timer),
    /// Kinesis has refused the position, or the shard is another; the shard starts over once that position is durable.
    StartingOver(Option<ReadError>),
    /// Nothing more comes; some records are not acknowledged.
    Draining(Last),
    /// All are acknowledged, and the end has named no children: they are listed.
    Listing(BoxFuture<'static, Vec<ChildShard>>, LastRuntime),
    /// All are acknowledged; that is not durable yet.
    Finishing(Vec<ChildShard>),
}

enum Last {
    /// The last record of the shard was taken: its children.
    End(Vec<ChildShard>),
    /// Kinesis does not know the shard any more.
    Expired,
}

/// The records of a page that are to be delivered.
pub struct UnackedPage {
    pub(crate) lag: Option<Duration>,
    pub(crate) received_at: SystemTime,
    records: BatchRecords,
    session: Arc<ReadSession>,
    resume: Arc<Resume>,
}

impl UnackedPage {
    pub(crate) fn session(&self) -> &Arc<ReadSession> {
        &self.session
    }

    /// Takes the records that were not acknowledged before.
    pub(crate) fn remaining(&mut self) -> impl Iterator<Item = Record> {
        let Self { records, session, resume, .. } = self;
        records.filter(|record| !resume.passes_over(record, session))
    }
}

impl Reader {
    pub(crate) fn new(
        shard: CheckpointedShard,
        client: &Client,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
    ) -> Self {
        let CheckpointedShard {
            claim, handle, checkpoints, entry, incarnation, from, resume, ..
        } = shard;
        let at_a_time = matches!(from, StartPosition::Latest | StartPosition::Timestamp(_));
        let state = if claim.is_none() {
            State::InUse
        } else if shard.is_finished {
            // Its end may not be durable yet, if another reader came to it.
            State::Finishing(Vec::new())
        } else if shard.is_start {
            State::Starting { at_a_time }
        } else {
            State::Reading
        };
        let pages = ShardReader::new(client, handle.offer(), from.clone(), options, permits)
            .estimated(shard.is_estimate)
            .resumed();
        let session =
            Arc::new(ReadSession::new(Arc::clone(checkpoints.shared()), entry, incarnation));
        Self {
            checkpoints,
            claim,
            client: client.clone(),
            handle: Some(handle),
            session,
            pages,
            resume: Arc::new(resume),
            from,
            refusals: 0,
            state,
            watch: Timer::default(),
            is_paused: false,
            ended: None,
        }
    }

    fn end(&mut self, end: EndReason) {
        let Some(handle) = self.handle.take() else { return };
        self.session.end();
        self.claim = None;
        self.pages.options().tell_end(&handle, &end);
        match &end {
            EndReason::EndOfShard { children } => handle.complete_with(children.clone()),
            EndReason::Expired => handle.expire(),
            _ => handle.abandon(),
        }
        self.ended = Some(end);
    }

    /// Whether nothing could be saved for longer than is allowed: then no more is read.
    fn is_out_of_store(&mut self, cx: &mut Context<'_>) -> bool {
        let ReadSession { shared, entry, .. } = &*self.session;
        entry.reader.register(cx.waker());
        let unsaved = entry.unsaved_for();
        let limit = shared.options.store_outage_limit;
        let since = unsaved.filter(|unsaved| limit.is_some_and(|limit| *unsaved > limit));
        if let (Some(since), false) = (since, self.is_paused) {
            let (stream, shard) = (shared.stream.name(), entry.id.as_str());
            tracing::error!(
                stream,
                shard,
                ?since,
                "nothing could be saved for too long: reading the shard pauses until the store is back"
            );
            shared.tell(shard, CheckpointEventKind::Paused { since });
        }
        self.is_paused = since.is_some();
        self.is_paused
    }

    /// Takes note that Kinesis refused the position of the checkpoint, and asks again at first: one
    /// answer may be wrong.
    fn refuse(&mut self, error: ReadError) {
        let Some(handle) = &self.handle else { return };
        if self.pages.is_answered() {
            self.refusals = 0;
        }
        self.refusals += 1;
        if self.refusals >= MAX_REFUSALS {
            self.state = State::StartingOver(Some(error));
            return;
        }
        let (stream, shard, wait) = (handle.stream().name(), handle.id(), ASK_AGAIN);
        tracing::warn!(
            stream,
            shard,
            %error,
            ?wait,
            "Kinesis refused the position of the checkpoint; it is asked for again"
        );
        self.pages.options().tell_retry(handle, &error, self.refusals, wait);
        self.state = State::AskingAgain(Timer::default());
    }

    /// Reads the shard from its oldest record. The stored checkpoint stays until a record is
    /// acknowledged: the client may be that of another region or account.
    fn start_over(&mut self, incarnation: Incarnation) {
        if let (Some(handle), State::StartingOver(Some(error))) = (&self.handle, &self.state) {
            tracing::warn!(
                stream = handle.stream().name(),
                shard = handle.id(),
                %error,
                "Kinesis refused the checkpoint: the shard is read from its oldest record, and the \
                 stored checkpoint stays until one is acknowledged; check the client's region and \
                 account unless the stream was created again"
            );
        }
        self.resume.tell_gap(&self.session, None);
        let ReadSession { shared, entry, .. } = &*self.session;
        let (shared, entry) = (Arc::clone(shared), Arc::clone(entry));
        self.from = StartPosition::TrimHorizon;
        self.pages = self.pages.begun_again(self.from.clone());
        self.resume = Arc::default();
        self.session = Arc::new(ReadSession::new(shared, entry, incarnation));
        self.state = State::Reading;
    }

    fn poll_reading(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<UnackedPage, ReadError>>> {
        if self.is_out_of_store(cx) {
            // What was sent is awaited, without its permit, and kept until the store is back.
            self.pages.poll_in_flight(cx);
            self.checkpoints.watch_saving(&mut self.watch, cx);
            return Poll::Pending;
        }
        let next = self.pages.poll_next(cx);
        if let Some(start) = self.pages.take_earlier_start() {
            self.from = start.clone();
            let ReadSession { shared, entry, incarnation, .. } = &*self.session;
            shared.want(entry, entry.start_earlier(incarnation, start));
        }
        match ready!(next) {
            Next::Batch(batch) => {
                return Poll::Ready(Some(Ok(UnackedPage {
                    lag: batch.lag(),
                    received_at: batch.received_at(),
                    records: batch.into_iter(),
                    session: Arc::clone(&self.session),
                    resume: Arc::clone(&self.resume),
                })));
            }
            Next::End(children) => {
                self.resume.end(&self.session);
                self.state = State::Draining(Last::End(children));
            }
            // If it is so, the shard will be forgotten, and what is lost is told then.
            Next::Expired => self.state = State::Draining(Last::Expired),
            Next::Replaced => {
                let ReadSession { shared, entry, .. } = &*self.session;
                if let Some(lost @ Checkpoint::After { .. }) = self.checkpoints.get(&entry.id) {
                    shared.tell_gap(&entry.id, &lost, None);
                }
                self.resume = Arc::default();
                self.state = State::StartingOver(None);
            }
            Next::Failed(error) if self.resume.is_refused(&error) => self.refuse(error),
            Next::Failed(error) => {
                self.end(EndReason::Failed);
                return Poll::Ready(Some(Err(error)));
            }
        }
        self.poll_page(cx)
    }

    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<UnackedPage, ReadError>>> {
        if matches!(self.state, State::Reading) {
            self.checkpoints.keep_saving();
        } else {
            self.checkpoints.watch_saving(&mut self.watch, cx);
        }
        let session = Arc::clone(&self.session);
        let ReadSession { shared, entry, .. } = &*session;
        loop {
            if self.handle.is_none() {
                return Poll::Ready(None);
            }
            entry.reader.register(cx.waker());
            // Or the stream was created again, and the shard is another: that has a reader of its
            // own.
            if shared.is_stopping() || !entry.is_of(&session.incarnation) {
                self.end(EndReason::Dropped);
                return Poll::Ready(None);
            }
            match &mut self.state {
                State::InUse => {
                    let error = ReadError::in_use(&shared.stream, &entry.id);
                    self.end(EndReason::Failed);
                    return Poll::Ready(Some(Err(error)));
                }
                State::Starting { at_a_time } => {
                    ready!(entry.poll_durable(cx));
                    if *at_a_time && shared.has_starts() {
                        return Poll::Pending;
                    }
                    self.state = State::Reading;
                }
                State::Reading => return self.poll_reading(cx),
                State::AskingAgain(wait) => {
                    ready!(wait.poll(cx, ASK_AGAIN));
                    self.pages = self.pages.begun_again(self.from.clone());
                    self.state = State::Reading;
                }
                State::StartingOver(_) => {
                    // Without a new incarnation, the loop sees that the old one is over.
                    if let Some(incarnation) = ready!(entry.poll_start_over(&session.incarnation)) {
                        self.start_over(incarnation);
                        return self.poll_page(cx);
                    }
                }
                State::Draining(last) => {
                    let (is_settled, is_all_acknowledged) = {
                        let window = session.window();
                        (window.is_settled(), window.is_all_acknowledged())
                    };
                    if !is_settled {
                        return Poll::Pending;
                    }
                    match last {
                        Last::Expired => self.end(EndReason::Expired),
                        Last::End(_) if !is_all_acknowledged => self.end(EndReason::Unacknowledged),
                        Last::End(children) if children.is_empty() => {
                            let Some(handle) = &self.handle else { return Poll::Ready(None) };
                            let children = children_of(self.client.clone(), handle.offer());
                            self.state = State::Listing(children.boxed(), LastRuntime::default());
                        }
                        Last::End(children) => {
                            session.finish(children);
                            self.state = State::Finishing(std::mem::take(children));
                        }
                    }
                }
                State::Listing(children, runtime) => {
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
                    ready!(entry.poll_durable(cx));
                    let children = std::mem::take(children);
                    self.end(EndReason::EndOfShard { children });
                }
            }
        }
    }
}

impl Read for Reader {
    fn set_options(&mut self, options: Arc<ReadOptions>) {
        assert!(!self.pages.is_begun(), "set the options before the first poll");
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
            .field("checkpoints", &self.checkpoints)
            .finish_non_exhaustive()
    }
}

impl Iterator for UnackedPage {
    type Item = UnackedRecord;

    fn next(&mut self) -> Option<UnackedRecord> {
        let record = self.remaining().next()?;
        self.session.deliver(record)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (0, self.records.size_hint().1)
    }
}

impl FusedIterator for UnackedPage {}
