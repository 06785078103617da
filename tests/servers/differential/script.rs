//! One script: the same calls to a server and to a fake, with the responses compared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Shard, ShardIteratorType};
use fastrand::Rng;
use kinesis_shards::cbor::CborProtocol;
use kinesis_shards::testing::{FakeKinesis, Limits};

use super::call::{Call, From, List, Named, Sequence, Start, Token};
use super::case::Case;
use super::cause::{self, Cause};
use super::compare::differences;
use super::generate;
use super::response::{ERROR, Response};
use super::side::{Side, mark, next_second};
use super::table;
use super::table::entry::Entry;
use super::world::World;
use crate::kind::Kind;

const FIRST: &str = "shardId-000000000000";

pub(crate) struct Script {
    kind: Kind,
    seed: u64,
    rng: Rng,
    kinesis: FakeKinesis,
    name: String,
    server: Side,
    fake: Side,
    /// The shard of each iterator, and how its request named the stream.
    iterators: BTreeMap<usize, (String, Named)>,
    marks: Vec<DateTime>,
    records: usize,
    calls: Vec<Call>,
    /// The request for the first page of the listing that the last token continues.
    first_page: Option<List>,
    retention: i32,
    recreated: bool,
    has_rejected_put: bool,
    over: bool,
    pub(crate) result: Outcome,
}

/// The outcome of a script.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) compared: usize,
    /// The calls of each operation that both sides carried out.
    pub(crate) accepted: BTreeMap<&'static str, usize>,
    pub(crate) skipped: usize,
    /// The entries that the script met, each with the causes for which it did.
    pub(crate) known: Vec<(&'static Entry, Vec<Cause>)>,
    pub(crate) unknown: Vec<Unknown>,
}

impl Outcome {
    pub(crate) fn timed_out(seed: u64) -> Self {
        let unknown =
            Unknown { what: "the script timed out".to_owned(), context: format!("seed {seed}") };
        Self { seed, unknown: vec![unknown], ..Self::default() }
    }
}

/// A difference that the table does not have.
pub(crate) struct Unknown {
    /// The difference, the same text for all that are alike.
    pub(crate) what: String,
    pub(crate) context: String,
}

/// Returns the protocol of a side: JSON and CBOR by turns.
fn protocol(number: u64) -> CborProtocol {
    if number.is_multiple_of(2) { CborProtocol::disabled() } else { CborProtocol::new() }
}

impl Script {
    pub(crate) fn new(kind: Kind, client: &Client, seed: u64) -> Self {
        // AWS ends a closed shard with its last records, or in one more response. The fake does
        // what the server does.
        let kinesis = FakeKinesis::builder()
            .starting_at(SystemTime::now())
            .limits(Limits::none())
            .end_with_last_records(kind != Kind::Kinesalite)
            .build();
        // The SDK resolves an ARN differently with an endpoint, which the server's client has too.
        let fake = kinesis.config().endpoint_url("http://127.0.0.1:1");
        let (fake, mut server) = (fake.protocol(protocol(seed)), client.config().to_builder());
        if kind == Kind::KinesisLocal {
            // The other servers are wrong about timestamps in CBOR, or do not know it.
            server = server.protocol(protocol(seed / 2));
        }
        let name = format!("differential-{seed}");
        Self {
            kind,
            seed,
            rng: Rng::with_seed(seed),
            kinesis,
            name,
            server: Side::new(&Client::from_conf(server.build())),
            fake: Side::new(&Client::from_conf(fake.build())),
            iterators: BTreeMap::new(),
            marks: Vec::new(),
            records: 0,
            calls: Vec::new(),
            first_page: None,
            retention: 24,
            recreated: false,
            has_rejected_put: false,
            over: false,
            result: Outcome { seed, ..Outcome::default() },
        }
    }

    pub(crate) async fn run(mut self) -> Outcome {
        let mut shards = self.rng.i32(1..=4);
        if self.kind == Kind::KinesisLocal && !self.seed.is_multiple_of(5) {
            // This server divides the hash key range differently, and then everything differs.
            shards = 1;
        }
        self.call(Call::CreateStream { name: self.name.clone(), shards }).await;
        self.call(Call::ListStreams).await;
        self.over |= self.compare(&Call::ListToTheEnd { page: 100, filter: None }).await.in_shards;
        for n in 0..self.rng.usize(30..55) {
            if self.over {
                break;
            }
            if n % if self.whole_seconds() { 20 } else { 12 } == 8 {
                self.marks.push(mark(self.whole_seconds()).await);
            }
            let call = self.draw();
            self.call(call).await;
        }
        self.finish(shards).await;
        self.result
    }

    /// Returns whether marks are whole seconds, which take time. Only this server filters by time.
    fn whole_seconds(&self) -> bool {
        self.kind == Kind::KinesisLocal && self.seed.is_multiple_of(3)
    }

    fn draw(&mut self) -> Call {
        let stream = self.kinesis.stream(&self.name);
        let mut records: Vec<_> = self
            .fake
            .records
            .iter()
            .map(|(data, stored)| (data.clone(), stored.shard.clone()))
            .collect();
        records.sort_unstable();
        let mut world = World {
            rng: &mut self.rng,
            stream: &stream,
            records,
            iterators: self.fake.iterators.keys().copied().collect(),
            marks: self.marks.len(),
            has_token: self.fake.token.is_some(),
            next_record: &mut self.records,
            updates_shard_count: self.seed.is_multiple_of(4),
            // This server fails on a shard's last key, and then everything differs.
            edges: self.kind != Kind::Moto || self.seed.is_multiple_of(5),
            retention: self.retention,
        };
        generate::next(&mut world)
    }

    /// Lists and reads everything once more, and then deletes the stream.
    async fn finish(&mut self, shards: i32) {
        if !self.over {
            for page in [3, 100] {
                self.call(Call::ListToTheEnd { page, filter: None }).await;
            }
            let shards = self.kinesis.stream(&self.name).shards();
            for shard in shards.iter().take(6) {
                self.call(Call::ReadToTheEnd { shard: shard.shard_id().to_owned(), limit: 3 })
                    .await;
            }
        }
        self.call(Call::DeleteStream).await;
        if !self.over && self.seed % 4 == 1 {
            self.recreated = true;
            self.create_again(shards).await;
            self.call(Call::DeleteStream).await;
        }
        if self.over {
            // Later scripts run on the same server.
            let _ = self.server.carry_out(&Call::DeleteStream, &[]).await;
            return;
        }
        self.call(Call::ListStreams).await;
        self.call(Call::DescribeStreamSummary { stream: Named::ByName }).await;
        if let Some(slot) = self.fake.iterators.keys().next() {
            self.call(Call::GetRecords { from: From::Iterator(*slot), limit: None }).await;
        }
    }

    /// Creates the stream again, so that iterators and tokens belong to the old one.
    async fn create_again(&mut self, shards: i32) {
        // Sequence numbers begin with the second of the creation.
        next_second().await;
        self.call(Call::CreateStream { name: self.name.clone(), shards }).await;
        // The shards have the same ids with other sequence numbers.
        self.call(Call::ListToTheEnd { page: 100, filter: None }).await;
        self.call(Call::ListShards(List { token: Some(Token::Last), ..List::default() })).await;
        if let Some(slot) = self.fake.iterators.keys().next() {
            self.call(Call::GetRecords { from: From::Iterator(*slot), limit: None }).await;
        }
        let first = self.fake.records.iter().find(|(_, stored)| stored.shard == FIRST);
        if let Some(sequence) = first.map(|(data, _)| Sequence::Of(data.clone())) {
            let start = Start {
                kind: ShardIteratorType::AfterSequenceNumber,
                sequence: Some(sequence),
                time: None,
            };
            let (stream, shard) = (Named::ByName, Some(FIRST.to_owned()));
            self.call(Call::GetShardIterator { stream, shard, start }).await;
        }
        self.call(Call::ReadToTheEnd { shard: FIRST.to_owned(), limit: 3 }).await;
    }

    async fn call(&mut self, call: Call) {
        if self.over {
            return;
        }
        if !(self.server.can(&call) && self.fake.can(&call)) || table::is_skipped(self.kind, &call)
        {
            self.result.skipped += 1;
            return;
        }
        self.calls.push(call.clone());
        let found = self.compare(&call).await;
        // Once the streams differ, every later call differs.
        self.over = found.one_failed && call.changes_the_stream();
        if call.has_transition() && !self.over {
            self.server.settle().await;
            self.fake.settle().await;
        }
        if let Call::UpdateShardCount { .. } = call
            && found.carried_out
            && !self.over
        {
            self.over = self.compare(&Call::OpenRanges).await.in_shards;
        }
    }

    async fn compare(&mut self, call: &Call) -> Found {
        if let Call::GetShardIterator { stream, shard: Some(shard), .. } = call {
            for side in [&mut self.server, &mut self.fake] {
                side.next_iterator = self.calls.len();
            }
            self.iterators.insert(self.calls.len(), (shard.clone(), *stream));
        }
        // The call may change the shards, and the errors depend on the shards before it.
        let before = self.shards().await;
        let server = self.server.carry_out(call, &self.marks).await;
        let fake = self.fake.carry_out(call, &self.marks).await;
        self.result.compared += 1;
        let retention = self.retention;
        let carried_out = server.error().is_none() && fake.error().is_none();
        if carried_out && !matches!(call, Call::OpenRanges) {
            *self.result.accepted.entry(call.operation()).or_default() += 1;
        }
        if let (Call::ChangeRetention { hours, .. }, None) = (call, fake.error()) {
            self.retention = *hours;
        }
        let shards = self.shards().await;
        let reads = match call {
            Call::GetRecords { from: From::Iterator(slot), .. } => {
                self.iterators.get(slot).cloned()
            }
            Call::ReadToTheEnd { shard, .. } => Some((shard.clone(), Named::ByName)),
            _ => None,
        };
        let first_page = self.first_page_of(call, &fake);
        let ends_in_the_last_moment = reads
            .as_ref()
            .is_some_and(|(shard, _)| self.ends_in_the_last_moment(shard, &shards, &server));
        self.has_rejected_put |= matches!(call, Call::PutRecords { .. }) && fake.error().is_some();
        let context = cause::Context {
            shards: &before,
            records: &self.fake.records,
            retention,
            recreated: self.recreated,
        };
        let causes = if before.is_empty() { vec![] } else { context.errors_in(call) };
        let mut found = Found { carried_out, ..Found::default() };
        for difference in differences(&server, &fake) {
            found.in_shards |= ["ParentsFirst", "HashKeyRanges", "Shards[].HashKeyRange"]
                .contains(&difference.field.as_str());
            found.one_failed |= server.error().is_some() != fake.error().is_some();
            let case = Case {
                call,
                difference: &difference,
                causes: &causes,
                shards: &shards,
                reads: reads.as_ref().map(|(shard, named)| (shard.as_str(), *named)),
                ends_in_the_last_moment,
                first_page: first_page.as_ref(),
                whole_seconds: self.whole_seconds(),
                follows_rejected_put: self.has_rejected_put,
            };
            if let Some(entry) = table::find(self.kind, &case) {
                let met = entry.causes.iter().copied().filter(|cause| causes.contains(cause));
                self.result.known.push((entry, met.collect()));
                continue;
            }
            let wrong = if difference.field == ERROR {
                format!(" (errors in the call: {causes:?})")
            } else {
                String::new()
            };
            let what = format!("{}: {difference}{wrong}", call.operation());
            let item =
                difference.item.as_deref().map(|item| format!("  of {item}\n")).unwrap_or_default();
            self.note(what, call, &format!("{item}  the server:\n{server}  the fake:\n{fake}"));
        }
        found
    }

    fn note(&mut self, what: String, call: &Call, responses: &str) {
        let mut script = String::new();
        for (n, call) in self.calls.iter().enumerate() {
            let _ = writeln!(script, "  {n:>3} {call:?}");
        }
        let (seed, last) = (self.seed, self.calls.len().saturating_sub(1));
        let context =
            format!("seed {seed}, call {last}: {call:?}\n{responses}  the script:\n{script}");
        self.result.unknown.push(Unknown { what, context });
    }

    /// Returns whether the last record that the server returned may have arrived in the same
    /// millisecond as the last one of its shard: in the same `PutRecords`, or by a request that was
    /// sent less than a millisecond after the response to the other.
    fn ends_in_the_last_moment(&self, shard: &str, shards: &[Shard], response: &Response) -> bool {
        if !shards.iter().any(|known| known.shard_id() == shard) {
            return false;
        }
        let last =
            response.fields.get("Records").and_then(|records| records.split(' ').next_back());
        let records = self.kinesis.stream(&self.name).records(shard);
        let newest =
            records.last().and_then(|record| std::str::from_utf8(record.data().as_ref()).ok());
        let put = |data: Option<&str>| {
            data.and_then(|data| self.server.records.get(data)).map(|stored| stored.put)
        };
        let (Some((_, answered)), Some((sent, _))) = (put(last), put(newest)) else { return false };
        sent.duration_since(answered).is_ok_and(|between| between < Duration::from_millis(1))
            || sent < answered
    }

    /// Returns the request for the first page of the listing that the call continues.
    fn first_page_of(&mut self, call: &Call, fake: &Response) -> Option<List> {
        let Call::ListShards(list) = call else { return None };
        let first = if list.token == Some(Token::Last) { self.first_page.clone() } else { None };
        if fake.error().is_none() {
            self.first_page = first.clone().or_else(|| Some(list.clone()));
        }
        first
    }

    async fn shards(&self) -> Vec<Shard> {
        let listed = self.kinesis.client().list_shards().stream_name(&self.name).send().await;
        listed.ok().and_then(|listed| listed.shards).unwrap_or_default()
    }
}

#[derive(Default)]
struct Found {
    carried_out: bool,
    /// Whether the shards or their hash key ranges differ.
    in_shards: bool,
    /// Whether only one side failed.
    one_failed: bool,
}
