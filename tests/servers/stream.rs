//! A stream on the server under test, which the suite changes with the SDK alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryError;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{ScalingType, Shard, StreamDescriptionSummary, StreamStatus};
use tokio::sync::{Mutex, MutexGuard};

use crate::client::{unthrottled, unwrap_response};
use crate::known::Quirk;
use crate::server::{Seen, Server};

const PAUSE: Duration = Duration::from_millis(10);

#[derive(Clone)]
pub(crate) struct Stream {
    pub(crate) name: String,
    client: Client,
    seen: Seen,
    /// Serialises the requests to a server that loses concurrent writes.
    turn: Option<Arc<Mutex<()>>>,
    writers: Arc<AtomicUsize>,
}

impl Stream {
    pub(crate) async fn create(server: &Server, shards: i32) -> Self {
        let stream = Self::named(server, server.new_name());
        stream.create_again(shards).await;
        stream
    }

    /// Returns the stream of that name, which need not exist.
    pub(crate) fn named(server: &Server, name: String) -> Self {
        let turn = server.has(Quirk::LosesConcurrentWrites).then(Arc::default);
        Self {
            name,
            client: server.other_client(),
            seen: server.seen.clone(),
            turn,
            writers: Arc::default(),
        }
    }

    pub(crate) async fn create_again(&self, shards: i32) {
        let create = self.client.create_stream().stream_name(&self.name).shard_count(shards);
        unwrap_response(unthrottled(|| create.clone().send()).await);
        self.active().await;
        self.seen.note(format_args!("created {} with {shards} shards", self.name));
    }

    pub(crate) async fn delete(&self) {
        let delete = self.client.delete_stream().stream_name(&self.name);
        unwrap_response(unthrottled(|| delete.clone().send()).await);
        while self.status().await.is_some() {
            tokio::time::sleep(PAUSE).await;
        }
        self.seen.note(format_args!("deleted {}", self.name));
    }

    /// Splits a shard in the middle and returns the lower and the upper child.
    pub(crate) async fn split(&self, shard: &str) -> [String; 2] {
        let listed = self.shards().await;
        let range =
            listed.iter().find(|listed| listed.shard_id() == shard).and_then(Shard::hash_key_range);
        let range = range.expect("a listed shard with its range");
        let [low, high] = [range.starting_hash_key(), range.ending_hash_key()];
        let [low, high] = [low, high].map(|key| key.parse::<u128>().expect("a hash key"));
        let middle = low + (high - low) / 2 + 1;

        let turn = self.turn().await;
        let request = self.client.split_shard().stream_name(&self.name).shard_to_split(shard);
        let request = request.new_starting_hash_key(middle.to_string());
        unwrap_response(unthrottled(|| request.clone().send()).await);
        self.active().await;
        drop(turn);
        let children = self.children_of(shard).await;
        self.seen.note(format_args!("split {shard} into {children:?}"));
        children.try_into().expect("two children")
    }

    pub(crate) async fn merge(&self, shard: &str, adjacent: &str) -> String {
        let turn = self.turn().await;
        let request = self.client.merge_shards().stream_name(&self.name).shard_to_merge(shard);
        let request = request.adjacent_shard_to_merge(adjacent);
        unwrap_response(unthrottled(|| request.clone().send()).await);
        self.active().await;
        drop(turn);
        let [child] = self.children_of(shard).await.try_into().expect("one child");
        self.seen.note(format_args!("merged {shard} and {adjacent} into {child}"));
        child
    }

    pub(crate) async fn update_shard_count(&self, count: i32) {
        let request =
            self.client.update_shard_count().stream_name(&self.name).target_shard_count(count);
        let request = request.scaling_type(ScalingType::UniformScaling);
        unwrap_response(unthrottled(|| request.clone().send()).await);
        self.active().await;
        self.seen.note(format_args!("updated the shard count to {count}"));
    }

    pub(crate) async fn put(&self, key: &str, data: &str) -> Put {
        let _turn = self.turn().await;
        let request = self.client.put_record().stream_name(&self.name).partition_key(key);
        let request = request.data(Blob::new(data));
        let put = unwrap_response(unthrottled(|| request.clone().send()).await);
        Put { shard: put.shard_id, sequence: put.sequence_number }
    }

    /// Puts a record into the given open shard.
    pub(crate) async fn put_into(&self, shard: &str, data: &str) -> Put {
        let listed = self.shards().await;
        let range =
            listed.iter().find(|listed| listed.shard_id() == shard).and_then(Shard::hash_key_range);
        let key = range.expect("a listed shard with its range").starting_hash_key();
        let _turn = self.turn().await;
        let request = self.client.put_record().stream_name(&self.name).partition_key("any");
        let request = request.explicit_hash_key(key).data(Blob::new(data));
        let put = unwrap_response(unthrottled(|| request.clone().send()).await);
        Put { shard: put.shard_id, sequence: put.sequence_number }
    }

    /// Lists all shards.
    pub(crate) async fn shards(&self) -> Vec<Shard> {
        let first = self.client.list_shards().stream_name(&self.name);
        let mut page = unwrap_response(unthrottled(|| first.clone().send()).await);
        let mut shards = page.shards.take().unwrap_or_default();
        while let Some(token) = page.next_token.take() {
            let next = self.client.list_shards().next_token(token);
            page = unwrap_response(unthrottled(|| next.clone().send()).await);
            shards.extend(page.shards.take().unwrap_or_default());
        }
        shards.sort_by(|a, b| a.shard_id.cmp(&b.shard_id));
        shards
    }

    pub(crate) async fn ids(&self) -> Vec<String> {
        self.shards().await.into_iter().map(|shard| shard.shard_id).collect()
    }

    pub(crate) async fn open_ids(&self) -> Vec<String> {
        self.shards()
            .await
            .into_iter()
            .filter(|shard| !is_closed(shard))
            .map(|shard| shard.shard_id)
            .collect()
    }

    pub(crate) async fn arn(&self) -> String {
        self.summary().await.expect("a summary").stream_arn
    }

    pub(crate) fn writer_begins(&self) {
        self.writers.fetch_add(1, Ordering::SeqCst);
    }

    pub(crate) fn writer_ends(&self) {
        self.writers.fetch_sub(1, Ordering::SeqCst);
    }

    /// Returns whether a writer is running.
    pub(crate) fn is_written(&self) -> bool {
        self.writers.load(Ordering::SeqCst) > 0
    }

    pub(crate) async fn turn(&self) -> Option<MutexGuard<'_, ()>> {
        match &self.turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        }
    }

    async fn children_of(&self, parent: &str) -> Vec<String> {
        let shards = self.shards().await;
        let children = shards.into_iter().filter(|shard| shard.parent_shard_id() == Some(parent));
        children.map(|shard| shard.shard_id).collect()
    }

    async fn active(&self) {
        while self.status().await.expect("a status") != StreamStatus::Active {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Returns `None` if the stream does not exist.
    async fn status(&self) -> Option<StreamStatus> {
        self.summary().await.map(|summary| summary.stream_status)
    }

    async fn summary(&self) -> Option<StreamDescriptionSummary> {
        let describe = self.client.describe_stream_summary().stream_name(&self.name);
        match unthrottled(|| describe.clone().send()).await {
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(DescribeStreamSummaryError::is_resource_not_found_exception) =>
            {
                None
            }
            described => unwrap_response(described).stream_description_summary,
        }
    }
}

/// The shard and the sequence number of a record.
#[derive(Debug)]
pub(crate) struct Put {
    pub(crate) shard: String,
    pub(crate) sequence: String,
}

pub(crate) fn is_closed(shard: &Shard) -> bool {
    shard.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some())
}
