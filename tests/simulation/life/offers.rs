//! The checks of an offer.

use kinesis_shards::shard::{ParentOutcome, StartPosition};
use tokio::time::{Duration, Instant};

use super::Life;
use crate::id::{Id, Offered};
use crate::member::{Member, Rules, State};
use crate::truth::Truth;

impl Life {
    /// Checks that this shard may be offered now, with this start and these parents.
    pub(crate) fn offer(
        &mut self,
        offered: Offered,
        start: &StartPosition,
        parents: &[(Id, ParentOutcome)],
        rules: &Rules,
        truth: &Truth,
    ) -> Result<(), String> {
        let (id, now) = (offered.id, Instant::now());
        if !self.members.contains_key(&id) {
            return Err("no list named it together with its parents".to_owned());
        }
        let may_return = self.may_be_forgotten(id);
        let member = &self.members[&id];
        match member.state {
            State::Unoffered => {}
            _ if member.stream_may_be_gone => {}
            State::Abandoned(at) => {
                let waited = now - at;
                if waited < rules.poll_interval.min(Duration::from_millis(100)) {
                    return Err(format!("it was offered again after only {waited:?}"));
                }
                if waited > rules.poll_interval + rules.slack_since(at) {
                    return Err(format!("it was offered again only after {waited:?}"));
                }
            }
            State::NotFound { .. } => {}
            State::Closed(..) if may_return => {}
            // In a resumed run, a shard that may descend from one of the earlier run is read rather
            // than skipped.
            State::Closed(ParentOutcome::BeforeStart, _) if !self.named.is_empty() => {}
            State::Closed(outcome, _) => return Err(format!("it is already closed: {outcome:?}")),
            State::Offered => return Err("its handle is in use".to_owned()),
        }
        for parent in &member.known_parents {
            let parent_member = &self.members[parent];
            let may_be_closed =
                matches!(parent_member.state, State::NotFound { was_omitted: true, .. });
            if !parent_member.is_closed() && !parent_member.is_uncertain && !may_be_closed {
                return Err(format!("its parent {parent} is not closed"));
            }
        }
        match start {
            // A forgotten shard has no progress either.
            _ if member.is_closed() => {}
            _ if member.exact.as_ref().is_some_and(|exact| !rules.allows_start(exact, start)) => {
                return Err(format!("it starts at {start:?}, not at {:?}", member.exact));
            }
            StartPosition::Latest if member.exact.is_none() && !member.may_start_at_latest => {
                return Err("it starts at Latest".to_owned());
            }
            _ => {}
        }
        if member.state == State::Unoffered && !member.is_uncertain && !member.stream_may_be_gone {
            self.check_outcomes(parents)?;
            if !rules.kinesalite_ends {
                self.check_delay(id, member, rules, truth)?;
            }
        }
        // A second start at `Latest` would skip the records written meanwhile.
        let again = match (start, self.latest) {
            (StartPosition::Latest, Some(began)) => StartPosition::Timestamp(began.into()),
            _ => start.clone(),
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.state = State::Offered;
            member.offered = Some(offered);
            member.exact = Some(again);
        }
        Ok(())
    }

    /// Checks that the reported outcome of each parent is the observed one.
    fn check_outcomes(&self, parents: &[(Id, ParentOutcome)]) -> Result<(), String> {
        for (parent, reported) in parents {
            let Some(member) = self.members.get(parent) else { continue };
            let State::Closed(outcome, _) = member.state else { continue };
            if outcome != *reported
                && !self.may_be_forgotten(*parent)
                && *reported != ParentOutcome::Unlisted
            {
                return Err(format!("its parent {parent} is {reported:?} instead of {outcome:?}"));
            }
        }
        Ok(())
    }

    /// Checks rule 4, no timer between parent and child: a known child is offered once its last
    /// parent is closed, and so is an unknown one while listings are reliable.
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
        // A parent that is listed late counts too, while another parent is open. Without parents,
        // the child was named by a reader of the old stream, and no list has shown the new stream
        // yet.
        let Some(parents) = truth.parents(id) else { return Ok(()) };
        let of_parents = parents.iter().filter_map(closed_at).max();
        let mut ready = of_parents.unwrap_or(self.begun).max(member.known_since);
        let by_handle = |parent: &Id| {
            matches!(
                self.members.get(parent).map(|m| m.state),
                Some(State::Closed(ParentOutcome::Completed, _))
            )
        };
        if rules.is_reliable && !parents.is_empty() && parents.iter().all(by_handle) {
            ready = parents.iter().filter_map(closed_at).max().unwrap_or(ready);
            ready = ready.max(truth.born(id).unwrap_or(ready));
            // Only a parent that was closed in Kinesis before it was completed had listed children.
            if parents.iter().any(|parent| truth.was_open_when_completed(*parent)) {
                return Ok(());
            }
        }
        let is_not_found = |parent: &Id| {
            matches!(self.members.get(parent).map(|m| m.state), Some(State::NotFound { .. }))
        };
        if parents.iter().any(is_not_found) {
            return Ok(());
        }
        let waited = ready.elapsed();
        if waited > rules.slack_since(ready) {
            return Err(format!("it waited for {waited:?}"));
        }
        Ok(())
    }
}
