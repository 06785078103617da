//! The rows of shards that have none.
//!
//! A KCL deletes the row of an ended shard once its children are read. A shard without a row may
//! therefore be new, or may have been processed long ago: then a row of one of its descendants
//! shows that. So the placer creates a row only if
//!
//! * it has read the rows lately: no shard is created, processed and deleted since;
//! * it has listed all shards *after* it has read the rows. An older list may not name the shards
//!   between, of which a KCL has deleted the rows, too. A process that was stopped has such a list,
//!   and so has any other, if shards are split in quick succession;
//! * the lineage still offers the shard, once it has closed the ancestors of all shards that have a
//!   processed record.

use std::collections::{BTreeMap, BTreeSet};

use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::{Action, Machine};
use crate::lease::table::LeaseRow;

/// The ancestors to close: those of shards that were read, except unfinished ones and what lies
/// between.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AncestorRequest {
    pub(crate) number: u64,
    /// The shards, each with those of its parents that have no row: they were processed, too.
    pub(crate) started: BTreeMap<String, Vec<String>>,
    pub(crate) unfinished: BTreeSet<String>,
    /// All shards are listed first.
    pub(crate) after_list: bool,
}

/// The request of the audit whose reply is awaited.
#[derive(Debug, Default)]
pub(crate) struct Closing {
    /// The number of the last request.
    last: u64,
    awaited: Option<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// The shards are placed afterwards.
    Place,
    /// The rows of the shards that have none are created afterwards.
    Create,
}

impl Closing {
    /// Returns what stays of it when this worker joins again: a late reply is another's.
    pub(crate) fn forgotten(&self) -> Self {
        Self { last: self.last, awaited: None }
    }
}

/// Returns whether a record of the shard was processed.
fn is_started(row: &LeaseRow) -> bool {
    !matches!(row.checkpoint, Checkpoint::Start(_))
}

impl Machine {
    /// Returns the shards that have a processed record and a parent without a row: the parent was
    /// processed, and a KCL has deleted its row.
    fn started_without_parents(
        rows: &BTreeMap<String, LeaseRow>,
    ) -> impl Iterator<Item = &LeaseRow> {
        rows.values()
            .filter(|row| is_started(row))
            .filter(|row| row.parents.iter().any(|parent| !rows.contains_key(parent)))
    }

    /// Closes the ancestors of the shards that were read, if the lineage has not closed them yet,
    /// and then places.
    pub(crate) fn close_then_place(&mut self) {
        let rows = &self.audit.rows;
        let is_missing = |parent: &&String| !rows.contains_key(*parent);
        // A parent is offered still if no list had named the shard when its ancestors were closed.
        let is_due = |row: &&LeaseRow| {
            !self.audit.closed_ancestors_of.contains(&row.shard_id)
                || row.parents.iter().filter(is_missing).any(|it| self.offered.contains_key(it))
        };
        let started: Vec<_> = Self::started_without_parents(rows)
            .filter(is_due)
            .map(|row| row.shard_id.clone())
            .collect();
        if started.is_empty() {
            self.judge();
            return;
        }
        self.audit.is_in_flight = true;
        self.close_ancestors(started, Step::Place);
    }

    fn close_ancestors(&mut self, started: Vec<String>, step: Step) {
        self.audit.closed_ancestors_of.extend(started.iter().cloned());
        let rows = &self.audit.rows;
        let processed = |id: &String| {
            let parents = rows.get(id).into_iter().flat_map(|row| &row.parents);
            parents.filter(|parent| !rows.contains_key(*parent)).cloned().collect()
        };
        let started = started.into_iter().map(|id| (id.clone(), processed(&id))).collect();
        let unfinished = rows.values().filter(|row| !row.has_ended());
        let unfinished = unfinished.map(|row| row.shard_id.clone()).collect();
        let closing = &mut self.audit.closing;
        closing.last += 1;
        closing.awaited = Some(step);
        let after_list = step == Step::Create;
        let number = closing.last;
        let request = AncestorRequest { number, started, unfinished, after_list };
        self.act(Action::CloseAncestors(request));
    }

    pub(crate) fn ancestors_closed(&mut self, number: u64) {
        let closing = &mut self.audit.closing;
        if number != closing.last {
            return;
        }
        match closing.awaited.take() {
            Some(Step::Place) => {
                self.audit.is_in_flight = false;
                self.judge();
            }
            Some(Step::Create) => {
                self.audit.is_creating = true;
                self.create_rows();
            }
            None => {}
        }
    }

    /// Returns the offered shards that have no row and may need one.
    fn missing(&self, rows: &BTreeMap<String, LeaseRow>) -> Vec<String> {
        let processed: BTreeSet<_> =
            rows.values().filter(|row| is_started(row)).flat_map(|row| &row.parents).collect();
        let is_missing = |id: &&String| {
            !rows.contains_key(*id) && !processed.contains(id) && !self.is_placed_elsewhere(id)
        };
        self.offered.keys().filter(is_missing).cloned().collect()
    }

    /// Begins to create the rows of the shards that have none. In an empty table, all shards are
    /// new.
    pub(crate) fn begin_creating(&mut self) {
        let missing = self.missing(&self.audit.rows);
        if missing.is_empty() {
            return;
        }
        if self.audit.rows.is_empty() {
            self.audit.is_creating = true;
            self.create_rows();
        } else {
            let started = Self::started_without_parents(&self.audit.rows);
            let started = started.map(|row| row.shard_id.clone()).collect();
            self.close_ancestors(started, Step::Create);
        }
    }

    /// Creates the rows of the shards that have none, once no other claim is in flight.
    pub(crate) fn create_rows(&mut self) {
        if self.audit.placing > 0 || self.audit.is_in_flight {
            return;
        }
        if !std::mem::take(&mut self.audit.is_creating) || !self.is_placer() {
            return;
        }
        if !self.may_create() {
            self.audit_soon();
            return;
        }
        let rows = std::mem::take(&mut self.audit.rows);
        let missing = self.missing(&rows);
        self.assign(&missing, &rows);
        self.audit.rows = rows;
        self.place_next();
    }

    /// Returns whether the rows were read lately enough to create one that was missing.
    pub(crate) fn may_create(&self) -> bool {
        self.now.saturating_sub(self.audit.sent_at) <= self.config.failover
    }
}
