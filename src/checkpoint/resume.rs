//! Skips the records that were acknowledged before.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::checkpoint::sequence_number::ExtendedSequenceNumber;
use crate::checkpoint::value::Checkpoint;
use crate::records::error::ReadError;
use crate::records::record::Record;

/// The checkpoint that a shard is resumed from.
///
/// The shard is read from the very record of its checkpoint, as by the Kinesis Client Library,
/// and the acknowledged records are skipped: that record, or its user records up to the
/// acknowledged one. If that record does not come, it has expired, and records after it may have
/// expired too.
#[derive(Debug, Default)]
pub(crate) struct ResumePoint {
    /// Whether no record after the checkpoint has come yet. Later records need no lock.
    is_searching: AtomicBool,
    after: Mutex<Option<After>>,
}

#[derive(Debug)]
struct After {
    position: ExtendedSequenceNumber<'static>,
    /// Whether the record of the checkpoint has come.
    is_found: bool,
}

impl ResumePoint {
    pub(crate) fn from(checkpoint: &Checkpoint) -> Self {
        let Some(position) = checkpoint.position() else { return Self::default() };
        let after = After { position: position.into_owned(), is_found: false };
        Self { is_searching: AtomicBool::new(true), after: Mutex::new(Some(after)) }
    }

    /// Returns whether the next record may have been acknowledged before.
    #[inline]
    pub(crate) fn is_searching(&self) -> bool {
        self.is_searching.load(Ordering::Relaxed)
    }

    /// Returns whether the record was acknowledged before. If it is the first one after the
    /// checkpoint, whose record has expired, `on_gap` gets that checkpoint.
    pub(crate) fn skips(&self, record: &Record, on_gap: &dyn Fn(&Checkpoint)) -> bool {
        if !self.is_searching() {
            return false;
        }
        let mut after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(resume) = &mut *after else { return false };
        resume.is_found |=
            resume.position.is_in_same_record_as(&ExtendedSequenceNumber::of(record));
        if resume.covers(record) {
            return true;
        }
        let is_found = resume.is_found;
        drop(after);
        if !is_found && let Some(expired) = self.take_expired() {
            on_gap(&expired);
        }
        self.is_searching.store(false, Ordering::Relaxed);
        false
    }

    /// Returns the checkpoint, once, if the shard ends and the record of the checkpoint has not
    /// come.
    pub(crate) fn take_expired_at_end(&self) -> Option<Checkpoint> {
        let mut after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        let after = after.take_if(|after| !after.is_found)?;
        Some(Checkpoint::from(after.position))
    }

    /// Returns the checkpoint, once: its record has expired.
    pub(crate) fn take_expired(&self) -> Option<Checkpoint> {
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner).take();
        after.map(|after| Checkpoint::from(after.position))
    }

    /// Returns whether Kinesis refused the sequence number of the checkpoint: an
    /// `InvalidArgumentException` may be about any argument.
    pub(crate) fn is_refused(&self, error: &ReadError) -> bool {
        if !self.is_searching()
            || error.operation() != "GetShardIterator"
            || error.code() != Some("InvalidArgumentException")
        {
            return false;
        }
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((after, message)) = after.as_ref().zip(error.message()) else { return false };
        message.contains(after.position.sequence_number()) || names_sequence_number(message)
    }
}

/// Returns whether a message is about a sequence number. AWS writes `StartingSequenceNumber 49...
/// used in GetShardIterator on shard ... is invalid because it did not come from this stream.`
/// Other servers write it in two words, or in lower case.
fn names_sequence_number(message: &str) -> bool {
    let letters = message.bytes().filter(u8::is_ascii_alphanumeric);
    let letters: Vec<u8> = letters.map(|byte| byte.to_ascii_lowercase()).collect();
    letters.windows(14).any(|word| word == b"sequencenumber")
}

impl After {
    fn covers(&self, record: &Record) -> bool {
        let mut position = ExtendedSequenceNumber::of(record);
        // The Kinesis Client Library gives a record that is not aggregated the number 0. An
        // aggregated record that is not split here may have user records that were not processed.
        if self.position.sub_sequence_number() == Some(0)
            && position.sub_sequence_number().is_none()
            && !record.is_aggregated()
        {
            position = ExtendedSequenceNumber::new(record.sequence_number(), Some(0));
        }
        position <= self.position
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_kinesis::config::http::HttpResponse;
    use aws_sdk_kinesis::error::{ErrorMetadata, SdkError};
    use aws_sdk_kinesis::operation::get_records::GetRecordsError;
    use aws_sdk_kinesis::operation::get_shard_iterator::GetShardIteratorError;
    use aws_smithy_types::body::SdkBody;

    use super::*;
    use crate::shard::stream_id::StreamId;

    const SHARD: &str = "shardId-000000000000";
    const INVALID: &str = "InvalidArgumentException";

    fn metadata(code: &str, message: &str) -> ErrorMetadata {
        ErrorMetadata::builder().code(code).message(message).build()
    }

    fn response() -> HttpResponse {
        HttpResponse::new(400.try_into().unwrap(), SdkBody::empty())
    }

    fn of_iterator(code: &str, message: &str) -> ReadError {
        let error = GetShardIteratorError::generic(metadata(code, message));
        let error = SdkError::service_error(error, response());
        ReadError::get_shard_iterator(&StreamId::from("orders"), SHARD, error)
    }

    fn of_records(code: &str, message: &str) -> ReadError {
        let error = GetRecordsError::generic(metadata(code, message));
        let error = SdkError::service_error(error, response());
        ReadError::get_records(&StreamId::from("orders"), SHARD, error)
    }

    #[test]
    fn a_checkpoint_is_refused_by_an_invalid_argument_of_an_iterator_that_names_it() {
        let message = "StartingSequenceNumber 47 is invalid";
        let checkpoint =
            Checkpoint::After { sequence_number: "47".into(), sub_sequence_number: None };
        let resume = ResumePoint::from(&checkpoint);
        for (error, is_refused) in [
            (of_iterator(INVALID, message), true),
            (of_iterator(INVALID, "47 is out of range"), true),
            (of_iterator(INVALID, "the shard id is invalid"), false),
            (of_iterator("AccessDeniedException", message), false),
            (of_records(INVALID, message), false),
        ] {
            assert_eq!(resume.is_refused(&error), is_refused, "{error}");
        }
        resume.is_searching.store(false, Ordering::Relaxed);
        assert!(!resume.is_refused(&of_iterator(INVALID, message)), "a later record has come");
    }

    #[test]
    fn a_message_is_about_the_sequence_number_if_it_names_one() {
        for message in [
            "StartingSequenceNumber 7 used in GetShardIterator on shard s in stream t is invalid.",
            "Invalid StartingSequenceNumber. It encodes shardId-000000000002.",
            "the sequence number is not one of this shard",
            "sequence_number: out of range",
        ] {
            assert!(names_sequence_number(message), "{message}");
        }
        for message in ["", "Rate exceeded", "The sequence of requests has a number too many"] {
            assert!(!names_sequence_number(message), "{message}");
        }
    }
}
