//! Makes the table.

use aws_sdk_dynamodb::Error as SdkError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use tokio::time::{Duration, Instant, sleep};

use super::error::Kind;
use super::row::LEASE_KEY;
use super::{DynamoDbStore, DynamoDbStoreError};

/// For a table to become active.
const PATIENCE: Duration = Duration::from_mins(5);

impl DynamoDbStore {
    /// Makes the table if there is none, billed on demand, and waits until it is active.
    ///
    /// # Errors
    ///
    /// If it cannot be made or looked at, or is not active within 5 minutes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled, if it has to wait.
    pub async fn create_table_if_missing(&self) -> Result<(), DynamoDbStoreError> {
        let deadline = Instant::now() + PATIENCE;
        let mut has_asked = false;
        loop {
            let described = self.client.describe_table().table_name(&*self.table).send().await;
            match described.map_err(|error| self.failed("DescribeTable", error)) {
                Ok(described) => {
                    let status = described.table().and_then(|table| table.table_status());
                    if status.is_none_or(|status| *status == TableStatus::Active) {
                        return Ok(());
                    }
                }
                Err(error) if error.is_missing_table() && !has_asked => {
                    has_asked = true;
                    self.create_table().await?;
                    continue;
                }
                Err(error) if error.is_missing_table() => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > deadline {
                return Err(self.error(Kind::NotActive));
            }
            sleep(Duration::from_millis(500)).await;
        }
    }

    async fn create_table(&self) -> Result<(), DynamoDbStoreError> {
        let build = |error: aws_sdk_dynamodb::error::BuildError| {
            self.error(Kind::Request {
                operation: "CreateTable",
                source: Box::new(SdkError::from(aws_sdk_dynamodb::error::SdkError::<
                    aws_sdk_dynamodb::operation::create_table::CreateTableError,
                >::construction_failure(error))),
            })
        };
        let attribute =
            AttributeDefinition::builder().attribute_name(LEASE_KEY).attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(LEASE_KEY).key_type(KeyType::Hash);
        let create = self.client.create_table().table_name(&*self.table);
        let create = create.attribute_definitions(attribute.build().map_err(build)?);
        let create = create.key_schema(key.build().map_err(build)?);
        match create.billing_mode(BillingMode::PayPerRequest).send().await.map_err(SdkError::from) {
            // Another was quicker.
            Ok(_) | Err(SdkError::ResourceInUseException(_)) => Ok(()),
            Err(source) => {
                Err(self.error(Kind::Request { operation: "CreateTable", source: Box::new(source) }))
            }
        }
    }
}
