//! One script: the same calls to a server and to a fake of its own, answer by answer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use fastrand::Rng;
use kinesis_shards::testing::{FakeKinesis, Limits};

use super::call::{Call, From, Named};
use super::case::Case;
use super::compare::differences;
use super::generate::World;
use super::side::{Side, mark};
use super::table::{self, Known};
use crate::kind::Kind;

pub(crate) struct Script {
    kind: Kind,
    seed: u64,
    rng: Rng,
    kinesis: FakeKinesis,
    name: String,
    server: Side,
    fake: Side,
    /// The shard of each iterator.
    iterators: BTreeMap<usize, String>,
    marks: Vec<DateTime>,
    records: usize,
    calls: Vec<Call>,
    has_refused_put: bool,
    over: bool,
    pub(crate) result: Outcome,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) compared: usize,
    pub(crate) skipped: usize,
    pub(crate) known: Vec<&'static Known>,
    pub(crate) unknown: Vec<Unknown>,
}

/// A difference that the table does not have.
pub(crate) struct Unknown {
    /// The same for all that look alike.
    pub(crate) what: String,
    pub(crate) where_: String,
}

impl Script {
    pub(crate) fn new(kind: Kind, client: &Client, seed: u64) -> Self {
        // AWS ends a closed shard with its last records, or in one more answer: the fake does what the server does.
        let kinesis = FakeKinesis::builder()
            .starting_at(SystemTime::now())
            .limits(Limits::none())
            .end_with_last_records(kind != Kind::Kinesalite)
            .build();
        // The server's endpoint is given as well: it changes what the SDK makes of an ARN.
        let fake = kinesis.config().endpoint_url("http://127.0.0.1:1").build();
        let name = format!("differential-{seed}");
        Self {
            kind,
            seed,
            rng: Rng::with_seed(seed),
            kinesis,
            name,
            server: Side::new(client),
            fake: Side::new(&Client::from_conf(fake)),
            iterators: BTreeMap::new(),
            marks: Vec::new(),
            records: 0,
            calls: Vec::new(),
            has_refused_put: false,
            over: false,
            result: Outcome::default(),
        }
    }

    pub(crate) async fn run(mut self) -> Outcome {
        let mut shards = self.rng.i32(1..=4);
        if self.kind == Kind::KinesisLocal && !self.seed.is_multiple_of(5) {
            // It cuts the hash key range elsewhere, and all that follows differs.
            shards = 1;
        }
        let (whole_seconds, updates_shard_count) = (self.seed.is_multiple_of(3), self.seed.is_multiple_of(4));
        self.call(Call::CreateStream { name: self.name.clone(), shards }).await;
        self.over = self.compare(&Call::ListToTheEnd { page: 100, filter: None }).await.in_ranges;
        for n in 0..self.rng.usize(30..55) {
            if self.over {
                break;
            }
            if n % 12 == 8 {
                self.marks.push(mark(whole_seconds).await);
            }
            let call = self.draw(updates_shard_count);
            self.call(call).await;
        }
        self.finish().await;
        self.result
    }

    fn draw(&mut self, updates_shard_count: bool) -> Call {
        let stream = self.kinesis.stream(&self.name);
        let mut records: Vec<_> =
            self.fake.records.iter().map(|(data, (shard, _))| (data.clone(), shard.clone())).collect();
        records.sort_unstable();
        let mut world = World {
            rng: &mut self.rng,
            stream: &stream,
            records,
            iterators: self.fake.iterators.keys().copied().collect(),
            marks: self.marks.len(),
            has_token: self.fake.token.is_some(),
            next_record: &mut self.records,
            updates_shard_count,
        };
        world.next()
    }

    /// Everything once more, and then nothing any more.
    async fn finish(&mut self) {
        if !self.over {
            self.call(Call::ListToTheEnd { page: 3, filter: None }).await;
            let shards = self.kinesis.stream(&self.name).shards();
            for shard in shards.iter().take(6) {
                self.call(Call::ReadToTheEnd { shard: shard.shard_id().to_owned(), limit: 3 }).await;
            }
        }
        if self.over {
            // For the servers' sake.
            let _ = self.server.carry_out(&Call::DeleteStream, &[]).await;
            return;
        }
        self.call(Call::DeleteStream).await;
        self.call(Call::DescribeStreamSummary { stream: Named::ByName }).await;
        if let Some(slot) = self.fake.iterators.keys().next() {
            self.call(Call::GetRecords { from: From::Iterator(*slot), limit: None }).await;
        }
    }

    async fn call(&mut self, call: Call) {
        if self.over {
            return;
        }
        if !(self.server.can(&call) && self.fake.can(&call)) || table::is_not_asked(self.kind, &call) {
            self.result.skipped += 1;
            return;
        }
        self.calls.push(call.clone());
        let found = self.compare(&call).await;
        // What differs in the stream itself differs in all that follows.
        self.over = found.refused && call.changes_the_stream();
        if call.takes_a_while() && !self.over {
            self.server.settle().await;
            self.fake.settle().await;
        }
        if let Call::UpdateShardCount { .. } = call
            && !self.over
        {
            // By which splits and merges a server gets there is its own affair; if by others, the shards are others.
            self.over = self.compare(&Call::ListToTheEnd { page: 100, filter: None }).await.any;
        }
    }

    async fn compare(&mut self, call: &Call) -> Found {
        if let Call::GetShardIterator { shard: Some(shard), .. } = call {
            for side in [&mut self.server, &mut self.fake] {
                side.next_iterator = self.calls.len();
            }
            self.iterators.insert(self.calls.len(), shard.clone());
        }
        let server = self.server.carry_out(call, &self.marks).await;
        let fake = self.fake.carry_out(call, &self.marks).await;
        self.result.compared += 1;

        let shards = if matches!(call, Call::DeleteStream) { vec![] } else { self.shards().await };
        let reads = match call {
            Call::GetRecords { from: From::Iterator(slot), .. } => self.iterators.get(slot).cloned(),
            Call::ReadToTheEnd { shard, .. } => Some(shard.clone()),
            _ => None,
        };
        self.has_refused_put |= matches!(call, Call::PutRecords { .. }) && fake.error().is_some();
        let mut found = Found::default();
        for difference in differences(&server, &fake) {
            found.any = true;
            found.in_ranges |= difference.field == "Shards[].HashKeyRange";
            found.refused |= server.error().is_some() != fake.error().is_some();
            let case = Case {
                call,
                difference: &difference,
                shards: &shards,
                reads: reads.as_deref(),
                follows_a_refused_put: self.has_refused_put,
                follows_an_update: matches!(self.calls.last(), Some(Call::UpdateShardCount { .. })),
            };
            if let Some(known) = table::find(self.kind, &case) {
                self.result.known.push(known);
                continue;
            }
            let what = format!("{}: {}", call.operation(), difference);
            let mut script = String::new();
            for (n, call) in self.calls.iter().enumerate() {
                let _ = writeln!(script, "  {n:>3} {call:?}");
            }
            let where_ = format!(
                "seed {}, call {}: {call:?}\n  the server:\n{server}  the fake:\n{fake}  the script:\n{script}",
                self.seed,
                self.calls.len() - 1
            );
            self.result.unknown.push(Unknown { what, where_ });
        }
        found
    }

    async fn shards(&self) -> Vec<aws_sdk_kinesis::types::Shard> {
        let listed = self.kinesis.client().list_shards().stream_name(&self.name).send().await;
        listed.ok().and_then(|listed| listed.shards).unwrap_or_default()
    }
}

#[derive(Default)]
struct Found {
    any: bool,
    /// The shards have other parts of the hash key range.
    in_ranges: bool,
    /// Only one of the two did it.
    refused: bool,
}
