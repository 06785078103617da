//! The checkpoints of leased shards: each is saved under the lease of its shard.

use std::sync::{Arc, Weak};

use futures::channel::oneshot;
use futures::future::{BoxFuture, FutureExt, ready};

use crate::checkpoint::store::{CheckpointStore, Save, StoreError};
use crate::checkpoint::value::Checkpoint;
use crate::lease::machine::{Event, SaveError};
use crate::lease::worker::Worker;
use crate::shard::stream_id::StreamId;

/// The store of a worker's checkpoints. The worker owns it, so it knows the worker weakly.
pub(crate) struct LeaseStore(pub(crate) Weak<Worker>);

impl LeaseStore {
    fn worker(&self) -> Result<Arc<Worker>, StoreError> {
        self.0.upgrade().ok_or_else(|| "the worker was dropped".into())
    }
}

impl CheckpointStore for LeaseStore {
    fn load<'a>(
        &'a self,
        _: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        ready(Ok(Vec::new())).boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            save.checkpoint.validate()?;
            let worker = self.worker()?;
            let (sender, saved) = oneshot::channel();
            let id = worker.expect_save(sender);
            worker.step(Event::Save {
                shard_id: save.shard_id().to_owned(),
                id,
                checkpoint: save.checkpoint.clone(),
                children: save.children.to_vec(),
            });
            drop(worker);
            match saved.await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(SaveError::NoLease)) | Err(_) => Err("the lease has ended".into()),
                Ok(Err(SaveError::Failed(failure))) => Err(failure.text.into()),
            }
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        _: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        if let Ok(worker) = self.worker() {
            worker.step(Event::Unlisted(shard_id.to_owned()));
        }
        ready(Ok(())).boxed()
    }
}
