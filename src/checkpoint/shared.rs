//! What the parts of one consumer share.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};

use tokio::time::Duration;

use crate::checkpoint::active_saver::ActiveSaver;
use crate::checkpoint::claims::Claims;
use crate::checkpoint::event::{CheckpointEvent, CheckpointEventKind};
use crate::checkpoint::in_flight::InFlight;
use crate::checkpoint::options::CheckpointOptions;
use crate::checkpoint::registry::Registry;
use crate::checkpoint::save_queue::SaveQueue;
use crate::checkpoint::shard_state::{Incarnation, ShardState, Urgency};
use crate::checkpoint::start_barrier::StartBarrier;
use crate::checkpoint::store::CheckpointStore;
use crate::checkpoint::value::Checkpoint;
use crate::checkpoint::waiters::Waiters;
use crate::records::monitor::Monitor;
use crate::shard::position::StartPosition;
use crate::shard::stream_id::StreamId;
#[cfg(feature = "metrics")]
use crate::util::metrics::CheckpointFigures;
use crate::util::received_shard::ReceivedShard;

/// One consumer's checkpoints, as its streams, readers, acknowledgements and save task share them.
pub(crate) struct Shared {
    pub(crate) stream: StreamId,
    /// The ARN by which the shards were first read, where the checkpoints were loaded by name.
    arn: OnceLock<StreamId>,
    pub(crate) store: Arc<dyn CheckpointStore>,
    pub(crate) options: CheckpointOptions,
    pub(crate) claims: Claims,
    pub(crate) shards: Registry,
    /// The progress of the readers.
    pub(crate) monitor: Monitor,
    #[cfg(feature = "metrics")]
    pub(crate) figures: CheckpointFigures,
    pub(crate) queue: SaveQueue,
    pub(crate) saver: ActiveSaver,
    pub(crate) start_barrier: Arc<StartBarrier>,
    pub(crate) in_flight: InFlight,
    /// The streams of shards that wait for their end.
    pub(crate) waiting_streams: Waiters,
    /// The flushes that wait for a save.
    pub(crate) waiting_flushes: Waiters,
}

impl Shared {
    pub(crate) fn new(
        stream: StreamId,
        store: Arc<dyn CheckpointStore>,
        options: CheckpointOptions,
        loaded: Vec<(String, Checkpoint)>,
    ) -> Self {
        Self {
            claims: Claims::new(store.identity(), &stream),
            arn: OnceLock::new(),
            #[cfg(feature = "metrics")]
            figures: CheckpointFigures::new(stream.name()),
            stream,
            store,
            options,
            shards: Registry::new(loaded),
            monitor: Monitor::new(),
            queue: SaveQueue::default(),
            saver: ActiveSaver::default(),
            start_barrier: Arc::default(),
            in_flight: InFlight::default(),
            waiting_streams: Waiters::default(),
            waiting_flushes: Waiters::default(),
        }
    }

    /// Returns the stream by its ARN, or by its name while no ARN is known. `other` is the stream
    /// as the caller reads it, and its ARN is adopted if it is the first.
    pub(crate) fn stream_with_arn_from(&self, other: &StreamId) -> &StreamId {
        if self.stream.arn().is_some() {
            return &self.stream;
        }
        if other.arn().is_some() && other.name() == self.stream.name() {
            return self.arn.get_or_init(|| other.clone());
        }
        self.arn.get().unwrap_or(&self.stream)
    }

    /// Sets the start of a shard that is read for the first time.
    pub(crate) fn set_start(
        &self,
        state: &Arc<ShardState>,
        incarnation: &Incarnation,
        shard: &ReceivedShard,
        start: StartPosition,
    ) {
        // The barrier closes before the save task can know of the start.
        let pending = StartBarrier::applies_to(&start).then(|| self.start_barrier.add_start());
        let urgency = state.set_start(incarnation, shard, Checkpoint::Start(start), pending);
        self.schedule(state, urgency);
    }

    /// Forgets a shard, also in the store.
    pub(crate) fn forget(&self, id: &str) {
        self.claims.revoke(id);
        if let Some(state) = self.shards.get(id) {
            self.schedule(&state, state.forget());
            self.shards.remove_forgotten(&state);
        }
    }

    /// Forgets a shard that Kinesis no longer lists. Records that were not read are lost.
    pub(crate) fn expire(&self, id: &str) {
        let state = self.shards.get(id).inspect(|state| self.count_run(state));
        let checkpoint = state.and_then(|state| state.checkpoint());
        if let Some(after) = checkpoint.filter(|checkpoint| *checkpoint != Checkpoint::End) {
            self.report_gap(id, &after, None);
        }
        self.forget(id);
    }

    /// Schedules the save that a change of the shard asks for.
    pub(crate) fn schedule(&self, state: &Arc<ShardState>, urgency: Urgency) {
        match urgency {
            Urgency::None => {}
            Urgency::Later => self.schedule_in(state, self.options.save_interval),
            Urgency::Now => {
                self.queue.push_now(Arc::clone(state));
                self.saver.wake();
            }
        }
    }

    /// Counts the records of an open run, so that the state of the shard is that of this moment.
    pub(crate) fn count_run(&self, state: &Arc<ShardState>) {
        self.schedule(state, state.count_run(self.options.save_records));
    }

    pub(crate) fn schedule_in(&self, state: &Arc<ShardState>, wait: Duration) {
        if self.queue.push_later(state, wait) {
            self.saver.wake();
        }
    }

    /// Schedules every shard that is not clean for now.
    pub(crate) fn save_all_now(&self) {
        for state in self.shards.all() {
            self.count_run(&state);
            self.schedule(&state, state.save_now());
        }
    }

    /// Ends all streams and readers, and releases their shards, polled or not.
    pub(crate) fn shut_down(&self) {
        self.in_flight.close();
        self.claims.release_all();
        self.waiting_streams.wake();
        self.shards.wake_readers();
    }

    /// Returns whether the consumer was shut down.
    #[inline]
    pub(crate) fn is_shut_down(&self) -> bool {
        self.in_flight.is_closed()
    }

    /// Ends the saves in flight, whose save task is gone.
    pub(crate) fn abandon_saves(&self) {
        for state in self.shards.all() {
            state.abandon_save();
        }
    }

    /// Ends a save task. Streams and flushes that wait for it spawn another.
    pub(crate) fn end_saver(&self, term: u64) {
        if self.saver.end(term, || self.abandon_saves()) {
            self.waiting_flushes.wake();
            self.shards.wake_readers();
        }
    }

    /// Calls `on_event`. A panic in it must not end the save task, nor abort the process if a
    /// record is dropped by a panic.
    pub(crate) fn report(&self, shard_id: &str, kind: CheckpointEventKind<'_>) {
        #[cfg(feature = "metrics")]
        kind.record(&self.figures);
        let event = CheckpointEvent { stream: &self.stream, shard_id, kind };
        for on_event in &self.options.on_event {
            if catch_unwind(AssertUnwindSafe(|| on_event(&event))).is_err() {
                let (stream, kind) = (self.stream.name(), &event.kind);
                tracing::error!(stream, shard = shard_id, ?kind, "on_event panicked");
            }
        }
    }

    pub(crate) fn report_gap(&self, shard: &str, after: &Checkpoint, first: Option<&str>) {
        tracing::warn!(
            stream = self.stream.name(),
            shard,
            %after,
            first,
            "records after the checkpoint have expired unread"
        );
        self.report(shard, CheckpointEventKind::Gap { after, first });
    }
}

#[cfg(test)]
mod tests {
    use std::task::Poll;

    use aws_sdk_kinesis::types::Shard;

    use super::*;
    use crate::checkpoint::memory::MemoryStore;

    fn shard() -> ReceivedShard {
        Shard::builder().shard_id("shardId-000000000000").build().unwrap().into()
    }

    fn shared() -> Shared {
        let store = Arc::new(MemoryStore::new());
        Shared::new("orders".into(), store, CheckpointOptions::new(), Vec::new())
    }

    fn at_a_time() -> StartPosition {
        StartPosition::Timestamp(aws_sdk_kinesis::primitives::DateTime::from_secs(7))
    }

    #[test]
    fn an_opened_shard_is_not_removed_before_its_start_is_set() {
        let shared = shared();
        let (state, incarnation, _) = shared.shards.open(&shard());
        shared.shards.remove_forgotten(&state);
        shared.set_start(&state, &incarnation, &shard(), StartPosition::TrimHorizon);
        assert!(shared.shards.get(&state.id).is_some_and(|known| Arc::ptr_eq(&known, &state)));
    }

    #[test]
    fn a_forgotten_shard_neither_starts_over_nor_gets_a_start() {
        let shared = shared();
        let (state, incarnation, _) = shared.shards.open(&shard());
        shared.set_start(&state, &incarnation, &shard(), StartPosition::TrimHorizon);
        shared.forget(&state.id);
        assert!(matches!(state.poll_start_over(&incarnation), Poll::Ready(None)));
        shared.set_start(&state, &incarnation, &shard(), at_a_time());
        assert_eq!(state.checkpoint(), None);
        assert!(shared.start_barrier.is_open());
    }

    #[test]
    fn a_start_that_replaces_another_is_waited_for_once() {
        let shared = shared();
        for _ in 0..2 {
            let (state, incarnation, checkpoint) = shared.shards.open(&shard());
            assert_eq!(checkpoint, None);
            shared.set_start(&state, &incarnation, &shard(), at_a_time());
            assert!(!shared.start_barrier.is_open());
            shared.forget(&state.id);
        }
        let (state, ..) = shared.shards.open(&shard());
        let change = state.begin_save().unwrap();
        assert_eq!(state.confirm_save(&change), Urgency::None);
        assert!(shared.start_barrier.is_open());
    }

    /// A save of the first shard ends late, or the shard is forgotten twice.
    #[test]
    fn a_forgotten_shard_does_not_remove_another_of_its_id() {
        let shared = shared();
        let (gone, incarnation, _) = shared.shards.open(&shard());
        shared.set_start(&gone, &incarnation, &shard(), StartPosition::TrimHorizon);
        shared.forget(&gone.id);
        let change = gone.begin_save().unwrap();
        assert_eq!(gone.confirm_save(&change), Urgency::None);
        shared.shards.remove_forgotten(&gone);
        assert!(shared.shards.get(&gone.id).is_none());

        let (again, ..) = shared.shards.open(&shard());
        shared.shards.remove_forgotten(&gone);
        assert!(shared.shards.get(&again.id).is_some_and(|known| Arc::ptr_eq(&known, &again)));
    }
}
