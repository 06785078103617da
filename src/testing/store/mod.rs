//! Tests of the promises that a [`CheckpointStore`] makes.

pub(crate) mod checks;
pub(crate) mod samples;
#[cfg(test)]
mod tests;
pub(crate) mod under_test;

use std::panic::{AssertUnwindSafe, resume_unwind};

use futures::future::FutureExt;

use crate::checkpoint::store::CheckpointStore;
use crate::testing::store::under_test::StoreUnderTest;

/// Checks a store against every promise of [`CheckpointStore`]. Call it in the tests of your store.
///
/// The check uses streams of its own, whose names start with `kinesis-shards-check-` and a random
/// number, and forgets their shards at the end, even if a promise was broken. It can therefore run
/// against a shared server. It saves about 2,000 shards, up to 16 at a time.
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
/// Panics if the store breaks a promise, and names the promise. Also panics if a call takes more
/// than a minute, and outside a tokio runtime with its time driver enabled. Do not pause tokio's
/// clock for a store that waits for a socket, because that minute would then pass at once.
pub async fn check_store<S: CheckpointStore + ?Sized>(store: &S) {
    let store = StoreUnderTest::new(store, fastrand::u64(..));
    let outcome = AssertUnwindSafe(checks::run(&store)).catch_unwind().await;
    store.clean_up().await;
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

/// Checks a store as [`check_store`] does, and that it still has all confirmed saves after it is
/// reopened.
///
/// `open` opens the same store each time. The check drops the store that the previous call returned
/// before it calls `open` again; the last call to that store was confirmed, so no write to a file
/// is in flight. For a store behind a server, `open` can also kill and restart the server.
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
/// Panics as [`check_store`] does.
pub async fn check_store_reopened<S: CheckpointStore>(mut open: impl AsyncFnMut() -> S) {
    let store = open().await;
    check_store(&store).await;
    let run_id = fastrand::u64(..);
    let first = StoreUnderTest::new(&store, run_id);
    let confirmed = checks::before_reopening(&first).await;
    drop(store);

    let store = open().await;
    let second = StoreUnderTest::new(&store, run_id);
    let confirmed = checks::after_reopening(&second, confirmed).await;
    drop(store);

    let store = open().await;
    let third = StoreUnderTest::new(&store, run_id);
    let confirmed = checks::after_reopening(&third, confirmed).await;
    checks::forget_all(&third, confirmed).await;
    third.clean_up().await;
    drop(store);

    let store = open().await;
    checks::all_forgotten(&StoreUnderTest::new(&store, run_id)).await;
}
