//! Errors of the DynamoDB store.

use std::fmt;

use aws_sdk_dynamodb::Error as SdkError;
use aws_sdk_dynamodb::error::ProvideErrorMetadata;

use crate::util::request_timeout::NoResponse;
use crate::util::sdk_error::{DENIED, PERMANENT};

/// An error of a [`DynamoDbStore`](super::DynamoDbStore): see the example there.
#[derive(Debug)]
pub struct DynamoDbStoreError {
    table: String,
    kind: Kind,
}

#[derive(Debug)]
pub(crate) enum Kind {
    MissingTable,
    /// A table that the worker has created does not exist.
    DeletedTable,
    NotActive,
    Deleting,
    /// The table is one of another kind.
    OtherKey {
        found: String,
        expected: &'static str,
    },
    Row {
        key: String,
        reason: String,
    },
    ShardId {
        shard_id: String,
    },
    Held {
        shard_id: String,
        owner: Option<String>,
    },
    Request {
        operation: &'static str,
        source: Box<SdkError>,
    },
    Misconfigured {
        operation: &'static str,
        reason: String,
    },
    NoResponse {
        operation: &'static str,
    },
    EmptyResponse {
        operation: &'static str,
    },
    Unprocessed {
        operation: &'static str,
    },
}

impl DynamoDbStoreError {
    pub(crate) fn new(table: &str, kind: Kind) -> Self {
        Self { table: table.to_owned(), kind }
    }

    /// Returns the name of the table.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Returns whether another consumer holds the lease of a shard: it has renewed, taken or moved
    /// the lease since this store read or wrote it, within the [failover
    /// time](super::DynamoDbStore::failover_time). Stop one of the two consumers.
    #[must_use]
    pub fn is_held_by_another(&self) -> bool {
        matches!(self.kind, Kind::Held { .. })
    }

    /// Returns whether the table does not exist: see
    /// [`create_table_if_missing`](super::DynamoDbStore::create_table_if_missing).
    #[must_use]
    pub fn is_missing_table(&self) -> bool {
        matches!(self.kind, Kind::MissingTable | Kind::DeletedTable)
    }

    /// Returns this error for a table that is created at the start, and then not again.
    pub(crate) fn after_creation(self) -> Self {
        match self.kind {
            Kind::MissingTable => Self { kind: Kind::DeletedTable, ..self },
            _ => self,
        }
    }

    /// Returns whether a retry within seconds may succeed. A request without a response has taken a
    /// minute already.
    pub(crate) fn is_worth_retrying(&self) -> bool {
        !self.is_permanent() && !matches!(self.kind, Kind::NoResponse { .. })
    }

    /// Returns whether no retry mends it: no permission, no such table, a table of another kind.
    pub(crate) fn is_permanent(&self) -> bool {
        match &self.kind {
            Kind::MissingTable
            | Kind::DeletedTable
            | Kind::Deleting
            | Kind::OtherKey { .. }
            | Kind::Row { .. }
            | Kind::ShardId { .. }
            | Kind::Misconfigured { .. } => true,
            Kind::Request { source, .. } => source
                .code()
                .is_some_and(|code| DENIED.contains(&code) || PERMANENT.contains(&code)),
            Kind::NotActive
            | Kind::Held { .. }
            | Kind::NoResponse { .. }
            | Kind::EmptyResponse { .. }
            | Kind::Unprocessed { .. } => false,
        }
    }
}

impl fmt::Display for DynamoDbStoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = &self.table;
        match &self.kind {
            Kind::MissingTable => write!(
                f,
                "DynamoDB table {table} does not exist in this account and region: check its name, \
                 or create it with `create_table_if_missing`"
            ),
            Kind::DeletedTable => write!(
                f,
                "DynamoDB table {table} was deleted: restart the workers, which creates it again"
            ),
            Kind::NotActive => write!(f, "DynamoDB table {table} did not become ACTIVE in time"),
            Kind::Deleting => write!(
                f,
                "DynamoDB table {table} is being deleted: start again once it is gone, which \
                 creates it again"
            ),
            Kind::OtherKey { found, expected } => write!(
                f,
                "DynamoDB table {table} has the key {found} instead of {expected}: it is of \
                 another application; use another name"
            ),
            Kind::Row { key, reason } => {
                write!(f, "cannot use row {key} of DynamoDB table {table}: {reason}")
            }
            Kind::ShardId { shard_id } => write!(
                f,
                "cannot save shard {shard_id} in DynamoDB table {table}: a row with ':' in its key \
                 is one of several streams"
            ),
            Kind::Held { shard_id, owner } => {
                let owner = owner.as_deref().unwrap_or("another consumer");
                write!(
                    f,
                    "the lease of shard {shard_id} in DynamoDB table {table} was moved by {owner}: \
                     stop one of the two consumers"
                )
            }
            Kind::Misconfigured { operation, reason } => {
                write!(f, "{operation} on DynamoDB table {table} failed: {reason}")
            }
            Kind::NoResponse { operation } => {
                write!(f, "{operation} on DynamoDB table {table} failed: {NoResponse}")
            }
            Kind::EmptyResponse { operation } => write!(
                f,
                "{operation} on DynamoDB table {table} got an empty response: check the endpoint \
                 and its proxies"
            ),
            Kind::Unprocessed { operation } => write!(
                f,
                "{operation} on DynamoDB table {table} left keys unprocessed: check its throughput"
            ),
            Kind::Request { operation, source } => {
                write!(f, "{operation} on DynamoDB table {table} failed")?;
                let Some(code) = source.code() else { return Ok(()) };
                write!(f, " ({code}")?;
                if let Some(message) = source.message() {
                    write!(f, ": {message}")?;
                }
                write!(f, ")")?;
                if code.contains("AccessDenied") {
                    write!(f, ": the credentials must allow dynamodb:{operation} on it")?;
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
