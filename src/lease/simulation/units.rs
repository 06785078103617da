//! What the requests to the tables cost.

use crate::lease::table::{Request, Response};

/// Requests to DynamoDB, in its units.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Units {
    pub(super) writes: f64,
    pub(super) reads: f64,
}

impl Units {
    /// Counts the units of a request, with rows of usual sizes.
    pub(super) fn count(&mut self, request: &Request, response: &Response) {
        let pages = |rows: usize, kilobytes: f64| (rows as f64 * kilobytes / 4.0).ceil();
        match (request, response) {
            (Request::Workers { is_consistent }, Response::Workers(rows)) => {
                let reads = pages(rows.len() + 1, 0.25);
                self.reads += if *is_consistent { reads } else { reads / 2.0 };
            }
            (Request::Scan, Response::Leases(rows)) => {
                self.reads += pages(rows.len(), 0.6);
            }
            (Request::Get(ids), _) => self.reads += ids.len() as f64,
            _ => self.writes += 1.0,
        }
    }
}
