//! Which shards are being read: each by one reader at a time.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::shard::stream_id::StreamId;

/// The claims of one `Checkpoints` to shards. All `Checkpoints` with the same store and stream
/// share one table of claims.
#[derive(Debug)]
pub(crate) struct Claims {
    table: Arc<Mutex<Table>>,
    holder: u64,
}

/// The shards of one stream that are being read with one store.
#[derive(Debug, Default)]
struct Table {
    /// The current claim of each shard.
    current: HashMap<String, ClaimId>,
    claims: u64,
    holders: u64,
    /// The holders that may not claim a shard again.
    released: HashSet<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ClaimId {
    holder: u64,
    number: u64,
}

/// The right to read one shard, until it is dropped, revoked or released.
#[derive(Debug)]
pub(crate) struct Claim {
    table: Arc<Mutex<Table>>,
    shard: String,
    id: ClaimId,
}

/// The table of one stream in the store with this identity.
struct KnownTable {
    store: usize,
    stream: StreamId,
    table: Weak<Mutex<Table>>,
}

/// The tables of this process.
static TABLES: Mutex<Vec<KnownTable>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Returns the table of a stream in a store. A store without an identity shares no table.
fn table_of(store: Option<usize>, stream: &StreamId) -> Arc<Mutex<Table>> {
    let Some(store) = store else { return Arc::default() };
    let mut tables = lock(&TABLES);
    tables.retain(|known| known.table.strong_count() > 0);
    let known = tables.iter().find(|known| known.store == store && known.stream == *stream);
    if let Some(table) = known.and_then(|known| known.table.upgrade()) {
        return table;
    }
    let table = Arc::default();
    tables.push(KnownTable { store, stream: stream.clone(), table: Arc::downgrade(&table) });
    table
}

impl Claims {
    pub(crate) fn new(store: Option<usize>, stream: &StreamId) -> Self {
        let table = table_of(store, stream);
        let holder = {
            let mut table = lock(&table);
            table.holders += 1;
            table.holders
        };
        Self { table, holder }
    }

    /// Claims a shard. Returns `None` while another reader has it, and after
    /// [`release_all`](Self::release_all).
    pub(crate) fn claim(&self, shard: &str) -> Option<Claim> {
        let mut table = lock(&self.table);
        if table.current.contains_key(shard) || table.released.contains(&self.holder) {
            return None;
        }
        table.claims += 1;
        let id = ClaimId { holder: self.holder, number: table.claims };
        table.current.insert(shard.to_owned(), id);
        Some(Claim { table: Arc::clone(&self.table), shard: shard.to_owned(), id })
    }

    /// Revokes the claim to a shard that was forgotten, whichever reader has it: that reader ends.
    pub(crate) fn revoke(&self, shard: &str) {
        lock(&self.table).current.remove(shard);
    }

    /// Releases all claims of this holder, which may not claim a shard again.
    pub(crate) fn release_all(&self) {
        let mut table = lock(&self.table);
        table.released.insert(self.holder);
        table.current.retain(|_, claim| claim.holder != self.holder);
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        lock(&self.table).released.remove(&self.holder);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut table = lock(&self.table);
        if table.current.get(&self.shard) == Some(&self.id) {
            table.current.remove(&self.shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims(store: impl Into<Option<usize>>, stream: &str) -> Claims {
        Claims::new(store.into(), &stream.into())
    }

    #[test]
    fn a_shard_is_claimed_once_until_the_claim_is_dropped_or_revoked() {
        let claims = claims(None, "orders");
        let first = claims.claim("a").unwrap();
        assert!(claims.claim("a").is_none() && claims.claim("b").is_some());
        drop(first);
        let revoked = claims.claim("a").unwrap();
        claims.revoke("a");
        let second = claims.claim("a").unwrap();
        drop(revoked);
        assert!(claims.claim("a").is_none(), "the second claim stays");
        drop(second);
        assert!(claims.claim("a").is_some());
    }

    #[test]
    fn claims_are_shared_by_store_and_stream() {
        let store = usize::MAX;
        let orders = claims(store, "orders");
        let claim = orders.claim("a").unwrap();
        assert!(claims(store, "orders").claim("a").is_none());
        for other in
            [claims(store, "payments"), claims(store - 1, "orders"), claims(None, "orders")]
        {
            assert!(other.claim("a").is_some());
        }
        drop(orders);
        assert!(claims(store, "orders").claim("a").is_none(), "the claim outlives its holder");
        drop(claim);
        assert!(claims(store, "orders").claim("a").is_some());
    }

    #[test]
    fn a_table_that_is_gone_does_not_hide_the_next() {
        let store = usize::MAX - 3;
        drop(claims(store, "orders"));
        let (first, second) = (claims(store, "orders"), claims(store, "orders"));
        let _claim = first.claim("a").unwrap();
        assert!(second.claim("a").is_none());
    }

    #[test]
    fn a_holder_that_is_gone_leaves_nothing_in_the_table() {
        let first = claims(None, "orders");
        let table = Arc::clone(&first.table);
        let claim = first.claim("a");
        first.release_all();
        drop((first, claim));
        let table = lock(&table);
        assert!(table.released.is_empty() && table.current.is_empty());
    }

    #[test]
    fn a_holder_releases_its_own_claims_and_makes_no_more() {
        let store = usize::MAX - 2;
        let (first, second) = (claims(store, "orders"), claims(store, "orders"));
        let (released, _kept) = (first.claim("a").unwrap(), second.claim("b").unwrap());
        first.release_all();
        assert!(first.claim("a").is_none() && first.claim("c").is_none());
        assert!(second.claim("b").is_none());
        let claim = second.claim("a").unwrap();
        drop(released);
        assert!(claims(store, "orders").claim("a").is_none(), "the new claim stays");
        drop(claim);
    }
}
