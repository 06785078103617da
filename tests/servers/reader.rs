//! A reader of one shard, from the start position of its handle.

use std::collections::VecDeque;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::{ChildShard, Record};
use kinesis_shards::ShardHandle;

use crate::client::{unthrottled, unwrap_response};
use crate::known::Quirk;
use crate::server::Server;
use crate::stream::{Stream, is_closed};

const PAUSE: Duration = Duration::from_millis(50);
/// The number of empty reads in a row after which a shard without writers holds no more records.
const EMPTY_READS: usize = 2;

pub(crate) struct Reader {
    client: Client,
    stream: Stream,
    /// The ARN, if the handle names its stream by ARN.
    arn: Option<String>,
    shard: String,
    iterator: Option<String>,
    read: VecDeque<Record>,
    children: Vec<ChildShard>,
    empty_reads: usize,
    /// Whether a listing has shown that the shard takes no more records.
    closed: bool,
    never_ends: bool,
    takes_writes_when_closed: bool,
}

/// The reason why there is no next record.
#[derive(Debug)]
pub(crate) enum End {
    /// The shard is closed and read to its end.
    Closed(Vec<ChildShard>),
    /// The shard is open, and nothing writes to it.
    Idle,
}

impl Reader {
    /// Gets the iterator. The reader misses no record that is written after this.
    pub(crate) async fn open(server: &Server, stream: &Stream, shard: &ShardHandle) -> Self {
        let client = server.other_client();
        let request = shard.get_shard_iterator(&client);
        let iterator = unwrap_response(unthrottled(|| request.clone().send()).await).shard_iterator;
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
            // Checked before the read, so that the read includes every record of the writers.
            let is_quiet = !self.stream.is_written();
            let turn = self.stream.turn().await;
            let request =
                self.client.get_records().shard_iterator(iterator).set_stream_arn(self.arn.clone());
            let response = unwrap_response(unthrottled(|| request.clone().send()).await);
            drop(turn);
            self.iterator = response.next_shard_iterator;
            self.children = response.child_shards.unwrap_or_default();
            self.read.extend(response.records);
            if self.read.is_empty() && self.iterator.is_some() {
                if let Some(end) = self.after_empty_read(is_quiet).await {
                    return Err(end);
                }
                tokio::time::sleep(PAUSE).await;
            } else {
                self.empty_reads = 0;
            }
        }
    }

    /// Returns all records up to the end, as text.
    pub(crate) async fn rest(&mut self) -> (Vec<String>, End) {
        let mut texts = Vec::new();
        loop {
            match self.next().await {
                Ok(record) => texts.push(text(&record)),
                Err(end) => return (texts, end),
            }
        }
    }

    async fn after_empty_read(&mut self, is_quiet: bool) -> Option<End> {
        if !is_quiet && (!self.never_ends || self.takes_writes_when_closed) {
            self.empty_reads = 0;
            return None;
        }
        self.empty_reads += 1;
        if self.closed {
            // Other servers return no next iterator at the end.
            let ends = self.never_ends && self.empty_reads >= EMPTY_READS;
            return ends.then(|| End::Closed(Vec::new()));
        }
        let listed = self.stream.shards().await;
        if listed.iter().any(|shard| shard.shard_id() == self.shard && is_closed(shard)) {
            self.closed = true;
            self.empty_reads = 0;
            return None;
        }
        (is_quiet && self.empty_reads >= EMPTY_READS).then_some(End::Idle)
    }
}

pub(crate) fn text(record: &Record) -> String {
    String::from_utf8_lossy(record.data().as_ref()).into_owned()
}
