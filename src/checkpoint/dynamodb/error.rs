use std::fmt;

use aws_sdk_dynamodb::Error as SdkError;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;

use crate::util::request_timeout::NoResponse;

/// Why a [`DynamoDbStore`](super::DynamoDbStore) could not do what it was asked for.
#[derive(Debug)]
pub struct DynamoDbStoreError {
    pub(crate) table: String,
    pub(crate) kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    MissingTable,
    NotActive,
    Row { key: String, reason: String },
    Held { shard_id: String, owner: Option<String> },
    Request { operation: &'static str, source: Box<SdkError> },
    NoResponse { operation: &'static str },
    EmptyResponse { operation: &'static str },
}

impl DynamoDbStoreError {
    /// The table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Whether another consumer holds the lease of a shard: it was renewed, taken or moved since
    /// this store has read or written it, and not left alone for the [failover
    /// time](super::DynamoDbStore::failover_time) yet. Stop one of the two.
    #[must_use]
    pub fn is_held_by_another(&self) -> bool {
        matches!(self.kind, Kind::Held { .. })
    }

    /// Whether there is no such table: see
    /// [`create_table_if_missing`](super::DynamoDbStore::create_table_if_missing).
    #[must_use]
    pub fn is_missing_table(&self) -> bool {
        matches!(self.kind, Kind::MissingTable)
    }
}

impl fmt::Display for DynamoDbStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        match &self.kind {
            Kind::MissingTable => write!(
                f,
                "there is no DynamoDB table {table} in this account and region: check its name (that of the application), or make it with `create_table_if_missing`"
            ),
            Kind::NotActive => write!(f, "DynamoDB table {table} did not become ACTIVE in time"),
            Kind::Row { key, reason } => {
                write!(f, "row {key} of DynamoDB table {table} is not understood: {reason}")
            }
            Kind::Held { shard_id, owner } => {
                let owner = owner.as_deref().unwrap_or("another consumer");
                write!(
                    f,
                    "the lease of shard {shard_id} in DynamoDB table {table} was moved by {owner}: two consumers must not share a table; stop one of them"
                )
            }
            Kind::NoResponse { operation } => {
                write!(f, "{operation} on DynamoDB table {table} failed: {NoResponse}")
            }
            Kind::EmptyResponse { operation } => write!(
                f,
                "{operation} on DynamoDB table {table} got an empty response, which DynamoDB never \
                 gives: check the endpoint, and the proxies before it"
            ),
            Kind::Request { operation, source } => {
                write!(f, "{operation} on DynamoDB table {table} failed")?;
                if let Some(code) = source.code() {
                    write!(f, " ({code}")?;
                    if let Some(message) = source.message() {
                        write!(f, ": {message}")?;
                    }
                    write!(f, ")")?;
                    if code.contains("AccessDenied") {
                        write!(
                            f,
                            ": the client's credentials must allow dynamodb:{operation} on it"
                        )?;
                    }
                }
                Ok(())
            }
        }
    }
}

impl std::error::Error for DynamoDbStoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.kind {
            Kind::Request { source, .. } => Some(&**source),
            _ => None,
        }
    }
}
