//! Reading one shard from where its handle says.

use std::collections::VecDeque;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ChildShard, Record};
use kinesis_shards::ShardHandle;

use crate::client::unthrottled;
use crate::known::Quirk;
use crate::server::Server;
use crate::stream::{Stream, done, is_closed};

const PAUSE: Duration = Duration::from_millis(50);
/// As many empty reads in a row, of a shard that nobody writes to, and it holds no more.
const EMPTY_READS: usize = 2;

pub(crate) struct Reader {
    client: Client,
    stream: Stream,
    /// For a stream that is named so.
    arn: Option<String>,
    shard: String,
    iterator: Option<String>,
    read: VecDeque<Record>,
    children: Vec<ChildShard>,
    empty_reads: usize,
    /// A fresh listing said that it takes no more records.
    closed: bool,
    never_ends: bool,
    takes_writes_when_closed: bool,
}

/// Why there is no next record.
#[derive(Debug)]
pub(crate) enum End {
    /// The shard is closed, and read to its end.
    Closed(Vec<ChildShard>),
    /// It is open, and nobody writes.
    Idle,
}

impl Reader {
    /// Gets the iterator: from then on, nothing that is written is missed.
    pub(crate) async fn open(server: &Server, stream: &Stream, shard: &ShardHandle) -> Self {
        let client = server.other_client();
        let request = shard.get_shard_iterator(&client);
        let iterator = done(unthrottled(|| request.clone().send()).await).shard_iterator;
        Self {
            client,
            stream: stream.clone(),
            arn: shard.stream().arn().map(str::to_owned),
            shard: shard.id().to_owned(),
            iterator,
            read: VecDeque::new(),
            children: Vec::new(),
            empty_reads: 0,
            closed: false,
            never_ends: server.has(Quirk::NeverEndsAShard),
            takes_writes_when_closed: server.has(Quirk::WritesToClosedShards),
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Record, End> {
        loop {
            if let Some(record) = self.read.pop_front() {
                return Ok(record);
            }
            let Some(iterator) = &self.iterator else {
                return Err(End::Closed(std::mem::take(&mut self.children)));
            };
            // Before the read: what was written by then is in it.
            let quiet = !self.stream.is_written();
            let turn = self.stream.turn().await;
            let request =
                self.client.get_records().shard_iterator(iterator).set_stream_arn(self.arn.clone());
            let answer = done(unthrottled(|| request.clone().send()).await);
            drop(turn);
            self.iterator = answer.next_shard_iterator;
            self.children = answer.child_shards.unwrap_or_default();
            self.read.extend(answer.records);
            if self.read.is_empty() && self.iterator.is_some() {
                if let Some(end) = self.after_empty_read(quiet).await {
                    return Err(end);
                }
                tokio::time::sleep(PAUSE).await;
            } else {
                self.empty_reads = 0;
            }
        }
    }

    /// All records up to the end, as text.
    pub(crate) async fn rest(&mut self) -> (Vec<String>, End) {
        let mut texts = Vec::new();
        loop {
            match self.next().await {
                Ok(record) => texts.push(text(&record)),
                Err(end) => return (texts, end),
            }
        }
    }

    async fn after_empty_read(&mut self, quiet: bool) -> Option<End> {
        if !quiet && (!self.never_ends || self.takes_writes_when_closed) {
            self.empty_reads = 0;
            return None;
        }
        self.empty_reads += 1;
        if self.closed {
            // Elsewhere the null iterator comes.
            let ends = self.never_ends && self.empty_reads >= EMPTY_READS;
            return ends.then(|| End::Closed(Vec::new()));
        }
        let listed = self.stream.shards().await;
        if listed.iter().any(|shard| shard.shard_id() == self.shard && is_closed(shard)) {
            self.closed = true;
            self.empty_reads = 0;
            return None;
        }
        (quiet && self.empty_reads >= EMPTY_READS).then_some(End::Idle)
    }
}

pub(crate) fn text(record: &Record) -> String {
    String::from_utf8_lossy(record.data().as_ref()).into_owned()
}
