//! The position of a record in its shard.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::records::record::Record;
use crate::shard::sequence_number::compare_sequence_numbers;

/// A sequence number with its sub-sequence number: the position of a record, or of a user record
/// within an aggregated one. The name is that of the Kinesis Client Library's class.
///
/// Positions are ordered as the records of a shard are. Sequence numbers are compared as decimal
/// numbers; a whole record is as far as the last of its user records.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExtendedSequenceNumber<'a> {
    sequence_number: Cow<'a, str>,
    /// `None` for the whole record.
    sub_sequence_number: Option<u64>,
}

impl<'a> ExtendedSequenceNumber<'a> {
    pub(crate) fn new(
        sequence_number: impl Into<Cow<'a, str>>,
        sub_sequence_number: Option<u64>,
    ) -> Self {
        Self { sequence_number: sequence_number.into(), sub_sequence_number }
    }

    /// Returns the position of a record, without an allocation.
    pub(crate) fn of(record: &'a Record) -> Self {
        Self::new(record.sequence_number(), Self::sub_sequence_number_of(record))
    }

    /// Returns the sub-sequence number of a user record.
    #[cfg_attr(not(feature = "kpl"), expect(unused_variables, reason = "there are none then"))]
    #[inline]
    pub(crate) fn sub_sequence_number_of(record: &Record) -> Option<u64> {
        #[cfg(feature = "kpl")]
        return record.sub_sequence_number();
        #[cfg(not(feature = "kpl"))]
        None
    }

    pub(crate) fn sequence_number(&self) -> &str {
        &self.sequence_number
    }

    pub(crate) fn sub_sequence_number(&self) -> Option<u64> {
        self.sub_sequence_number
    }

    pub(crate) fn borrowed(&self) -> ExtendedSequenceNumber<'_> {
        ExtendedSequenceNumber::new(self.sequence_number(), self.sub_sequence_number)
    }

    pub(crate) fn into_sequence_number(self) -> String {
        self.sequence_number.into_owned()
    }

    pub(crate) fn into_owned(self) -> ExtendedSequenceNumber<'static> {
        let sequence_number = self.sequence_number.into_owned();
        ExtendedSequenceNumber::new(sequence_number, self.sub_sequence_number)
    }

    /// Replaces this position, and reuses its buffer.
    pub(crate) fn assign(&mut self, other: &ExtendedSequenceNumber<'_>) {
        let buffer = self.sequence_number.to_mut();
        buffer.clear();
        buffer.push_str(other.sequence_number());
        self.sub_sequence_number = other.sub_sequence_number;
    }

    /// Returns whether both positions are in one record of Kinesis.
    pub(crate) fn is_in_same_record_as(&self, other: &ExtendedSequenceNumber<'_>) -> bool {
        compare_sequence_numbers(self.sequence_number(), other.sequence_number()).is_eq()
    }
}

impl Ord for ExtendedSequenceNumber<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        let sub = |of: &Self| (of.sub_sequence_number.is_none(), of.sub_sequence_number);
        compare_sequence_numbers(self.sequence_number(), other.sequence_number())
            .then_with(|| sub(self).cmp(&sub(other)))
    }
}

impl PartialOrd for ExtendedSequenceNumber<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ExtendedSequenceNumber<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for ExtendedSequenceNumber<'_> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_record_is_greater_than_each_of_its_user_records() {
        let ascending =
            [("9", Some(0)), ("9", Some(7)), ("9", Some(u64::MAX)), ("9", None), ("10", Some(0))];
        let position =
            |(number, sub): &(&'static str, _)| ExtendedSequenceNumber::new(*number, *sub);
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(position(a).cmp(&position(b)), i.cmp(&j), "{a:?} {b:?}");
                assert_eq!(position(a) == position(b), i == j, "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn an_assigned_position_is_equal_to_the_other() {
        let mut position = ExtendedSequenceNumber::default();
        for (number, sub) in [("12345", Some(1)), ("7", None)] {
            let other = ExtendedSequenceNumber::new(number, sub);
            position.assign(&other);
            assert_eq!(position, other);
            assert_eq!(position.sequence_number(), number);
        }
    }
}
