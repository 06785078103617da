//! [`RandomFaults`]: faults at random, the same ones for the same seed.

use crate::testing::fault::Fault;
use crate::testing::model::listing_faults::mix;

/// Faults that requests meet at random. The same seed and the same requests in the same order give
/// the same faults.
///
/// ```
/// use kinesis_shards::testing::{FakeKinesis, Fault, RandomFaults};
///
/// let faults = RandomFaults::seeded(7)
///     .rate(Fault::Throttled, 0.1)
///     .rate_of("ListShards", Fault::EmptyPage, 0.2);
/// let fake = FakeKinesis::new();
/// fake.fail_at_random(faults);
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct RandomFaults {
    state: u64,
    rates: Vec<(Option<String>, Fault, f64)>,
}

impl RandomFaults {
    /// Creates an empty set of faults; [`rate`](Self::rate) adds one.
    pub fn seeded(seed: u64) -> Self {
        Self { state: mix(seed), rates: Vec::new() }
    }

    /// Adds `fault` for a share of the requests, from 0 to 1, of every operation that the fault can
    /// apply to. If a request draws two faults, it meets the one that was added first.
    ///
    /// # Panics
    ///
    /// Panics if `share` is not from 0 to 1.
    #[track_caller]
    pub fn rate(mut self, fault: Fault, share: f64) -> Self {
        self.rates.push((None, fault, checked(share)));
        self
    }

    /// Adds `fault` for a share of the requests, from 0 to 1, of one operation.
    ///
    /// # Panics
    ///
    /// Panics if there is no such operation, if the fault cannot apply to it, or if `share` is not
    /// from 0 to 1.
    #[track_caller]
    pub fn rate_of(mut self, operation: &str, fault: Fault, share: f64) -> Self {
        fault.assert_applies_to(operation);
        self.rates.push((Some(operation.to_owned()), fault, checked(share)));
        self
    }

    pub(crate) fn draw(&mut self, operation: &str) -> Option<Fault> {
        let mut drawn = None;
        // Every rate draws a number for every request, so changing one rate leaves the draws of the
        // others as they were.
        for (only, fault, share) in &self.rates {
            self.state = mix(self.state);
            let applies =
                only.as_deref().is_none_or(|only| only == operation) && fault.applies_to(operation);
            if drawn.is_none() && applies && unit(self.state) < *share {
                drawn = Some(match fault {
                    Fault::OmitSomeShards(_) => Fault::OmitSomeShards(self.state),
                    Fault::ThrottleSomeEntries(_) => Fault::ThrottleSomeEntries(self.state),
                    other => other.clone(),
                });
            }
        }
        drawn
    }
}

#[track_caller]
fn checked(share: f64) -> f64 {
    assert!((0.0..=1.0).contains(&share), "the share of requests must be from 0 to 1, not {share}");
    share
}

/// Maps a random number to `0.0..1.0`.
fn unit(random: u64) -> f64 {
    // 32 bits are fine enough for any rate, and an f64 holds them exactly.
    f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<Option<Fault>> {
        let mut faults =
            RandomFaults::seeded(seed).rate(Fault::Throttled, 0.25).rate(Fault::EmptyPage, 0.25);
        (0..1000).map(|_| faults.draw("ListShards")).collect()
    }

    #[test]
    fn same_seed_draws_the_same_faults() {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn faults_are_drawn_at_their_rates() {
        let faults = drawn(3);
        let throttled = faults.iter().flatten().filter(|fault| **fault == Fault::Throttled).count();
        let empty = faults.iter().flatten().filter(|fault| **fault == Fault::EmptyPage).count();
        assert!((200..300).contains(&throttled), "{throttled}");
        assert!((150..225).contains(&empty), "{empty}");
    }

    #[test]
    fn share_outside_zero_to_one_panics() {
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let add = || RandomFaults::seeded(1).rate(Fault::Throttled, share);
            assert!(std::panic::catch_unwind(add).is_err(), "{share}");
        }
    }

    #[test]
    #[should_panic(expected = "GetRecord is not an operation")]
    fn mistyped_operation_panics() {
        let _ = RandomFaults::seeded(1).rate_of("GetRecord", Fault::Throttled, 0.5);
    }

    #[test]
    #[should_panic(expected = "EmptyPage cannot apply to GetRecords")]
    fn fault_without_effect_on_the_operation_panics() {
        let _ = RandomFaults::seeded(1).rate_of("GetRecords", Fault::EmptyPage, 0.5);
    }

    #[test]
    fn fault_is_drawn_only_for_operations_it_applies_to() {
        let mut faults = RandomFaults::seeded(1).rate(Fault::EmptyPage, 1.0).rate_of(
            "PutRecord",
            Fault::NotJson,
            1.0,
        );
        assert_eq!(faults.draw("ListShards"), Some(Fault::EmptyPage));
        assert_eq!(faults.draw("GetRecords"), None);
        assert_eq!(faults.draw("PutRecord"), Some(Fault::NotJson));
    }
}
