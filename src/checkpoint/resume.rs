//! Going on after a checkpoint.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::checkpoint::acker::{ReadSession, sub_sequence_number};
use crate::checkpoint::value::{Checkpoint, compare};
use crate::records::error::ReadError;
use crate::records::record::Record;
use crate::shard::sequence_number::compare_sequence_numbers;

/// A shard is read on from the very record that its checkpoint names, as the Kinesis Client Library
/// does it, and what was acknowledged is passed over: the user records of an aggregated record up
/// to the one that was. If that record does not come, it has expired, and maybe more with it.
#[derive(Debug, Default)]
pub(crate) struct Resume {
    is_open: AtomicBool,
    after: Mutex<Option<After>>,
}

#[derive(Debug)]
struct After {
    sequence_number: String,
    sub: Option<u64>,
    /// The record that the checkpoint names has come.
    is_found: bool,
}

impl Resume {
    pub(crate) fn after(checkpoint: &Checkpoint) -> Self {
        let Checkpoint::After { sequence_number, sub_sequence_number: sub } = checkpoint else {
            return Self::default();
        };
        let after = After { sequence_number: sequence_number.clone(), sub: *sub, is_found: false };
        Self { is_open: AtomicBool::new(true), after: Mutex::new(Some(after)) }
    }

    /// Whether the record was acknowledged before.
    pub(crate) fn passes_over(&self, record: &Record, session: &ReadSession) -> bool {
        if !self.is_open.load(Ordering::Relaxed) {
            return false;
        }
        let mut after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(resume) = &mut *after else { return false };
        resume.is_found |=
            compare_sequence_numbers(record.sequence_number(), &resume.sequence_number).is_eq();
        if resume.covers(record) {
            return true;
        }
        let is_found = resume.is_found;
        drop(after);
        if !is_found {
            self.tell_gap(session, Some(record.sequence_number()));
        }
        self.is_open.store(false, Ordering::Relaxed);
        false
    }

    /// The shard has ended.
    pub(crate) fn end(&self, session: &ReadSession) {
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        let is_missing = after.as_ref().is_some_and(|after| !after.is_found);
        drop(after);
        if is_missing {
            self.tell_gap(session, None);
        }
    }

    /// The record that the checkpoint names is gone.
    pub(crate) fn tell_gap(&self, session: &ReadSession, first: Option<&str>) {
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(After { sequence_number, sub, .. }) = after else { return };
        let after = Checkpoint::After { sequence_number, sub_sequence_number: sub };
        session.shared.tell_gap(&session.entry.id, &after, first);
    }

    /// Returns whether Kinesis refused the sequence number of the checkpoint: an
    /// `InvalidArgumentException` may be about any argument.
    pub(crate) fn is_refused(&self, error: &ReadError) -> bool {
        if !self.is_open.load(Ordering::Relaxed)
            || error.operation() != "GetShardIterator"
            || error.code() != Some("InvalidArgumentException")
        {
            return false;
        }
        let after = self.after.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((after, message)) = after.as_ref().zip(error.message()) else { return false };
        message.contains(&after.sequence_number) || names_sequence_number(message)
    }
}

/// `StartingSequenceNumber 49... used in GetShardIterator on shard ... is invalid because it did
/// not come from this stream.` is what AWS says; other servers write it in two words, or in lower
/// case.
fn names_sequence_number(message: &str) -> bool {
    let letters = message.bytes().filter(u8::is_ascii_alphanumeric);
    let letters: Vec<u8> = letters.map(|byte| byte.to_ascii_lowercase()).collect();
    letters.windows(14).any(|word| word == b"sequencenumber")
}

impl After {
    fn covers(&self, record: &Record) -> bool {
        let sub = match (sub_sequence_number(record), self.sub) {
            // The Kinesis Client Library numbers a record that is not aggregated 0. One that is,
            // but is not split here, may have user records that are not done.
            (None, Some(0)) if !record.is_aggregated() => Some(0),
            (sub, _) => sub,
        };
        compare((record.sequence_number(), sub), (&self.sequence_number, self.sub)).is_le()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_about_the_sequence_number_if_it_names_it() {
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
