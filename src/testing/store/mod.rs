//! What a [`CheckpointStore`] promises, checked.

mod checks;
mod probe;
mod samples;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::future::FutureExt;

use self::probe::Probe;
use crate::CheckpointStore;

/// Runs all that [`CheckpointStore`] promises on a store: put it into your store's tests.
///
/// It uses streams of its own, whose names begin with `kinesis-shards-check-` and a random number, and forgets them at the end, also when it fails: a server that others use will do. It saves some 2,000 shards, 16 at a time.
///
/// ```
/// use kinesis_shards::MemoryStore;
/// use kinesis_shards::testing::check_store;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// check_store(&MemoryStore::new()).await;
/// # }
/// ```
///
/// # Panics
///
/// If the store breaks a promise; the message says which, or that a call did not answer within a minute. Also outside a tokio runtime with its time driver enabled. Do not pause tokio's clock for a store that waits
/// for a socket: that minute would be over at once.
pub async fn check_store<S: CheckpointStore + ?Sized>(store: &S) {
    let probe = Probe::new(store, fastrand::u64(..));
    let outcome = AssertUnwindSafe(checks::run(&probe)).catch_unwind().await;
    probe.clean_up().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// As [`check_store`], and that what was confirmed is there after reopening. `open` opens the store: always the same one. Between two calls the store it gave last is dropped; nothing of a file is written then that was not
/// confirmed before. For a store behind a server, let it also kill and restart the server.
///
/// ```
/// # #[cfg(feature = "file")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use kinesis_shards::FileStore;
/// use kinesis_shards::testing::check_store_reopened;
///
/// # let dir = std::env::temp_dir().join(format!("check-store-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir).unwrap();
/// # let path = dir.join("checkpoints");
/// check_store_reopened(async || FileStore::open(&path).unwrap()).await;
/// # std::fs::remove_dir_all(dir).unwrap();
/// # }
/// # #[cfg(not(feature = "file"))]
/// # fn main() {}
/// ```
///
/// # Panics
///
/// As [`check_store`].
pub async fn check_store_reopened<S: CheckpointStore>(mut open: impl AsyncFnMut() -> S) {
    let store = open().await;
    check_store(&store).await;
    let run = fastrand::u64(..);
    let first = Probe::new(&store, run);
    let confirmed = checks::before_reopening(&first).await;
    drop(store);

    let store = open().await;
    let second = Probe::new(&store, run);
    let confirmed = checks::after_reopening(&second, confirmed).await;
    drop(store);

    let store = open().await;
    let third = Probe::new(&store, run);
    let confirmed = checks::after_reopening(&third, confirmed).await;
    checks::forget_all(&third, confirmed).await;
    third.clean_up().await;
    drop(store);

    let store = open().await;
    checks::all_forgotten(&Probe::new(&store, run)).await;
}
