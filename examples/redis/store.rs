//! A store of your own: Redis, with one hash for each stream.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use kinesis_shards::StreamId;
use kinesis_shards::checkpoint::{Checkpoint, CheckpointStore, Save, StoreError};
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands, Client};
use tokio::sync::Mutex;

/// Checkpoints in Redis.
///
/// They are as durable as Redis is configured to be. Run it with `appendonly yes` and `appendfsync
/// always`: the records after a checkpoint that Redis loses in a crash are delivered again.
pub(crate) struct RedisStore {
    connection: ConnectionManager,
    /// The current turn, by the key of the stream.
    ///
    /// A failed write may still arrive, from a closed connection or a killed process, and must not
    /// undo a later one. So each write names its turn, and Redis rejects all but the latest turn. A
    /// new turn begins with each load and after each failed write.
    turns: Mutex<HashMap<String, u64>>,
}

/// Sets or deletes the field of a shard. The empty field of the hash holds the current turn.
const WRITE: &str = "
if redis.call('HGET', KEYS[1], '') ~= ARGV[1] then return redis.error_reply('STALE turn') end
if ARGV[4] then redis.call('SADD', KEYS[2], ARGV[4]) end
if ARGV[3] ~= '' then redis.call('HSET', KEYS[1], ARGV[2], ARGV[3])
else redis.call('HDEL', KEYS[1], ARGV[2]) end";

impl RedisStore {
    pub(crate) async fn connect(url: &str) -> Result<Self, StoreError> {
        let timeout = Some(Duration::from_secs(5));
        let config = ConnectionManagerConfig::new().set_response_timeout(timeout);
        let connection = Client::open(url)?.get_connection_manager_with_config(config).await?;
        Ok(Self { connection, turns: Mutex::default() })
    }

    /// Returns the current turn of a stream. Begins a new turn if the current one is `last`.
    async fn turn(&self, key: &str, last: Option<u64>) -> Result<u64, StoreError> {
        let mut turns = self.turns.lock().await;
        if let Some(turn) = turns.get(key).filter(|turn| last != Some(**turn)) {
            return Ok(*turn);
        }
        let turn = self.connection.clone().hincr(key, "", 1).await?;
        turns.insert(key.to_owned(), turn);
        Ok(turn)
    }

    /// Returns each shard's checkpoint as text.
    async fn rows(&self, stream: &StreamId) -> Result<HashMap<String, String>, StoreError> {
        let mut rows: HashMap<String, String> =
            self.connection.clone().hgetall(key(stream)).await?;
        rows.remove("");
        Ok(rows)
    }

    /// Fails if checkpoints of another stream with this name may belong to this one.
    async fn check_namesakes(&self, stream: &StreamId) -> Result<(), StoreError> {
        let others: Vec<String> = match stream.arn() {
            Some(_) => vec![stream.name().to_owned()],
            None => self.connection.clone().smembers(arns(stream)).await?,
        };
        for other in others {
            if !self.rows(&other.as_str().into()).await?.is_empty() {
                stream.check_unambiguous([other.as_str()])?;
            }
        }
        Ok(())
    }

    /// Sets the field of a shard, or deletes it.
    async fn write(
        &self,
        stream: &StreamId,
        shard: &str,
        value: Option<String>,
    ) -> Result<(), StoreError> {
        let key = key(stream);
        let turn = self.turn(&key, None).await?;
        let mut write = redis::cmd("EVAL");
        write.arg(WRITE).arg(2).arg(&key).arg(arns(stream)).arg(turn).arg(shard);
        write.arg(value.unwrap_or_default()).arg(stream.arn());
        let written = write.exec_async(&mut self.connection.clone()).await;
        if written.is_err() {
            self.turn(&key, Some(turn)).await?;
        }
        Ok(written?)
    }
}

/// Returns the key of the hash of a stream.
fn key(stream: &StreamId) -> String {
    format!("kinesis-shards:{stream}")
}

/// Returns the key of the ARNs under which streams of this name were saved. No stream name contains
/// a colon, so it cannot be the key of a stream.
fn arns(stream: &StreamId) -> String {
    format!("kinesis-shards:{}:arns", stream.name())
}

impl CheckpointStore for RedisStore {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        async move {
            let key = key(stream);
            let last = self.turns.lock().await.get(&key).copied();
            self.turn(&key, last).await?;
            let rows = self.rows(stream).await?;
            if rows.is_empty() {
                self.check_namesakes(stream).await?;
            }
            rows.into_iter().map(|(shard, checkpoint)| Ok((shard, checkpoint.parse()?))).collect()
        }
        .boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            save.checkpoint.validate()?;
            self.write(save.stream, save.shard_id(), Some(save.checkpoint.to_string())).await
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        self.write(stream, shard_id, None).boxed()
    }
}
