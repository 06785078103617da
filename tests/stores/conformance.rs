//! The checks that every store passes, on each back end.

use std::collections::{HashMap, HashSet};

use futures::future::{BoxFuture, FutureExt};
use kinesis_shards::checkpoint::{Checkpoint, CheckpointStore, Save, StoreError};
use kinesis_shards::testing::check_store_reopened;
use kinesis_shards::{DynamoDbStore, StreamId};
use tokio::sync::Mutex;

use crate::backend::Backend;
use crate::dynamodb::dynamodb;
use crate::location::StoreLocation;

pub(crate) async fn run(backend: Backend) -> Result<(), String> {
    let location = StoreLocation::new(backend).await?;
    match backend {
        Backend::Ministack | Backend::Moto => {
            let client = dynamodb(location.address());
            check_store_reopened(async || Tables {
                client: client.clone(),
                stores: Mutex::default(),
                saved: Mutex::default(),
            })
            .await;
        }
        _ => {
            let open = async || backend.open(location.address()).await.expect("the store opens");
            check_store_reopened(open).await;
        }
    }
    Ok(())
}

/// A table for each stream, because a table holds the checkpoints of one stream.
struct Tables {
    client: aws_sdk_dynamodb::Client,
    stores: Mutex<HashMap<String, DynamoDbStore>>,
    /// The streams and shards that were saved and not forgotten.
    saved: Mutex<HashSet<(String, String)>>,
}

impl Tables {
    /// Returns the store of a stream, which has loaded once, as that of a consumer has.
    async fn of(&self, stream: &StreamId) -> Result<DynamoDbStore, StoreError> {
        let mut stores = self.stores.lock().await;
        if let Some(store) = stores.get(stream.as_str()) {
            return Ok(store.clone());
        }
        let store = DynamoDbStore::new(&self.client, stream.as_str().replace([':', '/'], "_"));
        store.create_table_if_missing().await?;
        store.load(stream).await?;
        stores.insert(stream.as_str().to_owned(), store.clone());
        Ok(store)
    }
}

impl CheckpointStore for Tables {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        async move {
            let saved = self.saved.lock().await.clone();
            stream.check_unambiguous(saved.iter().map(|(of, _)| of.as_str()))?;
            self.of(stream).await?.load(stream).await
        }
        .boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let key = (save.stream.as_str().to_owned(), save.shard_id().to_owned());
            self.saved.lock().await.insert(key);
            self.of(save.stream).await?.save(save).await
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let key = (stream.as_str().to_owned(), shard_id.to_owned());
            self.saved.lock().await.remove(&key);
            self.of(stream).await?.forget(stream, shard_id).await
        }
        .boxed()
    }
}
