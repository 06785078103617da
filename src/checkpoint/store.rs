//! The trait of stores that keep checkpoints.

use std::sync::Arc;

use aws_sdk_kinesis::types::{ChildShard, Shard};
use futures::future::BoxFuture;
use tokio::time::{Duration, timeout};

use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;

/// The error of a [`CheckpointStore`]: any error type of the store. See the example there.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// A store that keeps the checkpoints of streams.
///
/// [`MemoryStore`](super::MemoryStore), `FileStore` and `DynamoDbStore` are such stores. A store of
/// your own takes some 30 lines.
///
/// # What a store may expect
///
/// * [`load`](Self::load) is called once, at the start. Nothing is read later.
/// * For one shard, one call at a time is in flight. Up to 16 shards are saved concurrently.
/// * The checkpoint of a shard never moves back until the shard is forgotten, with one exception: a
///   [`Start`](Checkpoint::Start) replaces any stored checkpoint. It is saved when the stream was
///   deleted and created again, so that the shard is a new one. (If the old one were forgotten
///   first, a crash in between would lose the start.) If instead Kinesis refuses the stored
///   sequence number twice in a row, the start is saved only when a record after it is acknowledged
///   or the shard has ended: the run may use another account or region by mistake.
/// * A call without a response within [`save_timeout`](super::CheckpointOptions::save_timeout) is
///   dropped, and counts as failed.
///
/// # What a store must do
///
/// * When `save` or `forget` returns `Ok`, the change is durable: it survives a crash of this
///   process, and any other failure that the store is meant to survive. The children of a shard
///   open after that.
/// * When `save` or `forget` returns `Err` or is dropped, the change may or may not have taken
///   effect: the same or a later change follows. But a failed change must not take effect *after* a
///   later call for the same shard.
/// * `save` refuses a checkpoint that is not [valid](Checkpoint::validate): a stored one could not
///   be loaded, and the consumer would not start.
/// * Two streams of one name, in two regions or accounts, are distinguished by their ARNs: the key
///   of a stream is [`StreamId::as_str`]. `load` refuses a bare name where checkpoints of an ARN
///   with that name are kept, and the other way round: see [`StreamId::check_unambiguous`].
/// * Calls should return soon. A shard is not saved again while its call is in flight, and the call
///   is one of the 16.
///
/// `kinesis_shards::testing::check_store` checks all of this.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use futures::future::{BoxFuture, FutureExt};
/// use kinesis_shards::StreamId;
/// use kinesis_shards::checkpoint::{Checkpoint, CheckpointStore, Save, StoreError};
///
/// /// A map from text to text, as a key-value database is.
/// #[derive(Default)]
/// struct MyStore(Mutex<HashMap<(String, String), String>>);
///
/// impl CheckpointStore for MyStore {
///     fn load<'a>(
///         &'a self,
///         stream: &'a StreamId,
///     ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
///         async move {
///             let rows = self.0.lock().unwrap();
///             stream.check_unambiguous(rows.keys().map(|(of, _)| of.as_str()))?;
///             let rows = rows.iter().filter(|((of, _), _)| of == stream.as_str());
///             rows.map(|((_, shard), text)| Ok((shard.clone(), text.parse()?))).collect()
///         }
///         .boxed()
///     }
///
///     fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
///         async move {
///             save.checkpoint.validate()?;
///             let key = (save.stream.as_str().to_owned(), save.shard_id().to_owned());
///             self.0.lock().unwrap().insert(key, save.checkpoint.to_string());
///             Ok(())
///         }
///         .boxed()
///     }
///
///     fn forget<'a>(
///         &'a self,
///         stream: &'a StreamId,
///         shard_id: &'a str,
///     ) -> BoxFuture<'a, Result<(), StoreError>> {
///         async move {
///             let key = (stream.as_str().to_owned(), shard_id.to_owned());
///             self.0.lock().unwrap().remove(&key);
///             Ok(())
///         }
///         .boxed()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// kinesis_shards::testing::check_store(&MyStore::default()).await;
/// # }
/// ```
pub trait CheckpointStore: Send + Sync {
    /// Loads the checkpoints of the stream: the id and checkpoint of each shard, in any order.
    /// Empty if the store has none. The [children](Save::children) that an end has named may be
    /// among them, at the trim horizon.
    ///
    /// # Errors
    ///
    /// If the checkpoints cannot be read or parsed. The consumer does not start then, so that it
    /// does not start over.
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>>;

    /// Saves the checkpoint of a shard in place of the last one.
    ///
    /// # Errors
    ///
    /// If the checkpoint is not known to be durable, or is not [valid](Checkpoint::validate). The
    /// save is retried with the newest checkpoint.
    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Forgets a shard that Kinesis no longer lists. `Ok` if the store has no checkpoint of it.
    ///
    /// # Errors
    ///
    /// If the checkpoint is not known to be removed. The call is retried.
    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Returns a number that this store shares with its clones and with no other store of the
    /// process, such as the address of their shared state. With it, a second reader of a shard is
    /// refused even if it uses other [`Checkpoints`](super::Checkpoints).
    ///
    /// # Default
    ///
    /// `None`: unknown. A store in an [`Arc`] returns the address.
    fn identity(&self) -> Option<usize> {
        None
    }
}

macro_rules! forward {
    ($pointer:ty, $identity:expr) => {
        impl<S: CheckpointStore + ?Sized> CheckpointStore for $pointer {
            fn load<'a>(
                &'a self,
                stream: &'a StreamId,
            ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
                (**self).load(stream)
            }

            fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
                (**self).save(save)
            }

            fn forget<'a>(
                &'a self,
                stream: &'a StreamId,
                shard_id: &'a str,
            ) -> BoxFuture<'a, Result<(), StoreError>> {
                (**self).forget(stream, shard_id)
            }

            fn identity(&self) -> Option<usize> {
                (**self).identity().or_else(|| $identity(self))
            }
        }
    };
}
forward!(Arc<S>, |store: &Self| Some(Arc::as_ptr(store).cast::<()>().addr()));
forward!(Box<S>, |_| None);

/// Fails a call of a store that gets no response within this time.
pub(crate) async fn respond_within<T>(
    limit: Duration,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let response = timeout(limit, call).await;
    let late = |_| Err(format!("no response from the store within {limit:?}").into());
    response.unwrap_or_else(late)
}

/// A checkpoint to be saved: see the example of [`CheckpointStore`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Save<'a> {
    /// The stream, by the name or ARN by which it was loaded. The key is [`StreamId::as_str`].
    pub stream: &'a StreamId,
    /// The shard, as Kinesis described it.
    pub shard: &'a Shard,
    /// The checkpoint.
    pub checkpoint: &'a Checkpoint,
    /// The children of the shard that Kinesis named at its end or lists. Empty unless the
    /// checkpoint is [`Checkpoint::End`].
    pub children: &'a [ChildShard],
}

impl<'a> Save<'a> {
    /// Creates a save without children, for tests of a store.
    #[must_use]
    pub fn new(stream: &'a StreamId, shard: &'a Shard, checkpoint: &'a Checkpoint) -> Self {
        Self { stream, shard, checkpoint, children: &[] }
    }

    /// Adds the shard's children.
    #[must_use]
    pub fn with_children(self, children: &'a [ChildShard]) -> Self {
        Self { children, ..self }
    }

    /// Returns the id of the shard.
    #[must_use]
    pub fn shard_id(&self) -> &'a str {
        self.shard.shard_id()
    }
}
