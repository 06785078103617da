//! The tables, with eventually consistent reads of the workers.

use std::collections::{BTreeMap, VecDeque};

use crate::lease::simulation::mutation::Mutation;
use crate::lease::simulation::{At, SECOND};
use crate::lease::table::model::ModelTables;
use crate::lease::table::{Change, LeaseRow, LeaseWrite, Request, Response, WorkerRow};

/// How old an eventually consistent read may be.
const MAX_AGE: At = SECOND;

#[derive(Clone, Debug, Default)]
pub(super) struct Tables {
    pub(super) model: ModelTables,
    /// The versions of the rows of workers within [`MAX_AGE`], and the one before.
    pub(super) history: BTreeMap<String, VecDeque<(At, Option<WorkerRow>)>>,
    pub(super) is_stale: bool,
    pub(super) mutation: Option<Mutation>,
}

impl Tables {
    pub(super) fn apply(
        &mut self,
        now: At,
        request: &Request,
        rng: &mut fastrand::Rng,
    ) -> Response {
        if matches!(request, Request::Workers { is_consistent: false }) {
            return Response::Workers(self.workers(now, rng));
        }
        let response = self.respond(request);
        let changed = match (request, &response) {
            (Request::RemoveWorker { worker, .. }, Response::Worker(_)) => Some((worker, None)),
            (_, Response::Worker(row)) => Some((&row.id, Some(row.clone()))),
            _ => None,
        };
        if let Some((id, row)) = changed {
            let versions = self.history.entry(id.clone()).or_default();
            if versions.is_empty() {
                versions.push_back((0, None));
            }
            versions.push_back((now, row));
            while versions.len() > 1 && versions[1].0 + MAX_AGE <= now {
                versions.pop_front();
            }
        }
        response
    }

    fn respond(&mut self, request: &Request) -> Response {
        let Some(mutation) = self.mutation else { return self.model.apply(request) };
        if let Some(response) = mutation.response(&self.model, request) {
            return response;
        }
        let original = request;
        let mut request = request.clone();
        if let Some(row) = mutation.apply(&self.model, &mut request) {
            self.model.put_worker(row.clone());
            return Response::Worker(row);
        }
        if let Request::Write(LeaseWrite { shard_id, change: Change::Create(_), .. }) = &request
            && mutation == Mutation::CreateOver
        {
            self.model.delete_row(shard_id);
        }
        let response = self.model.apply(&request);
        match (original, response) {
            // The change is that of the request: it writes the counter that it would have written.
            (Request::Write(original), Response::Lease(row)) => {
                let writer = original.writer();
                let row = LeaseRow { counter: writer.counter, writer: Some(writer), ..row };
                self.model.set_row(row.clone());
                Response::Lease(row)
            }
            (_, response) => response,
        }
    }

    pub(super) fn worker(&self, id: &str) -> Option<&WorkerRow> {
        self.model.worker(id)
    }

    fn workers(&self, now: At, rng: &mut fastrand::Rng) -> Vec<WorkerRow> {
        let version = |versions: &VecDeque<(At, Option<WorkerRow>)>| {
            let age = if self.is_stale && rng.u8(..4) == 0 { rng.u64(..MAX_AGE) } else { 0 };
            let at = now.saturating_sub(age);
            versions.iter().rev().find(|(since, _)| *since <= at)?.1.clone()
        };
        self.history.values().filter_map(version).collect()
    }

    pub(super) fn row(&self, shard_id: &str) -> Option<&LeaseRow> {
        self.model.row(shard_id)
    }
}
