//! Which records of one reading were acknowledged: the contiguous prefix. Pure.

use std::collections::BTreeMap;

/// The records are numbered from 0 as they are delivered.
#[derive(Debug, Default)]
pub(crate) struct AckWindow {
    delivered: u64,
    /// All before it were acknowledged.
    acknowledged: u64,
    /// Acknowledged after one that is not yet: by the first of each run of them, so that one that
    /// is stuck costs nothing for those that follow it.
    ahead: BTreeMap<u64, Ahead>,
    /// Neither acknowledged nor dropped.
    in_flight: u64,
    /// The first that was dropped: the prefix does not pass it.
    dropped: Option<u64>,
}

/// Records in a row that were acknowledged.
#[derive(Debug)]
struct Ahead {
    /// The number after the last.
    end: u64,
    /// Where the last is.
    sequence_number: String,
    sub: Option<u64>,
}

/// What an acknowledgement did to the prefix.
#[derive(Debug, PartialEq)]
pub(crate) enum Prefix {
    Stays,
    /// It now ends with the record that was acknowledged.
    EndsHere,
    /// It now ends with one that was acknowledged before.
    EndsAt(String, Option<u64>),
}

impl AckWindow {
    pub(crate) fn deliver(&mut self) -> u64 {
        let number = self.delivered;
        self.delivered += 1;
        self.in_flight += 1;
        number
    }

    pub(crate) fn acknowledge(
        &mut self,
        number: u64,
        sequence_number: &str,
        sub: Option<u64>,
    ) -> Prefix {
        self.in_flight -= 1;
        if number != self.acknowledged {
            // Behind one that was dropped it will never count, and need not be remembered.
            if self.dropped.is_none_or(|dropped| number < dropped) {
                self.keep(number, sequence_number, sub);
            }
            return Prefix::Stays;
        }
        self.acknowledged += 1;
        match self.ahead.first_entry() {
            Some(first) if *first.key() == self.acknowledged => {
                let Ahead { end, sequence_number, sub } = first.remove();
                self.acknowledged = end;
                Prefix::EndsAt(sequence_number, sub)
            }
            _ => Prefix::EndsHere,
        }
    }

    /// It joins the run that ends before it, and the one that begins after it.
    fn keep(&mut self, number: u64, sequence_number: &str, sub: Option<u64>) {
        let following = self.ahead.remove(&(number + 1));
        let before = self.ahead.range_mut(..number).next_back().map(|(_, run)| run);
        match (before.filter(|run| run.end == number), following) {
            (Some(before), Some(following)) => *before = following,
            (Some(before), None) => {
                before.end = number + 1;
                before.sequence_number.clear();
                before.sequence_number.push_str(sequence_number);
                before.sub = sub;
            }
            (None, Some(following)) => {
                self.ahead.insert(number, following);
            }
            (None, None) => {
                let sequence_number = sequence_number.to_owned();
                self.ahead.insert(number, Ahead { end: number + 1, sequence_number, sub });
            }
        }
    }

    /// True if it is the first that was dropped.
    pub(crate) fn give_up(&mut self, number: u64) -> bool {
        self.in_flight -= 1;
        let is_first = self.dropped.is_none();
        if self.dropped.is_none_or(|dropped| number < dropped) {
            self.dropped = Some(number);
            self.ahead.split_off(&number);
        }
        is_first
    }

    /// Every record that was delivered was acknowledged or dropped.
    pub(crate) fn is_settled(&self) -> bool {
        self.in_flight == 0
    }

    /// How many records the prefix holds.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(crate) fn is_all_acknowledged(&self) -> bool {
        self.acknowledged == self.delivered
    }

    #[cfg(test)]
    fn remembers(&self) -> usize {
        self.ahead.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ledger_of(delivered: u64) -> AckWindow {
        let mut window = AckWindow::default();
        for number in 0..delivered {
            assert_eq!(window.deliver(), number);
        }
        window
    }

    #[test]
    fn in_order_each_acknowledgement_moves_the_prefix() {
        let mut window = ledger_of(3);
        for number in 0..3 {
            assert!(!window.is_all_acknowledged());
            assert_eq!(window.acknowledge(number, "x", None), Prefix::EndsHere);
        }
        assert!(window.is_settled() && window.is_all_acknowledged());
    }

    #[test]
    fn out_of_order_the_prefix_waits_for_the_first() {
        let mut window = ledger_of(4);
        assert_eq!(window.acknowledge(2, "2", Some(9)), Prefix::Stays);
        assert_eq!(window.acknowledge(1, "1", None), Prefix::Stays);
        assert_eq!(window.acknowledge(0, "0", None), Prefix::EndsAt("2".to_owned(), Some(9)));
        assert!(!window.is_settled());
    }

    #[test]
    fn one_that_is_dropped_holds_the_prefix_for_good_and_nothing_is_kept_for_it() {
        let mut window = ledger_of(1000);
        assert!(window.give_up(1));
        for number in 2..1000 {
            assert_eq!(window.acknowledge(number, "x", None), Prefix::Stays);
        }
        assert_eq!(window.acknowledge(0, "0", None), Prefix::EndsHere);
        assert!(window.is_settled() && !window.is_all_acknowledged());
        assert_eq!(window.remembers(), 0);
    }

    #[test]
    fn nothing_is_kept_behind_the_first_of_several_that_are_dropped() {
        let mut window = ledger_of(9);
        window.acknowledge(3, "3", None);
        assert!(window.give_up(6));
        assert_eq!(window.remembers(), 1, "the prefix may still come to it");
        assert!(!window.give_up(1));
        assert_eq!(window.remembers(), 0);
        window.acknowledge(5, "5", None);
        assert!(!window.give_up(8));
        window.acknowledge(7, "7", None);
        assert_eq!(window.remembers(), 0);
    }

    #[test]
    fn one_that_is_stuck_costs_nothing_for_those_that_follow_it() {
        let mut window = ledger_of(100_000);
        for number in 1..50_000 {
            window.acknowledge(number, "x", None);
            assert_eq!(window.remembers(), 1);
        }
        // Backwards, and a second gap: the runs grow together.
        for number in (50_001..100_000).rev() {
            window.acknowledge(number, &number.to_string(), None);
            assert_eq!(window.remembers(), 2);
        }
        window.acknowledge(50_000, "50000", None);
        assert_eq!(window.remembers(), 1);
        assert_eq!(window.acknowledge(0, "0", None), Prefix::EndsAt("99999".to_owned(), None));
        assert_eq!((window.acknowledged(), window.remembers()), (100_000, 0));
    }

    proptest! {
        /// Against the definition: the prefix ends before the first record that was not
        /// acknowledged.
        #[test]
        fn the_prefix_is_the_longest_without_a_gap(
            order in (1_u64..40).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
            dropped in prop::collection::vec(any::<bool>(), 40),
            some_dropped in any::<bool>(),
        ) {
            let mut window = ledger_of(order.len() as u64);
            let mut acknowledged = vec![false; order.len()];
            let mut prefix = 0;
            for number in order {
                let at = usize::try_from(number).unwrap();
                if some_dropped && dropped[at] {
                    window.give_up(number);
                    continue;
                }
                acknowledged[at] = true;
                let now = acknowledged.iter().take_while(|acknowledged| **acknowledged).count();
                let expected = match now {
                    _ if now == prefix => Prefix::Stays,
                    _ if now == at + 1 => Prefix::EndsHere,
                    _ => Prefix::EndsAt((now - 1).to_string(), None),
                };
                prop_assert_eq!(window.acknowledge(number, &number.to_string(), None), expected);
                prop_assert_eq!(window.acknowledged(), now as u64);
                prefix = now;
            }
            prop_assert!(window.is_settled());
            prop_assert_eq!(window.is_all_acknowledged(), prefix == acknowledged.len());
        }
    }
}
