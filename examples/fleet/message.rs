//! The lines by which a worker process tells the demonstration what happens.

use std::fmt;
use std::str::FromStr;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Message {
    /// The worker got the lease of a shard.
    Granted { shard: String },
    /// The lease of a shard has ended.
    Ended { shard: String },
    /// The worker declared another one dead.
    Fenced { worker: String },
    /// The worker read a record.
    Read { number: u64 },
    /// The worker has left.
    Left { is_complete: bool },
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Granted { shard } => write!(f, "granted {shard}"),
            Self::Ended { shard } => write!(f, "ended {shard}"),
            Self::Fenced { worker } => write!(f, "fenced {worker}"),
            Self::Read { number } => write!(f, "read {number}"),
            Self::Left { is_complete } => write!(f, "left {is_complete}"),
        }
    }
}

impl FromStr for Message {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let unknown = || format!("a worker printed {line:?}");
        let (kind, rest) = line.split_once(' ').ok_or_else(unknown)?;
        Ok(match kind {
            "granted" => Self::Granted { shard: rest.to_owned() },
            "ended" => Self::Ended { shard: rest.to_owned() },
            "fenced" => Self::Fenced { worker: rest.to_owned() },
            "read" => Self::Read { number: rest.parse().map_err(|_| unknown())? },
            "left" => Self::Left { is_complete: rest.parse().map_err(|_| unknown())? },
            _ => return Err(unknown()),
        })
    }
}
