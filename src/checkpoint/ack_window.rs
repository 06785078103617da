//! The acknowledged prefix of the records that one session delivered. Pure.

use std::collections::BTreeMap;

/// The records of one session that were delivered, and which of them were acknowledged.
///
/// Records are numbered from 0 as they are delivered. What is acknowledged at once, a record or a
/// page, is a range of numbers.
#[derive(Debug, Default)]
pub(crate) struct AckWindow {
    delivered: u64,
    /// The length of the prefix: every record before this number is acknowledged.
    acknowledged: u64,
    /// The runs of acknowledged records beyond the prefix, by the number of their first record. A
    /// record that is stuck costs nothing for those that follow it.
    ahead: BTreeMap<u64, Run>,
    /// How many records are neither acknowledged nor dropped.
    in_flight: u64,
    /// The first record that was dropped: the prefix does not pass it.
    dropped: Option<u64>,
}

/// Numbers of records that were delivered together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    pub(crate) first: u64,
    pub(crate) len: u64,
}

impl Range {
    /// Returns the number after the last.
    pub(crate) fn end(self) -> u64 {
        self.first + self.len
    }
}

/// Acknowledged records in a row.
#[derive(Debug)]
struct Run {
    /// The number after the last.
    end: u64,
    /// The position of the last.
    sequence_number: String,
    sub: Option<u64>,
}

/// What an acknowledgement did to the prefix.
#[derive(Debug, PartialEq)]
pub(crate) enum Prefix {
    /// It stays as it was.
    Stays,
    /// It now ends with the record that was acknowledged.
    EndsHere,
    /// It now ends with a record that was acknowledged before.
    EndsAt(String, Option<u64>),
}

impl AckWindow {
    /// Counts `len` records as delivered, and numbers them.
    pub(crate) fn deliver(&mut self, len: u64) -> Range {
        let first = self.delivered;
        self.delivered += len;
        self.in_flight += len;
        Range { first, len }
    }

    /// Acknowledges a range whose last record is at this position.
    pub(crate) fn acknowledge(
        &mut self,
        range: Range,
        sequence_number: &str,
        sub: Option<u64>,
    ) -> Prefix {
        self.in_flight -= range.len;
        if range.first != self.acknowledged {
            // Behind a record that was dropped it never counts, and need not be remembered.
            if self.dropped.is_none_or(|dropped| range.first < dropped) {
                self.keep(range, sequence_number, sub);
            }
            return Prefix::Stays;
        }
        self.acknowledged = range.end();
        match self.ahead.first_entry() {
            Some(first) if *first.key() == self.acknowledged => {
                let Run { end, sequence_number, sub } = first.remove();
                self.acknowledged = end;
                Prefix::EndsAt(sequence_number, sub)
            }
            _ => Prefix::EndsHere,
        }
    }

    /// Joins a range to the run that ends before it, and to the one that begins after it.
    fn keep(&mut self, range: Range, sequence_number: &str, sub: Option<u64>) {
        let following = self.ahead.remove(&range.end());
        let before = self.ahead.range_mut(..range.first).next_back().map(|(_, run)| run);
        match (before.filter(|run| run.end == range.first), following) {
            (Some(before), Some(following)) => *before = following,
            (Some(before), None) => {
                before.end = range.end();
                before.sequence_number.clear();
                before.sequence_number.push_str(sequence_number);
                before.sub = sub;
            }
            (None, Some(following)) => {
                self.ahead.insert(range.first, following);
            }
            (None, None) => {
                let sequence_number = sequence_number.to_owned();
                self.ahead.insert(range.first, Run { end: range.end(), sequence_number, sub });
            }
        }
    }

    /// Drops a range. Returns whether it is the first that was dropped.
    pub(crate) fn give_up(&mut self, range: Range) -> bool {
        self.in_flight -= range.len;
        let is_first = self.dropped.is_none();
        if self.dropped.is_none_or(|dropped| range.first < dropped) {
            self.dropped = Some(range.first);
            self.ahead.split_off(&range.first);
        }
        is_first
    }

    /// Returns whether every delivered record was acknowledged or dropped.
    pub(crate) fn is_settled(&self) -> bool {
        self.in_flight == 0
    }

    /// Returns the length of the prefix.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Returns whether every delivered record was acknowledged.
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

    fn one(number: u64) -> Range {
        Range { first: number, len: 1 }
    }

    fn ledger_of(delivered: u64) -> AckWindow {
        let mut window = AckWindow::default();
        for number in 0..delivered {
            assert_eq!(window.deliver(1), one(number));
        }
        window
    }

    #[test]
    fn in_order_each_acknowledgement_moves_the_prefix() {
        let mut window = ledger_of(3);
        for number in 0..3 {
            assert!(!window.is_all_acknowledged());
            assert_eq!(window.acknowledge(one(number), "x", None), Prefix::EndsHere);
        }
        assert!(window.is_settled() && window.is_all_acknowledged());
    }

    #[test]
    fn out_of_order_the_prefix_waits_for_the_first() {
        let mut window = ledger_of(4);
        assert_eq!(window.acknowledge(one(2), "2", Some(9)), Prefix::Stays);
        assert_eq!(window.acknowledge(one(1), "1", None), Prefix::Stays);
        assert_eq!(window.acknowledge(one(0), "0", None), Prefix::EndsAt("2".to_owned(), Some(9)));
        assert!(!window.is_settled());
    }

    #[test]
    fn one_that_is_dropped_holds_the_prefix_for_good_and_nothing_is_kept_for_it() {
        let mut window = ledger_of(1000);
        assert!(window.give_up(one(1)));
        for number in 2..1000 {
            assert_eq!(window.acknowledge(one(number), "x", None), Prefix::Stays);
        }
        assert_eq!(window.acknowledge(one(0), "0", None), Prefix::EndsHere);
        assert!(window.is_settled() && !window.is_all_acknowledged());
        assert_eq!(window.remembers(), 0);
    }

    #[test]
    fn nothing_is_kept_behind_the_first_of_several_that_are_dropped() {
        let mut window = ledger_of(9);
        window.acknowledge(one(3), "3", None);
        assert!(window.give_up(one(6)));
        assert_eq!(window.remembers(), 1, "the prefix may still come to it");
        assert!(!window.give_up(one(1)));
        assert_eq!(window.remembers(), 0);
        window.acknowledge(one(5), "5", None);
        assert!(!window.give_up(one(8)));
        window.acknowledge(one(7), "7", None);
        assert_eq!(window.remembers(), 0);
    }

    #[test]
    fn one_that_is_stuck_costs_nothing_for_those_that_follow_it() {
        let mut window = ledger_of(100_000);
        for number in 1..50_000 {
            window.acknowledge(one(number), "x", None);
            assert_eq!(window.remembers(), 1);
        }
        // Backwards, and a second gap: the runs grow together.
        for number in (50_001..100_000).rev() {
            window.acknowledge(one(number), &number.to_string(), None);
            assert_eq!(window.remembers(), 2);
        }
        window.acknowledge(one(50_000), "50000", None);
        assert_eq!(window.remembers(), 1);
        assert_eq!(window.acknowledge(one(0), "0", None), Prefix::EndsAt("99999".to_owned(), None));
        assert_eq!((window.acknowledged(), window.remembers()), (100_000, 0));
    }

    #[test]
    fn a_page_is_acknowledged_as_one_and_joins_single_records() {
        let mut window = AckWindow::default();
        let (page, record, last) = (window.deliver(100), window.deliver(1), window.deliver(50));
        assert_eq!((page.end(), record.first, last.end()), (100, 100, 151));
        assert_eq!(window.acknowledge(last, "c", None), Prefix::Stays);
        assert_eq!(window.acknowledge(record, "b", None), Prefix::Stays);
        assert_eq!(window.remembers(), 1);
        assert_eq!(window.acknowledge(page, "a", None), Prefix::EndsAt("c".to_owned(), None));
        assert_eq!(window.acknowledged(), 151);
        assert!(window.is_settled() && window.is_all_acknowledged());
    }

    #[test]
    fn a_page_that_is_dropped_holds_the_prefix_before_its_first_record() {
        let mut window = AckWindow::default();
        let (first, page, next) = (window.deliver(3), window.deliver(10), window.deliver(3));
        assert!(window.give_up(page));
        assert_eq!(window.acknowledge(next, "c", None), Prefix::Stays);
        assert_eq!(window.acknowledge(first, "a", None), Prefix::EndsHere);
        assert_eq!((window.acknowledged(), window.remembers()), (3, 0));
        assert!(window.is_settled() && !window.is_all_acknowledged());
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
                    window.give_up(one(number));
                    continue;
                }
                acknowledged[at] = true;
                let now = acknowledged.iter().take_while(|acknowledged| **acknowledged).count();
                let expected = match now {
                    _ if now == prefix => Prefix::Stays,
                    _ if now == at + 1 => Prefix::EndsHere,
                    _ => Prefix::EndsAt((now - 1).to_string(), None),
                };
                prop_assert_eq!(window.acknowledge(one(number), &number.to_string(), None), expected);
                prop_assert_eq!(window.acknowledged(), now as u64);
                prefix = now;
            }
            prop_assert!(window.is_settled());
            prop_assert_eq!(window.is_all_acknowledged(), prefix == acknowledged.len());
        }
    }
}
