//! One script: the same calls to a server and to a fake of its own, answer by answer.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Shard, ShardIteratorType};
use fastrand::Rng;
use kinesis_shards::testing::{FakeKinesis, Limits};

use super::answer::{Answer, ERROR};
use super::call::{Call, From, List, Named, Sequence, Start, Token};
use super::case::Case;
use super::cause::{self, Cause};
use super::compare::differences;
use super::generate::World;
use super::side::{Side, mark, next_second};
use super::table::{self, Known};
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
    /// The shard of each iterator, and how its stream was named.
    iterators: BTreeMap<usize, (String, Named)>,
    marks: Vec<DateTime>,
    records: usize,
    calls: Vec<Call>,
    /// What the page was asked for whose token is the last one.
    first_page: Option<List>,
    retention: i32,
    recreated: bool,
    has_refused_put: bool,
    over: bool,
    pub(crate) result: Outcome,
}

/// What came of it.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) seed: u64,
    pub(crate) compared: usize,
    /// The calls of each operation that both sides carried out.
    pub(crate) accepted: BTreeMap<&'static str, usize>,
    pub(crate) skipped: usize,
    /// The entries that were met, each with the causes that it was met for.
    pub(crate) known: Vec<(&'static Known, Vec<Cause>)>,
    pub(crate) unknown: Vec<Unknown>,
}

impl Outcome {
    pub(crate) fn of_one_that_hangs(seed: u64) -> Self {
        let hangs = Unknown { what: "the script hangs".to_owned(), where_: format!("seed {seed}") };
        Self { seed, unknown: vec![hangs], ..Self::default() }
    }
}

/// A difference that the table does not have.
pub(crate) struct Unknown {
    /// The same for all that look alike.
    pub(crate) what: String,
    pub(crate) where_: String,
}

impl Script {
    pub(crate) fn new(kind: Kind, client: &Client, seed: u64) -> Self {
        // AWS ends a closed shard with its last records, or in one more answer: the fake does what
        // the server does.
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
            first_page: None,
            retention: 24,
            recreated: false,
            has_refused_put: false,
            over: false,
            result: Outcome { seed, ..Outcome::default() },
        }
    }

    pub(crate) async fn run(mut self) -> Outcome {
        let mut shards = self.rng.i32(1..=4);
        if self.kind == Kind::KinesisLocal && !self.seed.is_multiple_of(5) {
            // It cuts the hash key range elsewhere, and all that follows differs.
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

    /// It takes a while, and only this server filters by time.
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
            // It fails on a shard's last key, and what follows would differ.
            edges: self.kind != Kind::Moto || self.seed.is_multiple_of(5),
            retention: self.retention,
        };
        world.next()
    }

    /// Everything once more, and then nothing any more.
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
            // For the servers' sake.
            let _ = self.server.carry_out(&Call::DeleteStream, &[]).await;
            return;
        }
        self.call(Call::ListStreams).await;
        self.call(Call::DescribeStreamSummary { stream: Named::ByName }).await;
        if let Some(slot) = self.fake.iterators.keys().next() {
            self.call(Call::GetRecords { from: From::Iterator(*slot), limit: None }).await;
        }
    }

    /// The same name once more: what the client holds is of a stream that is gone.
    async fn create_again(&mut self, shards: i32) {
        // Sequence numbers begin with the second.
        next_second().await;
        self.call(Call::CreateStream { name: self.name.clone(), shards }).await;
        // The shards have their ids again, and other numbers.
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
        if !(self.server.can(&call) && self.fake.can(&call))
            || table::is_not_asked(self.kind, &call)
        {
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
        // A call that is carried out changes them, and with them what was wrong with it.
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
        self.has_refused_put |= matches!(call, Call::PutRecords { .. }) && fake.error().is_some();
        let judge = cause::Judge {
            shards: &before,
            records: &self.fake.records,
            retention,
            recreated: self.recreated,
        };
        let causes = if before.is_empty() { vec![] } else { judge.wrong_with(call) };
        let mut found = Found { carried_out, ..Found::default() };
        for difference in differences(&server, &fake) {
            found.in_shards |= ["ParentsFirst", "HashKeyRanges", "Shards[].HashKeyRange"]
                .contains(&difference.field.as_str());
            found.refused |= server.error().is_some() != fake.error().is_some();
            let case = Case {
                call,
                difference: &difference,
                causes: &causes,
                shards: &shards,
                reads: reads.as_ref().map(|(shard, named)| (shard.as_str(), *named)),
                ends_in_the_last_moment,
                first_page: first_page.as_ref(),
                whole_seconds: self.whole_seconds(),
                follows_a_refused_put: self.has_refused_put,
            };
            if let Some(known) = table::find(self.kind, &case) {
                let met = known.causes.iter().copied().filter(|cause| causes.contains(cause));
                self.result.known.push((known, met.collect()));
                continue;
            }
            let wrong = if difference.field == ERROR {
                format!(" (wrong with it: {causes:?})")
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

    fn note(&mut self, what: String, call: &Call, answers: &str) {
        let mut script = String::new();
        for (n, call) in self.calls.iter().enumerate() {
            let _ = writeln!(script, "  {n:>3} {call:?}");
        }
        let (seed, last) = (self.seed, self.calls.len().saturating_sub(1));
        let where_ =
            format!("seed {seed}, call {last}: {call:?}\n{answers}  the script:\n{script}");
        self.result.unknown.push(Unknown { what, where_ });
    }

    /// Whether the last record that the server gave may have come in the same millisecond as the
    /// last one of its shard: in the same `PutRecords`, or by a request that was sent less than a
    /// millisecond after the answer to the other.
    fn ends_in_the_last_moment(&self, shard: &str, shards: &[Shard], answer: &Answer) -> bool {
        if !shards.iter().any(|known| known.shard_id() == shard) {
            return false;
        }
        let last = answer.fields.get("Records").and_then(|records| records.split(' ').next_back());
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

    /// The request whose page the last token came with, of the first page of that listing.
    fn first_page_of(&mut self, call: &Call, fake: &Answer) -> Option<List> {
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
    /// The shards are others, or have other parts of the hash key range.
    in_shards: bool,
    /// Only one of the two did it.
    refused: bool,
}
