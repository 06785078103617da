//! The requests to DynamoDB. Each of them ends, and no response is believed that says nothing.
//!
//! Every response of DynamoDB to these requests has a body with members, except that of `GetItem`
//! for a row that does not exist. A proxy, a gateway or an emulator that answers `200` with an
//! empty body would otherwise turn a table into an empty one, or a write into one that took place.

use aws_sdk_dynamodb::Error as SdkError;
use aws_sdk_dynamodb::config::http::HttpResponse;
use aws_sdk_dynamodb::error::SdkError as RequestError;
use aws_sdk_dynamodb::operation::scan::ScanOutput;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, sleep};

use crate::checkpoint::dynamodb::error::{DynamoDbStoreError, Kind};
use crate::checkpoint::dynamodb::row::{
    CHECKPOINT, COUNTER, Item, LEASE_KEY, OWN, OWN_STREAM, OWNER_SWITCHES, SUB, WRITER, n, text,
};
use crate::checkpoint::dynamodb::{DynamoDbStore, row};
use crate::checkpoint::store::Save;
use crate::checkpoint::value::Checkpoint;
use crate::util::backoff::backoff;
use crate::util::request_timeout::{NoResponse, request_timeout};

/// How often a page of the table is requested while the responses say nothing.
const SCAN_ATTEMPTS: u32 = 4;
const FIRST_SCAN_RETRY: Duration = Duration::from_millis(200);
const LAST_SCAN_RETRY: Duration = Duration::from_secs(5);

/// The row is as it was seen last. A row that does not exist is not.
const IS_UNMOVED: &str = "leaseCounter = :counter";

/// What became of a conditional write.
#[derive(Debug)]
pub(crate) enum Written {
    Yes,
    /// The condition does not hold: the row as it is now, if the response shows it.
    No(Option<Item>),
}

impl DynamoDbStore {
    /// Sends a request. The outer error: no response came in time.
    ///
    /// The request is boxed: the SDK's are thousands of bytes, and few are in flight at once.
    pub(crate) fn respond<'a, T, E: Send + 'a>(
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

    /// Sends a request, and gives the response to it.
    pub(crate) fn send<'a, T, E: Send + 'a>(
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

    /// Decides what became of a conditional write, by the attributes of the row in the response.
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

    /// Reads a page of the table: its rows, and where the next page begins.
    ///
    /// A response without `Items`, or with another number of them than its `Count`, is not
    /// believed: an empty table is one with no `Items` and a `Count` of 0, and the run would start
    /// over.
    pub(crate) async fn scan_page(
        &self,
        from: Option<Item>,
    ) -> Result<(Vec<Item>, Option<Item>), DynamoDbStoreError> {
        for failures in 0..SCAN_ATTEMPTS {
            let scan = self.client.scan().table_name(&*self.table).consistent_read(true);
            let request = scan.set_exclusive_start_key(from.clone()).send();
            let page: ScanOutput = self.send("Scan", request).await?;
            let count = usize::try_from(page.count).ok();
            if let Some(rows) = page.items.filter(|rows| Some(rows.len()) == count) {
                return Ok((rows, page.last_evaluated_key.filter(|key| !key.is_empty())));
            }
            if failures + 1 < SCAN_ATTEMPTS {
                let wait = backoff(FIRST_SCAN_RETRY, LAST_SCAN_RETRY, failures);
                let table = &*self.table;
                tracing::warn!(table, ?wait, "Scan got an empty response; it is tried again");
                sleep(wait).await;
            }
        }
        Err(self.error(Kind::EmptyResponse { operation: "Scan" }))
    }

    /// Reads a row. An empty response is also that for a row that does not exist, and is believed:
    /// every write that follows from it is conditional on there being no row.
    pub(crate) async fn get(&self, shard_id: &str) -> Result<Option<Item>, DynamoDbStoreError> {
        let get = self.client.get_item().table_name(&*self.table).key(LEASE_KEY, text(shard_id));
        Ok(self.send("GetItem", get.consistent_read(true).send()).await?.item)
    }

    /// Creates a row, unless there is one.
    ///
    /// `UpdateItem` creates rows too, and unlike that of `PutItem`, its response shows what was
    /// written.
    pub(crate) async fn create(&self, mut row: Item) -> Result<Written, DynamoDbStoreError> {
        let key = row.remove(LEASE_KEY).unwrap_or_else(|| text(""));
        let set: Vec<_> = row.keys().map(|name| format!("{name} = :{name}")).collect();
        let values: Item =
            row.into_iter().map(|(name, value)| (format!(":{name}"), value)).collect();
        let update = self.client.update_item().table_name(&*self.table).key(LEASE_KEY, key);
        let update = update
            .update_expression(format!("SET {}", set.join(", ")))
            .set_expression_attribute_values(Some(values))
            .condition_expression("attribute_not_exists(leaseKey)")
            .return_values(ReturnValue::UpdatedNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let response = self.respond("UpdateItem", update.send()).await?;
        self.written("UpdateItem", response.map(|output| output.attributes))
    }

    /// Moves the checkpoint of a row whose counter is this one.
    pub(crate) async fn update(
        &self,
        save: &Save<'_>,
        counter: u64,
    ) -> Result<Written, DynamoDbStoreError> {
        let (number, sub) = row::columns(save.checkpoint);
        let children: Vec<_> =
            save.children.iter().map(|child| child.shard_id().to_owned()).collect();
        let (set, remove) = match (children.is_empty(), save.checkpoint) {
            (false, _) => (", childShardIds = :children", ""),
            (true, Checkpoint::End) => ("", ""),
            // It had ended, and is begun anew.
            (true, _) => ("", ", childShardIds"),
        };
        // Whoever had it has stopped; nobody but this store moves it now.
        let change = format!(
            "SET {CHECKPOINT} = :checkpoint, {SUB} = :sub, {OWN} = :own, {OWN_STREAM} = :stream, \
             {WRITER} = :writer, {COUNTER} = :next, {OWNER_SWITCHES} = :zero{set} \
             REMOVE leaseOwner, checkpointOwner, pendingCheckpoint, \
             pendingCheckpointSubSequenceNumber, pendingCheckpointState{remove}"
        );
        let update = self.client.update_item().table_name(&*self.table);
        let mut update = update
            .key(LEASE_KEY, text(save.shard_id()))
            .update_expression(change)
            .condition_expression(IS_UNMOVED)
            .expression_attribute_values(":checkpoint", text(number))
            .expression_attribute_values(":sub", n(sub))
            .expression_attribute_values(":stream", text(save.stream.name()))
            .expression_attribute_values(":own", text(&save.checkpoint.to_string()))
            .expression_attribute_values(":writer", row::written_by(&self.writer, counter + 1))
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

    /// Deletes a row whose counter is this one. So one that was sent before a later save, and lands
    /// after it, does nothing.
    pub(crate) async fn delete(
        &self,
        shard_id: &str,
        counter: u64,
    ) -> Result<Written, DynamoDbStoreError> {
        let delete =
            self.client.delete_item().table_name(&*self.table).key(LEASE_KEY, text(shard_id));
        let delete = delete
            .condition_expression(IS_UNMOVED)
            .expression_attribute_values(":counter", n(counter))
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let response = self.respond("DeleteItem", delete.send()).await?;
        self.written("DeleteItem", response.map(|output| output.attributes))
    }

    fn failed(&self, operation: &'static str, error: SdkError) -> DynamoDbStoreError {
        match error {
            SdkError::ResourceNotFoundException(_) => self.error(Kind::MissingTable),
            source => self.error(Kind::Request { operation, source: Box::new(source) }),
        }
    }
}
