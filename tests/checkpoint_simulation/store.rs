//! A store with random faults: it fails, responds late or never, panics, and keeps or loses the
//! saves that it does not confirm.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use futures::future::{BoxFuture, FutureExt};
use kinesis_shards::StreamId;
use kinesis_shards::checkpoint::{Checkpoint, CheckpointStore, Save, StoreError};
use tokio::time::{Instant, sleep};

use crate::oracle::Oracle;

#[derive(Clone)]
pub(crate) struct Store {
    pub(crate) oracle: Arc<Mutex<Oracle>>,
    pub(crate) faults: Arc<Mutex<StoreFaults>>,
}

pub(crate) struct StoreFaults {
    pub(crate) rng: Rng,
    /// The share of calls that fail, in thousandths.
    pub(crate) rate: u32,
    /// The end of an outage, in which every call fails.
    pub(crate) down_until: Option<Instant>,
}

/// A call in flight, which may be dropped at any point.
struct Call<'a> {
    store: &'a Store,
    shard: &'a str,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.store.oracle.lock().unwrap().end_save(self.shard);
    }
}

impl Store {
    /// Draws the faults before the write and after it.
    fn draw_faults(&self) -> [Option<StoreFault>; 2] {
        let mut faults = self.faults.lock().unwrap();
        let is_down = faults.down_until.is_some_and(|until| Instant::now() < until);
        let rate = if is_down { 1_000 } else { faults.rate };
        let mut draw = || {
            (faults.rng.u32(..1_000) < rate).then(|| match faults.rng.u32(..5) {
                0 if !is_down => StoreFault::Late(Duration::from_millis(faults.rng.u64(..3_000))),
                1 if !is_down => StoreFault::Panics,
                2 => StoreFault::NeverResponds,
                _ => StoreFault::Fails,
            })
        };
        [draw(), draw()]
    }

    async fn write(&self, shard: &str, write: impl FnOnce(&mut Oracle)) -> Result<(), StoreError> {
        self.oracle.lock().unwrap().begin_save(shard);
        let _call = Call { store: self, shard };
        let [before, after] = self.draw_faults();
        apply(before).await?;
        write(&mut self.oracle.lock().unwrap());
        apply(after).await?;
        self.oracle.lock().unwrap().confirmed_saves += 1;
        Ok(())
    }
}

enum StoreFault {
    Fails,
    Late(Duration),
    /// No response comes.
    NeverResponds,
    Panics,
}

async fn apply(fault: Option<StoreFault>) -> Result<(), StoreError> {
    tokio::task::yield_now().await;
    match fault {
        None => Ok(()),
        Some(StoreFault::Fails) => Err("the store fails, as scripted".into()),
        Some(StoreFault::Panics) => panic!("the store panics, as scripted"),
        Some(StoreFault::NeverResponds) => std::future::pending().await,
        Some(StoreFault::Late(time)) => {
            sleep(time).await;
            Ok(())
        }
    }
}

impl CheckpointStore for Store {
    fn load<'a>(
        &'a self,
        _: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        async move { Ok(self.oracle.lock().unwrap().rows.clone().into_iter().collect()) }.boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        self.write(save.shard_id(), move |oracle| oracle.save(save.shard_id(), save.checkpoint))
            .boxed()
    }

    fn forget<'a>(
        &'a self,
        _: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.write(shard_id, move |oracle| oracle.forget(shard_id)).boxed()
    }
}
