//! The requests to the lease table.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;

use crate::checkpoint::dynamodb::error::{DynamoDbStoreError, Kind};
use crate::checkpoint::dynamodb::expressions::Expressions;
use crate::checkpoint::dynamodb::item::{self, Item, n, s};
use crate::checkpoint::dynamodb::row::{
    self, CHECKPOINT, CHECKPOINT_OWNER, CHILD_SHARD_IDS, LEASE_COUNTER, LEASE_KEY, LEASE_OWNER,
    LeaseRow, OWNER_SWITCHES,
};
use crate::checkpoint::dynamodb::table::{Table, Written};
use crate::checkpoint::value::Checkpoint;
use crate::lease::table::{Change, Condition, LeaseWrite, Response};
use crate::shard::stream_id::StreamId;

/// A lease table of the Kinesis Client Library, for the shards of one stream.
#[derive(Clone, Debug)]
pub(crate) struct LeaseRows {
    table: Table,
    stream: StreamId,
}

impl LeaseRows {
    pub(crate) fn new(client: &Client, table: String, stream: StreamId) -> Self {
        Self { table: Table::new(client, table, LEASE_KEY), stream }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) async fn scan(&self) -> Result<Response, DynamoDbStoreError> {
        let mut leases = Vec::new();
        let read = |row: &Item| {
            leases.extend(self.read(row)?);
            Ok(())
        };
        self.table.scan(true, read).await?;
        Ok(Response::Leases(leases))
    }

    pub(crate) async fn get(&self, shards: &[String]) -> Result<Response, DynamoDbStoreError> {
        // DynamoDB refuses a key that is named twice.
        let shards: BTreeSet<_> = shards.iter().map(String::as_str).collect();
        let mut leases = Vec::new();
        for row in self.table.get_all(shards).await? {
            leases.extend(self.read(&row)?);
        }
        Ok(Response::Leases(leases))
    }

    pub(crate) async fn write(&self, write: &LeaseWrite) -> Result<Response, DynamoDbStoreError> {
        write.debug_assert_valid();
        let id = &write.shard_id;
        if !row::is_loadable_key(id) {
            return Err(self.table.error(Kind::ShardId { shard_id: id.clone() }));
        }
        let written = match &write.change {
            Change::Create(lease) => {
                self.table.create(row::to_item(&self.stream, &write.new_row(lease))).await?
            }
            Change::Delete => self.table.delete(id, condition(&write.condition)).await?,
            _ => self.table.update(id, self.update(write)).await?,
        };
        Ok(match written {
            Written::Yes(_) if write.change == Change::Delete => Response::Deleted,
            Written::Yes(row) => match self.read(&row)? {
                Some(lease) => Response::Lease(lease),
                None => return Err(self.table.unusable(&row, "it is not a lease".to_owned())),
            },
            Written::No(None) => Response::RefusedLease(None),
            Written::No(Some(row)) => Response::RefusedLease(self.read(&row)?),
        })
    }

    /// Reads a row. Returns `None` if it is not a lease.
    fn read(&self, row: &Item) -> Result<Option<LeaseRow>, DynamoDbStoreError> {
        row::read(&self.stream, row).map_err(|reason| self.table.unusable(row, reason))
    }

    /// Returns the expressions of a write to a row that exists.
    fn update(&self, write: &LeaseWrite) -> Expressions {
        let update = row::count_on(condition(&write.condition), &self.stream, &write.writer());
        match &write.change {
            Change::Claim { owner } => {
                let claim = update.set(LEASE_OWNER, s(owner)).remove(CHECKPOINT_OWNER);
                if write.takes_from_another() { claim.add(OWNER_SWITCHES, n(1)) } else { claim }
            }
            Change::Save { checkpoint } => row::save(update, checkpoint),
            Change::Give { checkpoint, to } => {
                row::save(update, checkpoint).set_or_remove(LEASE_OWNER, to.as_deref().map(s))
            }
            Change::End { children } => {
                // The end also completes a hand-over that was asked for.
                let end = row::save(update, &Checkpoint::End).remove(CHECKPOINT_OWNER);
                match item::set(children) {
                    Some(children) => end.set(CHILD_SHARD_IDS, children),
                    None => end,
                }
            }
            Change::HandOver { checkpoint } => {
                row::save(update, checkpoint).remove(CHECKPOINT_OWNER)
            }
            Change::Create(_) | Change::Renew | Change::Delete => update,
        }
    }
}

fn condition(condition: &Condition) -> Expressions {
    let is_unmoved = match condition.counter() {
        Some(counter) => Expressions::default().if_equal(LEASE_COUNTER, n(counter)),
        None => Expressions::default().if_absent(LEASE_KEY),
    };
    match condition {
        Condition::Absent => is_unmoved,
        Condition::Unowned { .. } => is_unmoved.if_absent(LEASE_OWNER),
        Condition::Owned { owner, checkpoint_owner, .. } => {
            let is_owned = is_unmoved.if_equal(LEASE_OWNER, s(owner));
            match checkpoint_owner {
                Some(former) => is_owned.if_equal(CHECKPOINT_OWNER, s(former)),
                None => is_owned.if_absent(CHECKPOINT_OWNER),
            }
        }
        Condition::HandoverFrom { checkpoint_owner, .. } => {
            is_unmoved.if_equal(CHECKPOINT_OWNER, s(checkpoint_owner))
        }
        Condition::Ended { .. } => is_unmoved.if_equal(CHECKPOINT, s("SHARD_END")),
    }
}
