//! What a reader was told and the next full list decides.
//!
//! A shard that is said not to exist has expired, or the client that reads it is not that of the
//! stream, or it is so new that not all of Kinesis knows it. A shard whose end a reader claims has
//! ended, or a response was damaged.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::lineage::graph::ShardGraph;
use crate::lineage::key::ShardKey;
use crate::lineage::node::NodeId;
use crate::shard::handle::Offer;
use crate::shard::outcome::ParentOutcome;

#[derive(Debug, Default)]
pub(crate) struct NotFounds {
    open: Vec<NotFound>,
    resolved: VecDeque<Resolved>,
    claims: Vec<Claim>,
}

/// The claim of a reader that its shard has ended.
#[derive(Debug)]
struct Claim {
    id: NodeId,
    offer: Arc<Offer>,
    /// The number of the first full list that was begun after the claim.
    judged_in: u32,
}

/// A claim that is dropped before a list has judged it is left to its reader.
impl Drop for Claim {
    fn drop(&mut self) {
        self.offer.leave_end_claim();
    }
}

#[derive(Debug)]
struct NotFound {
    id: NodeId,
    offer: Arc<Offer>,
    /// The first full list, by its number, that was begun after the doubt.
    judged_in: u32,
}

#[derive(Debug)]
pub(crate) struct Resolved {
    pub(crate) id: NodeId,
    pub(crate) offer: Arc<Offer>,
    pub(crate) is_listed: bool,
}

impl NotFounds {
    pub(crate) fn is_open(&self) -> bool {
        !self.open.is_empty() || self.has_claims()
    }

    pub(crate) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// A list showed that the shard is closed.
    pub(crate) fn confirm_end(&mut self, key: &ShardKey) {
        self.claims.retain(|claim| {
            let is_it = claim.id.key == *key;
            if is_it {
                claim.offer.confirm_end();
            }
            !is_it
        });
    }

    /// The shard was closed: its claim needs no list.
    pub(crate) fn forget_claim(&mut self, id: &NodeId) {
        self.claims.retain(|claim| claim.id != *id);
    }

    /// The next full list will have been begun after every such report.
    pub(crate) fn listing_begins(&mut self, full_lists: u32) {
        for not_found in &mut self.open {
            not_found.judged_in = not_found.judged_in.min(full_lists + 1);
        }
        for claim in &mut self.claims {
            claim.judged_in = claim.judged_in.min(full_lists + 1);
        }
    }

    pub(crate) fn retain(&mut self, stays: impl Fn(&NodeId) -> bool) {
        self.open.retain(|not_found| stays(&not_found.id));
        self.resolved.retain(|resolved| stays(&resolved.id));
        self.claims.retain(|claim| stays(&claim.id));
    }
}

impl ShardGraph {
    /// Kinesis told a reader that there is no such shard. False if it is one of a stream that is
    /// gone.
    pub(crate) fn not_found(&mut self, id: NodeId, offer: Arc<Offer>) -> bool {
        if self.node(&id).is_none() {
            return false;
        }
        self.wants_full = true;
        // The next may be on its way already, and know less than the reader.
        self.not_founds.open.push(NotFound { id, offer, judged_in: self.full_lists + 2 });
        true
    }

    /// A reader claims that its shard has ended. It waits for the answer, and retries meanwhile.
    pub(crate) fn hear_end_claim(&mut self, id: NodeId, offer: Arc<Offer>) {
        if self.node(&id).is_none() {
            offer.refuse_end();
            return;
        }
        self.wants_full = true;
        self.not_founds.claims.push(Claim { id, offer, judged_in: self.full_lists + 2 });
    }

    /// Judges the claims that the list just taken has left: it showed no such shard as closed.
    fn judge_claims(&mut self) {
        let full_lists = self.full_lists;
        for claim in std::mem::take(&mut self.not_founds.claims) {
            if claim.judged_in > full_lists {
                self.not_founds.claims.push(claim);
                continue;
            }
            claim.offer.refuse_end();
        }
    }

    /// A full list is through.
    pub(crate) fn resolve_not_found(&mut self) {
        if !self.not_founds.is_open() {
            return;
        }
        self.judge_claims();
        let full_lists = self.full_lists;
        for not_found in std::mem::take(&mut self.not_founds.open) {
            if not_found.judged_in > full_lists {
                self.not_founds.open.push(not_found);
                continue;
            }
            let NotFound { id, offer, .. } = not_found;
            let is_listed = self.node(&id).is_some_and(|node| node.last_listed == full_lists);
            self.not_founds.resolved.push_back(Resolved { id, offer, is_listed });
        }
    }

    /// No list will come any more.
    pub(crate) fn resolve_without_list(&mut self) {
        self.not_founds.claims.clear();
        let open = self.not_founds.open.drain(..);
        self.not_founds.resolved.extend(open.map(|NotFound { id, offer, .. }| Resolved {
            id,
            offer,
            is_listed: false,
        }));
    }

    pub(crate) fn next_resolved(&mut self) -> Option<Resolved> {
        self.not_founds.resolved.pop_front()
    }

    /// Closes a shard that a full list did not name: nor has it any child that this list does not.
    pub(crate) fn close_unlisted(&mut self, id: &NodeId) {
        self.end(id, ParentOutcome::Unlisted);
    }
}
