//! The state of one shard in one life, and the parameters of its checks.

use std::time::SystemTime;

use kinesis_shards::shard::{ParentOutcome, StartPosition};
use tokio::time::{Duration, Instant};

use crate::id::{Id, Offered};

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Member {
    pub(crate) known_since: Instant,
    /// The parents that were known when the shard was first named. It is not offered before they
    /// are closed.
    pub(crate) known_parents: Vec<Id>,
    pub(crate) last_listed: u32,
    pub(crate) state: State,
    /// The latest offer, whose handle the crate heeds. A shard that only its parent has named is
    /// offered again once a list shows that the stream was created again, since the first handle
    /// may be one of the deleted stream.
    pub(crate) offered: Option<Offered>,
    /// The start that an earlier run or an earlier offer prescribes.
    pub(crate) exact: Option<StartPosition>,
    pub(crate) may_start_at_latest: bool,
    /// Whether the shard or a parent may have been forgotten and listed again.
    pub(crate) is_uncertain: bool,
    /// Whether the shard descends from one of the earlier run, as far as the lists show.
    pub(crate) descends: bool,
    /// Whether a list has shown its starting sequence number. Otherwise only its parent has named
    /// it, and it may count as a shard of the old stream.
    pub(crate) is_listed: bool,
    /// Whether the lists may have shown that its stream is gone.
    pub(crate) stream_may_be_gone: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// The shard must be offered.
    Unoffered,
    /// The shard was offered.
    Offered,
    Abandoned(Instant),
    /// The reader did not find the shard. The next full list decides, also one that begins in the
    /// same instant.
    NotFound {
        since: Instant,
        was_omitted: bool,
    },
    Closed(ParentOutcome, Instant),
}

impl Member {
    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed(..))
    }
}

/// The parameters of the checks.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) poll_interval: Duration,
    /// Whether every listing has succeeded and was correct.
    pub(crate) is_reliable: bool,
    /// The permitted delay: little more than the time that the consumer takes between polls.
    pub(crate) slack: Duration,
    /// The ends of the suspensions of the machine, and their durations. They delay everything.
    pub(crate) suspended: Vec<(Instant, Duration)>,
    /// Whether ends name no children and are confirmed by lists and repeated reads only. Then the
    /// delay between a parent and its child is not checked.
    pub(crate) kinesalite_ends: bool,
    /// How far the `Date` of responses is ahead of the shards' clock. With a `Date`, the time that
    /// stands for `LATEST` is known to about that.
    pub(crate) date_ahead: Duration,
}

/// A start that Kinesis refuses as a future time is moved this far back.
const MAX_SKEW: Duration = Duration::from_mins(5);

impl Rules {
    /// Returns whether a shard whose start is `exact` may be offered at `start`.
    pub(crate) fn allows_start(&self, exact: &StartPosition, start: &StartPosition) -> bool {
        let times = match (exact, start) {
            (StartPosition::Timestamp(exact), StartPosition::Timestamp(start)) => {
                SystemTime::try_from(*exact).ok().zip(SystemTime::try_from(*start).ok())
            }
            _ => None,
        };
        let is_near = times.is_some_and(|(exact, start)| {
            start <= exact + self.date_ahead && exact <= start + MAX_SKEW + Duration::from_secs(1)
        });
        exact == start || !self.date_ahead.is_zero() && is_near
    }

    /// Returns the permitted delay of an event that was due at this time.
    pub(crate) fn slack_since(&self, due: Instant) -> Duration {
        let since = self.suspended.iter().filter(|(until, _)| *until >= due);
        self.slack + since.map(|(_, duration)| *duration).sum::<Duration>()
    }
}
