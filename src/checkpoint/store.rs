//! Where checkpoints are kept.

use std::sync::Arc;

use aws_sdk_kinesis::types::{ChildShard, Shard};
use futures::future::BoxFuture;

use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;

/// Why a store could not do what it was asked for.
pub type StoreError = Box<dyn std::error::Error + Send + Sync>;

/// Keeps the checkpoints of streams: [`MemoryStore`](super::MemoryStore), `FileStore` and
/// `DynamoDbStore` do, and a store of your own is some 30 lines.
///
/// # What is promised to it
///
/// * [`load`](Self::load) is called once, at the start. Nothing is ever read again.
/// * For one shard, one call is made at a time: the next begins when the last has answered.
///   Different shards are saved side by side, up to 16.
/// * What is saved of a shard never goes back, until it is forgotten; with one exception. A
///   [`Start`](Checkpoint::Start) takes the place of whatever is kept: the stream was deleted and
///   created again, and the shard is another. (Forgetting it first would leave a moment in which a
///   crash loses where it starts.) Where Kinesis refuses the stored sequence number, twice in a
///   row, that start is saved only when a record is acknowledged after it, or the shard has ended:
///   until then the run may be one against another account or region by mistake.
/// * A call that has not answered within [`save_timeout`](super::CheckpointOptions::save_timeout)
///   is dropped, and counts as failed.
///
/// # What it must keep
///
/// * When `save` or `forget` has answered `Ok`, it is durable: it survives a crash of this process,
///   and of whatever else the store is to survive. A shard's children are opened on the strength of
///   that.
/// * When one has answered `Err`, or was dropped, either may be: the same or a later one is saved
///   again. But what failed must not take effect *after* a later call for the same shard.
/// * A checkpoint that is not [valid](Checkpoint::validate) is refused by `save`: one that was
///   confirmed and cannot be loaded would keep the consumer from starting.
/// * Two streams of one name, in two regions or accounts, are told apart by their ARNs: the key of
///   a stream is [`StreamId::as_str`]. A bare name beside an ARN of that name, or the other way
///   round, is refused when it is loaded: [`StreamId::check_beside`] tells.
/// * It should answer soon. Until it does, or the time is up, the shard is not saved again, and one
///   of the 16 places is taken.
///
/// `kinesis_shards::testing::check_store` runs all of this on your store.
///
/// ```
/// use std::collections::HashMap;
/// use std::sync::Mutex;
///
/// use futures::future::{BoxFuture, FutureExt};
/// use kinesis_shards::StreamId;
/// use kinesis_shards::checkpoint::{Checkpoint, CheckpointStore, Save, StoreError};
///
/// /// Anything that maps text to text.
/// #[derive(Default)]
/// struct MyStore(Mutex<HashMap<(String, String), String>>);
///
/// impl CheckpointStore for MyStore {
///     fn load<'a>(&'a self, stream: &'a StreamId) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
///         async move {
///             let rows = self.0.lock().unwrap();
///             stream.check_beside(rows.keys().map(|(of, _)| of.as_str()))?;
///             let rows = rows.iter().filter(|((of, _), _)| of == stream.as_str());
///             rows.map(|((_, shard), checkpoint)| Ok((shard.clone(), checkpoint.parse()?))).collect()
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
///     fn forget<'a>(&'a self, stream: &'a StreamId, shard_id: &'a str) -> BoxFuture<'a, Result<(), StoreError>> {
///         async move {
///             self.0.lock().unwrap().remove(&(stream.as_str().to_owned(), shard_id.to_owned()));
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
    /// All that is kept of the stream: each shard's id and checkpoint, in any order. Nothing, if it
    /// is not known. The [children](Save::children) that an end has named may be among them, at the
    /// trim horizon.
    ///
    /// # Errors
    ///
    /// If it cannot be read, or is not understood. An error here keeps the consumer from starting,
    /// so that it does not start over.
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>>;

    /// Keeps the shard's checkpoint, in place of the one before.
    ///
    /// # Errors
    ///
    /// If it is not known to be durable, or is not [valid](Checkpoint::validate). It is tried
    /// again, with what is then the newest.
    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Forgets the shard: Kinesis does not list it any more. That nothing is known of it is no
    /// error.
    ///
    /// # Errors
    ///
    /// If it is not known to be gone. It is tried again.
    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>>;

    /// Returns a number that this store shares with its clones, and with no other store of the
    /// process, such as the address of what they share. By it, a second reader of a shard is
    /// refused also if it has [`Checkpoints`](super::Checkpoints) of its own.
    ///
    /// # Default
    ///
    /// `None`: it is not known. Of a store in an [`Arc`], the address.
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

/// A checkpoint that is to be kept.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Save<'a> {
    /// The stream, as it was loaded. Use [`StreamId::as_str`] as the key.
    pub stream: &'a StreamId,
    /// The shard, as Kinesis described it.
    pub shard: &'a Shard,
    /// What to keep.
    pub checkpoint: &'a Checkpoint,
    /// With [`Checkpoint::End`], the shard's children: those that Kinesis named at its end, or that
    /// it lists. Empty if neither names any.
    pub children: &'a [ChildShard],
}

impl<'a> Save<'a> {
    /// A checkpoint of this shard, for tests of a store.
    #[must_use]
    pub fn new(stream: &'a StreamId, shard: &'a Shard, checkpoint: &'a Checkpoint) -> Self {
        Self { stream, shard, checkpoint, children: &[] }
    }

    /// With the shard's children.
    #[must_use]
    pub fn with_children(self, children: &'a [ChildShard]) -> Self {
        Self { children, ..self }
    }

    /// The id of the shard.
    #[must_use]
    pub fn shard_id(&self) -> &'a str {
        self.shard.shard_id()
    }
}
