//! The requests to the workers table.

use std::collections::BTreeSet;
use std::time::SystemTime;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::{DateTime, DateTimeFormat};
use aws_sdk_dynamodb::types::AttributeValue;

use crate::checkpoint::dynamodb::error::DynamoDbStoreError;
use crate::checkpoint::dynamodb::expressions::Expressions;
use crate::checkpoint::dynamodb::item::{Item, get, n, number_of, s, set, set_of};
use crate::checkpoint::dynamodb::table::{Table, Written};
use crate::checkpoint::value::Checkpoint;
use crate::lease::table::{Beat, Response, WorkerRow, WorkerState};

/// The key of the table.
const WORKER: &str = "worker";
const RUN: &str = "run";
const BEAT: &str = "beat";
const STATE: &str = "state";
const FENCED_BY: &str = "by";
const HELD: &str = "held";
const MAX: &str = "max";
const COMING: &str = "coming";
const AUDITS: &str = "placed";
/// The wall time of the worker's last write. For people: nothing reads it.
const WRITTEN_AT: &str = "at";

/// The key of the fleet's row.
const FLEET: &str = "#fleet";
const JOINS: &str = "joins";
const START: &str = "start";
const STREAM: &str = "stream";
const PROTOCOL: &str = "proto";

/// The version of the rules by which workers share leases.
const THIS_PROTOCOL: u64 = 1;

/// The workers table of a fleet.
#[derive(Clone, Debug)]
pub(crate) struct WorkerRows {
    table: Table,
}

impl WorkerRows {
    pub(crate) fn new(client: &Client, table: String) -> Self {
        Self { table: Table::new(client, table, WORKER) }
    }

    pub(crate) fn table(&self) -> &Table {
        &self.table
    }

    pub(crate) async fn join(&self) -> Result<Response, DynamoDbStoreError> {
        let row = self.update_fleet(Expressions::default().add(JOINS, n(1))).await?;
        let joined = |row: &Item| {
            if row.contains_key(PROTOCOL) {
                check_protocol(row)?;
            }
            let stream = get(row, STREAM).map(str::to_owned);
            Ok(Response::Joined { run: number(row, JOINS)?, stream })
        };
        joined(&row).map_err(|reason| self.table.unusable(&row, reason))
    }

    pub(crate) async fn start(
        &self,
        start: &Checkpoint,
        stream: &str,
    ) -> Result<Response, DynamoDbStoreError> {
        let update = Expressions::default()
            .set_if_absent(START, s(&start.to_string()))
            .set_if_absent(STREAM, s(stream))
            .set_if_absent(PROTOCOL, n(THIS_PROTOCOL));
        let row = self.update_fleet(update).await?;
        read_start(&row).map_err(|reason| self.table.unusable(&row, reason))
    }

    pub(crate) async fn register(&self, row: &WorkerRow) -> Result<Response, DynamoDbStoreError> {
        let write = Expressions::default()
            .if_absent_or_less(WORKER, RUN, n(row.run))
            .set(RUN, n(row.run))
            .set(BEAT, n(row.beat))
            .set(STATE, state_value(row.state))
            .set_or_remove(FENCED_BY, row.fenced_by.map(n))
            .set(HELD, n(row.held))
            .set_or_remove(MAX, row.max.map(n))
            .set_or_remove(COMING, set(&row.coming))
            .set(AUDITS, n(row.audits))
            .set(WRITTEN_AT, now());
        self.update(&row.id, write).await
    }

    pub(crate) async fn beat(&self, beat: &Beat) -> Result<Response, DynamoDbStoreError> {
        let write = Expressions::default()
            .if_equal(RUN, n(beat.run))
            .if_less(BEAT, n(beat.beat))
            .if_not_equal(STATE, state_value(WorkerState::Dead))
            .set(BEAT, n(beat.beat))
            .set(STATE, state_value(beat.state))
            .set(HELD, n(beat.held))
            .set_or_remove(MAX, beat.max.map(n))
            .set(AUDITS, n(beat.audits))
            .set(WRITTEN_AT, now());
        let write = match set(&beat.arrived) {
            Some(arrived) => write.delete(COMING, arrived),
            None => write,
        };
        self.update(&beat.worker, write).await
    }

    pub(crate) async fn reserve(
        &self,
        worker: &str,
        run: u64,
        seen: Option<(u64, usize)>,
        shards: &BTreeSet<String>,
    ) -> Result<Response, DynamoDbStoreError> {
        let mut write = Expressions::default()
            .if_equal(RUN, n(run))
            .if_equal(STATE, state_value(WorkerState::Up));
        if let Some((held, coming)) = seen {
            write = write.if_equal(HELD, n(held)).if_size(COMING, coming);
        }
        if let Some(shards) = set(shards) {
            write = write.add(COMING, shards);
        }
        self.update(worker, write).await
    }

    pub(crate) async fn fence(
        &self,
        worker: &str,
        run: u64,
        beat: u64,
        by: u64,
    ) -> Result<Response, DynamoDbStoreError> {
        let write = Expressions::default()
            .if_equal(RUN, n(run))
            .if_equal(BEAT, n(beat))
            .if_not_equal(STATE, state_value(WorkerState::Dead))
            .set(STATE, state_value(WorkerState::Dead))
            .set(FENCED_BY, n(by));
        self.update(worker, write).await
    }

    pub(crate) async fn remove(
        &self,
        worker: &str,
        run: u64,
        is_own: bool,
    ) -> Result<Response, DynamoDbStoreError> {
        let mut condition = Expressions::default().if_equal(RUN, n(run));
        if !is_own {
            condition = condition.if_equal(STATE, state_value(WorkerState::Dead));
        }
        self.response(self.table.delete(worker, condition).await?)
    }

    pub(crate) async fn scan(&self, is_consistent: bool) -> Result<Response, DynamoDbStoreError> {
        let mut workers = Vec::new();
        let read = |row: &Item| {
            if get(row, WORKER) != Some(FLEET) {
                workers.push(self.read(row)?);
            }
            Ok(())
        };
        self.table.scan(is_consistent, read).await?;
        Ok(Response::Workers(workers))
    }

    /// Changes the row of the fleet, and returns it.
    async fn update_fleet(&self, update: Expressions) -> Result<Item, DynamoDbStoreError> {
        match self.table.update(FLEET, update).await? {
            Written::Yes(row) => Ok(row),
            Written::No(row) => {
                let row = row.unwrap_or_default();
                Err(self.table.unusable(&row, "a write without a condition was refused".to_owned()))
            }
        }
    }

    async fn update(
        &self,
        worker: &str,
        write: Expressions,
    ) -> Result<Response, DynamoDbStoreError> {
        self.response(self.table.update(worker, write).await?)
    }

    fn response(&self, written: Written) -> Result<Response, DynamoDbStoreError> {
        Ok(match written {
            Written::Yes(row) => Response::Worker(self.read(&row)?),
            Written::No(None) => Response::RefusedWorker(None),
            Written::No(Some(row)) => Response::RefusedWorker(Some(self.read(&row)?)),
        })
    }

    fn read(&self, row: &Item) -> Result<WorkerRow, DynamoDbStoreError> {
        read(row).map_err(|reason| self.table.unusable(row, reason))
    }
}

fn read(row: &Item) -> Result<WorkerRow, String> {
    let state = get(row, STATE).unwrap_or_default();
    Ok(WorkerRow {
        id: get(row, WORKER).unwrap_or_default().to_owned(),
        run: number(row, RUN)?,
        beat: number(row, BEAT)?,
        state: state_of(state).ok_or_else(|| format!("its state is {state:?}"))?,
        fenced_by: optional_number(row, FENCED_BY)?,
        held: number(row, HELD)?,
        max: optional_number(row, MAX)?,
        coming: set_of(row, COMING).into_iter().collect(),
        audits: number(row, AUDITS)?,
    })
}

/// Checks that the workers of the fleet share leases by the rules of this one.
fn check_protocol(row: &Item) -> Result<(), String> {
    let protocol = number(row, PROTOCOL)?;
    if protocol == THIS_PROTOCOL {
        return Ok(());
    }
    Err(format!(
        "its workers follow version {protocol} of the protocol, and this one version \
         {THIS_PROTOCOL}: use one version of kinesis-shards"
    ))
}

fn read_start(row: &Item) -> Result<Response, String> {
    check_protocol(row)?;
    let start = get(row, START).unwrap_or_default();
    let start = start.parse().map_err(|_| format!("its start is {start:?}"))?;
    let stream = get(row, STREAM).ok_or("it has no stream")?.to_owned();
    Ok(Response::Started { start, stream })
}

fn state_value(state: WorkerState) -> AttributeValue {
    s(match state {
        WorkerState::Up => "up",
        WorkerState::Leaving => "leaving",
        WorkerState::Dead => "dead",
    })
}

fn state_of(text: &str) -> Option<WorkerState> {
    Some(match text {
        "up" => WorkerState::Up,
        "leaving" => WorkerState::Leaving,
        "dead" => WorkerState::Dead,
        _ => return None,
    })
}

fn number(row: &Item, name: &str) -> Result<u64, String> {
    optional_number(row, name)?.ok_or_else(|| format!("it has no {name}"))
}

fn optional_number(row: &Item, name: &str) -> Result<Option<u64>, String> {
    let Some(value) = row.get(name) else { return Ok(None) };
    number_of(value).map(Some).ok_or_else(|| format!("its {name} is not a number"))
}

/// Returns the wall time, for people.
fn now() -> AttributeValue {
    let now = DateTime::from(SystemTime::now()).fmt(DateTimeFormat::DateTime);
    s(&now.unwrap_or_default())
}
