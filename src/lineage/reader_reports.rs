//! Reports of readers that a full list confirms or refutes.
//!
//! A reader reports that its shard was not found: the shard has expired, the client that reads is
//! not of the stream's region and account, or the shard is too new for all of Kinesis to know it.
//! Or it claims that its shard has ended, by a response that does not say so: the shard has ended,
//! or the response was damaged.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::lineage::key::ShardKey;
use crate::lineage::node::NodeId;
use crate::shard::offer::Offer;

#[derive(Debug, Default)]
pub(crate) struct ReaderReports {
    not_found: Vec<NotFound>,
    resolved: VecDeque<Resolved>,
    claims: Vec<Claim>,
}

/// The report that a shard was not found. Its handle has ended.
#[derive(Debug)]
struct NotFound {
    id: NodeId,
    offer: Arc<Offer>,
    /// Full lists with greater numbers were requested after the report.
    after: u32,
}

/// The claim that a shard has ended. Its handle is still out.
#[derive(Debug)]
struct Claim {
    id: NodeId,
    offer: Arc<Offer>,
    /// Full lists with greater numbers were requested after the claim.
    after: u32,
}

/// Leaves to the reader a claim that is dropped before a list has decided about it.
impl Drop for Claim {
    fn drop(&mut self) {
        self.offer.leave_end_claim();
    }
}

/// A shard that was not found, and whether a full list names it all the same.
#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) id: NodeId,
    pub(crate) offer: Arc<Offer>,
    pub(crate) is_listed: bool,
}

impl ReaderReports {
    /// Adds the report that a shard was not found. `full_lists` have been taken in before.
    pub(crate) fn add_not_found(&mut self, id: NodeId, offer: Arc<Offer>, full_lists: u32) {
        // The next full list may be in flight, and know less than the reader.
        self.not_found.push(NotFound { id, offer, after: full_lists + 1 });
    }

    /// Adds the claim that a shard has ended. `full_lists` have been taken in before.
    pub(crate) fn add_claim(&mut self, id: NodeId, offer: Arc<Offer>, full_lists: u32) {
        self.claims.push(Claim { id, offer, after: full_lists + 1 });
    }

    /// Returns whether any report needs a full list.
    pub(crate) fn is_open(&self) -> bool {
        !self.not_found.is_empty() || self.has_claims()
    }

    pub(crate) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// Confirms the claim for a shard that a list shows as closed.
    pub(crate) fn confirm_end(&mut self, key: &ShardKey) {
        self.claims.retain(|claim| {
            let is_confirmed = claim.id.key == *key;
            if is_confirmed {
                claim.offer.confirm_end();
            }
            !is_confirmed
        });
    }

    /// Forgets the claim for a shard that was closed.
    pub(crate) fn forget_claim(&mut self, id: &NodeId) {
        self.claims.retain(|claim| claim.id != *id);
    }

    /// Notes that a full listing begins after all reports up to now.
    pub(crate) fn listing_begins(&mut self, full_lists: u32) {
        for not_found in &mut self.not_found {
            not_found.after = not_found.after.min(full_lists);
        }
        for claim in &mut self.claims {
            claim.after = claim.after.min(full_lists);
        }
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&NodeId) -> bool) {
        self.not_found.retain(|not_found| keep(&not_found.id));
        self.resolved.retain(|resolved| keep(&resolved.id));
        self.claims.retain(|claim| keep(&claim.id));
    }

    /// Decides about the reports at the end of the full list of this number. A claim that is left
    /// is refused: the list does not show its shard as closed.
    pub(crate) fn resolve(&mut self, full_list: u32, is_listed: impl Fn(&NodeId) -> bool) {
        self.claims.retain(|claim| {
            let is_refused = claim.after < full_list;
            if is_refused {
                claim.offer.refuse_end();
            }
            !is_refused
        });
        let decided = self.not_found.extract_if(.., |report| report.after < full_list);
        self.resolved.extend(decided.map(|NotFound { id, offer, .. }| {
            let is_listed = is_listed(&id);
            Resolved { id, offer, is_listed }
        }));
    }

    /// Decides about all reports, since no list will come: shards that were not found are unlisted,
    /// and claims are left to their readers.
    pub(crate) fn resolve_without_list(&mut self) {
        self.claims.clear();
        let not_found = self.not_found.drain(..);
        self.resolved.extend(not_found.map(|NotFound { id, offer, .. }| Resolved {
            id,
            offer,
            is_listed: false,
        }));
    }

    pub(crate) fn next_resolved(&mut self) -> Option<Resolved> {
        self.resolved.pop_front()
    }
}
