//! What is known of one shard in one life, and what its checks depend on.

use kinesis_shards::shard::{ParentOutcome, StartPosition};
use tokio::time::{Duration, Instant};

use crate::id::Id;

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each by itself")]
pub(crate) struct Member {
    pub(crate) known_since: Instant,
    /// The parents that were known when it was first named: it is not offered before they are
    /// closed.
    pub(crate) firm: Vec<Id>,
    pub(crate) last_listed: u32,
    pub(crate) state: State,
    /// Where it must start, if the run before left that, or it was handed back.
    pub(crate) exact: Option<StartPosition>,
    pub(crate) may_start_at_latest: bool,
    /// It may have been forgotten and seen anew, or its parents: when it was known is not.
    pub(crate) vague: bool,
    /// As far as the lists showed it; while they are true, that is as far as it is true.
    pub(crate) descends: bool,
    /// A list named it first, with the number that it starts at. One that only its parent had named
    /// may be taken for the old stream's.
    pub(crate) is_told: bool,
    /// Its stream is gone, and the lists may have shown that.
    pub(crate) may_be_buried: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum State {
    /// To be offered.
    Known,
    Out,
    HandedBack(Instant),
    /// Its reader was told that there is no such shard: the next full list that begins decides. One
    /// of that very instant may do so or not.
    Doubted {
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

/// What the checks of one moment depend on.
#[derive(Clone, Debug)]
pub(crate) struct Rules {
    pub(crate) poll_interval: Duration,
    /// The listings have all succeeded, and told the truth.
    pub(crate) calm: bool,
    /// How late anything may be: nearly nothing, but for what the consumer takes for itself between
    /// polls.
    pub(crate) slack: Duration,
    /// When the machine was suspended, and how long: from the end of it on things are as late as
    /// that.
    pub(crate) suspended: Vec<(Instant, Duration)>,
}

impl Rules {
    /// How late that may be which was due at this time.
    pub(crate) fn slack_since(&self, due: Instant) -> Duration {
        let since = self.suspended.iter().filter(|(until, _)| *until >= due);
        self.slack + since.map(|(_, duration)| *duration).sum::<Duration>()
    }
}
