//! The stream of the shards that this worker has the lease of.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ChildShard, Shard};
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FusedStream;
use futures::task::AtomicWaker;
use futures::{Stream, StreamExt};
use tokio::time::{Duration, sleep};

use crate::all_shards::sealed::ErrorPolicy;
use crate::all_shards::{AllShards, LogErrors};
use crate::checkpoint::shard::CheckpointedShard;
use crate::checkpoint::shard_state::ShardState;
use crate::checkpoint::value::Checkpoint;
use crate::lease::leases::Leases;
use crate::lease::machine::placing::creating::AncestorRequest;
use crate::lease::machine::{Event, Offered};
use crate::lease::table::{LeaseRow, Request, Response};
use crate::lease::worker::{StreamClaim, Worker};
use crate::listing::error::ListError;
use crate::listing::shard_lists::{ListRequest, server_time};
use crate::records::error::ReadError;
use crate::shard::handle::ShardHandle;
use crate::shard::offer::Offer;
use crate::shard::outcome::OnDrop;
use crate::shard::position::{Progress, StartAt, StartPosition};
use crate::shard::stream_context::StreamContext;
use crate::util::backoff::backoff;

/// A stream of the shards whose lease this worker holds: see [`AllShards::leased`].
///
/// A shard is yielded each time that its lease is granted, and again if it is dropped or abandoned,
/// or its reader fails, while the lease lasts. The stream ends when the worker has
/// [left](Leases::shutdown). If the worker stops for good, because another has its id or it may no
/// longer use the tables, the stream yields one last shard with an empty id, whose reader fails
/// with the reason ([`ReadError::is_worker_stopped`]), and ends.
///
/// Poll only one such stream for each [`Leases`].
///
/// # Filtering shards
///
/// A shard that `filter` drops keeps its lease: it is yielded again for ever, no worker reads it,
/// and its children wait. A `WARN` says so. Leases split the work of a stream.
///
/// # Cancel safety
///
/// Dropping `next()` loses no shard.
///
/// See the example of [`lease`](super).
#[must_use = "streams do nothing unless polled"]
pub struct LeasedShards<E: ErrorPolicy = LogErrors> {
    shards: AllShards<E>,
    client: Client,
    leases: Leases,
    start: Start,
    /// The shards that the lineage offers, and that this worker has no lease of or has not yielded.
    parked: BTreeMap<String, ShardHandle>,
    /// The shards whose ancestors are to be closed once the first list has come.
    take_over: BTreeMap<String, LeaseRow>,
    close_ancestors: Option<CloseAncestors>,
    ready: VecDeque<E::Item<CheckpointedShard>>,
    waker: Arc<AtomicWaker>,
    from_latest: bool,
    /// `None` if these leases have another stream.
    claim: Option<StreamClaim>,
    has_ended: bool,
}

/// The ancestors to close.
struct CloseAncestors {
    request: AncestorRequest,
    /// The number of the full listing that has to come before, or of a later one.
    listing: u64,
}

/// The start of the fleet, as far as it is known.
enum Start {
    /// The time of Kinesis is requested, for a run from `Latest`.
    Clock(BoxFuture<'static, Result<SystemTime, ListError>>),
    /// The workers table is asked for the start of the fleet.
    Requested,
    /// The lease table is read: what the fleet, or a KCL before it, has processed.
    Rows(BoxFuture<'static, Vec<LeaseRow>>),
    Known,
}

/// How long to wait before Kinesis's clock is requested again after an error that is not retryable.
const CLOCK_RETRY_DELAY: Duration = Duration::from_secs(30);
const MIN_SCAN_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_SCAN_RETRY_DELAY: Duration = Duration::from_secs(10);

/// Returns the time of Kinesis, for a fleet that starts at `Latest`.
fn clock(
    client: &Client,
    leases: &Leases,
    wait: Duration,
) -> BoxFuture<'static, Result<SystemTime, ListError>> {
    let (client, context) = (client.clone(), StreamContext::new(leases.stream().clone()));
    async move {
        sleep(wait).await;
        server_time(&client, &context).await
    }
    .boxed()
}

/// Reads the lease table. A failed request is retried without a limit.
fn rows(worker: &Arc<Worker>) -> BoxFuture<'static, Vec<LeaseRow>> {
    let (tables, stream) = (Arc::clone(&worker.tables), worker.stream.clone());
    async move {
        let mut failures = 0;
        loop {
            match tables.send(Request::Scan).await {
                Ok(Response::Leases(rows)) => return rows,
                Ok(_) => {}
                Err(error) => {
                    let (stream, error) = (stream.name(), &error.source);
                    tracing::warn!(stream, %error, "cannot read the leases; retrying");
                }
            }
            sleep(backoff(MIN_SCAN_RETRY_DELAY, MAX_SCAN_RETRY_DELAY, failures)).await;
            failures += 1;
        }
    }
    .boxed()
}

impl<E: ErrorPolicy> AllShards<E> {
    /// Yields the shards whose lease this worker holds, each from its checkpoint.
    ///
    /// [`start_at`](Self::start_at) applies to the first worker that ever reads with these tables:
    /// all later ones start where it did, so that no record is skipped while no worker runs. Delete
    /// both tables to start over. [`on_drop`](Self::on_drop) has no effect: a shard that is dropped
    /// is offered again by this worker, which keeps its lease.
    ///
    /// See the example of [`lease`](crate::lease).
    ///
    /// One [`Leases`] has one such stream at a time: a second one yields a single shard, whose
    /// reader fails.
    ///
    /// # Panics
    ///
    /// If the stream was polled before, if it ends by [`until`](Self::until), and if the leases are
    /// those of another stream.
    #[track_caller]
    pub fn leased(self, leases: &Leases) -> LeasedShards<E> {
        LeasedShards::new(self, leases)
    }
}

impl<E: ErrorPolicy> LeasedShards<E> {
    #[track_caller]
    fn new(shards: AllShards<E>, leases: &Leases) -> Self {
        leases.checkpoints().assert_same_stream(shards.shards().get_ref().stream());
        assert!(
            !shards.shards().ends_when_read(),
            "a run of many workers has no end: call `until` on a stream of shards without leases"
        );
        let mut shards = shards.on_drop(OnDrop::Reoffer);
        shards.shards_mut().track_forgotten();
        let client = shards.shards().get_ref().client().clone();
        let start = shards.shards().start();
        let mut stream = Self {
            client: client.clone(),
            leases: leases.clone(),
            start: Start::Requested,
            parked: BTreeMap::new(),
            // An earlier stream of these leases may have been dropped.
            take_over: leases.worker.inbox().held.clone(),
            close_ancestors: None,
            ready: VecDeque::new(),
            waker: leases.worker.waiting.subscribe(),
            from_latest: start == StartAt::Latest,
            claim: leases.worker.claim_stream(),
            has_ended: false,
            shards,
        };
        if stream.claim.is_none() {
            return stream;
        }
        match start {
            StartAt::Latest => {
                stream.start = Start::Clock(clock(&client, leases, Duration::ZERO));
            }
            StartAt::TrimHorizon => stream.request_start(StartPosition::TrimHorizon),
            StartAt::Timestamp(at) => stream.request_start(StartPosition::Timestamp(at)),
        }
        stream
    }

    fn request_start(&mut self, start: StartPosition) {
        self.start = Start::Requested;
        self.leases.worker.step(Event::Start(Checkpoint::Start(start)));
    }

    /// Waits until it is known where the fleet starts, and what it has processed.
    fn poll_start(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ListError>> {
        loop {
            match &mut self.start {
                Start::Clock(time) => match ready!(time.as_mut().poll(cx)) {
                    Ok(now) => self.request_start(StartPosition::Timestamp(now.into())),
                    Err(error) => {
                        let time = clock(&self.client, &self.leases, CLOCK_RETRY_DELAY);
                        self.start = Start::Clock(time);
                        return Poll::Ready(Err(error));
                    }
                },
                Start::Requested => {
                    let Some(start) = self.leases.worker.inbox().started.take() else {
                        return Poll::Pending;
                    };
                    let start = match start {
                        Checkpoint::Start(StartPosition::Timestamp(at)) => StartAt::Timestamp(at),
                        _ => StartAt::TrimHorizon,
                    };
                    self.shards.set_start_at(start);
                    self.start = Start::Rows(rows(&self.leases.worker));
                }
                Start::Rows(rows) => {
                    let rows = ready!(rows.as_mut().poll(cx));
                    let is_started =
                        |row: &&LeaseRow| !matches!(row.checkpoint, Checkpoint::Start(_));
                    let started = rows.iter().filter(is_started).map(|row| row.shard_id.clone());
                    self.shards.shards_mut().resume_started(started);
                    let progress =
                        rows.into_iter().map(|row| (row.shard_id, Progress::from(row.checkpoint)));
                    self.shards.set_resume(progress);
                    self.start = Start::Known;
                }
                Start::Known => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Waits until the shards have been listed once, and returns the stream: see
    /// [`AllShards::ready`], which has an example. [`Leases::shutdown`] ends the wait, and the
    /// stream.
    ///
    /// # Errors
    ///
    /// A [`ListError`] that is not [retryable](ListError::is_retryable).
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the stream. The worker and its leases stay.
    pub async fn ready(mut self) -> Result<Self, ListError> {
        let listed = std::future::poll_fn(|cx| {
            self.waker.register(cx.waker());
            self.leases.worker.note_stream_poll();
            // The next poll of a stream that is over says why.
            if self.is_over() {
                return Poll::Ready(Ok(()));
            }
            loop {
                match ready!(self.poll_start(cx)) {
                    Err(error) if error.is_retryable() => self.log(&error),
                    Err(error) => return Poll::Ready(Err(error)),
                    Ok(()) => return self.shards.poll_listed(cx),
                }
            }
        });
        listed.await?;
        Ok(self)
    }

    fn log(&self, error: &ListError) {
        let stream = self.leases.stream().name();
        tracing::error!(stream, %error, "no shard is read yet; retrying");
    }

    /// Returns whether the worker has left or stopped, or these leases have another stream.
    fn is_over(&self) -> bool {
        let inbox = self.leases.worker.inbox();
        inbox.death.is_some() || inbox.has_left || self.claim.is_none()
    }

    /// Opens a shard under its lease, or returns the handle if the lease has ended meanwhile.
    fn open(&self, handle: ShardHandle) -> Result<CheckpointedShard, ShardHandle> {
        let consumer = self.leases.checkpoints().consumer();
        let is_held = |state: &Arc<ShardState>| {
            state.lease.as_ref().is_some_and(|lease| lease.end_reason().is_none())
        };
        let Some(state) = consumer.shared.shards.get(handle.id()).filter(is_held) else {
            return Err(handle);
        };
        let (client, from_latest) = (&self.client, self.from_latest);
        Ok(CheckpointedShard::leased(handle, consumer, client, from_latest, state))
    }

    /// Parks a shard that the lineage offers, or yields it if this worker has its lease.
    fn offer(&mut self, handle: ShardHandle) -> Option<CheckpointedShard> {
        let consumer = self.leases.checkpoints().consumer();
        let id = handle.id().to_owned();
        if let Some(state) = consumer.shared.shards.get(&id)
            && state.progress() == Some(Progress::Finished)
        {
            handle.complete();
            return None;
        }
        let mut handle = handle;
        if self.leases.worker.holds(&id) {
            match self.open(handle) {
                Ok(shard) => {
                    self.leases.worker.inbox().grants.remove(&id);
                    self.take_over.remove(&id);
                    return Some(shard);
                }
                Err(returned) => handle = returned,
            }
        }
        let parents = handle.received().parent_ids().into_iter().flatten().map(str::to_owned);
        let offered = Offered {
            shard_id: id.clone(),
            start: Checkpoint::Start(handle.start().clone()),
            parents: parents.collect(),
            hash_range: handle.received().hash_key_range(),
        };
        self.parked.insert(id, handle);
        self.leases.worker.step(Event::Offered(offered));
        None
    }

    /// Takes what the worker has decided: grants, shards that were finished elsewhere.
    fn take_inbox(&mut self) -> Vec<CheckpointedShard> {
        let worker = Arc::clone(&self.leases.worker);
        let (grants, finished, ancestors) = {
            let mut inbox = worker.inbox();
            (
                std::mem::take(&mut inbox.grants),
                std::mem::take(&mut inbox.finished),
                inbox.close_ancestors.take(),
            )
        };
        for id in finished {
            if let Some(handle) = self.parked.remove(&id) {
                handle.complete();
            }
        }
        if let Some(request) = ancestors {
            let lists = self.shards.shards().get_ref();
            let listing = if request.after_list { lists.started_listing() + 1 } else { 0 };
            self.close_ancestors = Some(CloseAncestors { request, listing });
        }
        if let Some(closing) = self.close_ancestors.take_if(|it| it.is_due(&self.shards)) {
            let AncestorRequest { number, started, unfinished, .. } = closing.request;
            let closed = self.shards.shards_mut().close_ancestors(&started, &unfinished);
            self.close(closed.unwrap_or_default());
            worker.step(Event::AncestorsClosed { number });
        }
        let mut granted = Vec::new();
        for (id, row) in grants {
            match self.parked.remove(&id).map(|handle| self.open(handle)) {
                Some(Ok(shard)) => granted.push(shard),
                Some(Err(handle)) => granted.extend(self.offer(handle)),
                None => {
                    self.take_over.insert(id, row);
                }
            }
        }
        granted
    }

    /// Lists the shards at once if ancestors are closed after that. Returns whether a poll begins
    /// the listing.
    fn list_for_ancestors(&mut self) -> bool {
        let is_waiting =
            self.close_ancestors.as_ref().is_some_and(|closing| !closing.is_due(&self.shards));
        let mut lists = Pin::new(self.shards.shards_mut()).get_pin_mut();
        if !is_waiting || lists.is_listing() {
            return false;
        }
        lists.list_now(ListRequest::Full);
        lists.has_listed() && lists.failures() == 0
    }

    /// Ends the handles of shards that the lineage has closed.
    fn close(&mut self, closed: Vec<String>) {
        for id in &closed {
            if let Some(handle) = self.parked.remove(id) {
                handle.complete();
            }
        }
        self.leases.worker.step(Event::Closed(closed));
    }

    /// Has the lineage offer the shards that were granted before it offers them by itself: all
    /// their ancestors were read elsewhere.
    fn take_over(&mut self) {
        let worker = &self.leases.worker;
        self.take_over.retain(|id, _| worker.holds(id));
        let rows: Vec<_> = self.take_over.values().cloned().collect();
        for row in rows {
            let child = ChildShard::builder()
                .shard_id(&row.shard_id)
                .set_parent_shards(Some(row.parents.clone()))
                .set_hash_key_range(row.hash_range.clone())
                .build();
            let Ok(child) = child else { continue };
            if let Some(closed) = self.shards.shards_mut().take_over(child) {
                self.take_over.remove(&row.shard_id);
                self.close(closed);
            }
        }
    }

    /// Returns a shard whose reader fails, since the worker has stopped for good.
    fn failed(&self, error: crate::lease::error::LeaseError) -> Option<CheckpointedShard> {
        let shard = Shard::builder().shard_id("").build().ok()?;
        let stream = self.leases.stream().clone();
        let context = Arc::new(StreamContext::new(stream.clone()));
        let offer = Offer::new(shard, context, StartPosition::TrimHorizon, [None, None]);
        let handle = ShardHandle::new(Arc::new(offer), OnDrop::Close);
        let consumer = self.leases.checkpoints().consumer();
        let failure = ReadError::stopped(&stream, error);
        Some(CheckpointedShard::failed(handle, consumer, failure))
    }
}

impl<E: ErrorPolicy> Stream for LeasedShards<E> {
    type Item = E::Item<CheckpointedShard>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        this.waker.register(cx.waker());
        this.leases.worker.note_stream_poll();
        if this.has_ended {
            return Poll::Ready(None);
        }
        let (mut death, has_left) = {
            let inbox = this.leases.worker.inbox();
            (inbox.death.clone(), inbox.has_left)
        };
        if this.claim.is_none() {
            death = Some(this.leases.worker.stream_in_use());
        }
        let consumer = this.leases.checkpoints().consumer().clone();
        if death.is_some() || has_left || consumer.shared.is_shut_down() {
            this.has_ended = true;
            this.parked.clear();
            this.ready.clear();
            let failed = death.and_then(|error| this.failed(error));
            return Poll::Ready(failed.map(E::shard));
        }
        consumer.ensure_save_task();
        loop {
            match ready!(this.poll_start(cx)) {
                Ok(()) => break,
                Err(error) => match E::item(Err(error)) {
                    Ok(item) => return Poll::Ready(Some(item)),
                    Err(error) => this.log(&error),
                },
            }
        }
        loop {
            for shard in this.take_inbox() {
                this.ready.push_back(E::shard(shard));
            }
            if !this.take_over.is_empty() {
                this.take_over();
            }
            if let Some(item) = this.ready.pop_front() {
                return Poll::Ready(Some(item));
            }
            let item = this.shards.poll_next_unpin(cx);
            for id in this.shards.shards_mut().take_forgotten() {
                this.parked.remove(&id);
                this.take_over.remove(&id);
                if this.leases.worker.holds(&id) {
                    consumer.shared.expire(&id);
                } else {
                    consumer.shared.shards.remove(&id);
                    this.leases.worker.step(Event::Unlisted(id));
                }
            }
            match item {
                Poll::Ready(Some(item)) => {
                    let shard = match E::split(item) {
                        Ok(handle) => this.offer(handle).map(E::shard),
                        Err(error) => Some(error),
                    };
                    this.ready.extend(shard);
                }
                Poll::Ready(None) => {
                    this.has_ended = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let inbox = this.leases.worker.inbox();
                    let is_idle = inbox.grants.is_empty()
                        && inbox.finished.is_empty()
                        && inbox.close_ancestors.is_none();
                    drop(inbox);
                    let is_due = |closing: &CloseAncestors| closing.is_due(&this.shards);
                    let has_listed = this.close_ancestors.as_ref().is_some_and(is_due);
                    if is_idle && !has_listed && !this.list_for_ancestors() {
                        return Poll::Pending;
                    }
                }
            }
        }
    }
}

impl CloseAncestors {
    /// Returns whether the lineage knows all shards that are needed.
    fn is_due<E>(&self, shards: &AllShards<E>) -> bool {
        shards.shards().get_ref().last_full_listing().is_some_and(|last| last >= self.listing)
    }
}

// Neither the shards nor the items are pinned in place.
impl<E: ErrorPolicy> Unpin for LeasedShards<E> {}

impl<E: ErrorPolicy> FusedStream for LeasedShards<E> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}

impl<E: ErrorPolicy> std::fmt::Debug for LeasedShards<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeasedShards")
            .field("leases", &self.leases)
            .field("parked", &self.parked.len())
            .finish_non_exhaustive()
    }
}
