//! One record, and its acknowledgement.

use std::fmt;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_sdk_kinesis::types::ChildShard;

use crate::checkpoint::ack_window::{AckWindow, Prefix, Range};
use crate::checkpoint::event::CheckpointEventKind;
use crate::checkpoint::shard_state::{Incarnation, ShardState};
use crate::checkpoint::shared::Shared;
use crate::records::record::Record;

/// One reading of one shard: what was delivered of it, and what of that was acknowledged.
pub(crate) struct ReadSession {
    pub(crate) shared: Arc<Shared>,
    pub(crate) entry: Arc<ShardState>,
    pub(crate) incarnation: Incarnation,
    window: Mutex<AckWindow>,
    /// The reader is gone.
    has_ended: AtomicBool,
}

impl ReadSession {
    pub(crate) fn new(
        shared: Arc<Shared>,
        entry: Arc<ShardState>,
        incarnation: Incarnation,
    ) -> Self {
        Self {
            shared,
            entry,
            incarnation,
            window: Mutex::default(),
            has_ended: AtomicBool::new(false),
        }
    }

    pub(crate) fn window(&self) -> MutexGuard<'_, AckWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None once all is stopped: what was read and not delivered by then is read again by the next
    /// run.
    pub(crate) fn deliver(self: &Arc<Self>, record: Record) -> Option<UnackedRecord> {
        let token = self.take_token(1)?;
        Some(UnackedRecord { record, token })
    }

    /// Counts `records` as delivered. Returns `None` once all is shut down.
    pub(crate) fn take_token(self: &Arc<Self>, records: u64) -> Option<AckToken> {
        if !self.shared.add_in_flight(records) {
            return None;
        }
        let range = self.window().deliver(records);
        self.incarnation.has_delivered(range.end());
        Some(AckToken { session: Arc::clone(self), range, is_used: false })
    }

    /// The reader ends: what is still in hand is dropped as a matter of course.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
    }

    /// All was acknowledged, and there will be no more.
    pub(crate) fn finish(&self, children: &[ChildShard]) {
        let want = self.entry.finish(&self.incarnation, children);
        self.shared.want(&self.entry, want);
    }

    fn acknowledge(&self, range: Range, sequence_number: &str, sub: Option<u64>) {
        let most = self.shared.options.save_records;
        let mut window = self.window();
        // Under the window's lock, so that a prefix is not passed by one that is shorter.
        let prefix = window.acknowledge(range, sequence_number, sub);
        let advance = |sequence_number: &str, sub| {
            self.entry.advance(&self.incarnation, window.acknowledged(), sequence_number, sub, most)
        };
        let want = match prefix {
            Prefix::Stays => None,
            Prefix::EndsHere => Some(advance(sequence_number, sub)),
            Prefix::EndsAt(sequence_number, sub) => Some(advance(&sequence_number, sub)),
        };
        let is_settled = window.is_settled();
        drop(window);
        if let Some(want) = want {
            self.shared.want(&self.entry, want);
        }
        self.settled(range, is_settled);
    }

    fn give_up(&self, range: Range) {
        let mut window = self.window();
        let is_first = window.give_up(range);
        let is_settled = window.is_settled();
        drop(window);
        if is_first && !self.has_ended.load(Ordering::Relaxed) {
            let (stream, shard) = (self.shared.stream.name(), self.entry.id.as_str());
            let number = range.first;
            tracing::warn!(
                stream,
                shard,
                number,
                "a record was dropped without acknowledgement: the checkpoint of its shard stays before it"
            );
            self.shared.tell(shard, CheckpointEventKind::Unacknowledged { number });
        }
        self.settled(range, is_settled);
    }

    fn settled(&self, range: Range, is_settled: bool) {
        self.shared.remove_in_flight(range.len);
        if is_settled {
            self.entry.reader.wake();
        }
    }
}

/// The right to acknowledge one record, or one page, once.
pub(crate) struct AckToken {
    session: Arc<ReadSession>,
    range: Range,
    is_used: bool,
}

impl AckToken {
    pub(crate) fn acknowledge(mut self, sequence_number: &str, sub: Option<u64>) {
        self.is_used = true;
        self.session.acknowledge(self.range, sequence_number, sub);
    }
}

impl AckToken {
    /// Drops it, as a matter of course.
    pub(crate) fn give_up(self) {
        self.session.end();
    }
}

impl Drop for AckToken {
    fn drop(&mut self) {
        if !self.is_used {
            self.session.give_up(self.range);
        }
    }
}

/// A record that is to be acknowledged once it is processed. It derefs to the [`Record`].
///
/// A shard's checkpoint is the last record before which all are acknowledged: acknowledge in any
/// order, from any task. A record that is dropped without acknowledgement holds the checkpoint of
/// its shard: after a restart, it and all that follow it come again. If the shard ends, that
/// happens at once: it is read again from its checkpoint, and its children wait.
///
/// So acknowledge also what you filter out.
#[must_use = "a record that is dropped without `ack` holds the checkpoint of its shard"]
pub struct UnackedRecord {
    record: Record,
    token: AckToken,
}

impl UnackedRecord {
    /// The record was processed: it need not come again.
    ///
    /// It costs no request and does not wait: the checkpoint is saved in time, see
    /// [`CheckpointOptions`](super::CheckpointOptions).
    pub fn ack(self) -> Record {
        let Self { record, token } = self;
        token.acknowledge(record.sequence_number(), sub_sequence_number(&record));
        record
    }

    pub(crate) fn into_token(self) -> (Record, AckToken) {
        (self.record, self.token)
    }

    /// The record, and its acknowledgement, to go separate ways.
    pub fn into_parts(self) -> (Record, Acker) {
        let Self { record, token } = self;
        let acker = Acker::new(&record, token);
        (record, acker)
    }
}

#[cfg(feature = "kpl")]
pub(crate) fn sub_sequence_number(record: &Record) -> Option<u64> {
    record.sub_sequence_number()
}

#[cfg(not(feature = "kpl"))]
pub(crate) fn sub_sequence_number(_: &Record) -> Option<u64> {
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
pub struct Acker {
    sequence_number: String,
    sub_sequence_number: Option<u64>,
    token: AckToken,
}

impl Acker {
    pub(crate) fn new(record: &Record, token: AckToken) -> Self {
        let sequence_number = record.sequence_number().to_owned();
        Self { sequence_number, sub_sequence_number: sub_sequence_number(record), token }
    }

    /// Acknowledges the record, or the batch: it was processed and need not come again.
    pub fn ack(self) {
        self.token.acknowledge(&self.sequence_number, self.sub_sequence_number);
    }
}

impl fmt::Debug for Acker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acker")
            .field("shard_id", &self.token.session.entry.id)
            .field("sequence_number", &self.sequence_number)
            .finish_non_exhaustive()
    }
}
