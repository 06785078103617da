//! Remembering how far each shard was processed.

mod ack;
mod auto_ack;
mod checkpoints;
mod children;
mod claims;
#[cfg(feature = "dynamodb")]
mod dynamodb;
mod entry;
mod event;
#[cfg(feature = "file")]
mod file;
mod ledger;
mod memory;
mod options;
mod position;
mod reader;
mod records;
mod resume;
mod saver;
mod shards;
mod shared;
mod store;
mod waiters;

pub use ack::{Ack, UnackedRecord};
pub use auto_ack::AutoAck;
pub use checkpoints::{Checkpoints, LoadError, Stopped};
#[cfg(feature = "dynamodb")]
pub use dynamodb::{DynamoDbStore, DynamoDbStoreError};
pub use event::{CheckpointEvent, CheckpointEventKind};
#[cfg(feature = "file")]
pub use file::{FileStore, FileStoreError};
pub use memory::MemoryStore;
pub use options::CheckpointOptions;
pub use position::{Checkpoint, ParseCheckpointError};
pub use shards::{CheckpointedShard, CheckpointedShards};
pub use store::{CheckpointStore, Save, StoreError};
