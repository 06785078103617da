//! Reads the items of CBOR (RFC 8949), whatever bytes they are made of.
//!
//! No input panics. Nothing is allocated by a length that the input declares: a text is copied only
//! after all its bytes have been found.

use std::borrow::Cow;
use std::str::Utf8Error;

use aws_smithy_schema::serde::SerdeError;

/// The major types, in the upper three bits of the first byte of an item.
pub(crate) mod major {
    pub(crate) const UNSIGNED: u8 = 0;
    pub(crate) const NEGATIVE: u8 = 1;
    pub(crate) const BYTES: u8 = 2;
    pub(crate) const TEXT: u8 = 3;
    pub(crate) const ARRAY: u8 = 4;
    pub(crate) const MAP: u8 = 5;
    pub(crate) const TAG: u8 = 6;
    pub(crate) const SIMPLE: u8 = 7;
}
use major::{ARRAY, BYTES, MAP, NEGATIVE, SIMPLE, TAG, TEXT, UNSIGNED};

/// The first byte of arrays, maps, byte strings and texts of indefinite length, without the major
/// type; and that of the item that ends them.
pub(crate) const INDEFINITE: u8 = 31;
pub(crate) const BREAK: u8 = 0xff;
const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;
const UNDEFINED: u8 = 0xf7;
/// The lower five bits of the first byte before an argument of one byte or more. Those of a simple
/// value are a float of that width.
const ONE_BYTE: u8 = 24;
const TWO_BYTES: u8 = 25;
const FOUR_BYTES: u8 = 26;
const EIGHT_BYTES: u8 = 27;

/// How deep arrays, maps and tags may be nested. The responses of Kinesis have five levels.
const MAX_DEPTH: u32 = 64;

/// The names of the major types, for errors.
const NAMES: [&str; 8] =
    ["an integer", "an integer", "bytes", "a text", "an array", "a map", "a tag", "a simple value"];

/// A position in a CBOR input.
#[derive(Debug)]
pub(crate) struct Decoder<'a> {
    input: &'a [u8],
    position: usize,
    depth: u32,
}

/// The start of an item.
struct Head {
    first: u8,
    /// The argument: a number, a length, a tag or the bits of a float.
    argument: u64,
}

impl Head {
    fn major(&self) -> u8 {
        self.first >> 5
    }

    /// Returns the lower five bits of the first byte.
    fn info(&self) -> u8 {
        self.first & 31
    }
}

/// A number as the input holds it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Number {
    /// An integer between -2^64 and 2^64 - 1.
    Integer(i128),
    Float(f64),
}

/// The items of an array or the pairs of a map that are still to be read. `None` if a break ends
/// them.
pub(crate) type Remaining = Option<u64>;

impl<'a> Decoder<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0, depth: 0 }
    }

    /// Returns how many bytes have been read.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Continues after a part of the input that was read before.
    pub(crate) fn skip_to(&mut self, position: usize) {
        self.position = position;
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.position == self.input.len()
    }

    #[inline]
    fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }

    /// Returns the major type of the next item, whatever its tags.
    pub(crate) fn next_major(&mut self) -> Result<u8, SerdeError> {
        self.skip_tags()?;
        self.peek().map(|first| first >> 5).ok_or_else(truncated)
    }

    #[inline]
    fn head(&mut self) -> Result<Head, SerdeError> {
        let first = self.peek().ok_or_else(truncated)?;
        self.position += 1;
        let (major, info) = (first >> 5, first & 31);
        let argument = match info {
            0..ONE_BYTE => u64::from(info),
            ONE_BYTE => u8::from_be_bytes(self.take_array()?).into(),
            TWO_BYTES => u16::from_be_bytes(self.take_array()?).into(),
            FOUR_BYTES => u32::from_be_bytes(self.take_array()?).into(),
            EIGHT_BYTES => u64::from_be_bytes(self.take_array()?),
            INDEFINITE if !matches!(major, UNSIGNED | NEGATIVE | TAG) => 0,
            _ => return Err(invalid(format!("{first:#04x} begins no item"))),
        };
        Ok(Head { first, argument })
    }

    #[inline]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], SerdeError> {
        let bytes = self.input[self.position..].first_chunk().ok_or_else(truncated)?;
        self.position += N;
        Ok(*bytes)
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], SerdeError> {
        let rest = &self.input[self.position..];
        let length = usize::try_from(length).ok().filter(|length| *length <= rest.len());
        let taken = &rest[..length.ok_or_else(truncated)?];
        self.position += taken.len();
        Ok(taken)
    }

    /// Skips the tags before an item: the content is read by the member's type alone.
    #[inline]
    fn skip_tags(&mut self) -> Result<(), SerdeError> {
        while self.peek().is_some_and(|first| first >> 5 == TAG) {
            self.head()?;
        }
        Ok(())
    }

    #[inline]
    fn expect(&mut self, major: u8) -> Result<Head, SerdeError> {
        self.skip_tags()?;
        let head = self.head()?;
        if head.major() == major {
            Ok(head)
        } else {
            Err(mismatch(NAMES[usize::from(major)], head.major()))
        }
    }

    /// Returns whether the next item is `null` or `undefined`.
    #[inline]
    pub(crate) fn is_null(&self) -> bool {
        matches!(self.peek(), Some(NULL | UNDEFINED))
    }

    /// Skips a `null`, if one is next. Returns whether it was.
    #[inline]
    pub(crate) fn skip_null(&mut self) -> bool {
        let is_null = self.is_null();
        self.position += usize::from(is_null);
        is_null
    }

    /// Begins an array or a map.
    #[inline]
    pub(crate) fn open(&mut self, major: u8) -> Result<Remaining, SerdeError> {
        if let Some(first) =
            self.peek().filter(|first| (major << 5..major << 5 | ONE_BYTE).contains(first))
        {
            // Most arrays and maps have fewer than 24 items and no tag.
            self.position += 1;
            self.enter()?;
            return Ok(Some(u64::from(first & 31)));
        }
        let head = self.expect(major)?;
        self.enter()?;
        Ok((head.info() != INDEFINITE).then_some(head.argument))
    }

    /// Returns whether an array or a map has another item, and ends it if it has none.
    #[inline]
    pub(crate) fn has_next(&mut self, remaining: &mut Remaining) -> Result<bool, SerdeError> {
        let has_next = match remaining {
            None if self.peek().ok_or_else(truncated)? == BREAK => {
                self.position += 1;
                false
            }
            Some(0) => false,
            None => true,
            Some(remaining) => {
                *remaining -= 1;
                true
            }
        };
        if !has_next {
            self.depth -= 1;
        }
        Ok(has_next)
    }

    fn enter(&mut self) -> Result<(), SerdeError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(invalid(format!("nested more than {MAX_DEPTH} deep")));
        }
        Ok(())
    }

    /// Reads a byte string or a text of up to 255 bytes that has no tag, if one is next. Most items
    /// of a page are such, and this takes a fraction of the time of the general case.
    #[inline]
    fn short_string(&mut self, major: u8) -> Option<&'a [u8]> {
        let (head, length) = match *self.input.get(self.position..)? {
            [first, ..] if first >> 5 == major && first & 31 < ONE_BYTE => (1, first & 31),
            [first, length, ..] if first == major << 5 | ONE_BYTE => (2, length),
            _ => return None,
        };
        let start = self.position + head;
        let content = self.input.get(start..start + usize::from(length))?;
        self.position = start + content.len();
        Some(content)
    }

    /// Reads a text of up to 255 characters of ASCII that has no tag, if one is next. Nearly all
    /// texts of Kinesis are such, and to see that costs less than to check for UTF-8.
    #[inline]
    pub(crate) fn short_ascii(&mut self) -> Option<&'a [u8]> {
        let start = self.position;
        let text = self.short_string(TEXT)?;
        if !text.is_ascii() {
            self.position = start;
            return None;
        }
        Some(text)
    }

    /// Reads the name of a member without checking that it is UTF-8. The caller compares the name
    /// with those that it knows, and [`skip_member`](Self::skip_member) checks any other.
    #[inline]
    pub(crate) fn member_name(&mut self) -> Result<Cow<'a, [u8]>, SerdeError> {
        self.string(TEXT)
    }

    /// Skips a member that is not known, after its name.
    pub(crate) fn skip_member(&mut self, name: &[u8]) -> Result<(), SerdeError> {
        std::str::from_utf8(name).map_err(invalid_text)?;
        self.skip()
    }

    /// Reads the content of a byte string or of a text: borrowed, unless it comes in chunks.
    #[inline]
    fn string(&mut self, major: u8) -> Result<Cow<'a, [u8]>, SerdeError> {
        match self.short_string(major) {
            Some(content) => Ok(content.into()),
            None => self.long_string(major),
        }
    }

    fn long_string(&mut self, major: u8) -> Result<Cow<'a, [u8]>, SerdeError> {
        let head = self.expect(major)?;
        if head.info() != INDEFINITE {
            return Ok(self.take(head.argument)?.into());
        }
        let mut content = Vec::new();
        while self.peek().ok_or_else(truncated)? != BREAK {
            let chunk = self.head()?;
            if chunk.major() != major || chunk.info() == INDEFINITE {
                return Err(mismatch("a chunk of a string", chunk.major()));
            }
            content.extend_from_slice(self.take(chunk.argument)?);
        }
        self.position += 1;
        Ok(content.into())
    }

    pub(crate) fn bytes(&mut self) -> Result<Cow<'a, [u8]>, SerdeError> {
        self.string(BYTES)
    }

    pub(crate) fn text(&mut self) -> Result<Cow<'a, str>, SerdeError> {
        match self.string(TEXT)? {
            Cow::Borrowed(text) => std::str::from_utf8(text).map(Cow::from).map_err(invalid_text),
            Cow::Owned(text) => String::from_utf8(text)
                .map(Cow::from)
                .map_err(|error| invalid_text(error.utf8_error())),
        }
    }

    pub(crate) fn boolean(&mut self) -> Result<bool, SerdeError> {
        self.skip_tags()?;
        let first = self.peek().ok_or_else(truncated)?;
        let value = match first {
            FALSE => false,
            TRUE => true,
            _ => return Err(mismatch("a boolean", first >> 5)),
        };
        self.position += 1;
        Ok(value)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the argument has the width of the float")]
    #[inline]
    pub(crate) fn number(&mut self) -> Result<Number, SerdeError> {
        self.skip_tags()?;
        let head = self.head()?;
        match (head.major(), head.info()) {
            (UNSIGNED, _) => Ok(Number::Integer(head.argument.into())),
            (NEGATIVE, _) => Ok(Number::Integer(-1 - i128::from(head.argument))),
            (SIMPLE, TWO_BYTES) => Ok(Number::Float(half_to_double(head.argument as u16))),
            (SIMPLE, FOUR_BYTES) => Ok(Number::Float(f32::from_bits(head.argument as u32).into())),
            (SIMPLE, EIGHT_BYTES) => Ok(Number::Float(f64::from_bits(head.argument))),
            (major, _) => Err(mismatch("a number", major)),
        }
    }

    /// Reads an integer. A float with an integral value counts as one: JavaScript has no other
    /// numbers, and kinesalite writes the great ones so.
    #[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
    pub(crate) fn integer(&mut self) -> Result<i64, SerdeError> {
        let integer = match self.number()? {
            Number::Integer(integer) => i64::try_from(integer).ok(),
            // 2^63 is no i64.
            Number::Float(float) if float.fract() == 0.0 && float.abs() < 9.2e18 => {
                Some(float as i64)
            }
            Number::Float(_) => None,
        };
        integer.ok_or_else(|| invalid("a number is no integer of 64 bits"))
    }

    /// Skips an item with all that it holds.
    pub(crate) fn skip(&mut self) -> Result<(), SerdeError> {
        self.skip_tags()?;
        let first = self.peek().ok_or_else(truncated)?;
        match first >> 5 {
            major @ (BYTES | TEXT) => self.string(major).map(|_| ()),
            major @ (ARRAY | MAP) => {
                let mut remaining = self.open(major)?;
                while self.has_next(&mut remaining)? {
                    self.skip()?;
                    if major == MAP {
                        self.skip()?;
                    }
                }
                Ok(())
            }
            _ if first == BREAK => Err(invalid("a break ends nothing")),
            _ => self.head().map(|_| ()),
        }
    }
}

fn invalid_text(error: Utf8Error) -> SerdeError {
    invalid(format!("a text is not UTF-8: {error}"))
}

/// Converts a float of 16 bits.
fn half_to_double(bits: u16) -> f64 {
    let (exponent, fraction) = (i32::from(bits >> 10 & 31), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + fraction) * 2f64.powi(exponent - 25),
    };
    if bits >> 15 == 1 { -magnitude } else { magnitude }
}

pub(crate) fn invalid(message: impl Into<String>) -> SerdeError {
    SerdeError::invalid_input(message)
}

fn truncated() -> SerdeError {
    invalid("the CBOR ends early")
}

fn mismatch(expected: &str, found: u8) -> SerdeError {
    SerdeError::type_mismatch(format!("expected {expected}, found {}", NAMES[usize::from(found)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skip(input: &[u8]) -> Result<(), SerdeError> {
        let mut decoder = Decoder::new(input);
        decoder.skip()?;
        assert!(decoder.is_at_end());
        Ok(())
    }

    #[test]
    fn items_may_be_nested_64_deep() {
        let nested = |depth| [vec![0x81; depth], vec![0x00]].concat();
        assert!(skip(&nested(64)).is_ok());
        for depth in [65, 66, 100_000] {
            let error = skip(&nested(depth)).unwrap_err().to_string();
            assert!(error.contains("nested more than 64 deep"), "{error}");
        }
    }

    #[test]
    fn items_next_to_each_other_are_not_nested() {
        let empty: [&[u8]; 4] = [b"\x80", b"\xa0", b"\x9f\xff", b"\xbf\xff"];
        for item in empty {
            // An array of 1,000 items.
            assert!(skip(&[b"\x99\x03\xe8", &item.repeat(1_000)[..]].concat()).is_ok());
        }
    }

    #[test]
    fn a_byte_begins_an_item_unless_rfc_8949_reserves_it() {
        for first in 0..=u8::MAX {
            let (major, info) = (first >> 5, first & 31);
            let is_reserved = matches!(info, 28..=30)
                || info == INDEFINITE && matches!(major, UNSIGNED | NEGATIVE | TAG);
            let input = [&[first], &[0; 64][..]].concat();
            let is_refused = Decoder::new(&input).head().is_err();
            assert_eq!(is_refused, is_reserved, "{first:#04x}");
        }
    }

    #[test]
    fn a_short_text_of_ascii_is_read_and_nothing_else() {
        let long = [&[0x79, 0x01, 0x00][..], &[b'a'; 256]].concat();
        let inputs: [(&[u8], Option<&str>); 10] = [
            (b"\x60", Some("")),
            (b"\x62ab\x01", Some("ab")),
            (b"\x78\x02ab", Some("ab")),
            (b"\x62\xc3\xa4", None),
            (b"\x61\xff", None),
            (b"\x62a", None),
            (b"\x42ab", None),
            (b"\xc1\x62ab", None),
            (b"\x7f\x62ab\xff", None),
            (&long, None),
        ];
        for (input, text) in inputs {
            let mut decoder = Decoder::new(input);
            assert_eq!(decoder.short_ascii(), text.map(str::as_bytes), "{input:02x?}");
            // Nothing was read of another item.
            assert_eq!(decoder.position() > 0, text.is_some(), "{input:02x?}");
        }
    }

    #[test]
    fn a_null_is_skipped_and_no_other_item() {
        for (input, is_null) in [(b"\xf6\x01", true), (b"\xf7\x01", true), (b"\x01\x01", false)] {
            let mut decoder = Decoder::new(input);
            assert_eq!((decoder.is_null(), decoder.skip_null()), (is_null, is_null));
            assert_eq!(decoder.position(), usize::from(is_null));
            assert!(!decoder.is_at_end());
            assert_eq!(decoder.integer().expect("an integer"), 1);
        }
    }
}
