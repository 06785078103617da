//! The list of shards that a run with an end waits for.

/// The last full list of a run that ends when all its shards are read.
///
/// A shard that was created meanwhile must be in a full list that was requested after the last
/// shard was read. If that list names no other shard to read, the run ends.
#[derive(Debug, Default)]
pub(crate) struct FinalList {
    /// Full lists with greater numbers were requested after the last shard had ended.
    after: u32,
    is_received: bool,
    /// Whether a full list should be requested. After a failed listing, the source of the lists
    /// requests the next one.
    is_wanted: bool,
}

impl FinalList {
    /// Notes that a shard has ended. `full_lists` have been taken in before.
    pub(crate) fn shard_ends(&mut self, full_lists: u32) {
        // The next full list may be in flight.
        *self = Self { after: full_lists + 1, is_received: false, is_wanted: true };
    }

    /// Notes that a full listing begins.
    pub(crate) fn listing_begins(&mut self, full_lists: u32) {
        self.after = self.after.min(full_lists);
    }

    /// Notes the end of the full list of this number.
    pub(crate) fn end_list(&mut self, full_list: u32) {
        self.is_received = self.after < full_list;
        self.is_wanted = !self.is_received;
    }

    pub(crate) fn is_received(&self) -> bool {
        self.is_received
    }

    /// Returns whether a full list should be requested, once.
    pub(crate) fn take_wanted(&mut self) -> bool {
        std::mem::take(&mut self.is_wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_list_that_was_requested_after_the_last_end_is_final() {
        let mut list = FinalList::default();
        list.shard_ends(1);
        assert!(list.take_wanted() && !list.take_wanted());
        list.end_list(2);
        assert!(!list.is_received(), "it was in flight");
        assert!(list.take_wanted());
        list.listing_begins(2);
        list.end_list(3);
        assert!(list.is_received() && !list.take_wanted());
        list.shard_ends(3);
        assert!(!list.is_received());
    }

    #[test]
    fn a_run_without_shards_to_read_ends_with_its_first_list() {
        let mut list = FinalList::default();
        assert!(!list.is_received() && !list.take_wanted());
        list.end_list(1);
        assert!(list.is_received());
    }
}
