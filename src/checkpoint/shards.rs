//! The combinator: shards with their checkpoints.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;

use super::entry::Entry;
use super::resume::Resume;
use super::{Checkpoint, CheckpointedRecords, Checkpoints};
use crate::client_time::now;
use crate::{AllShards, Error, Progress, ReadOptions, ShardHandle, StartAt, StartPosition, TryAllShards};

/// A shard, and its checkpoint: to be read from there, with [`records`](Self::records).
///
/// It is made by [`CheckpointedShards`], or from any handle by [`Checkpoints::shard`]. From then on the shard is remembered: where it starts is being saved.
/// Dropping it hands the shard back, whatever [`OnDrop`](crate::OnDrop) says.
#[must_use = "a shard that is dropped is handed back"]
pub struct CheckpointedShard {
    pub(super) handle: ShardHandle,
    pub(super) checkpoints: Checkpoints,
    pub(super) entry: Arc<Entry>,
    pub(super) life: u32,
    pub(super) from: StartPosition,
    pub(super) resume: Resume,
    pub(super) is_finished: bool,
    pub(super) is_at_the_tip: bool,
    /// The store knows it already.
    pub(super) is_durable: bool,
}

impl CheckpointedShard {
    pub(super) fn new(handle: ShardHandle, checkpoints: &Checkpoints, client: &Client) -> Self {
        let shared = checkpoints.shared();
        let entry = shared.entry(handle.id());
        let (life, checkpoint) = entry.open(handle.shard());
        let mut from = match &checkpoint {
            Some(Checkpoint::After { sequence_number, .. }) => StartPosition::At(sequence_number.clone()),
            Some(Checkpoint::Start(position)) => position.clone(),
            None | Some(Checkpoint::End) => handle.start().clone(),
        };
        let is_at_the_tip = from == StartPosition::Latest;
        if checkpoint.is_none() || is_at_the_tip {
            if is_at_the_tip {
                // What is remembered of the tip is the time: a LATEST that is asked for later would skip what came in between.
                from = StartPosition::Timestamp(now(client).into());
                shared.add_start();
            }
            let start = Checkpoint::Start(from.clone());
            shared.want(&entry, entry.begin(handle.shard(), start, is_at_the_tip));
        }
        let is_start = !matches!(checkpoint, Some(Checkpoint::After { .. }));
        Self {
            handle: handle.reoffered_on_drop(),
            checkpoints: checkpoints.clone(),
            is_durable: !is_start || entry.is_clean(),
            entry,
            life,
            from,
            resume: checkpoint.as_ref().map(Resume::after).unwrap_or_default(),
            is_finished: checkpoint == Some(Checkpoint::End),
            is_at_the_tip,
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

    /// Where it is read from: the record of its checkpoint, or where it starts. Instead of [`Latest`](StartPosition::Latest), that is the time, by the client's clock.
    #[must_use]
    pub fn start(&self) -> &StartPosition {
        &self.from
    }

    /// Its records, each to be acknowledged, from its checkpoint to its end.
    ///
    /// The stream ends, and the shard's children open, when all records were acknowledged and the store has confirmed the end of the shard.
    pub fn records(self, client: &Client) -> CheckpointedRecords {
        CheckpointedRecords::new(self, client, Arc::new(ReadOptions::new()))
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
/// It ends when the checkpoints are [stopped](Checkpoints::stop).
///
/// # Cancel safety
///
/// Dropping `next()` loses nothing.
#[derive(Debug)]
#[must_use = "streams do nothing unless polled"]
#[pin_project]
pub struct CheckpointedShards<S> {
    #[pin]
    shards: S,
    client: Client,
    checkpoints: Checkpoints,
    has_ended: bool,
}

mod sealed {
    use super::{Client, Progress, StartAt};

    /// What can be resumed, and tells what it has forgotten.
    pub trait Resumable: Sized {
        fn client(&self) -> Client;
        fn start(&self) -> StartAt;
        fn start_from(self, start: StartAt) -> Self;
        fn resume_from(self, progress: Vec<(String, Progress)>, past_start: Vec<String>) -> Self;
        fn forgotten(&mut self) -> Vec<String>;
    }

    pub trait Offered {
        type With<T>;
        fn map_handle<T>(self, f: impl FnOnce(super::ShardHandle) -> T) -> Self::With<T>;
    }
}
use sealed::{Offered, Resumable};

macro_rules! resumable {
    ($shards:ty) => {
        impl Resumable for $shards {
            fn client(&self) -> Client {
                self.lineage().get_ref().client().clone()
            }

            fn start(&self) -> StartAt {
                self.lineage().start()
            }

            fn start_from(self, start: StartAt) -> Self {
                self.start_at(start)
            }

            fn resume_from(mut self, progress: Vec<(String, Progress)>, past_start: Vec<String>) -> Self {
                self.lineage_mut().tell_forgotten();
                self.lineage_mut().resume_past(past_start);
                self.resume(progress)
            }

            fn forgotten(&mut self) -> Vec<String> {
                self.lineage_mut().forgotten()
            }
        }

        impl $shards {
            /// Each shard with its checkpoint: the run goes on where the last has stopped.
            ///
            /// It [resumes](Self::resume) from what `checkpoints` has loaded, so that what was read to its end is not offered again, and the children of a shard wait for what is truly unfinished.
            /// Where a record of a shard was processed, all its ancestors are finished: those of which no checkpoint is left are not read again (the Kinesis Client Library
            /// removes that of a finished shard before Kinesis stops listing it).
            /// What Kinesis does not list any more is removed from the store. Where the run begins is as [`start_at`](Self::start_at) says, for a first run and for shards that no checkpoint knows; of a
            /// run from [`StartAt::Latest`] that has not come to a record yet, the time of its beginning is remembered.
            ///
            /// # Panics
            ///
            /// If the stream was polled already.
            pub fn checkpoints(self, checkpoints: &Checkpoints) -> CheckpointedShards<Self> {
                CheckpointedShards::new(self, checkpoints)
            }
        }
    };
}
resumable!(AllShards);
resumable!(TryAllShards);

impl<S: Resumable> CheckpointedShards<S> {
    fn new(shards: S, checkpoints: &Checkpoints) -> Self {
        let shards = match (shards.start(), checkpoints.earliest_start()) {
            // The run began then, and a shard may have been seen by nobody since.
            (StartAt::Latest, Some(since)) => shards.start_from(StartAt::Timestamp(since)),
            _ => shards,
        }
        .resume_from(checkpoints.progress().collect(), checkpoints.past_start());
        let client = shards.client();
        Self { shards, client, checkpoints: checkpoints.clone(), has_ended: false }
    }
}

impl Offered for ShardHandle {
    type With<T> = T;

    fn map_handle<T>(self, f: impl FnOnce(Self) -> T) -> T {
        f(self)
    }
}

impl Offered for Result<ShardHandle, Error> {
    type With<T> = Result<T, Error>;

    fn map_handle<T>(self, f: impl FnOnce(ShardHandle) -> T) -> Result<T, Error> {
        self.map(f)
    }
}

impl<S> Stream for CheckpointedShards<S>
where
    S: Stream<Item: Offered> + Resumable + Unpin,
{
    type Item = <S::Item as Offered>::With<CheckpointedShard>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let mut this = self.project();
        if *this.has_ended {
            return Poll::Ready(None);
        }
        if this.checkpoints.shared().poll_stopped(cx).is_ready() {
            *this.has_ended = true;
            return Poll::Ready(None);
        }
        let shard = this.shards.as_mut().poll_next(cx);
        for id in this.shards.as_mut().get_mut().forgotten() {
            this.checkpoints.forget(&id);
        }
        shard.map(|shard| {
            *this.has_ended = shard.is_none();
            let open = |handle| CheckpointedShard::new(handle, this.checkpoints, this.client);
            shard.map(|shard| shard.map_handle(open))
        })
    }
}

impl<S> FusedStream for CheckpointedShards<S>
where
    Self: Stream,
{
    fn is_terminated(&self) -> bool {
        self.has_ended
    }
}
