//! A store of one's own: Redis, with one hash for each stream.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use kinesis_shards::{Checkpoint, CheckpointStore, Save, StoreError, StreamId};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client};

/// What Redis confirms is as durable as it is configured to be: run it with `appendonly yes` and `appendfsync always`, or what it loses in a crash comes again.
pub(crate) struct RedisStore {
    connection: ConnectionManager,
}

impl RedisStore {
    pub(crate) async fn connect(url: &str) -> Result<Self, StoreError> {
        let config = ConnectionManagerConfig::new().set_response_timeout(Some(Duration::from_secs(5)));
        let connection = Client::open(url)?.get_connection_manager_with_config(config).await?;
        Ok(Self { connection })
    }
}

fn key(stream: &StreamId) -> String {
    format!("kinesis-shards:{}", stream.name())
}

impl CheckpointStore for RedisStore {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        async move {
            let rows: Vec<(String, String)> = self.connection.clone().hgetall(key(stream)).await?;
            rows.into_iter().map(|(shard, checkpoint)| Ok((shard, checkpoint.parse()?))).collect()
        }
        .boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let checkpoint = save.checkpoint.to_string();
            let () = self.connection.clone().hset(key(save.stream), save.shard_id(), checkpoint).await?;
            Ok(())
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let () = self.connection.clone().hdel(key(stream), shard_id).await?;
            Ok(())
        }
        .boxed()
    }
}
