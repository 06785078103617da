//! The two tables of a fleet in DynamoDB.

mod lease_rows;
#[cfg(test)]
mod tests;
mod worker_rows;

use std::sync::Arc;

use aws_sdk_dynamodb::Client;
use futures::future::{BoxFuture, FutureExt};

use crate::checkpoint::dynamodb::error::DynamoDbStoreError;
use crate::lease::sealed::{IntoTables, Tables};
use crate::lease::table::dynamodb::lease_rows::LeaseRows;
use crate::lease::table::dynamodb::worker_rows::WorkerRows;
use crate::lease::table::{LeaseTables, Request, Response, TableError};
use crate::shard::stream_id::StreamId;

/// The tables of one fleet in DynamoDB. Each request to them is one request of the SDK, but for
/// reads of several pages or batches.
#[derive(Clone, Debug)]
pub(crate) struct DynamoDbTables {
    leases: LeaseRows,
    workers: WorkerRows,
}

impl DynamoDbTables {
    pub(crate) fn new(
        client: &Client,
        lease_table: String,
        workers_table: String,
        stream: StreamId,
    ) -> Self {
        Self {
            leases: LeaseRows::new(client, lease_table, stream),
            workers: WorkerRows::new(client, workers_table),
        }
    }

    async fn respond(&self, request: Request) -> Result<Response, DynamoDbStoreError> {
        match request {
            Request::Join => self.workers.join().await,
            Request::Start { start, stream } => self.workers.start(&start, &stream).await,
            Request::Register(row) => self.workers.register(&row).await,
            Request::Beat(beat) => self.workers.beat(&beat).await,
            Request::Reserve { worker, run, seen, shards } => {
                self.workers.reserve(&worker, run, seen, &shards).await
            }
            Request::Fence { worker, run, beat, by } => {
                self.workers.fence(&worker, run, beat, by).await
            }
            Request::RemoveWorker { worker, run, is_own } => {
                self.workers.remove(&worker, run, is_own).await
            }
            Request::Workers { is_consistent } => self.workers.scan(is_consistent).await,
            Request::Scan => self.leases.scan().await,
            Request::Get(shards) => self.leases.get(&shards).await,
            Request::Write(write) => self.leases.write(&write).await,
        }
    }
}

impl LeaseTables for DynamoDbTables {
    fn create_missing(&self) -> BoxFuture<'_, Result<(), TableError>> {
        async move {
            let leases = self.leases.table().create_if_missing();
            futures::future::try_join(leases, self.workers.table().create_if_missing()).await?;
            Ok(())
        }
        .boxed()
    }

    fn send(&self, request: Request) -> BoxFuture<'static, Result<Response, TableError>> {
        let tables = self.clone();
        async move {
            let response = tables.respond(request).await;
            Ok(response.map_err(DynamoDbStoreError::after_creation)?)
        }
        .boxed()
    }

    fn names(&self) -> String {
        format!("{} and {}", self.leases.table().name(), self.workers.table().name())
    }
}

impl From<DynamoDbStoreError> for TableError {
    fn from(error: DynamoDbStoreError) -> Self {
        Self { is_permanent: error.is_permanent(), source: Box::new(error) }
    }
}

impl IntoTables for &Client {
    fn into_tables(self, leases: String, workers: String, stream: &StreamId) -> Tables {
        Tables(Arc::new(DynamoDbTables::new(self, leases, workers, stream.clone())))
    }
}
