"""The ways in which the crate is broken on purpose: bugs of today's consumers, and those that this one is built to make impossible."""

from collections import namedtuple

Mutation = namedtuple("Mutation", "name file old new")

FAMILY = "src/lineage/family.rs"
KINSHIP = "src/lineage/family/kinship.rs"
ORIGIN = "src/lineage/origin.rs"
LISTING = "src/shard_lists/listing.rs"
LISTS = "src/shard_lists/mod.rs"
POLLING = "src/records/polling.rs"

MUTATIONS = [
    Mutation(
        "the adjacent parent is skipped",
        "src/shard_list.rs",
        "    [parent, adjacent]\n",
        "    let _ = adjacent;\n    [parent, None]\n",
    ),
    Mutation(
        "a child is free when the first of its parents has ended",
        KINSHIP,
        "if waiting.open_parents().next().is_some() {",
        "if false {",
    ),
    Mutation(
        "children start at Latest",
        ORIGIN,
        "_ if self.full_lists > 0 || follows_a_reader =>",
        "_ if self.full_lists > 1_000_000 =>",
    ),
    Mutation(
        "a handle that is dropped says nothing",
        "src/handle.rs",
        "        if !self.has_ended {\n            self.offer.cell.end(",
        "        if !self.has_ended && self.on_drop == OnDrop::Reoffer {\n            self.offer.cell.end(",
    ),
    Mutation(
        "a handle that ends wakes nobody",
        "src/cell.rs",
        "== WAITED_FOR {",
        "== 255 {",
    ),
    Mutation(
        "a shard is forgotten when one full list leaves it out",
        FAMILY,
        "full_lists - member.named_in < 2",
        "full_lists - member.named_in < 1",
    ),
    Mutation(
        "nothing is ever forgotten",
        FAMILY,
        "full_lists - member.named_in < 2",
        "full_lists - member.named_in < u32::MAX",
    ),
    Mutation(
        "a partial list is trusted to know all parents",
        FAMILY,
        "if !self.extent.is_full() && !parents.iter().flatten().all(knows) {",
        "if false && !parents.iter().flatten().all(knows) {",
    ),
    Mutation(
        "closing a shard with no known child lists nothing",
        FAMILY,
        "(self.wants_additions || !self.childless.is_empty()).then_some(ListRequest::Additions)",
        "None",
    ),
    Mutation(
        "a stream that was created again is taken for the old one",
        "src/lineage/key.rs",
        "self == now || now == Self::UNTOLD || self == Self::UNTOLD || self == Self::ZERO",
        "let _ = now; true",
    ),
    Mutation(
        "what is abandoned counts as closed",
        "src/lineage/wait.rs",
        "Ending::HandedBack => Event::HandedBack(id.clone(), Arc::clone(offer)),",
        "Ending::HandedBack => Event::Closed(id.clone(), ParentOutcome::Dropped, Vec::new()),",
    ),
    Mutation(
        "only the first page of a listing is read",
        LISTING,
        "Some(next) => token = Some(next),",
        "Some(_) => return Ok(pages),",
    ),
    Mutation(
        "an expired token is an error",
        LISTING,
        "if restarts < MOST_RESTARTS",
        "if restarts > MOST_RESTARTS",
    ),
    Mutation(
        "a failed listing is tried again at once",
        LISTS,
        "ticks.as_mut().reset_after(self.retry_in);",
        "ticks.as_mut().reset_immediately();",
    ),
    Mutation(
        "after an expired iterator the reader starts at its beginning",
        POLLING,
        "self.from = StartPosition::After(last.sequence_number.clone());",
        "let _ = last;",
    ),
    Mutation(
        "an empty page is the end of a shard",
        POLLING,
        "let end = self.iterator.is_none().then(|| child_shards.unwrap_or_default());",
        "let end = (self.iterator.is_none() || records.is_empty()).then(|| child_shards.unwrap_or_default());",
    ),
    Mutation(
        "a reader that is dropped closes its shard",
        "src/records/batches.rs",
        "_ => handle.abandon(),",
        "_ => handle.complete(),",
    ),
    Mutation(
        "an acknowledgement passes those before it",
        "src/checkpoint/ledger.rs",
        "if number != self.acknowledged {",
        "if number < self.acknowledged {",
    ),
    Mutation(
        "children open before the end of their parent is durable",
        "src/checkpoint/reader.rs",
        "                State::Finishing(children) => {\n                    ready!(entry.poll_durable(cx));",
        "                State::Finishing(children) => {\n                    let _ = entry.poll_durable(cx);",
    ),
    Mutation(
        "a save that failed counts as durable",
        "src/checkpoint/saver.rs",
        "        if let Err(error) = result {\n",
        "        if let (Err(error), true) = (result, change.revision == 0) {\n",
    ),
    Mutation(
        "what is read when all is stopped is delivered",
        "src/checkpoint/shared.rs",
        "        !is_stopping\n",
        "        let _ = is_stopping;\n        true\n",
    ),
]
