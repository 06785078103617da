//! The claim of a reader that its shard has ended, which a list of shards confirms or refuses.

use std::sync::atomic::{AtomicU8, Ordering};

use crate::util::received_shard::ReceivedShard;

/// The state that a reader and the stream of shards share about the end of one shard.
///
/// A response that names neither a next iterator nor child shards may be the end of the shard,
/// since some servers name no children, or may be damaged. The reader claims the end. The stream of
/// shards hears the claim, requests a full list, and confirms or refuses the claim by that list.
#[derive(Debug)]
pub(crate) struct EndClaim(AtomicU8);

/// There is no claim, or a list has refused it.
const NONE: u8 = 0;
/// The reader has claimed the end, and the stream of shards has not heard it.
const CLAIMED: u8 = 1;
/// The stream of shards waits for a list.
const HEARD: u8 = 2;
/// A list shows that the shard is closed. A closed shard never opens again.
const CLOSED: u8 = 3;
/// The stream of shards will get no list.
const LEFT: u8 = 4;

/// The state of a claim, as its reader sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The claim is new.
    New,
    /// The stream of shards has not heard the claim: it is not polled, or was dropped.
    Unheard,
    /// The next full list decides about the claim.
    Heard,
    /// A list shows that the shard is closed.
    Closed,
}

impl EndClaim {
    pub(crate) fn of(shard: &ReceivedShard) -> Self {
        Self(AtomicU8::new(if shard.is_closed() { CLOSED } else { NONE }))
    }

    /// Claims the end, for the reader. The caller wakes the stream of shards.
    pub(crate) fn make(&self) -> Standing {
        match self.0.compare_exchange(NONE, CLAIMED, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Standing::New,
            Err(CLAIMED | LEFT) => Standing::Unheard,
            Err(HEARD) => Standing::Heard,
            Err(_) => Standing::Closed,
        }
    }

    /// Returns whether a list shows that the shard is closed.
    pub(crate) fn is_confirmed(&self) -> bool {
        self.0.load(Ordering::Acquire) == CLOSED
    }

    /// Withdraws the claim, for the reader: the shard continues.
    pub(crate) fn withdraw(&self) {
        if self.0.load(Ordering::Relaxed) != NONE {
            self.change(|state| state != CLOSED, NONE);
        }
    }

    /// Hears a claim, for the stream of shards. Returns false if there is no new one.
    pub(crate) fn hear(&self) -> bool {
        self.0.load(Ordering::Acquire) == CLAIMED && self.change(|state| state == CLAIMED, HEARD)
    }

    /// Confirms the claim: a list shows that the shard is closed.
    pub(crate) fn confirm(&self) {
        self.0.store(CLOSED, Ordering::Release);
    }

    /// Refuses the claim, for the stream of shards: the list does not confirm it. The reader may
    /// make another.
    pub(crate) fn refuse(&self) {
        self.change(|state| state == HEARD, NONE);
    }

    /// Leaves the claim to the reader, for the stream of shards: no list will come.
    pub(crate) fn leave(&self) {
        self.change(|state| state == HEARD, LEFT);
    }

    fn change(&self, when: impl Fn(u8) -> bool, to: u8) -> bool {
        let change = |state| when(state).then_some(to);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, change).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::types::{SequenceNumberRange, Shard};

    use super::*;

    fn claim(ending: Option<&str>) -> EndClaim {
        let range = SequenceNumberRange::builder()
            .starting_sequence_number("1")
            .set_ending_sequence_number(ending.map(str::to_owned))
            .build()
            .unwrap();
        let shard = Shard::builder().shard_id("shard").sequence_number_range(range);
        EndClaim::of(&shard.build().unwrap().into())
    }

    #[test]
    fn a_claim_is_heard_once_and_decided_by_a_list() {
        let claim = claim(None);
        assert!(!claim.hear());
        assert_eq!((claim.make(), claim.make()), (Standing::New, Standing::Unheard));
        assert!(claim.hear() && !claim.hear());
        assert_eq!(claim.make(), Standing::Heard);
        claim.refuse();
        assert_eq!(claim.make(), Standing::New);
        assert!(claim.hear());
        claim.leave();
        assert_eq!(claim.make(), Standing::Unheard);
        assert!(!claim.hear(), "a claim that was left is not heard again");
        claim.withdraw();
        assert_eq!(claim.make(), Standing::New);
        claim.confirm();
        claim.withdraw();
        claim.refuse();
        assert_eq!(claim.make(), Standing::Closed, "a closed shard stays closed");
    }

    #[test]
    fn a_shard_that_was_listed_as_closed_needs_no_other_list() {
        assert_eq!(claim(Some("7")).make(), Standing::Closed);
        assert_eq!(claim(Some("")).make(), Standing::New);
    }
}
