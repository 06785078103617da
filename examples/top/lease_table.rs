//! The leases of an application, read without joining its workers.

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use kinesis_shards::testing::LeaseBoard;
use tokio::time::timeout;

use crate::common::error::with_cause;
use crate::model::Lease;

/// The SDK itself waits for a response forever.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The place of the leases of an application.
pub(crate) enum LeaseTable {
    DynamoDb { client: aws_sdk_dynamodb::Client, table: String },
    Board { board: LeaseBoard, application: &'static str },
}

impl LeaseTable {
    pub(crate) async fn read(&self) -> Result<Vec<Lease>, String> {
        let (client, table) = match self {
            Self::DynamoDb { client, table } => (client, table),
            Self::Board { board, application } => {
                let leases = board.leases(application).into_iter().map(|lease| Lease {
                    shard: lease.shard_id,
                    owner: lease.owner,
                    checkpoint: lease.checkpoint.to_string(),
                });
                return Ok(leases.collect());
            }
        };
        let mut pages = client.scan().table_name(table).into_paginator().send();
        let mut leases = Vec::new();
        let silent = |_| format!("no response to a scan of table {table}");
        while let Some(page) = timeout(RESPONSE_TIMEOUT, pages.next()).await.map_err(silent)? {
            let page = page.map_err(|error| {
                format!("cannot read the leases in table {table}: {}", with_cause(&error))
            })?;
            leases.extend(page.items().iter().filter_map(lease));
        }
        Ok(leases)
    }
}

/// Reads a row in the layout of the Kinesis Client Library. Version 3 of it keeps rows of other
/// kinds beside the leases.
fn lease(row: &HashMap<String, AttributeValue>) -> Option<Lease> {
    let get = |name| row.get(name).and_then(|value| value.as_s().ok());
    if get("entityType").is_some_and(|entity| entity != "LEASE") {
        return None;
    }
    Some(Lease {
        shard: get("leaseKey")?.clone(),
        // While a lease is handed over, its former owner still reads the shard.
        owner: get("checkpointOwner").or(get("leaseOwner")).cloned(),
        checkpoint: get("checkpoint")?.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(columns: &[(&str, &str)]) -> HashMap<String, AttributeValue> {
        let column =
            |&(name, value): &(&str, &str)| (name.to_owned(), AttributeValue::S(value.to_owned()));
        columns.iter().map(column).collect()
    }

    #[test]
    fn a_lease_is_held_by_its_former_owner_until_it_is_handed_over() {
        let mut columns =
            vec![("leaseKey", "shardId-1"), ("checkpoint", "495"), ("leaseOwner", "new")];
        let owner = |columns: &[(&str, &str)]| lease(&row(columns)).unwrap().owner;
        assert_eq!(owner(&columns).as_deref(), Some("new"));
        columns.push(("checkpointOwner", "old"));
        assert_eq!(owner(&columns).as_deref(), Some("old"));
        assert_eq!(owner(&columns[..2]), None);
    }

    #[test]
    fn rows_that_are_no_leases_are_left_out() {
        let columns =
            [("leaseKey", "Migration3.0"), ("checkpoint", "495"), ("entityType", "LEASE")];
        assert!(lease(&row(&columns)).is_some());
        assert_eq!(lease(&row(&[columns[0], columns[1], ("entityType", "WORKER_METRICS")])), None);
        assert_eq!(lease(&row(&columns[..1])), None);
    }
}
