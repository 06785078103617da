//! A shard's row as a store saw it last, and who may move it since.

use tokio::time::{Duration, Instant};

use crate::checkpoint::dynamodb::row::LeaseRow;
use crate::checkpoint::value::Checkpoint;
use crate::shard::position::StartPosition;

/// The row of one shard, as a store knows it.
#[derive(Debug, Default)]
pub(crate) struct RowCache {
    /// The row as it was read or written last. `None` if there is no row, or it was never read.
    pub(crate) row: Option<CachedRow>,
    /// Whether the row exists, although it was never read.
    exists: bool,
    /// The counter that another consumer has left, and since when it has been seen.
    foreign_write: Option<(u64, Instant)>,
}

#[derive(Clone, Debug)]
pub(crate) struct CachedRow {
    counter: u64,
    /// Whether the row was read by a scan, and not moved by this store since.
    is_loaded: bool,
    /// The checkpoint that another consumer has left, until this store is as far.
    ahead: Option<Checkpoint>,
}

impl CachedRow {
    pub(crate) fn loaded(lease: &LeaseRow) -> Self {
        Self { counter: lease.counter, is_loaded: true, ahead: None }
    }

    pub(crate) fn written(counter: u64) -> Self {
        Self { counter, is_loaded: false, ahead: None }
    }

    pub(crate) fn counter(&self) -> u64 {
        self.counter
    }

    /// Returns whether the row is further on than this checkpoint. Then the row is not written, and
    /// the checkpoint counts as durable.
    pub(crate) fn is_ahead_of(&self, checkpoint: &Checkpoint) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| ahead.is_further_than(checkpoint))
    }
}

impl RowCache {
    pub(crate) fn of(row: CachedRow) -> Self {
        Self { row: Some(row), ..Self::default() }
    }

    /// Notes that the row exists.
    pub(crate) fn note_row(&mut self) {
        self.exists = true;
    }

    /// Returns whether the row is known to exist.
    pub(crate) fn has_row(&self) -> bool {
        self.exists || self.row.is_some()
    }

    /// Claims a row that was moved since it was seen last. Returns whether this store may move it
    /// `to` a checkpoint, or delete it.
    ///
    /// * The store may claim a row that it wrote itself: the response may have been lost, or the
    ///   SDK may have retried the request.
    /// * The store may claim a row that was moved once since the scan: the last consumer may have
    ///   been killed with a write in flight, at most one for each shard.
    /// * The store may claim a row of a shard that no consumer has started.
    /// * Any other row belongs to the consumer that moves it. As the KCL does, the store claims it
    ///   when it has not been moved for the failover time.
    pub(crate) fn try_claim(
        &mut self,
        lease: &LeaseRow,
        me: &str,
        to: Option<&Checkpoint>,
        failover: Duration,
    ) -> bool {
        let is_mine = lease.last_store() == Some(me);
        if !is_mine && !self.is_free(lease, to) && !self.is_still(lease.counter, failover) {
            return false;
        }
        self.foreign_write = None;
        // The store's own write is older than this save, also if the shard is started over.
        let is_newest = is_mine && matches!(to, Some(Checkpoint::Start(_)));
        let ahead = (!is_newest).then(|| lease.checkpoint.clone());
        self.row = Some(CachedRow { counter: lease.counter, is_loaded: false, ahead });
        true
    }

    fn is_free(&self, lease: &LeaseRow, to: Option<&Checkpoint>) -> bool {
        if lease.holder().is_some() {
            return false;
        }
        match &self.row {
            Some(seen) => {
                seen.is_loaded && lease.last_store().is_some() && lease.counter == seen.counter + 1
            }
            None if to.is_none() => true,
            None => match &lease.checkpoint {
                Checkpoint::Start(StartPosition::TrimHorizon) => true,
                Checkpoint::Start(_) => lease.last_store().is_some(),
                _ => false,
            },
        }
    }

    fn is_still(&mut self, counter: u64, failover: Duration) -> bool {
        match self.foreign_write {
            Some((left, since)) if left == counter => since.elapsed() >= failover,
            _ => {
                self.foreign_write = Some((counter, Instant::now()));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::dynamodb::row::Writer;

    const FAILOVER: Duration = Duration::from_secs(10);

    fn after(number: &str) -> Checkpoint {
        Checkpoint::After { sequence_number: number.to_owned(), sub_sequence_number: None }
    }

    fn start() -> Checkpoint {
        Checkpoint::Start(StartPosition::TrimHorizon)
    }

    fn lease(counter: u64, store: Option<&str>, checkpoint: Checkpoint) -> LeaseRow {
        let no_parents = std::iter::empty();
        let writer = Writer { run: store.unwrap_or_default().to_owned(), counter };
        let row = LeaseRow::new("shardId-000000000000", no_parents, None, checkpoint, writer);
        LeaseRow { writer: row.writer.filter(|_| store.is_some()), ..row }
    }

    /// Claims the row to save this checkpoint. Returns whether it is written then.
    fn writes(known: &mut RowCache, lease: &LeaseRow, to: &Checkpoint) -> Option<bool> {
        let is_claimed = known.try_claim(lease, "me", Some(to), FAILOVER);
        is_claimed.then(|| !known.row.as_ref().unwrap().is_ahead_of(to))
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_claims_its_own_write_whatever_the_counter() {
        for counter in [0, 8, 9, 10] {
            let mine = lease(counter, Some("me"), after("7"));
            assert_eq!(
                writes(&mut RowCache::of(CachedRow::written(7)), &mine, &after("8")),
                Some(true)
            );
            assert_eq!(writes(&mut RowCache::default(), &mine, &after("8")), Some(true));
            // The shard is started over; or the table was loaded before an old write took effect.
            assert_eq!(
                writes(&mut RowCache::of(CachedRow::written(7)), &mine, &start()),
                Some(true)
            );
            assert_eq!(
                writes(&mut RowCache::of(CachedRow::written(7)), &mine, &after("6")),
                Some(false)
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_claims_the_last_write_of_a_killed_consumer() {
        let loaded = || RowCache::of(CachedRow::loaded(&lease(7, Some("before"), after("3"))));
        assert_eq!(
            writes(&mut loaded(), &lease(8, Some("before"), after("5")), &after("6")),
            Some(true)
        );
        assert_eq!(
            writes(&mut loaded(), &lease(8, Some("before"), after("5")), &after("4")),
            Some(false)
        );
        // The consumer had at most one write in flight, and a worker of the KCL none.
        assert_eq!(writes(&mut loaded(), &lease(9, Some("before"), after("5")), &after("6")), None);
        assert_eq!(writes(&mut loaded(), &lease(8, None, after("5")), &after("6")), None);
        // Later the row is this store's.
        let mut written = RowCache::of(CachedRow::written(8));
        assert_eq!(writes(&mut written, &lease(9, Some("before"), after("5")), &after("6")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_claims_a_row_that_no_consumer_has_started() {
        let mut none = RowCache::default();
        assert_eq!(writes(&mut none, &lease(0, None, start()), &after("6")), Some(true));
        assert_eq!(
            writes(&mut RowCache::default(), &lease(0, Some("another"), start()), &start()),
            Some(true)
        );
        assert_eq!(
            writes(&mut RowCache::default(), &lease(0, Some("another"), after("5")), &start()),
            None
        );
        let owned = LeaseRow { owner: Some("worker-1".to_owned()), ..lease(0, None, start()) };
        assert_eq!(writes(&mut RowCache::default(), &owned, &start()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_of_another_consumer_is_claimed_after_the_failover_time() {
        let mut held = RowCache::of(CachedRow::written(7));
        let owned = |counter| LeaseRow {
            owner: Some("worker-1".to_owned()),
            ..lease(counter, None, after("20"))
        };
        for counter in 8..12 {
            assert_eq!(writes(&mut held, &owned(counter), &after("9")), None);
            tokio::time::advance(FAILOVER.mul_f64(0.9)).await;
            assert_eq!(writes(&mut held, &owned(counter), &after("9")), None);
        }
        tokio::time::advance(FAILOVER.mul_f64(0.2)).await;
        assert_eq!(writes(&mut held, &owned(11), &after("9")), Some(false));
        // The checkpoint is kept until this store is as far.
        let row = held.row.unwrap();
        assert!(row.is_ahead_of(&after("19")) && row.is_ahead_of(&start()));
        assert!(!row.is_ahead_of(&after("20")) && !row.is_ahead_of(&Checkpoint::End));
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_another_store_has_only_started_is_claimed() {
        for start in [StartPosition::TrimHorizon, StartPosition::Latest] {
            let started = lease(0, Some("another"), Checkpoint::Start(start));
            assert_eq!(writes(&mut RowCache::default(), &started, &after("6")), Some(true));
        }
        // A worker of the KCL may have begun at the tip.
        let latest = lease(0, None, Checkpoint::Start(StartPosition::Latest));
        assert_eq!(writes(&mut RowCache::default(), &latest, &after("6")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_was_never_seen_may_be_deleted_unless_a_worker_holds_it() {
        let left = lease(3, None, after("5"));
        assert!(RowCache::default().try_claim(&left, "me", None, FAILOVER));
        let owned = LeaseRow { owner: Some("worker-1".to_owned()), ..left };
        assert!(!RowCache::default().try_claim(&owned, "me", None, FAILOVER));
    }

    #[test]
    fn a_row_exists_once_it_was_noted_or_seen() {
        let mut row = RowCache::default();
        assert!(!row.has_row());
        row.note_row();
        assert!(row.has_row());
        assert!(RowCache::of(CachedRow::written(1)).has_row());
    }
}
