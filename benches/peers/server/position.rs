//! Where a page is, and how iterators and sequence numbers tell it.

use std::ops::Range;

const SHARD_DIGITS: usize = 6;
pub(crate) const PAGE_DIGITS: usize = 10;

/// The letters at the start of an iterator, which make it as long as one of AWS.
const LETTERS: usize = 206;
const SHARD: Range<usize> = LETTERS..LETTERS + SHARD_DIGITS;
const PAGE: Range<usize> = SHARD.end..SHARD.end + PAGE_DIGITS;

/// The digits of a sequence number before those of its page.
const ZEROS: usize = 36;
const PAGE_OF_RECORD: Range<usize> = 2 + ZEROS..2 + ZEROS + PAGE_DIGITS;

/// A page of a shard.
#[derive(Clone, Copy)]
pub(crate) struct Position {
    pub(crate) shard: usize,
    pub(crate) page: u64,
}

impl Position {
    pub(crate) fn from_iterator(iterator: &str) -> Option<Self> {
        let shard = iterator.get(SHARD)?.parse().ok()?;
        let page = iterator.get(PAGE)?.parse().ok()?;
        Some(Self { shard, page })
    }

    pub(crate) fn iterator(self) -> String {
        let letters = "A".repeat(LETTERS);
        format!("{letters}{:0SHARD_DIGITS$}{}==", self.shard, self.page_digits())
    }

    pub(crate) fn page_digits(self) -> String {
        format!("{:0PAGE_DIGITS$}", self.page)
    }
}

/// Returns the sequence number of the `n`th record of the page with these digits: 56 digits, as
/// those of AWS.
pub(crate) fn sequence_number(page_digits: &str, n: usize) -> String {
    format!("49{:0ZEROS$}{page_digits}{n:06}02", 0)
}

/// Returns the page of the record with this sequence number.
pub(crate) fn page_of_record(sequence_number: &str) -> Option<u64> {
    sequence_number.get(PAGE_OF_RECORD)?.parse().ok()
}
