"""Mutations of the crate: bugs of other consumers, and bugs that its design excludes."""

from collections import namedtuple

Mutation = namedtuple("Mutation", "name file old new")

GRAPH = "src/lineage/graph.rs"
START_POLICY = "src/lineage/start_policy.rs"
FETCH = "src/listing/fetch.rs"
LISTS = "src/listing/shard_lists.rs"
POLLING = "src/records/source/polling.rs"
FAN_OUT = "src/records/source/fan_out.rs"

MUTATIONS = [
    Mutation(
        "the adjacent parent is skipped",
        "src/util/received_shard.rs",
        "        [parent, adjacent.filter(|id| !id.is_empty() && parent != Some(*id))]\n",
        "        let _ = adjacent;\n        [parent, None]\n",
    ),
    Mutation(
        "a child is offered when the first of its parents ends",
        GRAPH,
        "if waiting.open_parents().next().is_some() {",
        "if false {",
    ),
    Mutation(
        "children start at Latest",
        START_POLICY,
        "_ if self.full_lists > 0 || follows_a_reader =>",
        "_ if self.full_lists > 1_000_000 =>",
    ),
    Mutation(
        "a dropped handle does not close its shard",
        "src/shard/handle.rs",
        "        if !self.has_ended {\n            self.offer",
        "        if !self.has_ended && self.on_drop == OnDrop::Reoffer {\n            self.offer",
    ),
    Mutation(
        "the end of a handle wakes no task",
        "src/shard/completion.rs",
        "== WAITED_FOR {",
        "== 255 {",
    ),
    Mutation(
        "a shard is forgotten after one full list without it",
        GRAPH,
        "full_lists - node.last_listed < 2",
        "full_lists - node.last_listed < 1",
    ),
    Mutation(
        "no shard is ever forgotten",
        GRAPH,
        "full_lists - node.last_listed < 2",
        "full_lists - node.last_listed < u32::MAX",
    ),
    Mutation(
        "a partial list is trusted to know all parents",
        GRAPH,
        "if !self.extent.is_full() && !parents.iter().flatten().all(knows) {",
        "if false && !parents.iter().flatten().all(knows) {",
    ),
    Mutation(
        "closing a shard without known children causes no listing",
        GRAPH,
        "(self.wants_additions || !self.awaiting_children.is_empty())",
        "false",
    ),
    Mutation(
        "a re-created stream counts as the old one",
        "src/lineage/key.rs",
        "self == now || now == Self::UNKNOWN || self == Self::UNKNOWN || self == Self::ZERO",
        "let _ = now; true",
    ),
    Mutation(
        "an abandoned shard counts as closed",
        "src/lineage/wait.rs",
        "Event::Abandoned(id.clone(), Arc::clone(offer))\n",
        "Event::Closed(id.clone(), ParentOutcome::Dropped, Vec::new())\n",
    ),
    Mutation(
        "only the first page of a listing is read",
        FETCH,
        "Some(next) => token = Some(next),",
        "Some(_) => return Ok(pages),",
    ),
    Mutation(
        "an expired token is an error",
        FETCH,
        "Err(PageError::TokenExpired(_)) if restarts < MAX_RESTARTS",
        "Err(PageError::TokenExpired(_)) if restarts > MAX_RESTARTS",
    ),
    Mutation(
        "a failed listing is retried at once",
        LISTS,
        "ticks.as_mut().reset_after(self.retry_in);",
        "ticks.as_mut().reset_immediately();",
    ),
    Mutation(
        "after an expired iterator the reader starts at its beginning",
        "src/records/source/continuity.rs",
        "_ => StartPosition::At(last.sequence_number.clone()),",
        "_ => { let _ = last; StartPosition::TrimHorizon }",
    ),
    Mutation(
        "an empty page is the end of a shard",
        POLLING,
        "let end = (self.iterator.is_none() && !is_unconfirmed).then_some(children);",
        "let end = (self.iterator.is_none() || records.is_empty()).then_some(children);",
    ),
    Mutation(
        "a dropped reader closes its shard",
        "src/records/plain_reader.rs",
        "_ => handle.abandon(),",
        "_ => handle.complete(),",
    ),
    Mutation(
        "an acknowledgement overtakes earlier ones",
        "src/checkpoint/ack_window.rs",
        "if range.first != self.acknowledged {",
        "if range.first < self.acknowledged {",
    ),
    Mutation(
        "a record does not wait for the record of its key in flight",
        "src/records/by_key.rs",
        "queue.push_back(record);\n            self.count += 1;\n            return None;",
        "let _ = queue;\n            return Some(record);",
    ),
    Mutation(
        "a chunk holds back the last records of a shard",
        "src/records/chunks.rs",
        "if St::Ok::is_chunk_awaited(this.acks) => break",
        "if this.max.get() == 0 && St::Ok::is_chunk_awaited(this.acks) => break",
    ),
    Mutation(
        "children open before the end of their parent is durable",
        "src/checkpoint/reader.rs",
        "State::Finishing(children) => {\n                    ready!(state.poll_durable(cx));",
        "State::Finishing(children) => {\n                    let _ = state.poll_durable(cx);",
    ),
    Mutation(
        "a failed save counts as durable",
        "src/checkpoint/save_task.rs",
        "        if let Err(error) = result {\n",
        "        if let (Err(error), true) = (result, change.revision == 0) {\n",
    ),
    Mutation(
        "records are delivered during the shutdown",
        "src/checkpoint/in_flight.rs",
        "        !is_closed\n",
        "        let _ = is_closed;\n        true\n",
    ),
    Mutation(
        "a subscription begins where the last one began",
        FAN_OUT,
        "_ => self.position.clone(),",
        "_ => self.requested.clone(),",
    ),
    Mutation(
        "after an error the next event of a subscription is taken",
        FAN_OUT,
        "let is_open = matches!(result, Ok(Some(_)));",
        "let is_open = !matches!(result, Ok(None));",
    ),
    Mutation(
        "a subscription may be silent for ever",
        FAN_OUT,
        "const MAX_SILENT_TICKS: u32 = 5;",
        "const MAX_SILENT_TICKS: u32 = u32::MAX;",
    ),
    Mutation(
        "a shard that is being given away stays subscribed",
        "src/checkpoint/reader.rs",
        "self.pages.yield_shard(cx);",
        "self.pages.poll_in_flight(cx);",
    ),
    Mutation(
        "a worker whose events another subscriber gets trusts its lease",
        "src/checkpoint/reader.rs",
        "lease.report_takeover();",
        "let _ = lease;",
    ),
    Mutation(
        "a time of kinesalite is read as milliseconds",
        "src/cbor/deserializer.rs",
        "const MIN_MILLIS: i64 = 100_000_000_000;",
        "const MIN_MILLIS: i64 = 1;",
    ),
]
