//! The requests to one table of DynamoDB.
//!
//! Each request ends, and an empty response is an error. Every response of DynamoDB to these
//! requests has a body with members, except that of `GetItem` for a row that does not exist. If a
//! proxy, a gateway or an emulator responds with `200` and an empty body, that must count neither
//! as an empty table nor as a write.

use std::sync::Arc;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, SdkError as RequestError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TableStatus,
};
use aws_sdk_dynamodb::{Client, Error as SdkError};
use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, Instant, sleep};

use crate::checkpoint::dynamodb::error::{DynamoDbStoreError, Kind};
use crate::checkpoint::dynamodb::row::{
    self, CHECKPOINT, EXACT_CHECKPOINT, Item, LEASE_COUNTER, LEASE_KEY, OWNER_SWITCHES, STREAM_KEY,
    SUB_SEQUENCE_NUMBER, WRITER, n, s,
};
use crate::checkpoint::store::Save;
use crate::checkpoint::value::Checkpoint;
use crate::util::backoff::backoff;
use crate::util::request_timeout::{NoResponse, request_timeout};

/// How often a page of the table is requested while the responses are empty.
const SCAN_ATTEMPTS: u32 = 4;
const MIN_SCAN_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_SCAN_RETRY_DELAY: Duration = Duration::from_secs(5);

/// How long to wait for a new table to become active.
const CREATION_TIMEOUT: Duration = Duration::from_mins(5);
const DESCRIBE_INTERVAL: Duration = Duration::from_millis(500);

/// The condition that a row is as it was seen last. A row that does not exist is not.
const IS_UNMOVED: &str = "leaseCounter = :counter";

/// A table of leases.
#[derive(Clone, Debug)]
pub(crate) struct LeaseTable {
    client: Client,
    name: Arc<str>,
}

/// The result of a conditional write.
#[derive(Debug)]
pub(crate) enum Written {
    Yes,
    /// The condition does not hold. The row as it is now, if the response shows it.
    No(Option<Item>),
}

impl LeaseTable {
    pub(crate) fn new(client: &Client, name: String) -> Self {
        Self { client: client.clone(), name: name.into() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn error(&self, kind: Kind) -> DynamoDbStoreError {
        DynamoDbStoreError::new(&self.name, kind)
    }

    fn failed(&self, operation: &'static str, error: SdkError) -> DynamoDbStoreError {
        match error {
            SdkError::ResourceNotFoundException(_) => self.error(Kind::MissingTable),
            source => self.error(Kind::Request { operation, source: Box::new(source) }),
        }
    }

    /// Sends a request. The outer error says that no response came in time.
    ///
    /// The request is boxed, since the SDK's futures have thousands of bytes and few are in flight.
    fn respond<'a, T, E: Send + 'a>(
        &'a self,
        operation: &'static str,
        request: impl Future<Output = Result<T, RequestError<E, HttpResponse>>> + Send + 'a,
    ) -> BoxFuture<'a, Result<Result<T, SdkError>, DynamoDbStoreError>>
    where
        T: Send + 'a,
        SdkError: From<RequestError<E, HttpResponse>>,
    {
        let response = async move {
            let response = request_timeout(request).await;
            let response =
                response.map_err(|NoResponse| self.error(Kind::NoResponse { operation }))?;
            Ok(response.map_err(SdkError::from))
        };
        response.boxed()
    }

    /// Sends a request, and returns its successful response.
    fn send<'a, T, E: Send + 'a>(
        &'a self,
        operation: &'static str,
        request: impl Future<Output = Result<T, RequestError<E, HttpResponse>>> + Send + 'a,
    ) -> impl Future<Output = Result<T, DynamoDbStoreError>> + Send + 'a
    where
        T: Send + 'a,
        SdkError: From<RequestError<E, HttpResponse>>,
    {
        let response = self.respond(operation, request);
        async move { response.await?.map_err(|error| self.failed(operation, error)) }
    }

    /// Returns the result of a conditional write, by the attributes of the row in the response.
    fn written(
        &self,
        operation: &'static str,
        response: Result<Option<Item>, SdkError>,
    ) -> Result<Written, DynamoDbStoreError> {
        match response {
            Ok(Some(row)) if !row.is_empty() => Ok(Written::Yes),
            Ok(_) => Err(self.error(Kind::EmptyResponse { operation })),
            Err(SdkError::ConditionalCheckFailedException(failed)) => Ok(Written::No(failed.item)),
            Err(error) => Err(self.failed(operation, error)),
        }
    }

    /// Reads a page of the table. Returns its rows, and the key from which the next page continues.
    ///
    /// A response without `Items`, or with another number of them than its `Count`, counts as
    /// empty. If it counted as an empty table, the run would start over.
    pub(crate) async fn scan_page(
        &self,
        from: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), DynamoDbStoreError> {
        for failures in 0..SCAN_ATTEMPTS {
            let scan = self.client.scan().table_name(&*self.name).consistent_read(true);
            let request = scan.set_exclusive_start_key(from.clone()).send();
            let page: ScanOutput = self.send("Scan", request).await?;
            let count = usize::try_from(page.count).ok();
            if let Some(rows) = page.items.filter(|rows| Some(rows.len()) == count) {
                return Ok((rows, page.last_evaluated_key.filter(|key| !key.is_empty())));
            }
            if failures + 1 < SCAN_ATTEMPTS {
                let wait = backoff(MIN_SCAN_RETRY_DELAY, MAX_SCAN_RETRY_DELAY, failures);
                let table = self.name();
                tracing::warn!(table, ?wait, "Scan got an empty response; retrying");
                sleep(wait).await;
            }
        }
        Err(self.error(Kind::EmptyResponse { operation: "Scan" }))
    }

    /// Reads a row. An empty response counts as that for a row that does not exist: every write
    /// that follows from it is conditional on there being no row.
    pub(crate) async fn get(&self, shard_id: &str) -> Result<Option<Item>, DynamoDbStoreError> {
        let get = self.client.get_item().table_name(&*self.name).key(LEASE_KEY, s(shard_id));
        Ok(self.send("GetItem", get.consistent_read(true).send()).await?.item)
    }

    /// Creates a row, unless it exists.
    ///
    /// `UpdateItem` creates rows, too. Unlike that of `PutItem`, its response shows the new row.
    pub(crate) async fn create(&self, mut row: Item) -> Result<Written, DynamoDbStoreError> {
        let key = row.remove(LEASE_KEY).unwrap_or_else(|| s(""));
        let set: Vec<_> = row.keys().map(|name| format!("{name} = :{name}")).collect();
        let values: Item =
            row.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect();
        let update = self.client.update_item().table_name(&*self.name).key(LEASE_KEY, key);
        let update = update
            .update_expression(format!("SET {}", set.join(", ")))
            .set_expression_attribute_values(Some(values))
            .condition_expression("attribute_not_exists(leaseKey)")
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let response = self.respond("UpdateItem", update.send()).await?;
        self.written("UpdateItem", response.map(|output| output.attributes))
    }

    /// Writes a checkpoint to the row with this counter, and counts the row on.
    pub(crate) async fn update(
        &self,
        save: &Save<'_>,
        writer: &str,
        counter: u64,
    ) -> Result<Written, DynamoDbStoreError> {
        let (position, sub) = row::kcl_columns(save.checkpoint);
        let children: Vec<_> =
            save.children.iter().map(|child| child.shard_id().to_owned()).collect();
        let (set, remove) = match (children.is_empty(), save.checkpoint) {
            (false, _) => (", childShardIds = :children", ""),
            (true, Checkpoint::End) => ("", ""),
            // The shard had ended, and is started over.
            (true, _) => ("", ", childShardIds"),
        };
        // The last owner has stopped: no consumer but this one moves the row.
        let change = format!(
            "SET {CHECKPOINT} = :checkpoint, {SUB_SEQUENCE_NUMBER} = :sub, \
             {EXACT_CHECKPOINT} = :exact, {STREAM_KEY} = :stream, {WRITER} = :writer, \
             {LEASE_COUNTER} = :next, {OWNER_SWITCHES} = :zero{set} \
             REMOVE leaseOwner, checkpointOwner, pendingCheckpoint, \
             pendingCheckpointSubSequenceNumber, pendingCheckpointState{remove}"
        );
        let update = self.client.update_item().table_name(&*self.name);
        let mut update = update
            .key(LEASE_KEY, s(save.shard_id()))
            .update_expression(change)
            .condition_expression(IS_UNMOVED)
            .expression_attribute_values(":checkpoint", s(position))
            .expression_attribute_values(":sub", n(sub))
            .expression_attribute_values(":stream", s(save.stream.as_str()))
            .expression_attribute_values(":exact", s(&save.checkpoint.to_string()))
            .expression_attribute_values(":writer", row::writer_value(writer, counter + 1))
            .expression_attribute_values(":counter", n(counter))
            .expression_attribute_values(":next", n(counter + 1))
            .expression_attribute_values(":zero", n(0))
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        if !children.is_empty() {
            update = update.expression_attribute_values(":children", AttributeValue::Ss(children));
        }
        let response = self.respond("UpdateItem", update.send()).await?;
        self.written("UpdateItem", response.map(|output| output.attributes))
    }

    /// Deletes the row with this counter. So a request that takes effect after a later save does
    /// nothing.
    pub(crate) async fn delete(
        &self,
        shard_id: &str,
        counter: u64,
    ) -> Result<Written, DynamoDbStoreError> {
        let delete = self.client.delete_item().table_name(&*self.name).key(LEASE_KEY, s(shard_id));
        let delete = delete
            .condition_expression(IS_UNMOVED)
            .expression_attribute_values(":counter", n(counter))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let response = self.respond("DeleteItem", delete.send()).await?;
        self.written("DeleteItem", response.map(|output| output.attributes))
    }

    /// Creates the table if it does not exist, and waits until it is active.
    pub(crate) async fn create_if_missing(&self) -> Result<(), DynamoDbStoreError> {
        let deadline = Instant::now() + CREATION_TIMEOUT;
        let mut is_requested = false;
        loop {
            let describe = self.client.describe_table().table_name(&*self.name);
            let mut late = Kind::NotActive;
            match self.send("DescribeTable", describe.send()).await {
                Ok(described) => match described.table().and_then(|table| table.table_status()) {
                    Some(TableStatus::Active) => return Ok(()),
                    Some(_) => {}
                    None => late = Kind::EmptyResponse { operation: "DescribeTable" },
                },
                Err(error) if error.is_missing_table() && !is_requested => {
                    is_requested = true;
                    self.request_creation().await?;
                    continue;
                }
                Err(error) if error.is_missing_table() => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > deadline {
                return Err(self.error(late));
            }
            sleep(DESCRIBE_INTERVAL).await;
        }
    }

    async fn request_creation(&self) -> Result<(), DynamoDbStoreError> {
        let operation = "CreateTable";
        let failed =
            |source: SdkError| self.error(Kind::Request { operation, source: Box::new(source) });
        let invalid = |error: BuildError| {
            failed(RequestError::<CreateTableError>::construction_failure(error).into())
        };
        let attribute = AttributeDefinition::builder()
            .attribute_name(LEASE_KEY)
            .attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(LEASE_KEY).key_type(KeyType::Hash);
        let create = self.client.create_table().table_name(&*self.name);
        let create = create.attribute_definitions(attribute.build().map_err(invalid)?);
        let create = create.key_schema(key.build().map_err(invalid)?);
        let create = create.billing_mode(BillingMode::PayPerRequest).send();
        match self.respond(operation, create).await? {
            // `DescribeTable` shows whether the table exists. Another consumer may create it first.
            Ok(_) | Err(SdkError::ResourceInUseException(_)) => Ok(()),
            Err(source) => Err(failed(source)),
        }
    }
}
