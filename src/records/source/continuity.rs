//! Checks that a shard still has the record at which its reader continues.
//!
//! A server that restarts without its data, such as an emulator in a container, gives a new stream
//! the shard ids, and often the sequence numbers, of the old one. A reader that continued after its
//! last sequence number would silently skip the new records. So a lost iterator is replaced by one
//! *at* the last record, and that record must arrive again. If it does not, it was trimmed, or the
//! shard is another: the reader searches the shard from its oldest record.

use crate::records::page_limit::RequestLimit;
use crate::shard::position::StartPosition;
use crate::shard::sequence_number::compare_sequence_numbers;
use crate::util::clock::to_millis;
use crate::util::received_record::ReceivedRecord;

/// The number of empty pages at the tip of the shard after which the expected record is missing.
/// AWS sends empty pages before a record only while the reader is behind.
const MAX_EMPTY_PAGES: u32 = 3;

/// The maximum `Limit` of `GetRecords`.
const MAX_RECORDS: i32 = 10_000;

/// The record at which a reader continues, and whether the iterator in use has reached it.
#[derive(Debug, Default)]
pub(crate) struct Continuity {
    last: Option<LastRecord>,
    check: Check,
}

/// The record at which the reader continues.
#[derive(Debug)]
struct LastRecord {
    sequence_number: String,
    /// The arrival time of the record, in milliseconds since the Unix epoch. `None` if this reader
    /// has not read the record, or the server reports no time.
    arrived: Option<i128>,
    /// Whether this reader has yielded the record.
    is_yielded: bool,
}

#[derive(Debug, Default)]
enum Check {
    /// The iterator continues where the last page ended.
    #[default]
    Passed,
    /// The iterator starts at the last record, and has returned no record yet.
    Expecting { empty_pages: u32 },
    /// The shard is read from its oldest record up to the last one.
    Searching {
        /// Whether a record precedes the last one, and so may have been read before.
        has_older: bool,
    },
}

/// The position of a page relative to the newest record of the shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tip {
    /// More records follow.
    Ahead,
    /// The page reaches the newest record.
    Reached,
    /// The shard has ended.
    End,
}

/// The result of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finding {
    /// The records left in the page are new.
    Continues,
    /// The last record is missing: the shard is searched from its oldest record.
    Missing,
    /// The shard is another with the same id and sequence numbers.
    Replaced,
}

impl Continuity {
    /// Expects the record at the start, if the reader resumes at a record.
    pub(crate) fn of_start(from: &StartPosition) -> Self {
        let last = match from {
            StartPosition::At(number) => Some(LastRecord {
                sequence_number: number.clone(),
                arrived: None,
                is_yielded: false,
            }),
            _ => None,
        };
        Self { last, check: Check::Passed }
    }

    /// Returns whether the record at which the iterator starts must still arrive.
    pub(crate) fn is_expecting(&self) -> bool {
        matches!(self.check, Check::Expecting { .. })
    }

    /// Returns the position of the next iterator, if a record was read.
    pub(crate) fn position(&self) -> Option<StartPosition> {
        let last = self.last.as_ref()?;
        Some(match self.check {
            Check::Searching { .. } => StartPosition::TrimHorizon,
            _ => StartPosition::At(last.sequence_number.clone()),
        })
    }

    /// Returns the limit of a page that begins with the last record.
    pub(crate) fn limit(&self, mut limit: RequestLimit) -> RequestLimit {
        if self.last.is_some() {
            limit.records = MAX_RECORDS.min(limit.records.saturating_add(1));
        }
        limit
    }

    /// Expects the last record, since a new iterator starts at this position.
    pub(crate) fn expect(&mut self, position: &StartPosition) {
        match (&mut self.check, &self.last, position) {
            // The search begins again.
            (Check::Searching { has_older }, ..) => *has_older = false,
            (check, Some(last), StartPosition::At(number)) if *number == last.sequence_number => {
                *check = Check::Expecting { empty_pages: 0 };
            }
            _ => {}
        }
    }

    /// Examines a page, and removes the records that were yielded before.
    pub(crate) fn examine(&mut self, records: &mut Vec<ReceivedRecord>, tip: Tip) -> Finding {
        let Some(last) = &self.last else {
            self.remember(records);
            return Finding::Continues;
        };
        // Whether a search ends with this page.
        let is_last = match tip {
            Tip::Ahead => false,
            Tip::Reached => records.is_empty(),
            Tip::End => true,
        };
        let finding = match &mut self.check {
            Check::Passed => Finding::Continues,
            Check::Expecting { empty_pages } => match records.first() {
                Some(first) if last.matches(first) => {
                    if last.is_yielded {
                        records.remove(0);
                    }
                    Finding::Continues
                }
                Some(_) => Finding::Missing,
                None if tip == Tip::Reached => {
                    *empty_pages += 1;
                    if *empty_pages < MAX_EMPTY_PAGES {
                        return Finding::Continues;
                    }
                    Finding::Missing
                }
                None if tip == Tip::End => Finding::Missing,
                None => return Finding::Continues,
            },
            Check::Searching { has_older } => match last.search(records, has_older) {
                Some(finding) => finding,
                // Older records exist, so the last record was not trimmed.
                None if is_last && *has_older => Finding::Replaced,
                None => return Finding::Continues,
            },
        };
        match finding {
            Finding::Continues => {
                self.check = Check::Passed;
                self.remember(records);
            }
            Finding::Missing => self.check = Check::Searching { has_older: false },
            Finding::Replaced => *self = Self { last: None, check: Check::Passed },
        }
        finding
    }

    /// Remembers the last record of a page.
    fn remember(&mut self, records: &[ReceivedRecord]) {
        if let Some(record) = records.last() {
            self.last = Some(LastRecord {
                sequence_number: record.sequence_number().to_owned(),
                arrived: record.arrival().map(to_millis),
                is_yielded: true,
            });
        }
    }
}

impl LastRecord {
    fn matches(&self, record: &ReceivedRecord) -> bool {
        let arrived = record.arrival().map(to_millis);
        record.sequence_number() == self.sequence_number
            && self.arrived.zip(arrived).is_none_or(|(expected, arrived)| expected == arrived)
    }

    /// Removes the records up to this one. Returns `None` if the page does not decide whether the
    /// shard still has it.
    fn search(&self, records: &mut Vec<ReceivedRecord>, has_older: &mut bool) -> Option<Finding> {
        let mut searched = 0;
        let mut finding = None;
        for record in &*records {
            let order = compare_sequence_numbers(record.sequence_number(), &self.sequence_number);
            if self.matches(record) {
                searched += usize::from(self.is_yielded);
                finding = Some(Finding::Continues);
                break;
            }
            let arrived = self.arrived.zip(record.arrival().map(to_millis));
            if order.is_gt() {
                let was_trimmed = !*has_older;
                finding = Some(if was_trimmed { Finding::Continues } else { Finding::Replaced });
                break;
            }
            // In the same shard, a record that precedes the last one arrived before it.
            if order.is_eq() || arrived.is_some_and(|(last, other)| other > last) {
                return Some(Finding::Replaced);
            }
            *has_older = true;
            searched += 1;
        }
        records.drain(..searched);
        finding
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::primitives::DateTime;
    use aws_sdk_kinesis::types::Record;

    use super::*;

    fn record((number, secs): (u32, i64)) -> ReceivedRecord {
        Record::builder()
            .sequence_number(number.to_string())
            .approximate_arrival_timestamp(DateTime::from_secs(secs))
            .data(Vec::new().into())
            .partition_key("key")
            .build()
            .unwrap()
            .into()
    }

    /// Creates a reader whose last record is number 20, which arrived at 20 s.
    fn reader() -> Continuity {
        let mut continuity = Continuity::default();
        assert_eq!(examine(&mut continuity, &[(10, 10), (20, 20)]), (Finding::Continues, 2));
        let position = continuity.position().unwrap();
        assert_eq!(position, StartPosition::At("20".to_owned()));
        continuity.expect(&position);
        continuity
    }

    /// Returns the finding, and the number of records left in the page.
    fn examine(continuity: &mut Continuity, page: &[(u32, i64)]) -> (Finding, usize) {
        let mut records: Vec<_> = page.iter().copied().map(record).collect();
        let finding = continuity.examine(&mut records, Tip::Reached);
        (finding, records.len())
    }

    fn search(continuity: &mut Continuity) {
        assert_eq!(continuity.examine(&mut Vec::new(), Tip::End), Finding::Missing);
    }

    #[test]
    fn a_repeated_last_record_is_removed() {
        let mut continuity = reader();
        assert_eq!(examine(&mut continuity, &[(20, 20), (30, 30)]), (Finding::Continues, 1));
        assert_eq!(continuity.position(), Some(StartPosition::At("30".to_owned())));
        assert_eq!(examine(&mut continuity, &[(40, 40)]), (Finding::Continues, 1));
    }

    #[test]
    fn empty_pages_behind_the_tip_do_not_count() {
        let mut continuity = reader();
        for _ in 0..9 {
            assert_eq!(continuity.examine(&mut Vec::new(), Tip::Ahead), Finding::Continues);
        }
        assert_eq!(examine(&mut continuity, &[(20, 20)]), (Finding::Continues, 0));
    }

    #[test]
    fn the_record_is_missing_after_three_empty_pages_at_the_tip() {
        let mut continuity = reader();
        for _ in 1..MAX_EMPTY_PAGES {
            assert_eq!(examine(&mut continuity, &[]).0, Finding::Continues);
        }
        assert_eq!(examine(&mut continuity, &[]).0, Finding::Missing);
        assert_eq!(continuity.position(), Some(StartPosition::TrimHorizon));
    }

    #[test]
    fn the_record_is_missing_if_the_shard_ends_without_it() {
        let mut continuity = reader();
        assert_eq!(continuity.examine(&mut Vec::new(), Tip::End), Finding::Missing);
        assert_eq!(continuity.examine(&mut Vec::new(), Tip::End), Finding::Continues);
    }

    #[test]
    fn a_search_skips_records_up_to_the_last_one() {
        let mut continuity = reader();
        search(&mut continuity);
        assert_eq!(examine(&mut continuity, &[(5, 5), (10, 10)]), (Finding::Continues, 0));
        assert_eq!(continuity.position(), Some(StartPosition::TrimHorizon));
        assert_eq!(examine(&mut continuity, &[(20, 20), (30, 30)]), (Finding::Continues, 1));
        assert_eq!(continuity.position(), Some(StartPosition::At("30".to_owned())));
    }

    #[test]
    fn a_search_that_begins_again_forgets_the_older_records_that_it_saw() {
        let mut continuity = reader();
        search(&mut continuity);
        assert_eq!(examine(&mut continuity, &[(10, 10)]), (Finding::Continues, 0));
        continuity.expect(&StartPosition::TrimHorizon);
        // Number 10 and the last record have expired meanwhile.
        assert_eq!(examine(&mut continuity, &[(30, 30)]), (Finding::Continues, 1));
    }

    #[test]
    fn an_iterator_at_another_record_does_not_expect_the_last_one() {
        let mut continuity = Continuity::default();
        assert_eq!(examine(&mut continuity, &[(20, 20)]), (Finding::Continues, 1));
        continuity.expect(&StartPosition::At("10".to_owned()));
        assert_eq!(examine(&mut continuity, &[(30, 30)]), (Finding::Continues, 1));
    }

    #[test]
    fn a_search_notices_another_shard_by_one_record() {
        for (record, finding) in [
            ((10, 19), Finding::Continues),
            ((10, 20), Finding::Continues),
            // An older record that arrived later, and the last one with another time.
            ((10, 21), Finding::Replaced),
            ((20, 19), Finding::Replaced),
            ((20, 21), Finding::Replaced),
        ] {
            let mut continuity = reader();
            search(&mut continuity);
            assert_eq!(examine(&mut continuity, &[record]).0, finding, "{record:?}");
        }
    }

    #[test]
    fn records_after_a_trimmed_one_are_new() {
        let mut continuity = reader();
        assert_eq!(examine(&mut continuity, &[(30, 30)]), (Finding::Missing, 1));
        assert_eq!(examine(&mut continuity, &[]), (Finding::Continues, 0));
        assert_eq!(examine(&mut continuity, &[(30, 30), (40, 40)]), (Finding::Continues, 2));
    }

    #[test]
    fn a_time_read_from_json_equals_the_time_read_from_cbor() {
        let record = |arrived| {
            let record = Record::builder().sequence_number("1").partition_key("key");
            let record = record.approximate_arrival_timestamp(arrived).data(Vec::new().into());
            ReceivedRecord::from(record.build().unwrap())
        };
        for millis in 1_795_687_200_000..1_795_687_201_000_i64 {
            #[expect(clippy::cast_precision_loss, reason = "as a parser of JSON does")]
            let json = DateTime::from_secs_f64(millis as f64 / 1_000.0);
            let mut continuity = Continuity::default();
            continuity.examine(&mut vec![record(json)], Tip::Reached);
            continuity.expect(&StartPosition::At("1".to_owned()));
            let mut page = vec![record(DateTime::from_millis(millis))];
            assert_eq!(continuity.examine(&mut page, Tip::Reached), Finding::Continues);
            assert!(page.is_empty());
        }
    }

    #[test]
    fn another_arrival_time_of_the_last_record_means_another_shard() {
        let mut continuity = reader();
        assert_eq!(examine(&mut continuity, &[(20, 21)]), (Finding::Missing, 1));
        assert_eq!(examine(&mut continuity, &[(10, 21), (20, 21)]).0, Finding::Replaced);
        assert_eq!(continuity.position(), None);
    }

    #[test]
    fn older_records_without_the_last_one_mean_another_shard() {
        for next in [&[][..], &[(30, 20)]] {
            let mut continuity = reader();
            search(&mut continuity);
            assert_eq!(examine(&mut continuity, &[(10, 10)]), (Finding::Continues, 0));
            assert_eq!(examine(&mut continuity, next).0, Finding::Replaced, "{next:?}");
        }
    }

    #[test]
    fn older_records_in_the_last_page_of_a_shard_mean_another_shard() {
        for (tip, finding) in [
            (Tip::Ahead, Finding::Continues),
            (Tip::Reached, Finding::Continues),
            (Tip::End, Finding::Replaced),
        ] {
            let mut continuity = reader();
            search(&mut continuity);
            assert_eq!(continuity.examine(&mut vec![record((10, 10))], tip), finding, "{tip:?}");
        }
    }

    #[test]
    fn a_resumed_reader_yields_the_record_at_its_start() {
        let at = StartPosition::At("20".to_owned());
        let mut continuity = Continuity::of_start(&at);
        continuity.expect(&at);
        assert_eq!(examine(&mut continuity, &[(20, 20), (30, 30)]), (Finding::Continues, 2));
        let mut continuity = Continuity::of_start(&at);
        continuity.expect(&at);
        assert_eq!(examine(&mut continuity, &[(10, 90)]).0, Finding::Missing);
        assert_eq!(examine(&mut continuity, &[(10, 90)]), (Finding::Continues, 0));
        assert_eq!(examine(&mut continuity, &[]).0, Finding::Replaced);
    }
}
