//! The id and the first sequence number of a shard, in compact form.

use std::fmt;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;

use rustc_hash::FxBuildHasher;

use crate::util::received_shard::ReceivedShard;

/// The id of a shard. An id of AWS's form, `shardId-` and twelve digits, is kept as its number and
/// needs no allocation; any other is shared between its holders.
#[derive(Debug, Clone, Eq)]
pub(crate) enum ShardKey {
    Numbered(u64),
    Named(Arc<String>),
}

impl PartialEq for ShardKey {
    fn eq(&self, other: &Self) -> bool {
        #[cfg(test)]
        comparisons::count();
        match (self, other) {
            (Self::Numbered(a), Self::Numbered(b)) => a == b,
            (Self::Named(a), Self::Named(b)) => a == b,
            _ => false,
        }
    }
}

/// Counts, per thread, how often two keys are compared: the cost of a table or a search on any
/// machine.
#[cfg(test)]
pub(crate) mod comparisons {
    use std::cell::Cell;

    thread_local!(static COMPARISONS: Cell<usize> = const { Cell::new(0) });

    pub(crate) fn count() {
        COMPARISONS.set(COMPARISONS.get() + 1);
    }

    /// Returns the number of comparisons since the last call.
    pub(crate) fn take() -> usize {
        COMPARISONS.take()
    }
}

impl Hash for ShardKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            // `SequentialHasher` keeps consecutive numbers together.
            Self::Numbered(number) => state.write_u64(*number),
            Self::Named(name) => name.hash(state),
        }
    }
}

impl From<&str> for ShardKey {
    fn from(id: &str) -> Self {
        number(id.as_bytes()).map_or_else(|| Self::Named(Arc::new(id.to_owned())), Self::Numbered)
    }
}

impl ShardKey {
    /// Returns the key of a shard.
    pub(crate) fn of(shard: &ReceivedShard) -> Self {
        number(shard.id_bytes()).map_or_else(|| Self::from(shard.shard_id()), Self::Numbered)
    }
}

/// Returns the number in an id of AWS's form.
fn number(id: &[u8]) -> Option<u64> {
    let digits: &[u8; 12] = id.strip_prefix(b"shardId-")?.try_into().ok()?;
    digits.iter().try_fold(0, |number, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then(|| number * 10 + u64::from(digit))
    })
}

impl fmt::Display for ShardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbered(number) => write!(f, "shardId-{number:012}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// The hash of a shard's `StartingSequenceNumber`, which distinguishes two shards with one id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstSequence(u64);

impl FirstSequence {
    pub(crate) const UNKNOWN: Self = Self(0);
    /// Some servers say `0` until the first record gives the shard its number.
    const ZERO: Self = Self(1);

    pub(crate) fn of(shard: &ReceivedShard) -> Self {
        match shard.starting_sequence_number() {
            None | Some(b"") => Self::UNKNOWN,
            Some(b"0") => Self::ZERO,
            Some(number) => Self(FxBuildHasher.hash_one(number).max(2)),
        }
    }

    /// Returns whether a shard that was listed with `self` may be the one now listed with `now`.
    pub(crate) fn is_compatible_with(self, now: Self) -> bool {
        self == now || now == Self::UNKNOWN || self == Self::UNKNOWN || self == Self::ZERO
    }

    pub(crate) fn is_known(self) -> bool {
        self != Self::UNKNOWN && self != Self::ZERO
    }

    pub(crate) fn update(&mut self, now: Self) {
        if now != Self::UNKNOWN {
            *self = now;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::types::{SequenceNumberRange, Shard};

    #[test]
    fn an_id_of_aws_form_is_kept_as_its_number_and_any_other_as_text() {
        assert_eq!(ShardKey::from("shardId-000000000042"), ShardKey::Numbered(42));
        assert_eq!(ShardKey::from("shardId-999999999999"), ShardKey::Numbered(999_999_999_999));
        assert_eq!(ShardKey::Numbered(42).to_string(), "shardId-000000000042");
        for other in [
            "shardId-42",
            "shardId-0000000000042",
            "shardId-00000000004x",
            "shard-000000000042",
            "shardId-+00000000042",
            "é",
            "",
        ] {
            assert_eq!(ShardKey::from(other), ShardKey::Named(Arc::new(other.to_owned())));
            assert_eq!(ShardKey::from(other).to_string(), other);
        }
    }

    #[test]
    fn only_a_known_number_that_changes_makes_another_shard() {
        let at = |number: Option<&str>| {
            let range = number.map(|n| {
                SequenceNumberRange::builder().starting_sequence_number(n).build().unwrap()
            });
            let shard = Shard::builder().shard_id("s").set_sequence_number_range(range).build();
            FirstSequence::of(&shard.unwrap().into())
        };
        for (old, new, same) in [
            (None, None, true),
            (None, Some("7"), true),
            (Some("7"), None, true),
            (Some("7"), Some("7"), true),
            (Some("0"), Some("1"), true),
            (Some("7"), Some("8"), false),
            (Some("1"), Some("0"), false),
        ] {
            assert_eq!(at(old).is_compatible_with(at(new)), same, "{old:?} then {new:?}");
        }
    }
}
