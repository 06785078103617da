//! Records of a page that are acknowledged in order, each when the next one is taken.

use std::hint::spin_loop;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};
use std::sync::{Mutex, PoisonError};

use crate::checkpoint::sequence_number::ExtendedSequenceNumber;

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
    /// Whether the page must report the next acknowledgement at once.
    is_watched: AtomicBool,
}

impl RunProgress {
    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Acquire)
    }

    /// Delivers record `n`, after record `n - 1` was acknowledged.
    #[inline]
    pub(crate) fn deliver(&self, n: u64, position: &ExtendedSequenceNumber<'_>) {
        // Whoever reads a part of this position also reads that record `n - 1` is acknowledged.
        fence(Ordering::Release);
        self.position(n).store(position);
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
            let position = self.position(n).load();
            fence(Ordering::Acquire);
            if self.acknowledged.load(Ordering::Relaxed) == n {
                return (n, position);
            }
            spin_loop();
        }
    }

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

impl Position {
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
        let sub = self.sub.load(Ordering::Relaxed).checked_sub(1);
        // The parts of two positions may be no text.
        ExtendedSequenceNumber::new(String::from_utf8(bytes).unwrap_or_default(), sub)
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
            progress.deliver(n, &at(&n.to_string(), None));
            assert_eq!((progress.delivered(), progress.acknowledged()), (n, n - 1));
            if n > 1 {
                assert_eq!(progress.read(), (n - 1, at(&(n - 1).to_string(), None)));
            }
            progress.watch(n == 2);
            assert_eq!(progress.acknowledge(n), n == 2);
            assert_eq!(progress.read(), (n, at(&n.to_string(), None)));
        }
    }

    /// The reader finds each number together with its own position, while the page runs ahead.
    #[test]
    fn a_reader_never_finds_the_parts_of_two_positions() {
        const RECORDS: u64 = 100_000;
        let (progress, start) = (RunProgress::default(), Barrier::new(2));
        progress.deliver(1, &at("1", Some(1)));
        progress.acknowledge(1);
        // Numbers of one to eight words, or too long for them.
        let number = |n: u64| format!("{n}").repeat(usize::try_from(n % 12).unwrap() + 1);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                for n in 2..=RECORDS {
                    progress.deliver(n, &at(&number(n), Some(n)));
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
