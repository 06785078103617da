//! Which servers there are, and where each comes from.

use std::fmt;

use crate::install::Source;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each test target has its own of them")]
pub(crate) enum Kind {
    KinesisLocal,
    Kinesalite,
    Moto,
    Fake,
    /// For its DynamoDB.
    Ministack,
    Redis,
}

impl Kind {
    /// Where it is installed from; nowhere if it is part of the crate.
    pub(crate) fn source(self) -> Option<Source> {
        match self {
            Self::KinesisLocal | Self::Kinesalite => Some(Source::Npm),
            Self::Moto | Self::Ministack | Self::Redis => Some(Source::Pip),
            Self::Fake => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KinesisLocal => "kinesis_local",
            Self::Kinesalite => "kinesalite",
            Self::Moto => "moto",
            Self::Fake => "fake",
            Self::Ministack => "ministack",
            Self::Redis => "redis",
        })
    }
}
