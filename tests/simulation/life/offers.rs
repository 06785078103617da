//! What is checked when a shard is offered.

use kinesis_shards::shard::{ParentOutcome, StartPosition};
use tokio::time::{Duration, Instant};

use super::Life;
use crate::id::Id;
use crate::ledger::Truth;
use crate::member::{Member, Rules, State};

impl Life {
    /// Checks that this shard may be offered now, from there, with these parents.
    pub(crate) fn offer(
        &mut self,
        id: Id,
        start: &StartPosition,
        parents: &[(Id, ParentOutcome)],
        rules: &Rules,
        truth: &Truth,
    ) -> Result<(), String> {
        let now = Instant::now();
        if !self.members.contains_key(&id) {
            return Err("no list named it that says what became of its parents".to_owned());
        }
        let may_return = self.may_be_forgotten(id);
        let member = &self.members[&id];
        match member.state {
            State::Known => {}
            _ if member.may_be_buried => {}
            State::HandedBack(at) => {
                let waited = now - at;
                if waited < rules.poll_interval.min(Duration::from_millis(100)) {
                    return Err(format!("it came back after {waited:?} already"));
                }
                if waited > rules.poll_interval + rules.slack_since(at) {
                    return Err(format!("it came back only after {waited:?}"));
                }
            }
            State::Doubted { .. } => {}
            State::Closed(..) if may_return => {}
            // After a run that has gaps, what cannot be told from a descendant of it is read rather
            // than skipped.
            State::Closed(ParentOutcome::BeforeStart, _) if !self.named.is_empty() => {}
            State::Closed(outcome, _) => return Err(format!("it is closed already, {outcome:?}")),
            State::Out => return Err("it is out".to_owned()),
        }
        for parent in &member.firm {
            let parent_member = &self.members[parent];
            let may_be_closed =
                matches!(parent_member.state, State::Doubted { was_omitted: true, .. });
            if !parent_member.is_closed() && !parent_member.vague && !may_be_closed {
                return Err(format!("its parent {parent} is not closed"));
            }
        }
        match start {
            // Once it was forgotten, the run before is as well.
            _ if member.is_closed() => {}
            _ if member.exact.as_ref().is_some_and(|exact| exact != start) => {
                return Err(format!("it starts at {start:?}, not at {:?}", member.exact));
            }
            StartPosition::Latest if member.exact.is_none() && !member.may_start_at_latest => {
                return Err("it starts at Latest".to_owned());
            }
            _ => {}
        }
        if member.state == State::Known && !member.vague && !member.may_be_buried {
            self.check_outcomes(parents)?;
            self.check_delay(id, member, rules, truth)?;
        }
        // A second `Latest` would skip what was written meanwhile.
        let again = match (start, self.latest) {
            (StartPosition::Latest, Some(began)) => StartPosition::Timestamp(began.into()),
            _ => start.clone(),
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.state = State::Out;
            member.exact = Some(again);
        }
        Ok(())
    }

    /// Each parent's outcome is the one that was seen.
    fn check_outcomes(&self, parents: &[(Id, ParentOutcome)]) -> Result<(), String> {
        for (parent, told) in parents {
            let Some(member) = self.members.get(parent) else { continue };
            let State::Closed(outcome, _) = member.state else { continue };
            if outcome != *told
                && !self.may_be_forgotten(*parent)
                && *told != ParentOutcome::Unlisted
            {
                return Err(format!(
                    "it says that its parent {parent} is {told:?}, which is {outcome:?}"
                ));
            }
        }
        Ok(())
    }

    /// Rule 4: no timer between parent and child. A child that is known is offered once the last
    /// parent is closed; while listings succeed and are true, so is one that is not.
    fn check_delay(
        &self,
        id: Id,
        member: &Member,
        rules: &Rules,
        truth: &Truth,
    ) -> Result<(), String> {
        let closed_at = |parent: &Id| match self.members.get(parent)?.state {
            State::Closed(_, at) => Some(at),
            _ => None,
        };
        // A parent that turns up late is waited for too, while there is another to wait for. Nobody
        // has found out yet that the stream was created again: it is a child of that, told by a
        // reader of the old one.
        let Some(parents) = truth.parents(id) else { return Ok(()) };
        let of_parents = parents.iter().filter_map(closed_at).max();
        let mut ready = of_parents.unwrap_or(self.begun).max(member.known_since);
        let by_handle = |parent: &Id| {
            matches!(
                self.members.get(parent).map(|m| m.state),
                Some(State::Closed(ParentOutcome::Completed, _))
            )
        };
        if rules.calm && !parents.is_empty() && parents.iter().all(by_handle) {
            ready = parents.iter().filter_map(closed_at).max().unwrap_or(ready);
            ready = ready.max(truth.born(id).unwrap_or(ready));
            // Closed in Kinesis before it was completed: then its children were there to be found.
            if parents.iter().any(|parent| truth.was_open_when_completed(*parent)) {
                return Ok(());
            }
        }
        let is_doubted = |parent: &Id| {
            matches!(self.members.get(parent).map(|m| m.state), Some(State::Doubted { .. }))
        };
        if parents.iter().any(is_doubted) {
            return Ok(());
        }
        let waited = ready.elapsed();
        if waited > rules.slack_since(ready) {
            return Err(format!("it was kept waiting for {waited:?}"));
        }
        Ok(())
    }
}
