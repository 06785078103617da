//! Remembering how far each shard was processed.

pub(crate) mod ack_window;
pub(crate) mod acker;
pub(crate) mod auto_ack;
pub(crate) mod checkpoints;
pub(crate) mod children;
pub(crate) mod claims;
#[cfg(feature = "dynamodb")]
pub(crate) mod dynamodb;
pub(crate) mod event;
#[cfg(feature = "file")]
pub(crate) mod file;
pub(crate) mod memory;
pub(crate) mod options;
pub(crate) mod reader;
pub(crate) mod records;
pub(crate) mod resume;
pub(crate) mod save_task;
pub(crate) mod shard_state;
pub(crate) mod shards;
pub(crate) mod shared;
pub(crate) mod store;
pub(crate) mod unacked_batch;
pub(crate) mod value;
pub(crate) mod waiters;

pub use acker::{Acker, UnackedRecord};
pub use auto_ack::AutoAck;
pub use checkpoints::{Checkpoints, LoadError, ShutdownReport};
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoDbStore, DynamoDbStoreError};
pub use event::{CheckpointEvent, CheckpointEventKind};
#[cfg(feature = "file")]
pub use file::{FileStore, FileStoreError};
pub use memory::MemoryStore;
pub use options::CheckpointOptions;
pub use shards::{CheckpointedShard, CheckpointedShards};
pub use store::{CheckpointStore, Save, StoreError};
pub use unacked_batch::UnackedBatch;
pub use value::{Checkpoint, ParseCheckpointError};
