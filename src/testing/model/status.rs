//! The status of a stream or a consumer, which follows from its latest change.

use crate::testing::model::time::Millis;

/// The latest change of a stream or a consumer, with the time at which it is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Creating(Millis),
    Updating(Millis),
    Deleting(Millis),
}

impl Change {
    pub(crate) fn status(self, now: Millis) -> Status {
        match self {
            Self::Creating(until) if now < until => Status::Creating,
            Self::Updating(until) if now < until => Status::Updating,
            Self::Deleting(_) => Status::Deleting,
            Self::Creating(_) | Self::Updating(_) => Status::Active,
        }
    }

    /// Returns whether this is a deletion that is complete.
    pub(crate) fn is_deleted(self, now: Millis) -> bool {
        matches!(self, Self::Deleting(until) if until <= now)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Status {
    Creating,
    Active,
    Updating,
    Deleting,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Updating => "UPDATING",
            Self::Deleting => "DELETING",
        }
    }
}
