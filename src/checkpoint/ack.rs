//! One record, and its acknowledgement.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_kinesis::types::ChildShard;

use super::CheckpointEventKind;
use super::entry::{Entry, Life};
use super::ledger::{Ledger, Prefix};
use super::shared::Shared;
use crate::Record;

/// One reading of one shard: what was delivered of it, and what of that was acknowledged.
pub(super) struct Reading {
    pub(super) shared: Arc<Shared>,
    pub(super) entry: Arc<Entry>,
    pub(super) life: Life,
    ledger: Mutex<Ledger>,
    /// The reader is gone.
    has_ended: AtomicBool,
}

impl Reading {
    pub(super) fn new(shared: Arc<Shared>, entry: Arc<Entry>, life: Life) -> Self {
        Self { shared, entry, life, ledger: Mutex::default(), has_ended: AtomicBool::new(false) }
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None once all is stopped: what was read and not delivered by then is read again by the next run.
    pub(super) fn deliver(self: &Arc<Self>, record: Record) -> Option<UnackedRecord> {
        if !self.shared.add_in_flight() {
            return None;
        }
        let number = self.ledger().deliver();
        self.life.has_delivered(number + 1);
        Some(UnackedRecord { record, token: Token { reading: Arc::clone(self), number, is_used: false } })
    }

    /// The reader ends: what is still in hand is dropped as a matter of course.
    pub(super) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// All was acknowledged, and there will be no more.
    pub(super) fn finish(&self, children: &[ChildShard]) {
        let want = self.entry.finish(&self.life, children);
        self.shared.want(&self.entry, want);
    }

    fn acknowledge(&self, number: u64, sequence_number: &str, sub: Option<u64>) {
        let most = self.shared.options.save_records;
        let mut ledger = self.ledger();
        // Under the ledger's lock, so that a prefix is not passed by one that is shorter.
        let prefix = ledger.acknowledge(number, sequence_number, sub);
        let advance = |sequence_number: &str, sub| {
            self.entry.advance(&self.life, ledger.acknowledged(), sequence_number, sub, most)
        };
        let want = match prefix {
            Prefix::Stays => None,
            Prefix::EndsHere => Some(advance(sequence_number, sub)),
            Prefix::EndsAt(sequence_number, sub) => Some(advance(&sequence_number, sub)),
        };
        let is_settled = ledger.is_settled();
        drop(ledger);
        if let Some(want) = want {
            self.shared.want(&self.entry, want);
        }
        self.settled(is_settled);
    }

    fn drop_record(&self, number: u64) {
        let mut ledger = self.ledger();
        let is_first = ledger.give_up(number);
        let is_settled = ledger.is_settled();
        drop(ledger);
        if is_first && !self.has_ended.load(Ordering::Relaxed) {
            let (stream, shard) = (self.shared.stream.name(), self.entry.id.as_str());
            tracing::warn!(
                stream,
                shard,
                number,
                "a record was dropped without acknowledgement: the checkpoint of its shard stays before it"
            );
            self.shared.tell(shard, CheckpointEventKind::Unacknowledged { number });
        }
        self.settled(is_settled);
    }

    fn settled(&self, is_settled: bool) {
        self.shared.remove_in_flight();
        if is_settled {
            self.entry.reader.wake();
        }
    }
}

/// The right to acknowledge one record, once.
pub(super) struct Token {
    reading: Arc<Reading>,
    number: u64,
    is_used: bool,
}

impl Token {
    pub(super) fn acknowledge(mut self, sequence_number: &str, sub: Option<u64>) {
        self.is_used = true;
        self.reading.acknowledge(self.number, sequence_number, sub);
    }
}

impl Token {
    /// Drops it, as a matter of course.
    pub(super) fn give_up(self) {
        self.reading.end();
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        if !self.is_used {
            self.reading.drop_record(self.number);
        }
    }
}

/// A record that is to be acknowledged once it is processed. It derefs to the [`Record`].
///
/// A shard's checkpoint is the last record before which all are acknowledged: acknowledge in any order, from any task. A record that is dropped
/// without acknowledgement holds the checkpoint of its shard: after a restart, it and all that follow it come again. If the shard ends, that happens at once: it is read again from its checkpoint, and its children wait.
///
/// So acknowledge also what you filter out.
#[must_use = "a record that is dropped without `ack` holds the checkpoint of its shard"]
pub struct UnackedRecord {
    record: Record,
    token: Token,
}

impl UnackedRecord {
    /// The record was processed: it need not come again.
    ///
    /// It costs no request and does not wait: the checkpoint is saved in time, see [`CheckpointOptions`](super::CheckpointOptions).
    pub fn ack(self) -> Record {
        let Self { record, token } = self;
        token.acknowledge(record.sequence_number(), sub_sequence_number(&record));
        record
    }

    pub(super) fn into_token(self) -> (Record, Token) {
        (self.record, self.token)
    }

    /// The record, and its acknowledgement, to go separate ways.
    pub fn into_parts(self) -> (Record, Ack) {
        let Self { record, token } = self;
        let sequence_number = record.sequence_number().to_owned();
        let ack = Ack { sequence_number, sub_sequence_number: sub_sequence_number(&record), token };
        (record, ack)
    }
}

#[cfg(feature = "kpl")]
pub(super) fn sub_sequence_number(record: &Record) -> Option<u64> {
    record.sub_sequence_number()
}

#[cfg(not(feature = "kpl"))]
pub(super) fn sub_sequence_number(_: &Record) -> Option<u64> {
    None
}

impl Deref for UnackedRecord {
    type Target = Record;

    fn deref(&self) -> &Record {
        &self.record
    }
}

impl fmt::Debug for UnackedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("UnackedRecord").field(&self.record).finish()
    }
}

/// The acknowledgement of one record: see [`UnackedRecord::into_parts`].
#[must_use = "a record whose acknowledgement is dropped holds the checkpoint of its shard"]
pub struct Ack {
    sequence_number: String,
    sub_sequence_number: Option<u64>,
    token: Token,
}

impl Ack {
    /// The record was processed: it need not come again.
    pub fn ack(self) {
        self.token.acknowledge(&self.sequence_number, self.sub_sequence_number);
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack")
            .field("shard_id", &self.token.reading.entry.id)
            .field("sequence_number", &self.sequence_number)
            .finish_non_exhaustive()
    }
}
