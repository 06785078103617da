//! The back ends of the stores.

use std::fmt;
use std::sync::Arc;

use kinesis_shards::checkpoint::{CheckpointStore, StoreError};
use kinesis_shards::{DynamoDbStore, FileStore};

use crate::dynamodb::dynamodb;
use crate::kind::Kind;

#[path = "../../examples/redis/store.rs"]
mod redis_store;
use redis_store::RedisStore;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    File,
    Ministack,
    Moto,
    Redis,
}

impl Backend {
    pub(crate) const ALL: [Self; 4] = [Self::File, Self::Ministack, Self::Moto, Self::Redis];

    pub(crate) fn server(self) -> Option<Kind> {
        match self {
            Self::File => None,
            Self::Ministack => Some(Kind::Ministack),
            Self::Moto => Some(Kind::Moto),
            Self::Redis => Some(Kind::Redis),
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|backend| backend.to_string() == name)
    }

    /// Opens the store at an address: a path or a port.
    pub(crate) async fn open(self, address: &str) -> Result<Arc<dyn CheckpointStore>, StoreError> {
        Ok(match self {
            Self::File => Arc::new(FileStore::open(address)?),
            Self::Ministack | Self::Moto => {
                let store = DynamoDbStore::new(&dynamodb(address), "crashes");
                store.create_table_if_missing().await?;
                Arc::new(store)
            }
            Self::Redis => {
                Arc::new(RedisStore::connect(&format!("redis://127.0.0.1:{address}/")).await?)
            }
        })
    }
}

impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Ministack => "dynamodb_ministack",
            Self::Moto => "dynamodb_moto",
            Self::Redis => "redis",
        })
    }
}
