//! What a store knows of a shard's row, and whose the row is when that is not so any more.

use tokio::time::{Duration, Instant};

use crate::checkpoint::dynamodb::row::Lease;
use crate::checkpoint::value::{Checkpoint, compare};
use crate::shard::position::StartPosition;

/// What a store knows of one shard.
#[derive(Debug, Default)]
pub(crate) struct RowCache {
    /// Its row, as it was read or written last. None if there is none, or it was never looked at.
    pub(crate) row: Option<CachedRow>,
    /// The row exists, though it was never read.
    exists: bool,
    /// Another has moved it since: how it was left, and since when it is seen so.
    foreign_write: Option<(u64, Instant)>,
}

#[derive(Clone, Debug)]
pub(crate) struct CachedRow {
    counter: u64,
    /// It was read with the whole table, and not moved by this store since.
    is_loaded: bool,
    /// What another has left there, until this store is as far.
    ahead: Option<Checkpoint>,
}

impl CachedRow {
    pub(crate) fn loaded(lease: &Lease) -> Self {
        Self { counter: lease.counter, is_loaded: true, ahead: None }
    }

    pub(crate) fn written(counter: u64) -> Self {
        Self { counter, is_loaded: false, ahead: None }
    }

    pub(crate) fn counter(&self) -> u64 {
        self.counter
    }

    /// Whether the row is further on than this: then it stays as it is, and is durable.
    pub(crate) fn is_ahead_of(&self, checkpoint: &Checkpoint) -> bool {
        self.ahead.as_ref().is_some_and(|ahead| is_further(ahead, checkpoint))
    }
}

impl RowCache {
    pub(crate) fn of(row: CachedRow) -> Self {
        Self { row: Some(row), ..Self::default() }
    }

    /// Notes that there is a row, of which nothing else is known.
    pub(crate) fn note_row(&mut self) {
        self.exists = true;
    }

    /// Whether there is a row.
    pub(crate) fn has_row(&self) -> bool {
        self.exists || self.row.is_some()
    }

    /// The row was moved since it was seen last: whether this store may move it on, `to` a
    /// checkpoint, or forget it.
    ///
    /// * Its own write may have landed without an answer, or after the SDK had sent it once more.
    /// * The consumer before may have been killed while a write was on its way, one at the most for
    ///   each shard.
    /// * A row that nobody has begun to read is there for whoever does.
    /// * Any other belongs to whoever moves it. Like the Java library this store takes it when it
    ///   has not been moved for the failover time.
    pub(crate) fn try_claim(
        &mut self,
        lease: &Lease,
        me: &str,
        to: Option<&Checkpoint>,
        failover: Duration,
    ) -> bool {
        let is_mine = lease.writer.as_deref() == Some(me);
        if !is_mine && !self.is_free(lease, to) && !self.is_still(lease.counter, failover) {
            return false;
        }
        self.foreign_write = None;
        // What is mine is older than what I save now, also if that begins the shard anew.
        let is_newest = is_mine && matches!(to, Some(Checkpoint::Start(_)));
        let ahead = (!is_newest).then(|| lease.checkpoint.clone());
        self.row = Some(CachedRow { counter: lease.counter, is_loaded: false, ahead });
        true
    }

    fn is_free(&self, lease: &Lease, to: Option<&Checkpoint>) -> bool {
        if lease.owner.is_some() {
            return false;
        }
        match &self.row {
            Some(seen) => {
                seen.is_loaded && lease.writer.is_some() && lease.counter == seen.counter + 1
            }
            None if to.is_none() => true,
            None => match &lease.checkpoint {
                Checkpoint::Start(StartPosition::TrimHorizon) => true,
                Checkpoint::Start(_) => lease.writer.is_some(),
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

/// Whether the first is further on in its shard than the second.
fn is_further(a: &Checkpoint, b: &Checkpoint) -> bool {
    let rank = |checkpoint: &Checkpoint| match checkpoint {
        Checkpoint::Start(_) => 0,
        Checkpoint::After { .. } => 1,
        Checkpoint::End => 2,
    };
    match (a, b) {
        (
            Checkpoint::After { sequence_number: a, sub_sequence_number: a_sub },
            Checkpoint::After { sequence_number: b, sub_sequence_number: b_sub },
        ) => compare((a, *a_sub), (b, *b_sub)).is_gt(),
        _ => rank(a) > rank(b),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILOVER: Duration = Duration::from_secs(10);

    fn after(number: &str) -> Checkpoint {
        Checkpoint::After { sequence_number: number.to_owned(), sub_sequence_number: None }
    }

    fn start() -> Checkpoint {
        Checkpoint::Start(StartPosition::TrimHorizon)
    }

    fn lease(counter: u64, writer: Option<&str>, checkpoint: Checkpoint) -> Lease {
        let (shard_id, writer) = ("shardId-000000000000".to_owned(), writer.map(str::to_owned));
        Lease { shard_id, counter, owner: None, checkpoint, writer }
    }

    /// Adopts the row, to save this; whether that is written.
    fn writes(known: &mut RowCache, lease: &Lease, to: &Checkpoint) -> Option<bool> {
        let is_adopted = known.try_claim(lease, "me", Some(to), FAILOVER);
        is_adopted.then(|| !known.row.as_ref().unwrap().is_ahead_of(to))
    }

    #[tokio::test(start_paused = true)]
    async fn what_this_store_wrote_is_its_own_whatever_the_counter() {
        for counter in [0, 8, 9, 10] {
            let mine = lease(counter, Some("me"), after("7"));
            assert_eq!(
                writes(&mut RowCache::of(CachedRow::written(7)), &mine, &after("8")),
                Some(true)
            );
            assert_eq!(writes(&mut RowCache::default(), &mine, &after("8")), Some(true));
            // The shard is begun anew; or the table was loaded before an old write had landed.
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
    async fn the_last_write_of_a_consumer_that_was_killed_is_gone_on_from() {
        let loaded = || RowCache::of(CachedRow::loaded(&lease(7, Some("before"), after("3"))));
        assert_eq!(
            writes(&mut loaded(), &lease(8, Some("before"), after("5")), &after("6")),
            Some(true)
        );
        assert_eq!(
            writes(&mut loaded(), &lease(8, Some("before"), after("5")), &after("4")),
            Some(false)
        );
        // One is all that it can have had on its way, and a Java worker none.
        assert_eq!(writes(&mut loaded(), &lease(9, Some("before"), after("5")), &after("6")), None);
        assert_eq!(writes(&mut loaded(), &lease(8, None, after("5")), &after("6")), None);
        // From then on the row is this store's.
        let mut written = RowCache::of(CachedRow::written(8));
        assert_eq!(writes(&mut written, &lease(9, Some("before"), after("5")), &after("6")), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_row_that_nobody_has_begun_is_there_for_whoever_does() {
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
        let owned = Lease { owner: Some("worker-1".to_owned()), ..lease(0, None, start()) };
        assert_eq!(writes(&mut RowCache::default(), &owned, &start()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_another_moves_is_taken_once_it_is_still_and_never_goes_back() {
        let mut held = RowCache::of(CachedRow::written(7));
        let owned = |counter| Lease {
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
        // Until it is as far as the row.
        let row = held.row.unwrap();
        assert!(row.is_ahead_of(&after("19")) && row.is_ahead_of(&start()));
        assert!(!row.is_ahead_of(&after("20")) && !row.is_ahead_of(&Checkpoint::End));
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let sub = |number: &str, sub| Checkpoint::After {
            sequence_number: number.to_owned(),
            sub_sequence_number: Some(sub),
        };
        let incarnation = [
            start(),
            sub("9", 0),
            sub("9", 1),
            after("9"),
            sub("10", 9),
            sub("10", 10),
            Checkpoint::End,
        ];
        for (i, a) in incarnation.iter().enumerate() {
            for (j, b) in incarnation.iter().enumerate() {
                assert_eq!(is_further(a, b), i > j, "{a} {b}");
            }
        }
    }
}
