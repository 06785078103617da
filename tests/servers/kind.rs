//! The servers, and the package manager that installs each.

use std::fmt;

use crate::install::Source;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "each test program uses some of them")]
pub(crate) enum Kind {
    KinesisLocal,
    Kinesalite,
    Moto,
    Fake,
    /// Used for its DynamoDB and the change streams of its tables.
    Ministack,
    Redis,
    Postgres,
}

impl Kind {
    /// Returns the package manager that installs the server, or `None` for the fake.
    pub(crate) fn source(self) -> Option<Source> {
        match self {
            Self::KinesisLocal | Self::Kinesalite => Some(Source::Npm),
            Self::Moto | Self::Ministack | Self::Redis => Some(Source::Pip),
            Self::Postgres => Some(Source::Postgres),
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
            Self::Postgres => "postgres",
        })
    }
}
