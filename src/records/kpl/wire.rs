//! An iterator over the fields of a protobuf message that does not decode the whole message.

/// An iterator over the fields of a message.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// The depth to which groups may still be nested.
    depth: u32,
    /// The number of tags read, including those inside skipped groups: a measure of the work.
    pub(crate) steps: usize,
}

/// The error of a message that is not valid protobuf.
#[derive(Debug)]
pub(crate) struct Malformed;

/// The value of a field.
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A value of another type.
    Other,
}

/// The maximum depth of nested groups, as in other decoders.
const MAX_DEPTH: u32 = 100;

impl<'a> Fields<'a> {
    /// Returns the fields of a message.
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message, depth: MAX_DEPTH, steps: 0 }
    }

    /// Returns the fields of a message that is itself the value of a field.
    pub(crate) fn nested(message: &'a [u8]) -> Self {
        Self { depth: MAX_DEPTH - 1, ..Self::new(message) }
    }

    /// Returns the number of bytes left.
    pub(crate) fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// Reads the tag and the value of the next field. Returns `None` at the end of the message.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Value<'a>)>, Malformed> {
        if self.rest.is_empty() {
            return Ok(None);
        }
        let (tag, wire_type) = self.tag()?;
        Ok(Some((tag, self.value(tag, wire_type, self.depth)?)))
    }

    fn tag(&mut self) -> Result<(u32, u64), Malformed> {
        self.steps += 1;
        #[cfg(test)]
        steps::count();
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        if key >> 3 == 0 { Err(Malformed) } else { Ok((key >> 3, u64::from(key & 7))) }
    }

    fn value(&mut self, tag: u32, wire_type: u64, depth: u32) -> Result<Value<'a>, Malformed> {
        match wire_type {
            0 => self.varint().map(Value::Varint),
            1 => self.take(8).map(|_| Value::Other),
            2 => {
                let len = self.varint()?;
                self.take(usize::try_from(len).map_err(|_| Malformed)?).map(Value::Bytes)
            }
            // A group, which ends with its own tag.
            3 => loop {
                let (inner, wire_type) = self.tag()?;
                if wire_type == 4 {
                    return if inner == tag { Ok(Value::Other) } else { Err(Malformed) };
                }
                if depth == 1 {
                    return Err(Malformed);
                }
                self.value(inner, wire_type, depth - 1)?;
            },
            5 => self.take(4).map(|_| Value::Other),
            _ => Err(Malformed),
        }
    }

    /// Reads a number of up to 64 bits: seven bits in each byte, the lowest first.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for (shift, (at, &byte)) in (0..).step_by(7).zip(self.rest.iter().take(10).enumerate()) {
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // The tenth byte holds one bit.
                if shift == 63 && byte > 1 {
                    return Err(Malformed);
                }
                self.rest = &self.rest[at + 1..];
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// The number of tags read by each thread: a measure of work that is the same on every machine.
#[cfg(test)]
pub(crate) mod steps {
    use std::cell::Cell;

    thread_local!(static STEPS: Cell<usize> = const { Cell::new(0) });

    pub(crate) fn count() {
        STEPS.set(STEPS.get() + 1);
    }

    /// Returns the number of tags read since the last call.
    pub(crate) fn take() -> usize {
        STEPS.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the varint of these bytes, as the value of a field.
    fn varint(bytes: &[u8]) -> Option<u64> {
        match Fields::new(&[b"\x08", bytes].concat()).next() {
            Ok(Some((1, Value::Varint(number)))) => Some(number),
            _ => None,
        }
    }

    #[test]
    fn a_varint_has_at_most_64_bits() {
        let ten = |last| varint(&[&[0xff; 9], &[last][..]].concat());
        assert_eq!(ten(0), Some(u64::MAX >> 1));
        assert_eq!(ten(1), Some(u64::MAX));
        assert_eq!(ten(2), None, "the 65th bit");
        assert_eq!(ten(0x81), None, "an eleventh byte");
        assert_eq!(varint(b"\x96\x01"), Some(150));
        assert_eq!(varint(b"\x96"), None);
    }
}
