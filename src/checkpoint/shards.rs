//! The combinator: shards with their checkpoints.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;
use futures::task::AtomicWaker;
use pin_project::pin_project;

use crate::all_shards::{AllShards, TryAllShards};
use crate::checkpoint::checkpoints::Checkpoints;
use crate::checkpoint::claims::Claim;
use crate::checkpoint::resume::Resume;
use crate::checkpoint::shard_state::{Incarnation, ShardState};
use crate::checkpoint::value::Checkpoint;
use crate::listing::error::ListError;
use crate::records::flatten::Records;
use crate::shard::handle::ShardHandle;
use crate::shard::position::{Progress, StartAt, StartPosition};
use crate::shard::stream_id::StreamId;

/// A shard, and its checkpoint: to be read from there, with [`records`](Self::records).
///
/// It is made by [`CheckpointedShards`], or from any handle by [`Checkpoints::open`]. From then on
/// the shard is remembered: where it starts is being saved. Dropping it hands the shard back,
/// whatever [`OnDrop`](crate::OnDrop) says.
#[must_use = "a shard that is dropped is handed back"]
pub struct CheckpointedShard {
    /// Before the handle: whoever is offered the shard next finds it free. None if another has it.
    pub(crate) claim: Option<Claim>,
    pub(crate) handle: ShardHandle,
    pub(crate) checkpoints: Checkpoints,
    pub(crate) entry: Arc<ShardState>,
    pub(crate) incarnation: Incarnation,
    pub(crate) from: StartPosition,
    pub(crate) resume: Resume,
    pub(crate) is_finished: bool,
    /// It starts at a time that was found out for `LATEST`.
    pub(crate) is_estimate: bool,
    /// No record was acknowledged yet: where it starts must be durable before it is read.
    pub(crate) is_start: bool,
}

impl CheckpointedShard {
    /// `from_latest`: any time that a shard of this run starts at was found out for `LATEST`, by it
    /// or by an earlier run.
    pub(crate) fn new(
        handle: ShardHandle,
        checkpoints: &Checkpoints,
        client: &Client,
        from_latest: bool,
    ) -> Self {
        let shared = checkpoints.shared();
        let claim = shared.claims.claim(handle.id());
        let (entry, incarnation, checkpoint) = shared.open(handle.shard());
        let mut from = match &checkpoint {
            Some(Checkpoint::After { sequence_number, .. }) => {
                StartPosition::At(sequence_number.clone())
            }
            Some(Checkpoint::Start(position)) => position.clone(),
            None | Some(Checkpoint::End) => handle.start().clone(),
        };
        let is_at_the_tip = from == StartPosition::Latest;
        if is_at_the_tip {
            // What is remembered of the tip is the time: a LATEST that is asked for later would
            // skip what came in between.
            from = StartPosition::Timestamp(handle.offer().now(client).into());
        }
        if claim.is_some() && (checkpoint.is_none() || is_at_the_tip) {
            let is_at_a_time = matches!(from, StartPosition::Timestamp(_));
            shared.begin(
                &entry,
                &incarnation,
                handle.shard(),
                Checkpoint::Start(from.clone()),
                is_at_a_time,
            );
        }
        let is_estimate = is_at_the_tip || from_latest || handle.offer().is_estimate;
        Self {
            is_estimate: is_estimate && matches!(from, StartPosition::Timestamp(_)),
            claim,
            handle: handle.reoffered_on_drop(),
            checkpoints: checkpoints.clone(),
            entry,
            incarnation,
            from,
            resume: checkpoint.as_ref().map(Resume::after).unwrap_or_default(),
            is_finished: checkpoint == Some(Checkpoint::End),
            is_start: !matches!(checkpoint, Some(Checkpoint::After { .. })),
        }
    }

    /// The shard's id.
    #[must_use]
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// The handle: the shard itself, its stream, its parents.
    pub fn handle(&self) -> &ShardHandle {
        &self.handle
    }

    /// Where it is read from: the record of its checkpoint, or where it starts. Instead of
    /// [`Latest`](StartPosition::Latest), that is the time, by Kinesis's clock and up to a second
    /// or so early.
    #[must_use]
    pub fn start(&self) -> &StartPosition {
        &self.from
    }

    /// Its records, each to be acknowledged, from its checkpoint to its end.
    ///
    /// The stream ends, and the shard's children open, when all records were acknowledged and the
    /// store has confirmed the end of the shard.
    pub fn records(self, client: &Client) -> Records<Self> {
        Records::new(self, client)
    }
}

impl std::fmt::Debug for CheckpointedShard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CheckpointedShard")
            .field("handle", &self.handle)
            .field("start", &self.from)
            .finish_non_exhaustive()
    }
}

/// A stream of shards, each with its checkpoint: see [`AllShards::checkpoints`].
///
/// It ends when the checkpoints are [stopped](Checkpoints::shutdown).
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct CheckpointedShards<S: Resumable> {
    #[pin]
    shards: S,
    client: Client,
    checkpoints: Checkpoints,
    /// Those that are remembered, and were not taken yet.
    opened: VecDeque<S::Checkpointed>,
    /// The run begins at a time. Then none of its shards is read before all that it begins with are
    /// remembered: so they are opened together.
    together: bool,
    /// It begins at `Latest`, or where an earlier run did that has not come to a record.
    from_latest: bool,
    stopped: Arc<AtomicWaker>,
    has_ended: bool,
}

mod sealed {
    use crate::checkpoint::shards::CheckpointedShard;
    use crate::shard::handle::ShardHandle;
    use crate::shard::position::{Progress, StartAt};
    use crate::shard::stream_id::StreamId;
    use aws_sdk_kinesis::Client;
    use futures::Stream;

    /// What can be resumed, and tells what it has forgotten.
    pub trait Resumable: Stream + Sized {
        type Checkpointed;
        fn client(&self) -> Client;
        fn stream(&self) -> &StreamId;
        fn start(&self) -> StartAt;
        fn start_from(self, start: StartAt) -> Self;
        fn resume_from(self, progress: Vec<(String, Progress)>, past_start: Vec<String>) -> Self;
        fn forgotten(&mut self) -> Vec<String>;
        fn open(
            offered: Self::Item,
            open: impl FnOnce(ShardHandle) -> CheckpointedShard,
        ) -> Self::Checkpointed;
    }
}
use sealed::Resumable;

macro_rules! resumable {
    ($shards:ty, $checkpointed:ty, $open:path) => {
        impl Resumable for $shards {
            type Checkpointed = $checkpointed;

            fn client(&self) -> Client {
                self.lineage().get_ref().client().clone()
            }

            fn stream(&self) -> &StreamId {
                self.lineage().get_ref().stream()
            }

            fn start(&self) -> StartAt {
                self.lineage().start()
            }

            fn start_from(self, start: StartAt) -> Self {
                self.start_at(start)
            }

            fn resume_from(
                mut self,
                progress: Vec<(String, Progress)>,
                past_start: Vec<String>,
            ) -> Self {
                self.lineage_mut().tell_forgotten();
                self.lineage_mut().resume_past(past_start);
                self.resume(progress)
            }

            fn forgotten(&mut self) -> Vec<String> {
                self.lineage_mut().forgotten()
            }

            fn open(
                offered: Self::Item,
                open: impl FnOnce(ShardHandle) -> CheckpointedShard,
            ) -> $checkpointed {
                $open(offered, open)
            }
        }

        impl $shards {
            /// Each shard with its checkpoint: the run goes on where the last has stopped.
            ///
            /// It [resumes](Self::resume) from what `checkpoints` has loaded, so that what was read
            /// to its end is not offered again, and the children of a shard wait for what is truly
            /// unfinished. Where a record of a shard was processed, all its ancestors are finished:
            /// those of which no checkpoint is left are not read again (the Kinesis Client Library
            /// removes that of a finished shard before Kinesis stops listing it). What Kinesis does
            /// not list any more is removed from the store. Where the run begins is as
            /// [`start_at`](Self::start_at) says, for a first run and for shards that no checkpoint
            /// knows; of a run from [`StartAt::Latest`] that has not come to a record yet, the time
            /// of its beginning is remembered.
            ///
            /// # Panics
            ///
            /// If the stream was polled already, and if the checkpoints are those of another
            /// stream.
            #[track_caller]
            pub fn checkpoints(self, checkpoints: &Checkpoints) -> CheckpointedShards<Self> {
                CheckpointedShards::new(self, checkpoints)
            }
        }
    };
}
resumable!(AllShards, CheckpointedShard, apply);
resumable!(TryAllShards, Result<CheckpointedShard, ListError>, Result::map);

fn apply<T, U>(value: T, f: impl FnOnce(T) -> U) -> U {
    f(value)
}

impl<S: Resumable> CheckpointedShards<S> {
    #[track_caller]
    fn new(shards: S, checkpoints: &Checkpoints) -> Self {
        checkpoints.assert_are_of(shards.stream());
        let from_latest = shards.start() == StartAt::Latest;
        let shards = match (shards.start(), checkpoints.earliest_start()) {
            // The run began then, and a shard may have been seen by nobody since.
            (StartAt::Latest, Some(since)) => shards.start_from(StartAt::Timestamp(since)),
            _ => shards,
        }
        .resume_from(checkpoints.progress().collect(), checkpoints.past_start());
        Self {
            client: shards.client(),
            together: shards.start() != StartAt::TrimHorizon,
            from_latest,
            shards,
            checkpoints: checkpoints.clone(),
            opened: VecDeque::new(),
            stopped: checkpoints.shared().stopped.join(),
            has_ended: false,
        }
    }
}

impl<S: Resumable + Unpin> Stream for CheckpointedShards<S> {
    type Item = S::Checkpointed;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        let checkpoints = &*this.checkpoints;
        checkpoints.keep_saving();
        this.stopped.register(cx.waker());
        if *this.has_ended || checkpoints.shared().is_stopping() {
            *this.has_ended = true;
            this.opened.clear();
            return Poll::Ready(None);
        }
        // All that one list brings comes without a pause.
        while this.opened.is_empty() || *this.together {
            let shard = this.shards.as_mut().poll_next(cx);
            for id in this.shards.as_mut().get_mut().forgotten() {
                checkpoints.shared().expire(&id);
            }
            let open = |handle| {
                CheckpointedShard::new(handle, checkpoints, this.client, *this.from_latest)
            };
            match shard {
                Poll::Ready(Some(shard)) => this.opened.push_back(S::open(shard, open)),
                Poll::Ready(None) => {
                    *this.has_ended = this.opened.is_empty();
                    break;
                }
                Poll::Pending => break,
            }
        }
        match this.opened.pop_front() {
            Some(shard) => Poll::Ready(Some(shard)),
            None if *this.has_ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<S: Resumable + Unpin> FusedStream for CheckpointedShards<S> {
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}
