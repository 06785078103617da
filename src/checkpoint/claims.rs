//! Which shards are being read: each by one reader at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crate::shard::stream_id::StreamId;

/// The shards of one stream that are being read with the checkpoints of one store.
#[derive(Debug, Default)]
pub(crate) struct Claims(Mutex<Held>);

#[derive(Debug, Default)]
struct Held {
    /// By shard, the number of its claim.
    shards: HashMap<String, u64>,
    next: u64,
}

/// The right to read one shard, until it is dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    claims: Arc<Claims>,
    shard: String,
    number: u64,
}

/// Those of all `Checkpoints` of this process, by store and stream.
static CLAIMS: Mutex<Vec<(usize, StreamId, Weak<Claims>)>> = Mutex::new(Vec::new());

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Claims {
    /// Returns the claims of this stream in the store, which every `Checkpoints` of both shares. A
    /// store without an identity is taken for one of its own.
    pub(crate) fn of(store: Option<usize>, stream: &StreamId) -> Arc<Self> {
        let Some(store) = store else { return Arc::default() };
        let mut all = lock(&CLAIMS);
        all.retain(|(.., claims)| claims.strong_count() > 0);
        let known = all.iter().find(|(of, name, _)| (*of, name) == (store, stream));
        if let Some(claims) = known.and_then(|(.., claims)| claims.upgrade()) {
            return claims;
        }
        let claims = Arc::default();
        all.push((store, stream.clone(), Arc::downgrade(&claims)));
        claims
    }

    /// Claims a shard; `None` while another reader has it.
    pub(crate) fn claim(self: &Arc<Self>, shard: &str) -> Option<Claim> {
        let mut held = lock(&self.0);
        if held.shards.contains_key(shard) {
            return None;
        }
        held.next += 1;
        let number = held.next;
        held.shards.insert(shard.to_owned(), number);
        Some(Claim { claims: Arc::clone(self), shard: shard.to_owned(), number })
    }

    /// Takes the claim from whoever has it: the shard was forgotten, and that reader ends.
    pub(crate) fn revoke(&self, shard: &str) {
        lock(&self.0).shards.remove(shard);
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut held = lock(&self.claims.0);
        if held.shards.get(&self.shard) == Some(&self.number) {
            held.shards.remove(&self.shard);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_claimed_once_until_the_claim_is_dropped_or_revoked() {
        let claims = Claims::of(None, &"orders".into());
        let first = claims.claim("a").unwrap();
        assert!(claims.claim("a").is_none() && claims.claim("b").is_some());
        drop(first);
        let revoked = claims.claim("a").unwrap();
        claims.revoke("a");
        let second = claims.claim("a").unwrap();
        drop(revoked);
        assert!(claims.claim("a").is_none(), "that of the second stays");
        drop(second);
        assert!(claims.claim("a").is_some());
    }

    #[test]
    fn claims_are_those_of_a_store_and_a_stream() {
        let of = |store, stream: &str| Claims::of(store, &stream.into());
        let address = usize::MAX;
        let claims = of(Some(address), "orders");
        assert!(Arc::ptr_eq(&claims, &of(Some(address), "orders")));
        for other in
            [of(Some(address), "payments"), of(Some(address - 1), "orders"), of(None, "orders")]
        {
            assert!(!Arc::ptr_eq(&claims, &other));
        }
        let _claim = claims.claim("a");
        drop(claims);
        assert!(of(Some(address), "orders").claim("a").is_none(), "a claim keeps them");
    }
}
