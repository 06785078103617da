//! The acknowledged prefix of the records that one session delivered. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::time::Instant;

use crate::checkpoint::ack_run::RunProgress;
use crate::checkpoint::sequence_number::ExtendedSequenceNumber;

/// The records that one session delivered, and which of them were acknowledged.
///
/// Records are numbered from 0 as they are delivered. A record, or a page with one
/// acknowledgement, is a [`RecordRange`].
#[derive(Debug, Default)]
pub(crate) struct AckWindow {
    delivered: u64,
    /// The length of the prefix: every record before this number is acknowledged.
    acknowledged: u64,
    /// The runs of acknowledged records beyond the prefix, by the number of their first record.
    /// However many records follow one that is not acknowledged, they are one run.
    ahead: BTreeMap<u64, Run>,
    /// Records that are neither acknowledged nor dropped.
    in_flight: u64,
    /// The first record that was dropped: the prefix does not pass it.
    first_dropped: Option<u64>,
    /// The arrival of each page that the prefix has not passed, by the number of its first record.
    pages: VecDeque<(u64, Instant)>,
    /// The records that are acknowledged in order now.
    run: Option<OpenRun>,
}

/// Records of one page that are acknowledged in order, each when the next one is delivered. One of
/// them is in flight until the run is closed.
#[derive(Debug)]
struct OpenRun {
    progress: Arc<RunProgress>,
    /// How many records of the page are counted in the window as delivered.
    delivered: u64,
    /// How many records of the page are counted in the window as acknowledged.
    acknowledged: u64,
    /// The number of the first record that is not.
    next: u64,
}

/// The numbers of a record, or of the records of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordRange {
    pub(crate) first: u64,
    pub(crate) len: u64,
}

impl RecordRange {
    /// Returns the number after the last record.
    pub(crate) fn end(self) -> u64 {
        self.first + self.len
    }
}

/// Consecutive acknowledged records.
#[derive(Debug)]
struct Run {
    /// The number after the last record.
    end: u64,
    /// The position of the last record.
    position: ExtendedSequenceNumber<'static>,
}

impl AckWindow {
    /// Notes the arrival of a page, whose records are delivered next.
    pub(crate) fn receive_page(&mut self, at: Instant) {
        self.forget_pages();
        match self.pages.back_mut() {
            // No record of the page before it was delivered.
            Some(last) if last.0 == self.delivered => last.1 = at,
            _ => self.pages.push_back((self.delivered, at)),
        }
    }

    /// Forgets the pages that the prefix has passed.
    fn forget_pages(&mut self) {
        while self.pages.get(1).is_some_and(|(first, _)| *first <= self.acknowledged) {
            self.pages.pop_front();
        }
    }

    /// Returns the arrival of the page with the first record that holds the prefix.
    pub(crate) fn held_since(&self) -> Option<Instant> {
        if self.is_all_acknowledged() {
            return None;
        }
        let page = self.pages.iter().take_while(|(first, _)| *first <= self.acknowledged).last();
        page.map(|(_, at)| *at)
    }

    /// Returns the number of records that are neither acknowledged nor dropped.
    pub(crate) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Counts `len` records as delivered, and numbers them.
    pub(crate) fn deliver(&mut self, len: u64) -> RecordRange {
        let first = self.delivered;
        self.delivered += len;
        self.in_flight += len;
        RecordRange { first, len }
    }

    /// Opens a run with the record that the page has delivered last.
    pub(crate) fn open_run(&mut self, progress: &Arc<RunProgress>) {
        let RecordRange { first, .. } = self.deliver(1);
        let progress = Arc::clone(progress);
        let (delivered, acknowledged) = (progress.delivered(), progress.acknowledged());
        self.run = Some(OpenRun { progress, delivered, acknowledged, next: first });
    }

    /// Counts the records that the open run has delivered and acknowledged since the last call.
    /// Returns the position of the last record of the prefix, if the prefix has grown.
    ///
    /// With `watches`, the page reports the next acknowledgement at once.
    pub(crate) fn count_run(&mut self, watches: bool) -> Option<ExtendedSequenceNumber<'static>> {
        let run = self.run.as_mut()?;
        // If the page runs ahead meanwhile, it waits for the lock of this window.
        run.progress.watch(true);
        let (acknowledged, position) = run.progress.read();
        let delivered = run.progress.delivered();
        run.progress.watch(watches);
        let range = RecordRange { first: run.next, len: acknowledged - run.acknowledged };
        self.delivered += delivered - run.delivered;
        (run.acknowledged, run.delivered, run.next) = (acknowledged, delivered, range.end());
        if range.len == 0 {
            return None;
        }
        // The record in flight is a later one now.
        self.in_flight += range.len;
        self.acknowledge(range, position)
    }

    /// Closes the open run, whose record in flight is acknowledged or dropped. Returns the position
    /// of the last record of the prefix, if the prefix has grown.
    pub(crate) fn close_run(&mut self) -> Option<ExtendedSequenceNumber<'static>> {
        let position = self.count_run(false);
        if let Some(run) = self.run.take() {
            if run.acknowledged == run.delivered {
                self.in_flight -= 1;
            } else {
                self.drop_range(RecordRange { first: run.next, len: 1 });
            }
        }
        position
    }

    /// Returns how many records were delivered.
    pub(crate) fn delivered(&self) -> u64 {
        let run = self.run.as_ref();
        self.delivered + run.map_or(0, |run| run.progress.delivered() - run.delivered)
    }

    /// Returns whether a run is open.
    pub(crate) fn has_open_run(&self) -> bool {
        self.run.is_some()
    }

    /// Acknowledges a range whose last record is at `position`. Returns the position of the last
    /// record of the prefix, if the prefix has grown.
    pub(crate) fn acknowledge<'a>(
        &mut self,
        range: RecordRange,
        position: ExtendedSequenceNumber<'a>,
    ) -> Option<ExtendedSequenceNumber<'a>> {
        self.in_flight -= range.len;
        if range.first != self.acknowledged {
            // The prefix never passes a dropped record, so nothing behind it is kept.
            if self.first_dropped.is_none_or(|dropped| range.first < dropped) {
                self.insert_ahead(range, position);
            }
            return None;
        }
        self.acknowledged = range.end();
        match self.ahead.first_entry() {
            Some(first) if *first.key() == self.acknowledged => {
                let run = first.remove();
                self.acknowledged = run.end;
                Some(run.position)
            }
            _ => Some(position),
        }
    }

    /// Inserts a range beyond the prefix. It joins the run that ends before it, and the one that
    /// begins after it.
    fn insert_ahead(&mut self, range: RecordRange, position: ExtendedSequenceNumber<'_>) {
        let following = self.ahead.remove(&range.end());
        let preceding = self.ahead.range_mut(..range.first).next_back().map(|(_, run)| run);
        match (preceding.filter(|run| run.end == range.first), following) {
            (Some(preceding), Some(following)) => *preceding = following,
            (Some(preceding), None) => {
                preceding.end = range.end();
                preceding.position.assign(&position);
            }
            (None, Some(following)) => {
                self.ahead.insert(range.first, following);
            }
            (None, None) => {
                let run = Run { end: range.end(), position: position.into_owned() };
                self.ahead.insert(range.first, run);
            }
        }
    }

    /// Drops a range. Returns whether it is the first that was dropped.
    pub(crate) fn drop_range(&mut self, range: RecordRange) -> bool {
        self.in_flight -= range.len;
        let is_first = self.first_dropped.is_none();
        if self.first_dropped.is_none_or(|dropped| range.first < dropped) {
            self.first_dropped = Some(range.first);
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
    fn runs(&self) -> usize {
        self.ahead.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::time::Duration;

    use super::*;

    fn one(number: u64) -> RecordRange {
        RecordRange { first: number, len: 1 }
    }

    fn at(number: &str) -> ExtendedSequenceNumber<'_> {
        ExtendedSequenceNumber::new(number, None)
    }

    fn window_of(delivered: u64) -> AckWindow {
        let mut window = AckWindow::default();
        for number in 0..delivered {
            assert_eq!(window.deliver(1), one(number));
        }
        window
    }

    #[tokio::test(start_paused = true)]
    async fn the_prefix_is_held_since_its_page_arrived() {
        let start = Instant::now();
        let mut window = AckWindow::default();
        assert_eq!(window.held_since(), None);
        for page in 0..4 {
            window.receive_page(start + Duration::from_secs(page));
            window.deliver(1);
            window.deliver(1);
        }
        let held = |window: &AckWindow| window.held_since().map(|at| (at - start).as_secs());
        assert_eq!((held(&window), window.in_flight()), (Some(0), 8));
        for (number, since) in [(1, 0), (0, 1), (2, 1), (3, 2), (4, 2)] {
            window.acknowledge(one(number), at("x"));
            assert_eq!(held(&window), Some(since), "after {number}");
        }
        window.drop_range(one(5));
        for number in 6..8 {
            window.acknowledge(one(number), at("x"));
        }
        assert_eq!(
            (held(&window), window.in_flight()),
            (Some(2), 0),
            "the dropped record holds it"
        );
    }

    #[test]
    fn pages_that_the_prefix_has_passed_are_forgotten() {
        let mut window = AckWindow::default();
        for number in 0..1_000 {
            window.receive_page(Instant::now());
            window.deliver(1);
            window.acknowledge(one(number), at("x"));
            // A page of which no record is delivered.
            window.receive_page(Instant::now());
        }
        assert!(window.pages.len() <= 2 && window.held_since().is_none());
        window.deliver(1);
        for _ in 0..1_000 {
            window.receive_page(Instant::now());
        }
        assert!(window.pages.len() <= 2, "pages of which no record is delivered are one");
    }

    #[test]
    fn each_acknowledgement_in_order_extends_the_prefix() {
        let mut window = window_of(3);
        for number in 0..3 {
            assert!(!window.is_all_acknowledged());
            assert_eq!(window.acknowledge(one(number), at("x")), Some(at("x")));
        }
        assert!(window.is_settled() && window.is_all_acknowledged());
    }

    #[test]
    fn the_prefix_waits_for_the_first_record() {
        let mut window = window_of(4);
        let two = ExtendedSequenceNumber::new("2", Some(9));
        assert_eq!(window.acknowledge(one(2), two.borrowed()), None);
        assert_eq!(window.acknowledge(one(1), at("1")), None);
        assert_eq!(window.acknowledge(one(0), at("0")), Some(two));
        assert!(!window.is_settled());
    }

    #[test]
    fn a_dropped_record_holds_the_prefix_and_nothing_behind_it_is_kept() {
        let mut window = window_of(1000);
        assert!(window.drop_range(one(1)));
        for number in 2..1000 {
            assert_eq!(window.acknowledge(one(number), at("x")), None);
        }
        assert_eq!(window.acknowledge(one(0), at("0")), Some(at("0")));
        assert!(window.is_settled() && !window.is_all_acknowledged());
        assert_eq!(window.runs(), 0);
    }

    #[test]
    fn nothing_is_kept_behind_the_first_of_several_dropped_records() {
        let mut window = window_of(9);
        window.acknowledge(one(3), at("3"));
        assert!(window.drop_range(one(6)));
        assert_eq!(window.runs(), 1, "the prefix may still reach it");
        assert!(!window.drop_range(one(1)));
        assert_eq!(window.runs(), 0);
        window.acknowledge(one(5), at("5"));
        assert!(!window.drop_range(one(8)));
        window.acknowledge(one(7), at("7"));
        assert_eq!(window.runs(), 0);
    }

    #[test]
    fn all_records_behind_a_record_in_flight_are_one_run() {
        let mut window = window_of(100_000);
        for number in 1..50_000 {
            window.acknowledge(one(number), at("x"));
            assert_eq!(window.runs(), 1);
        }
        // In reverse, and with a second gap: the runs are joined.
        for number in (50_001..100_000).rev() {
            window.acknowledge(one(number), at(&number.to_string()));
            assert_eq!(window.runs(), 2);
        }
        window.acknowledge(one(50_000), at("50000"));
        assert_eq!(window.runs(), 1);
        assert_eq!(window.acknowledge(one(0), at("0")), Some(at("99999")));
        assert_eq!((window.acknowledged(), window.runs()), (100_000, 0));
    }

    #[test]
    fn a_page_is_acknowledged_as_one_range_and_joins_single_records() {
        let mut window = AckWindow::default();
        let (page, record, last) = (window.deliver(100), window.deliver(1), window.deliver(50));
        assert_eq!((page.end(), record.first, last.end()), (100, 100, 151));
        assert_eq!(window.acknowledge(last, at("c")), None);
        assert_eq!(window.acknowledge(record, at("b")), None);
        assert_eq!(window.runs(), 1);
        assert_eq!(window.acknowledge(page, at("a")), Some(at("c")));
        assert_eq!(window.acknowledged(), 151);
        assert!(window.is_settled() && window.is_all_acknowledged());
    }

    #[test]
    fn a_dropped_page_holds_the_prefix_before_its_first_record() {
        let mut window = AckWindow::default();
        let (first, page, next) = (window.deliver(3), window.deliver(10), window.deliver(3));
        assert!(window.drop_range(page));
        assert_eq!(window.acknowledge(next, at("c")), None);
        assert_eq!(window.acknowledge(first, at("a")), Some(at("a")));
        assert_eq!((window.acknowledged(), window.runs()), (3, 0));
        assert!(window.is_settled() && !window.is_all_acknowledged());
    }

    proptest! {
        /// The definition: the prefix ends before the first record that is not acknowledged.
        #[test]
        fn the_prefix_is_the_longest_without_a_gap(
            order in (1_u64..40).prop_flat_map(|n| Just((0..n).collect::<Vec<_>>()).prop_shuffle()),
            dropped in prop::collection::vec(any::<bool>(), 40),
            some_dropped in any::<bool>(),
        ) {
            let mut window = window_of(order.len() as u64);
            let mut acknowledged = vec![false; order.len()];
            let mut prefix = 0;
            for number in order {
                let index = usize::try_from(number).unwrap();
                if some_dropped && dropped[index] {
                    window.drop_range(one(number));
                    continue;
                }
                acknowledged[index] = true;
                let now = acknowledged.iter().take_while(|acknowledged| **acknowledged).count();
                let last = (now - usize::from(now > 0)).to_string();
                let expected = (now > prefix).then(|| at(&last));
                let number_text = number.to_string();
                prop_assert_eq!(window.acknowledge(one(number), at(&number_text)), expected);
                prop_assert_eq!(window.acknowledged(), now as u64);
                prefix = now;
            }
            prop_assert!(window.is_settled());
            prop_assert_eq!(window.is_all_acknowledged(), prefix == acknowledged.len());
        }
    }
}
