//! Records of a page that are acknowledged in order, each when the next one is taken.

use std::hint::spin_loop;
#[cfg(feature = "cbor")]
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

#[cfg(feature = "cbor")]
use bytes::Bytes;

use crate::checkpoint::sequence_number::ExtendedSequenceNumber;
#[cfg(feature = "cbor")]
use crate::util::place::Place;
use crate::util::received_record::ReceivedRecord;

/// The progress of the records of one page that are acknowledged in order.
///
/// The page counts its records from 1 as they are delivered. Only the page writes, by plain stores:
/// a record costs no lock and no locked instruction. Others read at any time, under the lock of the
/// [`AckWindow`](crate::checkpoint::ack_window::AckWindow) that holds the progress.
#[derive(Debug, Default)]
pub(crate) struct RunProgress {
    delivered: AtomicU64,
    acknowledged: AtomicU64,
    /// The positions of the record delivered last, and of the one before it: the position of record
    /// `n` is at `n % 2`. The version of a position is `acknowledged`: the position of record `n`
    /// is overwritten only after record `n + 1` was acknowledged.
    positions: [Position; 2],
    /// The body of the page in CBOR, in which positions are places.
    #[cfg(feature = "cbor")]
    body: OnceLock<Bytes>,
    /// Whether the page must report the next acknowledgement at once.
    is_watched: AtomicBool,
}

impl RunProgress {
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// Delivers record `n`, after record `n - 1` was acknowledged. A user record has a
    /// sub-sequence number.
    #[inline]
    pub(crate) fn deliver(&self, n: u64, record: &ReceivedRecord, sub: Option<u64>) {
        #[cfg(feature = "cbor")]
        if let ReceivedRecord::Page(page) = record {
            let body = self.body.get_or_init(|| page.body.clone());
            if body.as_ptr() == page.body.as_ptr() {
                return self.deliver_at(n, |at| at.store_place(page.sequence_number, sub));
            }
        }
        let number = record.sequence_number();
        self.deliver_at(n, |at| at.store(&ExtendedSequenceNumber::new(number, sub)));
    }

    #[inline]
    fn deliver_at(&self, n: u64, store: impl FnOnce(&Position)) {
        // Whoever reads a part of this position also reads that record `n - 1` is acknowledged.
        fence(Ordering::Release);
        store(self.position(n));
        self.delivered.store(n, Ordering::Release);
    }

    /// Acknowledges record `n`, which is the last that was delivered. Returns whether the page must
    /// report it.
    #[inline]
    pub(crate) fn acknowledge(&self, n: u64) -> bool {
        self.acknowledged.store(n, Ordering::Release);
        self.is_watched.load(Ordering::Relaxed)
    }

    /// Sets whether the page must report the next acknowledgement at once.
    pub(crate) fn watch(&self, is_watched: bool) {
        self.is_watched.store(is_watched, Ordering::Relaxed);
    }

    /// Returns how many records are acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Acquire)
    }

    /// Returns how many records are acknowledged, and the position of the last of them.
    ///
    /// The page must be [watched](Self::watch), and the caller hold the lock that a report needs:
    /// then the page waits after its next record, and this ends.
    pub(crate) fn read(&self) -> (u64, ExtendedSequenceNumber<'static>) {
        loop {
            let n = self.acknowledged();
            let position = self.load(self.position(n));
            fence(Ordering::Acquire);
            if self.acknowledged.load(Ordering::Relaxed) == n {
                return (n, position);
            }
            spin_loop();
        }
    }

    #[cfg_attr(
        not(feature = "cbor"),
        expect(clippy::unused_self, reason = "without CBOR, a position is its text")
    )]
    fn load(&self, position: &Position) -> ExtendedSequenceNumber<'static> {
        #[cfg(feature = "cbor")]
        if let (Some(place), Some(body)) = (position.place(), self.body.get()) {
            // The parts of two positions may be no place in the body.
            let text = body.get(place.start as usize..place.end as usize).unwrap_or_default();
            let text = std::str::from_utf8(text).unwrap_or_default().to_owned();
            return ExtendedSequenceNumber::new(text, position.sub());
        }
        position.load()
    }

    #[inline]
    fn position(&self, n: u64) -> &Position {
        &self.positions[usize::from(n % 2 == 1)]
    }
}

/// Sequence numbers of AWS have 56 digits.
const WORDS: usize = 8;

/// A position that is written by plain stores. A reader may find parts of two positions.
#[derive(Debug, Default)]
struct Position {
    /// The bytes of the sequence number, eight in a word.
    words: [AtomicU64; WORDS],
    len: AtomicU64,
    /// The sub-sequence number plus 1. Zero is none.
    sub: AtomicU64,
    /// A position that the words cannot hold.
    other: Mutex<Option<ExtendedSequenceNumber<'static>>>,
}

/// The length of a position that is in [`Position::other`].
const OTHER: u64 = u64::MAX;
/// The length of a position whose first word is the place of its text in the body of the page.
#[cfg(feature = "cbor")]
const PLACE: u64 = u64::MAX - 1;

impl Position {
    /// Stores the place of a text in the body of the page, and a sub-sequence number.
    #[cfg(feature = "cbor")]
    #[inline]
    fn store_place(&self, place: Place, sub: Option<u64>) {
        let place = u64::from(place.start) << 32 | u64::from(place.end);
        self.words[0].store(place, Ordering::Relaxed);
        self.len.store(PLACE, Ordering::Relaxed);
        // The largest sub-sequence number of an aggregated record is far below this limit.
        self.sub.store(sub.map_or(0, |sub| sub.saturating_add(1)), Ordering::Relaxed);
    }

    #[cfg(feature = "cbor")]
    fn place(&self) -> Option<Place> {
        let place = self.words[0].load(Ordering::Relaxed);
        #[expect(clippy::cast_possible_truncation, reason = "each half is a place")]
        let place = Place { start: (place >> 32) as u32, end: place as u32 };
        (self.len.load(Ordering::Relaxed) == PLACE).then_some(place)
    }

    fn sub(&self) -> Option<u64> {
        self.sub.load(Ordering::Relaxed).checked_sub(1)
    }

    #[inline]
    fn store(&self, position: &ExtendedSequenceNumber<'_>) {
        let bytes = position.sequence_number().as_bytes();
        let sub = position.sub_sequence_number().map_or(Some(0), |sub| sub.checked_add(1));
        let (Some(sub), true) = (sub, bytes.len() <= 8 * WORDS) else {
            self.len.store(OTHER, Ordering::Relaxed);
            let position = position.borrowed().into_owned();
            *self.other.lock().unwrap_or_else(PoisonError::into_inner) = Some(position);
            return;
        };
        let (whole, rest) = bytes.as_chunks();
        for (word, bytes) in self.words.iter().zip(whole) {
            word.store(u64::from_le_bytes(*bytes), Ordering::Relaxed);
        }
        if !rest.is_empty() {
            let mut bytes = [0; 8];
            bytes[..rest.len()].copy_from_slice(rest);
            self.words[whole.len()].store(u64::from_le_bytes(bytes), Ordering::Relaxed);
        }
        self.len.store(bytes.len() as u64, Ordering::Relaxed);
        self.sub.store(sub, Ordering::Relaxed);
    }

    fn load(&self) -> ExtendedSequenceNumber<'static> {
        let len = self.len.load(Ordering::Relaxed);
        if len == OTHER {
            let other = self.other.lock().unwrap_or_else(PoisonError::into_inner);
            return other.clone().unwrap_or_default();
        }
        let words = self.words.iter().map(|word| word.load(Ordering::Relaxed).to_le_bytes());
        let bytes: Vec<u8> = words.flatten().take(usize::try_from(len).unwrap_or(0)).collect();
        // The parts of two positions may be no text.
        ExtendedSequenceNumber::new(String::from_utf8(bytes).unwrap_or_default(), self.sub())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;
    use std::thread;

    use super::*;

    fn at(number: &str, sub: Option<u64>) -> ExtendedSequenceNumber<'_> {
        ExtendedSequenceNumber::new(number, sub)
    }

    #[test]
    fn a_position_of_any_length_is_read_as_it_was_written() {
        let position = Position::default();
        let longest = "4".repeat(8 * WORDS);
        let too_long = "4".repeat(8 * WORDS + 1);
        for number in ["", "7", "12345678", "123456789", &longest, &too_long, "7"] {
            for sub in [None, Some(0), Some(7), Some(u64::MAX), None] {
                position.store(&at(number, sub));
                let read = position.load();
                assert_eq!(read.sequence_number(), number);
                assert_eq!(read.sub_sequence_number(), sub);
            }
        }
    }

    #[test]
    fn the_last_acknowledged_record_is_read_and_not_the_one_in_flight() {
        let progress = RunProgress::default();
        for n in 1..5 {
            progress.deliver_at(n, |position| position.store(&at(&n.to_string(), None)));
            assert_eq!((progress.delivered(), progress.acknowledged()), (n, n - 1));
            if n > 1 {
                assert_eq!(progress.read(), (n - 1, at(&(n - 1).to_string(), None)));
            }
            progress.watch(n == 2);
            assert_eq!(progress.acknowledge(n), n == 2);
            assert_eq!(progress.read(), (n, at(&n.to_string(), None)));
        }
    }

    #[cfg(feature = "cbor")]
    #[test]
    fn a_position_in_the_body_of_its_page_is_read_as_its_text() {
        use crate::util::page_record::PageRecord;

        let record = |body: &Bytes, start, end| {
            ReceivedRecord::Page(PageRecord {
                body: body.clone(),
                sequence_number: Place { start, end },
                partition_key: None,
                data: Place { start: 0, end: 0 },
                arrival: None,
                encryption: None,
            })
        };
        let progress = RunProgress::default();
        let (body, other) = (Bytes::from_static(b"..123456"), Bytes::from_static(b"789"));
        // A record of another body is noted by its text.
        for (n, (record, number)) in [
            (record(&body, 2, 5), "123"),
            (record(&other, 0, 3), "789"),
            (record(&body, 5, 8), "456"),
        ]
        .into_iter()
        .enumerate()
        {
            let n = n as u64 + 1;
            progress.deliver(n, &record, None);
            progress.acknowledge(n);
            assert_eq!(progress.read(), (n, at(number, None)));
            assert_eq!(progress.read().1.sequence_number(), number);
        }
    }

    /// The reader finds each number together with its own position, while the page runs ahead.
    #[test]
    fn a_reader_never_finds_the_parts_of_two_positions() {
        const RECORDS: u64 = 100_000;
        let (progress, start) = (RunProgress::default(), Barrier::new(2));
        progress.deliver_at(1, |position| position.store(&at("1", Some(1))));
        progress.acknowledge(1);
        // Numbers of one to eight words, or too long for them.
        let number = |n: u64| format!("{n}").repeat(usize::try_from(n % 12).unwrap() + 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for n in 2..=RECORDS {
                    progress.deliver_at(n, |position| position.store(&at(&number(n), Some(n))));
                    progress.acknowledge(n);
                }
            });
            start.wait();
            let mut last = 1;
            while last < RECORDS {
                let (n, position) = progress.read();
                assert!(n >= last);
                if n > 1 {
                    assert_eq!(position.sequence_number(), number(n));
                    assert_eq!(position.sub_sequence_number(), Some(n));
                }
                last = n;
            }
        });
    }
}
