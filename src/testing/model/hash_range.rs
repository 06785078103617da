//! Hash keys: 128-bit integers, divided into one contiguous range per open shard.

use md5::{Digest, Md5};

use crate::testing::model::api_error::ApiError;

/// An inclusive range of hash keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HashRange {
    pub(crate) start: u128,
    pub(crate) end: u128,
}

impl HashRange {
    /// Returns whether `next` starts right after the end of this range.
    pub(crate) fn is_followed_by(self, next: Self) -> bool {
        self.end.checked_add(1) == Some(next.start)
    }

    /// Splits the range at `key`, which becomes the start of the upper half.
    pub(crate) fn split_at(self, key: u128) -> (Self, Self) {
        (Self { start: self.start, end: key - 1 }, Self { start: key, end: self.end })
    }

    /// Returns the key that splits this range into two equal halves.
    pub(crate) fn middle(self) -> u128 {
        self.start + (self.end - self.start) / 2 + 1
    }

    /// Returns `count` equal ranges over all hash keys. The last one takes the remainder.
    pub(crate) fn uniform(count: u32) -> impl Iterator<Item = Self> {
        let count = u128::from(count.max(1));
        // 2^128 does not fit a u128, so this divides 2^128 - 1. The quotient of 2^128 is one more
        // if the remainder is the largest possible.
        let step = (u128::MAX / count).wrapping_add(u128::from(u128::MAX % count == count - 1));
        (0..count).map(move |index| Self {
            start: step.wrapping_mul(index),
            end: if index == count - 1 { u128::MAX } else { step.wrapping_mul(index + 1) - 1 },
        })
    }
}

/// Returns the hash key of a partition key: its MD5 as a big-endian integer.
pub(crate) fn hash_key_of(partition_key: &str) -> u128 {
    u128::from_be_bytes(Md5::digest(partition_key.as_bytes()).into())
}

/// Parses the hash key of a request: decimal digits without a leading zero, below 2^128.
pub(crate) fn parse_hash_key(text: &str, member: &str) -> Result<u128, ApiError> {
    let well_formed = text == "0"
        || (text.len() <= 39
            && !text.starts_with('0')
            && text.bytes().all(|byte| byte.is_ascii_digit()));
    if !well_formed || text.is_empty() {
        let constraint = "satisfy regular expression pattern: 0|([1-9]\\d{0,38})";
        return Err(ApiError::constraint(text, member, constraint));
    }
    text.parse().map_err(|_| {
        ApiError::invalid(format!(
            "Invalid {member}. {member} must be in the range: [0, 2^128-1]. Specified value was \
             {text}"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uniform_ranges_equal_those_of_aws() {
        let three: Vec<_> = HashRange::uniform(3).map(|range| range.start).collect();
        assert_eq!(
            three,
            [
                0,
                113_427_455_640_312_821_154_458_202_477_256_070_485,
                226_854_911_280_625_642_308_916_404_954_512_140_970
            ]
        );
        let four: Vec<_> = HashRange::uniform(4).map(|range| range.start).collect();
        assert_eq!(four, [0, 1 << 126, 2 << 126, 3 << 126]);
        assert_eq!(
            HashRange::uniform(1).collect::<Vec<_>>(),
            [HashRange { start: 0, end: u128::MAX }]
        );
    }

    #[test]
    fn uniform_ranges_cover_every_key_once() {
        for count in [1, 2, 3, 5, 7, 8, 1000] {
            let ranges: Vec<_> = HashRange::uniform(count).collect();
            assert_eq!((ranges[0].start, ranges[ranges.len() - 1].end), (0, u128::MAX));
            assert!(ranges.windows(2).all(|pair| pair[0].is_followed_by(pair[1])), "{count}");
        }
    }

    #[test]
    fn middle_splits_a_range_into_halves() {
        let whole = HashRange { start: 0, end: u128::MAX };
        let (low, high) = whole.split_at(whole.middle());
        assert_eq!(high.start, 1 << 127);
        assert!(low.is_followed_by(high) && low.start == 0 && high.end == u128::MAX);
    }

    #[test]
    fn partition_keys_are_hashed_with_md5() {
        assert_eq!(hash_key_of(""), 0xd41d_8cd9_8f00_b204_e980_0998_ecf8_427e);
    }

    #[test]
    fn hash_keys_parse_as_128_bit_decimals() {
        use crate::testing::model::api_error::Code;
        assert_eq!(parse_hash_key("0", "hashKey"), Ok(0));
        assert_eq!(parse_hash_key(&u128::MAX.to_string(), "hashKey"), Ok(u128::MAX));
        let code = |text: &str| parse_hash_key(text, "hashKey").expect_err("rejected").code;
        for text in ["", "00", "-1", "0x1", "1e3", &"9".repeat(40)] {
            assert_eq!(code(text), Code::Validation, "{text}");
        }
        assert_eq!(code("340282366920938463463374607431768211456"), Code::InvalidArgument);
    }
}
