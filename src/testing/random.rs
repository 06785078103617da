//! [`RandomFaults`]: faults by chance, the same ones for the same seed.

use super::fault::Fault;
use super::model::mix;

/// Faults that befall requests by chance. The same seed and the same requests in the same order give the same faults.
///
/// ```
/// use kinesis_shards::testing::{FakeKinesis, Fault, RandomFaults};
///
/// let faults = RandomFaults::seeded(7).rate(Fault::Throttled, 0.1).rate_of("ListShards", Fault::EmptyPage, 0.2);
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
    /// No faults yet: add some with [`rate`](Self::rate).
    pub fn seeded(seed: u64) -> Self {
        Self { state: mix(seed), rates: Vec::new() }
    }

    /// `fault` befalls this share of the requests, from 0 to 1, of every operation it can befall. Of two faults that
    /// would befall one request, the one that was added first does.
    ///
    /// # Panics
    ///
    /// If `share` is not from 0 to 1.
    #[track_caller]
    pub fn rate(mut self, fault: Fault, share: f64) -> Self {
        self.rates.push((None, fault, checked(share)));
        self
    }

    /// `fault` befalls this share of the requests, from 0 to 1, of one operation.
    ///
    /// # Panics
    ///
    /// If there is no such operation, the fault cannot befall it, or `share` is not from 0 to 1.
    #[track_caller]
    pub fn rate_of(mut self, operation: &str, fault: Fault, share: f64) -> Self {
        fault.must_befall(operation);
        self.rates.push((Some(operation.to_owned()), fault, checked(share)));
        self
    }

    pub(super) fn draw(&mut self, operation: &str) -> Option<Fault> {
        let mut drawn = None;
        // One draw a rate, whatever befalls: a rate that is changed leaves the others' chances as they were.
        for (of, fault, share) in &self.rates {
            self.state = mix(self.state);
            let concerned = of.as_deref().is_none_or(|of| of == operation) && fault.befalls(operation);
            if drawn.is_none() && concerned && unit(self.state) < *share {
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
    assert!((0.0..=1.0).contains(&share), "{share} is no share of the requests: it is from 0 to 1");
    share
}

/// A number from 0 up to 1.
fn unit(random: u64) -> f64 {
    // 32 bits are as fine as any rate needs, and an f64 holds them exactly.
    f64::from(u32::try_from(random >> 32).unwrap_or(u32::MAX)) / 4_294_967_296.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(seed: u64) -> Vec<Option<Fault>> {
        let mut faults = RandomFaults::seeded(seed).rate(Fault::Throttled, 0.25).rate(Fault::EmptyPage, 0.25);
        (0..1000).map(|_| faults.draw("ListShards")).collect()
    }

    #[test]
    fn a_seed_is_a_sequence() {
        assert_eq!(drawn(1), drawn(1));
        assert_ne!(drawn(1), drawn(2));
    }

    #[test]
    fn rates_are_kept() {
        let faults = drawn(3);
        let throttled = faults.iter().flatten().filter(|fault| **fault == Fault::Throttled).count();
        let empty = faults.iter().flatten().filter(|fault| **fault == Fault::EmptyPage).count();
        assert!((200..300).contains(&throttled), "{throttled}");
        assert!((150..225).contains(&empty), "{empty}");
    }

    #[test]
    fn what_is_no_share_is_refused() {
        for share in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let add = || RandomFaults::seeded(1).rate(Fault::Throttled, share);
            assert!(std::panic::catch_unwind(add).is_err(), "{share}");
        }
    }

    #[test]
    #[should_panic(expected = "GetRecord is not an operation")]
    fn a_mistyped_operation_is_refused() {
        let _ = RandomFaults::seeded(1).rate_of("GetRecord", Fault::Throttled, 0.5);
    }

    #[test]
    #[should_panic(expected = "EmptyPage cannot befall GetRecords")]
    fn a_fault_that_would_do_nothing_is_refused() {
        let _ = RandomFaults::seeded(1).rate_of("GetRecords", Fault::EmptyPage, 0.5);
    }

    #[test]
    fn a_fault_befalls_only_what_it_can() {
        let mut faults =
            RandomFaults::seeded(1).rate(Fault::EmptyPage, 1.0).rate_of("PutRecord", Fault::NotJson, 1.0);
        assert_eq!(faults.draw("ListShards"), Some(Fault::EmptyPage));
        assert_eq!(faults.draw("GetRecords"), None);
        assert_eq!(faults.draw("PutRecord"), Some(Fault::NotJson));
    }
}
