//! What a reader was told and the next full list decides.
//!
//! A shard that is said not to exist has expired, or the client that reads it is not that of the
//! stream, or it is so new that not all of Kinesis knows it. A shard whose end a reader claims has
//! ended, or a response was damaged.

use std::collections::VecDeque;
use std::sync::Arc;

use super::super::key::ShardKey;
use super::super::member::MemberId;
use super::Family;
use crate::ParentOutcome;
use crate::handle::Offer;

#[derive(Debug, Default)]
pub(super) struct Doubts {
    open: Vec<Doubt>,
    judged: VecDeque<Judged>,
    claims: Vec<Claim>,
}

/// The claim of a reader that its shard has ended.
#[derive(Debug)]
struct Claim {
    id: MemberId,
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
struct Doubt {
    id: MemberId,
    offer: Arc<Offer>,
    /// The first full list, by its number, that was begun after the doubt.
    judged_in: u32,
}

#[derive(Debug)]
pub(in crate::lineage) struct Judged {
    pub(in crate::lineage) id: MemberId,
    pub(in crate::lineage) offer: Arc<Offer>,
    pub(in crate::lineage) is_listed: bool,
}

impl Doubts {
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty() || self.has_claims()
    }

    pub(super) fn has_claims(&self) -> bool {
        !self.claims.is_empty()
    }

    /// A list showed that the shard is closed.
    pub(super) fn confirm_end(&mut self, key: &ShardKey) {
        self.claims.retain(|claim| {
            let is_it = claim.id.key == *key;
            if is_it {
                claim.offer.confirm_end();
            }
            !is_it
        });
    }

    /// The shard was closed: its claim needs no list.
    pub(super) fn forget_claim(&mut self, id: &MemberId) {
        self.claims.retain(|claim| claim.id != *id);
    }

    /// The next full list will have been begun after all doubts there are.
    pub(super) fn listing_begins(&mut self, full_lists: u32) {
        for doubt in &mut self.open {
            doubt.judged_in = doubt.judged_in.min(full_lists + 1);
        }
        for claim in &mut self.claims {
            claim.judged_in = claim.judged_in.min(full_lists + 1);
        }
    }

    pub(super) fn retain(&mut self, stays: impl Fn(&MemberId) -> bool) {
        self.open.retain(|doubt| stays(&doubt.id));
        self.judged.retain(|judged| stays(&judged.id));
        self.claims.retain(|claim| stays(&claim.id));
    }
}

impl Family {
    /// Kinesis told a reader that there is no such shard. False if it is one of a stream that is gone.
    pub(in crate::lineage) fn doubt(&mut self, id: MemberId, offer: Arc<Offer>) -> bool {
        if self.member(&id).is_none() {
            return false;
        }
        self.wants_full = true;
        // The next may be on its way already, and know less than the reader.
        self.doubts.open.push(Doubt { id, offer, judged_in: self.full_lists + 2 });
        true
    }

    /// A reader claims that its shard has ended. It waits for the answer, and retries meanwhile.
    pub(in crate::lineage) fn hear_end_claim(&mut self, id: MemberId, offer: Arc<Offer>) {
        if self.member(&id).is_none() {
            offer.refuse_end();
            return;
        }
        self.wants_full = true;
        self.doubts.claims.push(Claim { id, offer, judged_in: self.full_lists + 2 });
    }

    /// Judges the claims that the list just taken has left: it showed no such shard as closed.
    fn judge_claims(&mut self) {
        let full_lists = self.full_lists;
        for claim in std::mem::take(&mut self.doubts.claims) {
            if claim.judged_in > full_lists {
                self.doubts.claims.push(claim);
                continue;
            }
            claim.offer.refuse_end();
        }
    }

    /// A full list is through.
    pub(super) fn judge(&mut self) {
        if !self.doubts.is_open() {
            return;
        }
        self.judge_claims();
        let full_lists = self.full_lists;
        for doubt in std::mem::take(&mut self.doubts.open) {
            if doubt.judged_in > full_lists {
                self.doubts.open.push(doubt);
                continue;
            }
            let Doubt { id, offer, .. } = doubt;
            let is_listed = self.member(&id).is_some_and(|member| member.named_in == full_lists);
            self.doubts.judged.push_back(Judged { id, offer, is_listed });
        }
    }

    /// No list will come any more.
    pub(in crate::lineage) fn judge_without_list(&mut self) {
        self.doubts.claims.clear();
        let open = self.doubts.open.drain(..);
        self.doubts.judged.extend(open.map(|Doubt { id, offer, .. }| Judged { id, offer, is_listed: false }));
    }

    pub(in crate::lineage) fn next_judged(&mut self) -> Option<Judged> {
        self.doubts.judged.pop_front()
    }

    /// Closes a shard that a full list did not name: nor has it any child that this list does not.
    pub(in crate::lineage) fn close_unlisted(&mut self, id: &MemberId) {
        self.end(id, ParentOutcome::Unlisted);
    }
}
