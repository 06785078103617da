//! The requests to one table of DynamoDB.
//!
//! Each request ends, and an empty response is an error. Every response of DynamoDB to these
//! requests has a body with members, except that of `GetItem` for a row that does not exist. If a
//! proxy, a gateway or an emulator responds with `200` and an empty body, that must count neither
//! as an empty table nor as a write.

use std::error::Error;
use std::sync::Arc;

use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata, SdkError as RequestError};
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemError;
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, KeysAndAttributes, ReturnValue,
    ReturnValuesOnConditionCheckFailure, ScalarAttributeType, TableDescription, TableStatus,
};
use aws_sdk_dynamodb::{Client, Error as SdkError};
use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, Instant, sleep};

use crate::checkpoint::dynamodb::error::{DynamoDbStoreError, Kind};
use crate::checkpoint::dynamodb::expressions::Expressions;
use crate::checkpoint::dynamodb::item::{self, Item, s};
use crate::util::backoff::backoff;
use crate::util::metrics::TableFigures;
use crate::util::request_timeout::{NoResponse, request_timeout};
use crate::util::sdk_error::{is_misconfigured, reason, root_cause};

/// How often a page or a batch is requested while the responses bring nothing.
const READ_ATTEMPTS: u32 = 4;
const MIN_READ_RETRY_DELAY: Duration = Duration::from_millis(200);
const MAX_READ_RETRY_DELAY: Duration = Duration::from_secs(5);

/// The greatest number of keys in a request of `BatchGetItem`.
const MAX_BATCH: usize = 100;

/// How long to wait for a new table to become active.
const CREATION_TIMEOUT: Duration = Duration::from_mins(5);
const DESCRIBE_INTERVAL: Duration = Duration::from_millis(500);
/// How long requests may fail while the table is created. The KCL tries to start for 20 s.
const OUTAGE_LIMIT: Duration = Duration::from_secs(30);

/// A table whose key is one string.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    client: Client,
    name: Arc<str>,
    key: &'static str,
    figures: Arc<TableFigures>,
}

/// The result of a conditional write.
#[derive(Debug)]
pub(crate) enum Written {
    /// The row after the write; before it, if the write deleted it.
    Yes(Item),
    /// The condition does not hold. The row as it is now, if the response shows it.
    No(Option<Item>),
}

impl Table {
    /// Creates a table with this key attribute.
    pub(crate) fn new(client: &Client, name: String, key: &'static str) -> Self {
        Self {
            client: client.clone(),
            key,
            figures: Arc::new(TableFigures::new(&name)),
            name: name.into(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn error(&self, kind: Kind) -> DynamoDbStoreError {
        DynamoDbStoreError::new(&self.name, kind)
    }

    /// Returns the error of a row that cannot be read.
    pub(crate) fn unusable(&self, row: &Item, reason: String) -> DynamoDbStoreError {
        let key = item::get(row, self.key).unwrap_or_default().to_owned();
        self.error(Kind::Row { key, reason })
    }

    fn failed(&self, operation: &'static str, error: SdkError) -> DynamoDbStoreError {
        match error {
            SdkError::ResourceNotFoundException(_) => self.error(Kind::MissingTable),
            source => self.error(Kind::Request { operation, source: Box::new(source) }),
        }
    }

    /// Sends a request. The outer error says that no response came in time, or that the client's
    /// configuration lacks what every request needs.
    ///
    /// The request is boxed, since the SDK's futures have thousands of bytes and few are in flight.
    fn respond<'a, T, E: ProvideErrorMetadata + Error + Send + 'static>(
        &'a self,
        operation: &'static str,
        request: impl Future<Output = Result<T, RequestError<E, HttpResponse>>> + Send + 'a,
    ) -> BoxFuture<'a, Result<Result<T, SdkError>, DynamoDbStoreError>>
    where
        T: Send + 'a,
        SdkError: From<RequestError<E, HttpResponse>>,
    {
        let response = async move {
            let response = self.figures.observe(operation, request_timeout(request)).await;
            let response =
                response.map_err(|NoResponse| self.error(Kind::NoResponse { operation }))?;
            if let Err(error) = &response
                && is_misconfigured(error)
            {
                return Err(self.error(Kind::Misconfigured { operation, reason: reason(error) }));
            }
            Ok(response.map_err(SdkError::from))
        };
        response.boxed()
    }

    /// Sends a request, and returns its successful response.
    fn send<'a, T, E: ProvideErrorMetadata + Error + Send + 'static>(
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
            Ok(Some(row)) if !row.is_empty() => Ok(Written::Yes(row)),
            Ok(_) => Err(self.error(Kind::EmptyResponse { operation })),
            Err(SdkError::ConditionalCheckFailedException(failed)) => {
                Ok(Written::No(failed.item.filter(|row| !row.is_empty())))
            }
            Err(error) => Err(self.failed(operation, error)),
        }
    }

    /// Reads the whole table, and calls `each` with every row.
    pub(crate) async fn scan(
        &self,
        is_consistent: bool,
        mut each: impl FnMut(&Item) -> Result<(), DynamoDbStoreError>,
    ) -> Result<(), DynamoDbStoreError> {
        let mut from = None;
        loop {
            let (rows, next) = self.scan_page(from, is_consistent).await?;
            rows.iter().try_for_each(&mut each)?;
            if next.is_none() {
                return Ok(());
            }
            from = next;
        }
    }

    /// Reads a page of the table. Returns its rows, and the key from which the next page continues.
    ///
    /// A response without `Items`, or with another number of them than its `Count`, counts as
    /// empty. If it counted as an empty table, the run would start over.
    async fn scan_page(
        &self,
        from: Option<Item>,
        is_consistent: bool,
    ) -> Result<(Vec<Item>, Option<Item>), DynamoDbStoreError> {
        for failures in 0..READ_ATTEMPTS {
            let scan = self.client.scan().table_name(&*self.name).consistent_read(is_consistent);
            let request = scan.set_exclusive_start_key(from.clone()).send();
            let page: ScanOutput = self.send("Scan", request).await?;
            let count = usize::try_from(page.count).ok();
            if let Some(rows) = page.items.filter(|rows| Some(rows.len()) == count) {
                return Ok((rows, page.last_evaluated_key.filter(|key| !key.is_empty())));
            }
            if failures + 1 < READ_ATTEMPTS {
                let wait = backoff(MIN_READ_RETRY_DELAY, MAX_READ_RETRY_DELAY, failures);
                let table = self.name();
                tracing::warn!(table, ?wait, "Scan got an empty response; retrying");
                sleep(wait).await;
            }
        }
        Err(self.error(Kind::EmptyResponse { operation: "Scan" }))
    }

    /// Reads a row. An empty response counts as that for a row that does not exist: every write
    /// that follows from it is conditional on there being no row.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<Item>, DynamoDbStoreError> {
        let get = self.client.get_item().table_name(&*self.name).key(self.key, s(key));
        Ok(self.send("GetItem", get.consistent_read(true).send()).await?.item)
    }

    /// Reads the rows with these different keys, consistently. Rows that do not exist are left out.
    pub(crate) async fn get_all(
        &self,
        keys: impl IntoIterator<Item = &str>,
    ) -> Result<Vec<Item>, DynamoDbStoreError> {
        let keys: Vec<_> =
            keys.into_iter().map(|key| Item::from([(self.key.to_owned(), s(key))])).collect();
        let mut rows = Vec::new();
        for batch in keys.chunks(MAX_BATCH) {
            self.get_batch(batch.to_vec(), &mut rows).await?;
        }
        Ok(rows)
    }

    /// Reads a batch of rows, and requests the unprocessed keys again.
    async fn get_batch(
        &self,
        mut keys: Vec<Item>,
        rows: &mut Vec<Item>,
    ) -> Result<(), DynamoDbStoreError> {
        let operation = "BatchGetItem";
        let mut failures = 0;
        loop {
            let requested = keys.len();
            let request = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
            let request = request.build().map_err(|error| {
                let error = RequestError::<BatchGetItemError>::construction_failure(error);
                self.failed(operation, error.into())
            })?;
            let get = self.client.batch_get_item().request_items(&*self.name, request);
            let output = self.send(operation, get.send()).await?;
            let unprocessed = output.unprocessed_keys.unwrap_or_default();
            keys = unprocessed.into_values().flat_map(|left| left.keys).collect();
            match output.responses {
                Some(found) => rows.extend(found.into_values().flatten()),
                None if keys.is_empty() => {
                    return Err(self.error(Kind::EmptyResponse { operation }));
                }
                None => {}
            }
            if keys.is_empty() {
                return Ok(());
            }
            failures = if keys.len() < requested { 0 } else { failures + 1 };
            if failures == READ_ATTEMPTS {
                return Err(self.error(Kind::Unprocessed { operation }));
            }
            sleep(backoff(MIN_READ_RETRY_DELAY, MAX_READ_RETRY_DELAY, failures)).await;
        }
    }

    /// Creates a row, unless it exists.
    ///
    /// `UpdateItem` creates rows, too. Unlike that of `PutItem`, its response shows the new row.
    pub(crate) async fn create(&self, mut row: Item) -> Result<Written, DynamoDbStoreError> {
        let key = row.remove(self.key).unwrap_or_else(|| s(""));
        let write = Expressions::default().if_absent(self.key);
        let write = row.into_iter().fold(write, |write, (name, value)| write.set(&name, value));
        self.update(key.as_s().map_or("", String::as_str), write).await
    }

    /// Changes a row, or creates it if the condition does not demand that it exists.
    pub(crate) async fn update(
        &self,
        key: &str,
        write: Expressions,
    ) -> Result<Written, DynamoDbStoreError> {
        let update = self.client.update_item().table_name(&*self.name).key(self.key, s(key));
        let update = update
            .set_condition_expression(write.condition())
            .set_update_expression(write.change())
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (names, values) = write.into_placeholders();
        let update =
            update.set_expression_attribute_names(names).set_expression_attribute_values(values);
        let response = self.respond("UpdateItem", update.send()).await?;
        self.written("UpdateItem", response.map(|output| output.attributes))
    }

    /// Deletes a row, if the condition holds. So a request that takes effect after a later write
    /// does nothing.
    pub(crate) async fn delete(
        &self,
        key: &str,
        condition: Expressions,
    ) -> Result<Written, DynamoDbStoreError> {
        let delete = self.client.delete_item().table_name(&*self.name).key(self.key, s(key));
        let delete = delete
            .set_condition_expression(condition.condition())
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let (names, values) = condition.into_placeholders();
        let delete =
            delete.set_expression_attribute_names(names).set_expression_attribute_values(values);
        let response = self.respond("DeleteItem", delete.send()).await?;
        self.written("DeleteItem", response.map(|output| output.attributes))
    }

    /// Creates the table if it does not exist, and waits until it is active. Failures that may pass
    /// are retried for 30 s, so that a worker that starts during a short outage does not end.
    pub(crate) async fn create_if_missing(&self) -> Result<(), DynamoDbStoreError> {
        let deadline = Instant::now() + CREATION_TIMEOUT;
        let mut is_requested = false;
        let mut failing_since = None;
        loop {
            let begun = Instant::now();
            match self.create_or_describe(&mut is_requested).await {
                Ok(None) => return Ok(()),
                Ok(Some(not_yet)) => {
                    if Instant::now() > deadline {
                        return Err(self.error(not_yet));
                    }
                    failing_since = None;
                }
                Err(error) => {
                    let since = *failing_since.get_or_insert(begun);
                    if !error.is_worth_retrying() || since.elapsed() >= OUTAGE_LIMIT {
                        return Err(error);
                    }
                    let cause = error.source().map(root_cause);
                    tracing::warn!(%error, cause, "cannot create the table yet; retrying");
                }
            }
            sleep(DESCRIBE_INTERVAL).await;
        }
    }

    /// Requests the creation of the table if it is missing. Returns `None` if the table is active,
    /// and otherwise the error to report if it stays so.
    async fn create_or_describe(
        &self,
        is_requested: &mut bool,
    ) -> Result<Option<Kind>, DynamoDbStoreError> {
        let describe = self.client.describe_table().table_name(&*self.name);
        match self.send("DescribeTable", describe.send()).await {
            Ok(described) => match described.table().and_then(|table| table.table_status()) {
                Some(TableStatus::Active) => {
                    self.check_key(described.table())?;
                    Ok(None)
                }
                // A table that is created again under the name would lack the checkpoints.
                Some(TableStatus::Deleting) => Err(self.error(Kind::Deleting)),
                Some(_) => Ok(Some(Kind::NotActive)),
                None => Ok(Some(Kind::EmptyResponse { operation: "DescribeTable" })),
            },
            Err(error) if error.is_missing_table() => {
                if !*is_requested {
                    self.request_creation().await?;
                    *is_requested = true;
                }
                Ok(Some(Kind::NotActive))
            }
            Err(error) => Err(error),
        }
    }

    /// Checks that the table has the key of this kind of table, as far as the response shows it.
    fn check_key(&self, table: Option<&TableDescription>) -> Result<(), DynamoDbStoreError> {
        let keys = table.map(TableDescription::key_schema).unwrap_or_default();
        let names: Vec<_> = keys.iter().map(KeySchemaElement::attribute_name).collect();
        if names.is_empty() || names == [self.key] {
            return Ok(());
        }
        Err(self.error(Kind::OtherKey { found: names.join(" and "), expected: self.key }))
    }

    async fn request_creation(&self) -> Result<(), DynamoDbStoreError> {
        let operation = "CreateTable";
        let failed =
            |source: SdkError| self.error(Kind::Request { operation, source: Box::new(source) });
        let invalid = |error: BuildError| {
            failed(RequestError::<CreateTableError>::construction_failure(error).into())
        };
        let attribute = AttributeDefinition::builder()
            .attribute_name(self.key)
            .attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(self.key).key_type(KeyType::Hash);
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
