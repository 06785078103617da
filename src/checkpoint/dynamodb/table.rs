//! Makes the table.

use aws_sdk_dynamodb::Error as SdkError;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType, TableStatus,
};
use tokio::time::{Duration, Instant, sleep};

use crate::checkpoint::dynamodb::DynamoDbStore;
use crate::checkpoint::dynamodb::error::{DynamoDbStoreError, Kind};
use crate::checkpoint::dynamodb::row::LEASE_KEY;

/// For a table to become active.
const PATIENCE: Duration = Duration::from_mins(5);

impl DynamoDbStore {
    /// Creates the table if there is none, billed on demand, and waits until it is active.
    ///
    /// # Errors
    ///
    /// If the table cannot be created or described, if a request gets no response within 60 s, or
    /// if the table is not active within 5 minutes.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its time driver enabled.
    pub async fn create_table_if_missing(&self) -> Result<(), DynamoDbStoreError> {
        let deadline = Instant::now() + PATIENCE;
        let mut has_asked = false;
        loop {
            let describe = self.client.describe_table().table_name(&*self.table);
            let mut late = Kind::NotActive;
            match self.send("DescribeTable", describe.send()).await {
                Ok(described) => match described.table().and_then(|table| table.table_status()) {
                    Some(TableStatus::Active) => return Ok(()),
                    Some(_) => {}
                    None => late = Kind::EmptyResponse { operation: "DescribeTable" },
                },
                Err(error) if error.is_missing_table() && !has_asked => {
                    has_asked = true;
                    self.create_table().await?;
                    continue;
                }
                Err(error) if error.is_missing_table() => {}
                Err(error) => return Err(error),
            }
            if Instant::now() > deadline {
                return Err(self.error(late));
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
        let attribute = AttributeDefinition::builder()
            .attribute_name(LEASE_KEY)
            .attribute_type(ScalarAttributeType::S);
        let key = KeySchemaElement::builder().attribute_name(LEASE_KEY).key_type(KeyType::Hash);
        let create = self.client.create_table().table_name(&*self.table);
        let create = create.attribute_definitions(attribute.build().map_err(build)?);
        let create = create.key_schema(key.build().map_err(build)?);
        // What became of it is seen from `DescribeTable`.
        let create = create.billing_mode(BillingMode::PayPerRequest).send();
        match self.respond("CreateTable", create).await? {
            // Another was quicker.
            Ok(_) | Err(SdkError::ResourceInUseException(_)) => Ok(()),
            Err(source) => {
                Err(self
                    .error(Kind::Request { operation: "CreateTable", source: Box::new(source) }))
            }
        }
    }
}
