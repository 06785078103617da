//! A stream that was deleted and created again: other shards under the same ids.

use std::collections::HashSet;

use super::super::key::{FirstSequence, ShardKey};
use super::super::member::State;
use super::super::orphans::Orphans;
use super::Family;
use crate::ShardList;

impl Family {
    pub(super) fn is_recreated(&self, list: &ShardList) -> bool {
        !self.members.is_empty()
            && list.shards().any(|shard| {
                let member = self.members.get(&ShardKey::from(shard.shard_id()));
                member.is_some_and(|m| !m.first_sequence.may_become(FirstSequence::of(shard)))
            })
    }

    /// Lets go of a stream that is gone. Handles that are out end into the void.
    pub(super) fn bury(&mut self, list: &ShardList) {
        let never_listed = self.origin.forget_earlier_run();
        self.tell_forgotten(never_listed.into_keys());
        let stay = self.of_the_new_stream(list);
        let (members, gone) =
            std::mem::take(&mut self.members).into_iter().partition(|(key, _)| stay.contains(key));
        self.members = members;
        self.tell_forgotten(gone.into_keys().map(|key| key.to_string()));
        for member in self.members.values_mut() {
            // The children that wait are judged anew, each by its parents in this list.
            if let Some(children) = member.state.children() {
                children.clear();
            }
        }
        self.ready.retain(|(id, _)| stay.contains(&id.key));
        self.doubts.retain(|id| stay.contains(&id.key));
        self.childless.retain(|key| stay.contains(key));
        self.orphans = Orphans::default();
        self.late_links = Vec::new();
        self.waiting = 0;
    }

    /// Partial lists may have named shards of the new stream already, those whose ids the old one did not have: they were offered, and are
    /// not to be offered again. A shard that only its parent has named may be the old stream's.
    fn of_the_new_stream(&self, list: &ShardList) -> HashSet<ShardKey> {
        let stays = |shard| {
            let key = ShardKey::from(aws_sdk_kinesis::types::Shard::shard_id(shard));
            let member = self.members.get(&key)?;
            let is_the_same = member.was_listed && member.first_sequence == FirstSequence::of(shard);
            (is_the_same && !matches!(member.state, State::Waiting(_))).then_some(key)
        };
        list.shards().filter_map(stays).collect()
    }
}
