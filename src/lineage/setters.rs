//! What can be set before the first poll.

use std::time::Duration;

use crate::lineage::ParentsFirst;
use crate::shard::outcome::OnDrop;
use crate::shard::position::{Progress, StartAt};

impl<S> ParentsFirst<S> {
    /// Where the run begins; see [`StartAt`].
    ///
    /// # Default
    ///
    /// [`StartAt::TrimHorizon`].
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[track_caller]
    pub fn start_at(mut self, start: StartAt) -> Self {
        self.set_start_at(start);
        self
    }

    /// What an earlier run left; see [`AllShards::resume`](crate::AllShards::resume).
    ///
    /// # Default
    ///
    /// Nothing.
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[track_caller]
    pub fn resume(mut self, progress: impl IntoIterator<Item = (String, Progress)>) -> Self {
        self.set_resume(progress);
        self
    }

    /// What dropping an unfinished handle means.
    ///
    /// # Default
    ///
    /// [`OnDrop::Close`].
    ///
    /// # Panics
    ///
    /// After the first poll.
    #[track_caller]
    pub fn on_drop(mut self, on_drop: OnDrop) -> Self {
        self.set_on_drop(on_drop);
        self
    }

    /// The longest delay before a shard that was handed back is offered again: it grows from 100 ms
    /// to this while the same shard keeps coming back.
    ///
    /// # Default
    ///
    /// 30 seconds.
    ///
    /// # Panics
    ///
    /// If `delay` is zero: a shard that cannot be read would come back for ever, without a pause.
    /// And after the first poll.
    #[track_caller]
    pub fn max_reoffer_delay(mut self, delay: Duration) -> Self {
        self.set_max_reoffer_delay(delay);
        self
    }

    #[track_caller]
    pub(crate) fn set_start_at(&mut self, start: StartAt) {
        self.assert_unpolled("start_at");
        self.graph.start_policy.start_at = start;
    }

    #[track_caller]
    pub(crate) fn set_resume(&mut self, progress: impl IntoIterator<Item = (String, Progress)>) {
        self.assert_unpolled("resume");
        self.graph.start_policy.resume(progress);
    }

    #[track_caller]
    pub(crate) fn set_on_drop(&mut self, on_drop: OnDrop) {
        self.assert_unpolled("on_drop");
        self.on_drop = on_drop;
    }

    #[track_caller]
    pub(crate) fn set_max_reoffer_delay(&mut self, delay: Duration) {
        self.assert_unpolled("max_reoffer_delay");
        assert!(!delay.is_zero(), "the longest return is zero: it must be at least 1 ns");
        self.max_reoffer_delay = delay;
    }

    #[track_caller]
    fn assert_unpolled(&self, setter: &str) {
        assert!(
            !self.polled,
            "{setter} was called after the stream of shards was first polled: call it before"
        );
    }
}
