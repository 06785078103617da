//! Writes the shapes of the SDK as CBOR, byte for byte as the SDK for Java does: maps and arrays of
//! indefinite length, everything else of definite length and as short as possible.

use aws_smithy_schema::Schema;
use aws_smithy_schema::codec::FinishSerializer;
use aws_smithy_schema::serde::{SerdeError, SerializableStruct, ShapeSerializer};
use aws_smithy_types::{BigDecimal, BigInteger, Blob, DateTime, Document};

use crate::cbor::decoder::{BREAK, INDEFINITE, invalid, major};

/// A serializer of the body of a request.
#[derive(Debug)]
pub(crate) struct Serializer {
    out: Vec<u8>,
    /// What holds the next value.
    within: Container,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Container {
    /// The name of each member precedes its value.
    Structure,
    /// The elements of a list have no names, and the entries of a map write their keys themselves.
    Collection,
}

/// The tag of a timestamp.
const EPOCH_TIME: u64 = 1;

/// Writes the start of an item, as short as possible.
pub(crate) fn write_head(out: &mut Vec<u8>, major: u8, argument: u64) {
    let first = major << 5;
    let bytes = argument.to_be_bytes();
    match argument {
        0..=23 => out.push(first | bytes[7]),
        24..=0xff => out.extend_from_slice(&[first | 0x18, bytes[7]]),
        0x100..=0xffff => {
            out.push(first | 0x19);
            out.extend_from_slice(&bytes[6..]);
        }
        0x1_0000..=0xffff_ffff => {
            out.push(first | 0x1a);
            out.extend_from_slice(&bytes[4..]);
        }
        _ => {
            out.push(first | 0x1b);
            out.extend_from_slice(&bytes);
        }
    }
}

/// Writes a byte string or a text of definite length.
pub(crate) fn write_string(out: &mut Vec<u8>, major: u8, content: &[u8]) {
    write_head(out, major, content.len() as u64);
    out.extend_from_slice(content);
}

impl Serializer {
    pub(crate) fn new() -> Self {
        Self { out: Vec::with_capacity(512), within: Container::Structure }
    }

    fn head(&mut self, major: u8, argument: u64) {
        write_head(&mut self.out, major, argument);
    }

    fn string(&mut self, major: u8, content: &[u8]) {
        write_string(&mut self.out, major, content);
    }

    /// Writes the name of a member.
    fn name(&mut self, schema: &Schema<'_>) {
        if let (Container::Structure, Some(name)) = (self.within, schema.member_name()) {
            self.string(major::TEXT, name.as_bytes());
        }
    }

    fn integer(&mut self, schema: &Schema<'_>, value: i64) {
        self.name(schema);
        self.untagged_integer(value);
    }

    fn untagged_integer(&mut self, value: i64) {
        match u64::try_from(value) {
            Ok(value) => self.head(major::UNSIGNED, value),
            // The bits of -1 - value.
            Err(_) => self.head(major::NEGATIVE, (!value).cast_unsigned()),
        }
    }

    fn float(&mut self, schema: &Schema<'_>, info: u8, bytes: &[u8]) {
        self.name(schema);
        self.out.push(major::SIMPLE << 5 | info);
        self.out.extend_from_slice(bytes);
    }

    fn simple(&mut self, schema: &Schema<'_>, value: u8) {
        self.name(schema);
        self.out.push(major::SIMPLE << 5 | value);
    }

    /// Writes an array or a map, whose content `write` adds.
    fn container(
        &mut self,
        schema: &Schema<'_>,
        major: u8,
        container: Container,
        write: impl FnOnce(&mut Self) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        self.name(schema);
        self.out.push(major << 5 | INDEFINITE);
        let outer = std::mem::replace(&mut self.within, container);
        write(self)?;
        self.within = outer;
        self.out.push(BREAK);
        Ok(())
    }
}

impl FinishSerializer for Serializer {
    fn finish(self) -> Vec<u8> {
        self.out
    }
}

impl ShapeSerializer for Serializer {
    fn write_struct(
        &mut self,
        schema: &Schema<'_>,
        value: &dyn SerializableStruct,
    ) -> Result<(), SerdeError> {
        let write = |this: &mut Self| value.serialize_members(this);
        self.container(schema, major::MAP, Container::Structure, write)
    }

    fn write_list(
        &mut self,
        schema: &Schema<'_>,
        write_elements: &dyn Fn(&mut dyn ShapeSerializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        self.container(schema, major::ARRAY, Container::Collection, |this| write_elements(this))
    }

    fn write_map(
        &mut self,
        schema: &Schema<'_>,
        write_entries: &dyn Fn(&mut dyn ShapeSerializer) -> Result<(), SerdeError>,
    ) -> Result<(), SerdeError> {
        self.container(schema, major::MAP, Container::Collection, |this| write_entries(this))
    }

    fn write_boolean(&mut self, schema: &Schema<'_>, value: bool) -> Result<(), SerdeError> {
        self.simple(schema, 20 + u8::from(value));
        Ok(())
    }

    fn write_byte(&mut self, schema: &Schema<'_>, value: i8) -> Result<(), SerdeError> {
        self.integer(schema, value.into());
        Ok(())
    }

    fn write_short(&mut self, schema: &Schema<'_>, value: i16) -> Result<(), SerdeError> {
        self.integer(schema, value.into());
        Ok(())
    }

    fn write_integer(&mut self, schema: &Schema<'_>, value: i32) -> Result<(), SerdeError> {
        self.integer(schema, value.into());
        Ok(())
    }

    fn write_long(&mut self, schema: &Schema<'_>, value: i64) -> Result<(), SerdeError> {
        self.integer(schema, value);
        Ok(())
    }

    fn write_float(&mut self, schema: &Schema<'_>, value: f32) -> Result<(), SerdeError> {
        self.float(schema, 26, &value.to_be_bytes());
        Ok(())
    }

    fn write_double(&mut self, schema: &Schema<'_>, value: f64) -> Result<(), SerdeError> {
        self.float(schema, 27, &value.to_be_bytes());
        Ok(())
    }

    fn write_big_integer(&mut self, _: &Schema<'_>, _: &BigInteger) -> Result<(), SerdeError> {
        Err(SerdeError::unsupported("Kinesis has no big integers"))
    }

    fn write_big_decimal(&mut self, _: &Schema<'_>, _: &BigDecimal) -> Result<(), SerdeError> {
        Err(SerdeError::unsupported("Kinesis has no big decimals"))
    }

    fn write_string(&mut self, schema: &Schema<'_>, value: &str) -> Result<(), SerdeError> {
        self.name(schema);
        self.string(major::TEXT, value.as_bytes());
        Ok(())
    }

    fn write_blob(&mut self, schema: &Schema<'_>, value: Blob) -> Result<(), SerdeError> {
        self.name(schema);
        self.string(major::BYTES, value.as_ref());
        Ok(())
    }

    /// Writes milliseconds since the epoch, as Kinesis expects.
    fn write_timestamp(&mut self, schema: &Schema<'_>, value: &DateTime) -> Result<(), SerdeError> {
        let millis = value.to_millis().map_err(|error| invalid(error.to_string()))?;
        self.name(schema);
        self.head(major::TAG, EPOCH_TIME);
        self.untagged_integer(millis);
        Ok(())
    }

    fn write_document(&mut self, _: &Schema<'_>, _: &Document) -> Result<(), SerdeError> {
        Err(SerdeError::unsupported("Kinesis has no documents"))
    }

    fn write_null(&mut self, schema: &Schema<'_>) -> Result<(), SerdeError> {
        self.simple(schema, 22);
        Ok(())
    }
}
