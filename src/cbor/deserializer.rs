//! Reads the shapes of the SDK from CBOR.

use std::borrow::Cow;
use std::ops::Range;

use aws_smithy_schema::serde::{SerdeError, ShapeDeserializer};
use aws_smithy_schema::{Schema, ShapeType, prelude};
use aws_smithy_types::{BigDecimal, BigInteger, Blob, DateTime, Document, base64};

use crate::cbor::decoder::{Decoder, Number, invalid, major};
use crate::cbor::knowledge::SharedKnowledge;

/// Times below this number are in seconds, not in milliseconds: kinesalite and ministack follow
/// RFC 8949. In milliseconds, the number is a day of 1973, and Kinesis has existed since 2013. In
/// seconds, it is the year 5138.
///
/// A reader compares the arrival times of one record in two responses, one of which may be in JSON.
/// A time in the wrong unit would be that of another record, and thus of a stream that was created
/// again.
pub(crate) const MIN_MILLIS: i64 = 100_000_000_000;

/// A deserializer of the body of a response.
#[derive(Debug)]
pub(crate) struct Deserializer<'a> {
    decoder: Decoder<'a>,
    is_empty: bool,
    /// How many arrays and maps are open.
    depth: u32,
    /// Learns that the response cannot be read.
    knowledge: Option<SharedKnowledge>,
    /// The value of a member that was read already.
    without: Option<Range<usize>>,
}

impl<'a> Deserializer<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self {
            decoder: Decoder::new(input),
            is_empty: input.is_empty(),
            depth: 0,
            knowledge: None,
            without: None,
        }
    }

    /// Notes in `knowledge` if the response cannot be read.
    pub(crate) fn reporting_to(self, knowledge: SharedKnowledge) -> Self {
        Self { knowledge: Some(knowledge), ..self }
    }

    /// Skips the member whose value is this part of the input.
    pub(crate) fn without(self, part: Range<usize>) -> Self {
        Self { without: Some(part), ..self }
    }

    /// Ends an array or a map. No bytes may follow the outermost one.
    fn close(&mut self) -> Result<(), SerdeError> {
        self.depth -= 1;
        if self.depth == 0 && !self.decoder.is_at_end() {
            return Err(invalid("bytes follow the CBOR"));
        }
        Ok(())
    }

    /// Reads a value by `read`, or skips the value if `read` leaves it.
    fn read_or_skip(
        &mut self,
        read: impl FnOnce(&mut Self) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        let start = self.decoder.position();
        read(self)?;
        if self.decoder.position() == start { self.decoder.skip() } else { Ok(()) }
    }

    fn read_members(
        &mut self,
        schema: &Schema<'_>,
        consumer: &mut dyn FnMut(&Schema<'_>, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        let mut remaining = self.decoder.open(major::MAP)?;
        self.depth += 1;
        let mut next = 0;
        while self.decoder.has_next(&mut remaining)? {
            if self.decoder.next_major()? != major::TEXT {
                // The name of a member is a text.
                self.decoder.skip()?;
                self.decoder.skip()?;
                continue;
            }
            let name = self.decoder.text()?;
            let read_before = self.without.as_ref();
            if let Some(part) = read_before.filter(|part| part.start == self.decoder.position()) {
                self.decoder.skip_to(part.end);
                continue;
            }
            let member = find_member(schema, &name, &mut next);
            let takes_null = member.is_some_and(|m| m.shape_type() == ShapeType::Document);
            if !takes_null && self.decoder.skip_null() {
                continue;
            }
            match member {
                Some(member) => self.read_or_skip(|this| consumer(member, this))?,
                None if name == "__type" => self.decoder.skip()?,
                None => self.read_or_skip(|this| consumer(&prelude::DOCUMENT, this))?,
            }
        }
        self.close()
    }

    fn narrow<T: TryFrom<i64>>(&mut self) -> Result<T, SerdeError> {
        let integer = self.decoder.integer()?;
        T::try_from(integer).map_err(|_| invalid(format!("{integer} is out of range")))
    }

    fn float(&mut self) -> Result<f64, SerdeError> {
        #[expect(clippy::cast_precision_loss, reason = "a float is read")]
        Ok(match self.decoder.number()? {
            Number::Integer(integer) => integer as f64,
            Number::Float(float) => float,
        })
    }
}

/// Returns the member of a structure with this name. `next` is the index after the member before:
/// most servers write the members in the order of the model.
fn find_member<'s>(schema: &'s Schema<'_>, name: &str, next: &mut usize) -> Option<&'s Schema<'s>> {
    let members = schema.members();
    let is_named = |index: usize| members.get(index).is_some_and(|m| m.member_name() == Some(name));
    let index = if is_named(*next) { *next } else { (0..members.len()).find(|i| is_named(*i))? };
    *next = index + 1;
    Some(members[index])
}

impl ShapeDeserializer for Deserializer<'_> {
    /// Skips members that are `null`, as the SDK's deserializer of JSON does: a member without a
    /// value counts as missing.
    fn read_struct(
        &mut self,
        schema: &Schema<'_>,
        consumer: &mut dyn FnMut(&Schema<'_>, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        if self.is_empty {
            return Ok(());
        }
        let read = self.read_members(schema, consumer);
        if let (Err(error), Some(knowledge)) = (&read, &self.knowledge) {
            knowledge.note_unreadable(error);
        }
        read
    }

    fn read_list(
        &mut self,
        _: &Schema<'_>,
        consumer: &mut dyn FnMut(&mut dyn ShapeDeserializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        let mut remaining = self.decoder.open(major::ARRAY)?;
        self.depth += 1;
        while self.decoder.has_next(&mut remaining)? {
            self.read_or_skip(|this| consumer(this))?;
        }
        self.close()
    }

    fn read_map(
        &mut self,
        _: &Schema<'_>,
        consumer: &mut dyn FnMut(String, &mut dyn ShapeDeserializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        let mut remaining = self.decoder.open(major::MAP)?;
        self.depth += 1;
        while self.decoder.has_next(&mut remaining)? {
            let key = self.decoder.text()?.into_owned();
            self.read_or_skip(|this| consumer(key, this))?;
        }
        self.close()
    }

    fn read_boolean(&mut self, _: &Schema<'_>) -> Result<bool, SerdeError> {
        self.decoder.boolean()
    }

    fn read_byte(&mut self, _: &Schema<'_>) -> Result<i8, SerdeError> {
        self.narrow()
    }

    fn read_short(&mut self, _: &Schema<'_>) -> Result<i16, SerdeError> {
        self.narrow()
    }

    fn read_integer(&mut self, _: &Schema<'_>) -> Result<i32, SerdeError> {
        self.narrow()
    }

    fn read_long(&mut self, _: &Schema<'_>) -> Result<i64, SerdeError> {
        self.decoder.integer()
    }

    #[expect(clippy::cast_possible_truncation, reason = "a float of 32 bits is read")]
    fn read_float(&mut self, _: &Schema<'_>) -> Result<f32, SerdeError> {
        Ok(self.float()? as f32)
    }

    fn read_double(&mut self, _: &Schema<'_>) -> Result<f64, SerdeError> {
        self.float()
    }

    fn read_big_integer(&mut self, _: &Schema<'_>) -> Result<BigInteger, SerdeError> {
        Err(SerdeError::unsupported("Kinesis has no big integers"))
    }

    fn read_big_decimal(&mut self, _: &Schema<'_>) -> Result<BigDecimal, SerdeError> {
        Err(SerdeError::unsupported("Kinesis has no big decimals"))
    }

    fn read_string(&mut self, _: &Schema<'_>) -> Result<String, SerdeError> {
        self.decoder.text().map(Cow::into_owned)
    }

    /// Reads bytes, or the text that kinesis-local sends in their place: the bytes in base64.
    fn read_blob(&mut self, _: &Schema<'_>) -> Result<Blob, SerdeError> {
        if self.decoder.next_major()? != major::TEXT {
            return Ok(Blob::new(self.decoder.bytes()?.into_owned()));
        }
        let bytes = base64::decode(&*self.decoder.text()?);
        bytes.map(Blob::new).map_err(|error| invalid(format!("a blob is not base64: {error}")))
    }

    /// Reads milliseconds since the epoch. RFC 8949 has seconds; Kinesis and the SDK for Java do
    /// not follow it. Positive numbers below [`MIN_MILLIS`] are seconds.
    #[expect(clippy::cast_possible_truncation, reason = "the cast saturates")]
    fn read_timestamp(&mut self, _: &Schema<'_>) -> Result<DateTime, SerdeError> {
        let number = self.decoder.number()?;
        let integer = match number {
            Number::Integer(integer) => i64::try_from(integer).ok(),
            Number::Float(float) => float.is_finite().then(|| float.floor() as i64),
        };
        match (integer, number) {
            // The SDK converts seconds in JSON in the same way, so both formats give one time.
            (Some(0..MIN_MILLIS), Number::Float(seconds)) => Ok(DateTime::from_secs_f64(seconds)),
            (Some(seconds @ 0..MIN_MILLIS), Number::Integer(_)) => Ok(DateTime::from_secs(seconds)),
            (Some(millis), _) => Ok(DateTime::from_millis(millis)),
            (None, _) => Err(invalid("a timestamp is out of range")),
        }
    }

    fn read_document(&mut self, _: &Schema<'_>) -> Result<Document, SerdeError> {
        Err(SerdeError::unsupported("Kinesis has no documents"))
    }

    fn is_null(&self) -> bool {
        self.decoder.is_null()
    }

    fn read_null(&mut self) -> Result<(), SerdeError> {
        self.decoder.skip_null();
        Ok(())
    }

    fn skip_value(&mut self) -> Result<(), SerdeError> {
        self.decoder.skip()
    }

    /// Returns no size: a declared length proves nothing.
    fn container_size(&self) -> Option<usize> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(body: &[u8]) -> Result<DateTime, SerdeError> {
        Deserializer::new(body).read_timestamp(&prelude::TIMESTAMP)
    }

    fn double(value: f64) -> Vec<u8> {
        [&[0xfb][..], &value.to_be_bytes()].concat()
    }

    fn integer(value: i64) -> Vec<u8> {
        [&[0x1b][..], &value.to_be_bytes()].concat()
    }

    #[test]
    fn a_time_is_in_milliseconds_unless_they_would_be_before_1973() {
        let tag = |body: Vec<u8>| [vec![0xc1], body].concat();
        for (body, millis) in [
            (tag(integer(1_764_100_000_123)), 1_764_100_000_123),
            (integer(1_764_100_000_123), 1_764_100_000_123),
            (double(1_764_100_000_123.0), 1_764_100_000_123),
            (tag(integer(MIN_MILLIS)), MIN_MILLIS),
            (tag(integer(1_764_100_000)), 1_764_100_000_000),
            (integer(1_764_100_000), 1_764_100_000_000),
            (integer(MIN_MILLIS - 1), (MIN_MILLIS - 1) * 1_000),
            (double(1_764_100_000.5), 1_764_100_000_500),
            (vec![0], 0),
            // -1500, which is before 1970 in either unit.
            (vec![0x39, 0x05, 0xdb], -1_500),
        ] {
            let time = timestamp(&body).unwrap();
            assert_eq!(time.to_millis().unwrap(), millis, "{body:x?}");
        }
    }

    #[test]
    fn a_time_that_is_out_of_range_is_an_error() {
        for body in [double(f64::NAN), double(f64::INFINITY), vec![0x60]] {
            assert!(timestamp(&body).is_err(), "{body:x?}");
        }
        let greatest = [&[0x1b][..], &u64::MAX.to_be_bytes()].concat();
        assert!(timestamp(&greatest).is_err());
    }
}
