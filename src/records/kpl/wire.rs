//! The fields of a protobuf message, one by one, without decoding it as a whole.

/// A walk over the fields of a message.
#[derive(Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
    /// How deep groups may be nested yet.
    depth: u32,
    /// How many tags were read, those inside skipped groups too: the work that was done.
    pub(crate) steps: usize,
}

/// A message that breaks the rules of the encoding.
#[derive(Debug)]
pub(crate) struct Malformed;

/// The value of a field.
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// A value of a type that this module has no use for.
    Other,
}

/// As deep as other decoders go.
const MAX_DEPTH: u32 = 100;

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message, depth: MAX_DEPTH, steps: 0 }
    }

    /// Walks the fields of a message that is a field's value.
    pub(crate) fn of_nested(message: &'a [u8]) -> Self {
        Self { depth: MAX_DEPTH - 1, ..Self::of(message) }
    }

    /// How many bytes are left.
    pub(crate) fn left(&self) -> usize {
        self.rest.len()
    }

    /// Reads the next field, its tag and its value; `None` at the end of the message.
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
            // A group. It ends with its own tag.
            3 if depth > 0 => loop {
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

    /// Reads a number of up to 64 bits, seven in a byte, the lowest first.
    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        for (shift, (at, &byte)) in (0..).step_by(7).zip(self.rest.iter().take(10).enumerate()) {
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                // The tenth has room for one bit.
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

/// How many tags were read, by each thread: what a message costs, whatever the machine.
#[cfg(test)]
pub(crate) mod steps {
    use std::cell::Cell;

    thread_local!(static STEPS: Cell<usize> = const { Cell::new(0) });

    pub(crate) fn count() {
        STEPS.set(STEPS.get() + 1);
    }

    /// Returns how many there were since the last call.
    pub(crate) fn take() -> usize {
        STEPS.take()
    }
}
