//! Sequence numbers: 56 decimal digits that encode when the shard was created, the record's place
//! in the shard, the time and the shard.
//!
//! The layout is the one observed at AWS: 47 hexadecimal digits
//! `2 CCCCCCCCC s IIIIIIIIIIIIIIII 00 TTTTTTTTT XXXXXXXX 2`, written in decimal. C is the second
//! in which the shard was created, s the low digit of X, I the place, T the second of the record,
//! and X the shard.

#![expect(
    clippy::cast_possible_truncation,
    reason = "limbs and bit fields are truncated on purpose"
)]

use std::fmt;
use std::str::FromStr;

/// A sequence number. The order of its fields is the order of the decimal numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SequenceNumber {
    /// The second in which the shard was created. No two generations of shards share a second, so a
    /// re-created stream never repeats a number of the old one.
    pub(crate) generation: u64,
    /// The record's place within the shard, from 1. Place 0 is the start of the shard.
    pub(crate) place: u64,
    /// The second in which the number was issued.
    pub(crate) second: u64,
    pub(crate) shard: u32,
}

/// The place of a closed shard's `EndingSequenceNumber`: beyond every record's.
pub(crate) const MAX_PLACE: u64 = 0x7fff_ffff_ffff_ffff;
const SECONDS: u64 = (1 << 36) - 1;
/// The largest power of ten in a `u64`. Numbers are printed and parsed 19 digits at a time.
const CHUNK: u128 = 10_000_000_000_000_000_000;

impl SequenceNumber {
    /// Encodes the number as three 64-bit limbs, the most significant first.
    fn limbs(self) -> [u64; 3] {
        let (generation, second, shard) =
            (self.generation & SECONDS, self.second & SECONDS, u64::from(self.shard));
        // 188 bits: 4 | 36 | 4 | 64 | 8 | 36 | 32 | 4. The lowest 80 follow the place.
        let low80 = u128::from(second) << 36 | u128::from(shard) << 4 | 2;
        let top44 = 2 << 40 | generation << 4 | shard & 0xf;
        // The first limb is the top 44 bits and 16 bits of the place. The second is the other 48
        // bits of the place and 16 of the tail.
        [top44 << 16 | self.place >> 48, self.place << 16 | (low80 >> 64) as u64, low80 as u64]
    }

    fn from_limbs(limbs: [u64; 3]) -> Option<Self> {
        let place = limbs[0] << 48 | limbs[1] >> 16;
        let low80 = u128::from(limbs[1] & 0xffff) << 64 | u128::from(limbs[2]);
        let found = Self {
            generation: limbs[0] >> 20 & SECONDS,
            place,
            second: (low80 >> 36) as u64 & SECONDS,
            shard: (low80 >> 4) as u32,
        };
        // The service never wrote a number that does not encode to the same limbs again.
        (found.limbs() == limbs).then_some(found)
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut limbs = self.limbs();
        let mut chunks = [0; 3];
        for chunk in chunks.iter_mut().rev() {
            let mut rest = 0;
            for limb in &mut limbs {
                let value = rest << 64 | u128::from(*limb);
                *limb = (value / CHUNK) as u64;
                rest = value % CHUNK;
            }
            *chunk = rest as u64;
        }
        write!(f, "{:018}{:019}{:019}", chunks[0], chunks[1], chunks[2])
    }
}

impl FromStr for SequenceNumber {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        if text.len() != 56 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(());
        }
        let mut limbs = [0_u64; 3];
        for digits in [&text[..18], &text[18..37], &text[37..]] {
            let mut carry = digits.parse::<u128>().map_err(|_| ())?;
            for limb in limbs.iter_mut().rev() {
                let value = u128::from(*limb) * CHUNK + carry;
                *limb = value as u64;
                carry = value >> 64;
            }
        }
        Self::from_limbs(limbs).ok_or(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(generation: u64, place: u64, second: u64, shard: u32) -> SequenceNumber {
        SequenceNumber { generation, place, second, shard }
    }

    #[test]
    fn numbers_have_56_digits_and_parse_again() {
        for number in [
            number(1_700_000_000, 0, 1_700_000_000, 0),
            number(1_700_000_000, 1, 1_700_000_001, 17),
            number(1_767_225_600, MAX_PLACE, 1_900_000_000, u32::MAX),
        ] {
            let text = number.to_string();
            assert_eq!((text.len(), &text[..2]), (56, "49"), "{text}");
            assert_eq!(text.parse(), Ok(number));
        }
    }

    #[test]
    fn text_sorts_like_the_numbers() {
        let sorted = [
            number(1_700_000_000, 0, 1_700_000_000, 3),
            number(1_700_000_000, 1, 1_700_000_009, 3),
            number(1_700_000_000, 2, 1_700_000_009, 3),
            number(1_700_000_000, MAX_PLACE, 1_700_000_009, 3),
            number(1_700_000_001, 0, 1_700_000_001, 4),
        ];
        assert!(sorted.is_sorted());
        assert!(sorted.map(|number| number.to_string()).is_sorted());
    }

    #[test]
    fn foreign_text_does_not_parse() {
        for text in [
            "",
            "0",
            "49",
            &"9".repeat(56),
            &"0".repeat(56),
            &"4".repeat(57),
            "shardId-000000000000",
        ] {
            assert_eq!(text.parse::<SequenceNumber>(), Err(()), "{text}");
        }
    }
}
