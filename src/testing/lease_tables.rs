//! A check that the model of the lease tables responds as DynamoDB does.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::HashKeyRange;
use fastrand::Rng;
use futures::future::try_join_all;

use crate::checkpoint::dynamodb::item::{self, n, s};
use crate::checkpoint::dynamodb::row::{self, LeaseRow, PENDING, Writer};
use crate::checkpoint::value::Checkpoint;
use crate::lease::table::dynamodb::DynamoDbTables;
use crate::lease::table::model::ModelTables;
use crate::lease::table::{
    Beat, Change, Condition, LeaseTables, LeaseWrite, NewLease, Request, Response, WorkerRow,
    WorkerState,
};
use crate::shard::position::StartPosition;
use crate::shard::stream_id::StreamId;

const STREAM: &str = "orders";
const SHARDS: [&str; 4] = ["shardId-0", "shardId-1", "shardId-2", "shardId-3"];
const WORKERS: [&str; 3] = ["worker-1", "worker-2", "worker-3"];
/// The number of workers that create the tables at once.
const CREATORS: usize = 4;
/// The number of steps after which the attributes of all leases are checked.
const STEPS_BETWEEN_CHECKS: usize = 100;

/// The attributes of a lease that a KCL reads, and those of this crate that it ignores.
const ATTRIBUTES: [&str; 19] = [
    "leaseKey",
    "leaseOwner",
    "leaseCounter",
    "ownerSwitchesSinceCheckpoint",
    "checkpoint",
    "checkpointSubSequenceNumber",
    "pendingCheckpoint",
    "pendingCheckpointSubSequenceNumber",
    "pendingCheckpointState",
    "parentShardId",
    "childShardIds",
    "startingHashKey",
    "endingHashKey",
    "checkpointOwner",
    "throughputKBps",
    "entityType",
    "kinesisShardsCheckpoint",
    "kinesisShardsStream",
    "kinesisShardsWriter",
];

/// Sends random requests to the lease tables in DynamoDB and to their model, and compares the
/// responses. Returns how many requests of each kind were carried out, of those that were sent.
///
/// The names of the tables begin with `prefix`.
#[doc(hidden)]
pub async fn compare_lease_tables(
    client: &Client,
    prefix: &str,
    seed: u64,
    steps: usize,
) -> Result<String, String> {
    let mut comparison = Comparison::new(client, prefix, seed);
    comparison.run(steps).await.map_err(|error| format!("seed {seed}: {error}"))?;
    Ok(comparison.counts.to_string())
}

struct Comparison {
    client: Client,
    lease_table: String,
    tables: DynamoDbTables,
    model: ModelTables,
    /// The shards whose rows have a pending checkpoint of the KCL, which the model leaves out.
    pending: BTreeSet<String>,
    rng: Rng,
    counts: Counts,
}

impl Comparison {
    fn new(client: &Client, prefix: &str, seed: u64) -> Self {
        let (lease_table, workers_table) =
            (format!("{prefix}-{seed}"), format!("{prefix}-{seed}-workers"));
        let stream = StreamId::from(STREAM);
        Self {
            client: client.clone(),
            lease_table: lease_table.clone(),
            tables: DynamoDbTables::new(client, lease_table, workers_table, stream),
            model: ModelTables::default(),
            pending: BTreeSet::new(),
            rng: Rng::with_seed(seed),
            counts: Counts::default(),
        }
    }

    async fn run(&mut self, steps: usize) -> Result<(), String> {
        let create = || self.tables.create_missing();
        let created = try_join_all((0..CREATORS).map(|_| create())).await;
        created.map_err(|error| format!("creating the tables: {error:?}"))?;
        for step in 0..steps {
            if self.rng.u32(0..100) < 6 {
                self.write_as_kcl().await?;
            } else {
                let request = self.request();
                self.compare(request).await.map_err(|error| format!("step {step}: {error}"))?;
            }
            if step % STEPS_BETWEEN_CHECKS == 0 {
                self.check_attributes().await?;
            }
        }
        self.check_attributes().await
    }

    async fn compare(&mut self, request: Request) -> Result<(), String> {
        let expected = sorted(self.model.apply(&request));
        let response = self.tables.send(request.clone()).await;
        let response = response.map(sorted).map_err(|error| format!("{request:?}: {error:?}"))?;
        if response != expected {
            return Err(format!("{request:?}\n   model: {expected:?}\nDynamoDB: {response:?}"));
        }
        if let (Request::Write(write), Response::Lease(_) | Response::Deleted) =
            (&request, &response)
            && !matches!(write.change, Change::Claim { .. } | Change::Renew)
        {
            self.pending.remove(&write.shard_id);
        }
        self.counts.note(&request, &response);
        Ok(())
    }

    /// Writes a row as a KCL may leave it, with the attributes of this crate from before.
    async fn write_as_kcl(&mut self) -> Result<(), String> {
        let shard = self.shard();
        let old = self.model.row(shard).cloned();
        let checkpoint = match self.rng.u8(0..5) {
            0 => Checkpoint::Start(StartPosition::TrimHorizon),
            1 => Checkpoint::Start(StartPosition::Latest),
            2 => Checkpoint::End,
            _ => Checkpoint::After {
                sequence_number: self.rng.u32(1..100).to_string(),
                sub_sequence_number: Some(self.rng.u64(0..3)),
            },
        };
        let new = LeaseRow {
            counter: old.as_ref().map_or(0, |row| row.counter + 1),
            owner: self.rng.bool().then(|| "java-1".to_owned()),
            checkpoint_owner: self.rng.bool().then(|| self.worker().to_owned()),
            checkpoint,
            writer: old.as_ref().and_then(|row| row.writer.clone()),
            ..old.unwrap_or_else(|| {
                let (parents, writer) =
                    (["parent-b", "parent-a"], Writer { run: String::new(), counter: 0 });
                let (range, start) = (None, Checkpoint::End);
                LeaseRow::new(shard, parents.into_iter(), range, start, writer)
            })
        };
        let mut item = row::to_item(&StreamId::from(STREAM), &new);
        item.remove("kinesisShardsCheckpoint");
        item.remove("kinesisShardsStream");
        item.insert("throughputKBps".to_owned(), AttributeValue::N("1.5".to_owned()));
        item.insert("entityType".to_owned(), s("LEASE"));
        if self.rng.bool() {
            self.pending.insert(shard.to_owned());
            let values = [s("99"), n(0), AttributeValue::B(Blob::new("state"))];
            item.extend(PENDING.map(str::to_owned).into_iter().zip(values));
        } else {
            self.pending.remove(shard);
        }
        self.model.put_row(new);
        let put = self.client.put_item().table_name(&self.lease_table).set_item(Some(item));
        put.send().await.map(drop).map_err(|error| format!("PutItem: {error:?}"))
    }

    /// Checks the attributes that [`LeaseRow`] leaves out.
    async fn check_attributes(&self) -> Result<(), String> {
        let scan = self.client.scan().table_name(&self.lease_table).consistent_read(true);
        let rows = scan.send().await.map_err(|error| format!("Scan: {error:?}"))?.items;
        for row in rows.unwrap_or_default() {
            let id = item::get(&row, row::LEASE_KEY).unwrap_or_default();
            if let Some(unknown) = row.keys().find(|name| !ATTRIBUTES.contains(&name.as_str())) {
                return Err(format!("{id} has an attribute {unknown}"));
            }
            let switches = row.get(row::OWNER_SWITCHES).and_then(item::number_of);
            let expected = self.model.owner_switches(id);
            if switches != expected {
                return Err(format!("{id}: {switches:?} switches of owners, not {expected:?}"));
            }
            if PENDING.iter().any(|name| row.contains_key(*name) != self.pending.contains(id)) {
                return Err(format!("{id}: its pending checkpoint: {row:?}"));
            }
        }
        Ok(())
    }

    fn shard(&mut self) -> &'static str {
        SHARDS[self.rng.usize(..SHARDS.len())]
    }

    fn worker(&mut self) -> &'static str {
        WORKERS[self.rng.usize(..WORKERS.len())]
    }

    fn shards(&mut self, max: usize) -> BTreeSet<String> {
        (0..self.rng.usize(..=max)).map(|_| self.shard().to_owned()).collect()
    }

    /// Returns a number that is mostly this one, and else one near it.
    fn near(&mut self, number: u64) -> u64 {
        match self.rng.u8(0..10) {
            0 => number + 1,
            1 => number.saturating_sub(1),
            _ => number,
        }
    }

    fn request(&mut self) -> Request {
        let worker = self.worker().to_owned();
        let row = self.model.workers().find(|row| row.id == worker).cloned().unwrap_or_default();
        let run = self.near(row.run);
        match self.rng.u8(0..100) {
            0..3 => Request::Join,
            3..5 => {
                let stream = ["orders", "others"][self.rng.usize(..2)].to_owned();
                Request::Start { start: self.checkpoint(), stream }
            }
            5..12 => Request::Register(self.new_worker(worker, row.run + 1)),
            12..24 => Request::Beat(Beat {
                worker,
                run,
                beat: self.near(row.beat + 1),
                state: [WorkerState::Up, WorkerState::Leaving][usize::from(self.rng.u8(0..5) == 0)],
                held: self.rng.u64(0..4),
                max: self.rng.bool().then(|| self.rng.u64(0..9)),
                audits: self.rng.u64(0..9),
                arrived: self.shards(3),
            }),
            24..36 => {
                let is_seen = self.rng.bool();
                let seen = is_seen.then(|| {
                    let held = self.near(row.held);
                    (held, usize::try_from(self.near(row.coming.len() as u64)).unwrap_or(0))
                });
                let mut shards = self.shards(2);
                shards.insert(self.shard().to_owned());
                Request::Reserve { worker, run, seen, shards }
            }
            36..40 => {
                let beat = self.near(row.beat);
                Request::Fence { worker, run, beat, by: self.rng.u64(1..9) }
            }
            40..44 => Request::RemoveWorker { worker, run, is_own: self.rng.bool() },
            44..47 => Request::Workers { is_consistent: self.rng.bool() },
            47..50 => Request::Scan,
            50..54 => {
                let mut shards: Vec<_> = self.shards(4).into_iter().collect();
                // A key may be named twice, and a row may not exist.
                shards.extend(shards.first().cloned());
                shards.push("shardId-unknown".to_owned());
                Request::Get(shards)
            }
            _ => Request::Write(self.write()),
        }
    }

    fn new_worker(&mut self, id: String, next_run: u64) -> WorkerRow {
        WorkerRow {
            id,
            run: self.near(next_run),
            beat: self.rng.u64(0..2),
            state: WorkerState::Up,
            fenced_by: self.rng.bool().then(|| self.rng.u64(1..9)),
            held: self.rng.u64(0..4),
            max: self.rng.bool().then(|| self.rng.u64(0..9)),
            coming: self.shards(2),
            audits: self.rng.u64(0..9),
        }
    }

    fn write(&mut self) -> LeaseWrite {
        let shard = self.shard();
        let row = self.model.row(shard).cloned();
        let run = self.rng.u64(1..9);
        let write = |condition, change| {
            let shard_id = shard.to_owned();
            LeaseWrite { shard_id, condition, change, run }
        };
        let is_creation = if row.is_none() { 0..7 } else { 0..1 }.contains(&self.rng.u8(0..10));
        if is_creation {
            return write(Condition::Absent, Change::Create(self.new_lease()));
        }
        let condition = self.condition(row.as_ref());
        let change = match condition {
            Condition::HandoverFrom { .. } if self.rng.bool() => {
                Change::HandOver { checkpoint: self.checkpoint() }
            }
            Condition::Ended { .. } if self.rng.bool() => Change::Delete,
            _ => self.change(),
        };
        write(condition, change)
    }

    /// Returns a condition that mostly holds for this row.
    fn condition(&mut self, row: Option<&LeaseRow>) -> Condition {
        let counter = self.near(row.map_or(0, |row| row.counter));
        let owner = row.and_then(|row| row.owner.clone());
        let checkpoint_owner = row.and_then(|row| row.checkpoint_owner.clone());
        match (self.rng.u8(0..10), owner, checkpoint_owner) {
            _ if row.is_some_and(LeaseRow::has_ended) && self.rng.bool() => {
                Condition::Ended { counter }
            }
            (1..4, _, Some(checkpoint_owner)) => {
                Condition::HandoverFrom { counter, checkpoint_owner }
            }
            (0..7, None, _) | (0, ..) => Condition::Unowned { counter },
            (1..7, Some(owner), mut checkpoint_owner) => {
                if self.rng.u8(0..5) == 0 {
                    let is_handed_over = checkpoint_owner.is_none();
                    checkpoint_owner = is_handed_over.then(|| self.any_owner());
                }
                Condition::Owned { counter, owner, checkpoint_owner }
            }
            (7, ..) => Condition::HandoverFrom { counter, checkpoint_owner: self.any_owner() },
            (8, _, checkpoint_owner) => {
                Condition::Owned { counter, owner: self.any_owner(), checkpoint_owner }
            }
            _ => Condition::Ended { counter },
        }
    }

    fn change(&mut self) -> Change {
        match self.rng.u8(0..16) {
            0..4 => Change::Claim { owner: self.any_owner() },
            4..7 => Change::Save { checkpoint: self.checkpoint() },
            7..10 => {
                let checkpoint = self.checkpoint();
                Change::Give { checkpoint, to: self.rng.bool().then(|| self.any_owner()) }
            }
            10..12 => Change::End { children: self.ids() },
            12..14 => Change::HandOver { checkpoint: self.checkpoint() },
            14 => Change::Renew,
            _ => Change::Delete,
        }
    }

    fn any_owner(&mut self) -> String {
        let owner = self.rng.usize(..=WORKERS.len());
        WORKERS.get(owner).copied().unwrap_or("java-1").to_owned()
    }

    fn new_lease(&mut self) -> NewLease {
        let range = HashKeyRange::builder().starting_hash_key("0").ending_hash_key("7").build();
        NewLease {
            owner: self.rng.bool().then(|| self.any_owner()),
            checkpoint: self.checkpoint(),
            parents: self.ids(),
            hash_range: range.ok().filter(|_| self.rng.bool()),
        }
    }

    /// Returns ids of shards in any order, one of them perhaps twice.
    fn ids(&mut self) -> Vec<String> {
        (0..self.rng.usize(..4)).map(|_| self.shard().to_owned()).collect()
    }

    fn checkpoint(&mut self) -> Checkpoint {
        let number = self.rng.u32(1..100).to_string();
        match self.rng.u8(0..9) {
            0 => Checkpoint::Start(StartPosition::TrimHorizon),
            1 => Checkpoint::Start(StartPosition::Latest),
            2 => Checkpoint::Start(StartPosition::Timestamp(DateTime::from_secs_and_nanos(
                self.rng.i64(0..2_000_000_000),
                self.rng.u32(0..1_000_000_000),
            ))),
            3 => Checkpoint::Start(StartPosition::At(number)),
            4 => Checkpoint::Start(StartPosition::After(number)),
            5 => Checkpoint::End,
            _ => Checkpoint::After {
                sequence_number: number,
                sub_sequence_number: self.rng.bool().then(|| self.rng.u64(0..3)),
            },
        }
    }
}

/// Returns a response whose rows are in the order of their keys.
fn sorted(mut response: Response) -> Response {
    match &mut response {
        Response::Workers(rows) => rows.sort_by(|a, b| a.id.cmp(&b.id)),
        Response::Leases(rows) => rows.sort_by(|a, b| a.shard_id.cmp(&b.shard_id)),
        _ => {}
    }
    response
}

/// How many requests of each kind were sent, and how many of them were carried out.
#[derive(Default)]
struct Counts(BTreeMap<&'static str, (u32, u32)>);

impl Counts {
    fn note(&mut self, request: &Request, response: &Response) {
        let (sent, carried_out) = self.0.entry(kind(request)).or_default();
        *sent += 1;
        if !matches!(response, Response::RefusedWorker(_) | Response::RefusedLease(_)) {
            *carried_out += 1;
        }
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent: u32 = self.0.values().map(|(sent, _)| sent).sum();
        write!(f, "{sent} requests")?;
        self.0.iter().try_for_each(|(kind, (sent, done))| write!(f, ", {kind} {done}/{sent}"))
    }
}

fn kind(request: &Request) -> &'static str {
    match request {
        Request::Join => "join",
        Request::Start { .. } => "start",
        Request::Register(_) => "register",
        Request::Beat(_) => "beat",
        Request::Reserve { .. } => "reserve",
        Request::Fence { .. } => "fence",
        Request::RemoveWorker { .. } => "remove worker",
        Request::Workers { .. } => "workers",
        Request::Scan => "scan",
        Request::Get(_) => "get",
        Request::Write(write) => match write.change {
            Change::Create(_) => "create",
            Change::Claim { .. } => "claim",
            Change::Save { .. } => "save",
            Change::Give { .. } => "give",
            Change::End { .. } => "end",
            Change::HandOver { .. } => "hand over",
            Change::Renew => "renew",
            Change::Delete => "delete",
        },
    }
}
