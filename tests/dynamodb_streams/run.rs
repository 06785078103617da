//! The example on its model, on tokio's paused clock.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use aws_sdk_dynamodbstreams::types::Record;
use kinesis_shards::StartAt;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::example::follow::follow;
use crate::example::model::{ARN, Model, Response};
use crate::example::read::Event;
use crate::example::table_stream::TableStream;

/// A request that the model received.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) at: Instant,
    pub(crate) operation: String,
    pub(crate) body: Value,
}

/// What the example has read: the versions of each item, and the gaps.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) versions: BTreeMap<String, Vec<u32>>,
    pub(crate) gaps: Vec<String>,
    /// When each change was read.
    pub(crate) times: Vec<Instant>,
}

impl Seen {
    pub(crate) fn note(&mut self, event: Event) {
        match event {
            Event::Gap(after) => self.gaps.push(after),
            Event::Changes(changes) => changes.iter().for_each(|change| self.note_change(change)),
        }
    }

    fn note_change(&mut self, record: &Record) {
        let change = record.dynamodb().unwrap();
        let image = change.new_image().unwrap();
        let version = image["version"].as_n().unwrap().parse().unwrap();
        let key = image["id"].as_s().unwrap().clone();
        self.versions.entry(key).or_default().push(version);
        self.times.push(Instant::now());
    }

    /// Checks that each item was read as often as it was written, in order.
    pub(crate) fn assert_all_once(&self, written: &BTreeMap<String, u32>) {
        let all = written.iter().map(|(key, versions)| (key.clone(), (1..=*versions).collect()));
        assert_eq!(self.versions, all.collect());
        assert!(self.gaps.is_empty(), "{:?}", self.gaps);
    }
}

/// A reader of the model.
pub(crate) struct Run {
    pub(crate) model: Model,
    pub(crate) stream: Arc<TableStream>,
    pub(crate) seen: Arc<Mutex<Seen>>,
    pub(crate) written: BTreeMap<String, u32>,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Run {
    pub(crate) fn new(shards: u32) -> Self {
        let model = Model::new(shards);
        let stream = Arc::new(TableStream::new(model.config(), ARN));
        let run = Self {
            model,
            stream,
            seen: Arc::default(),
            written: BTreeMap::new(),
            requests: Arc::default(),
        };
        run.on_request(|_, _| None);
        run
    }

    /// Scripts the responses of the model, and records the requests.
    pub(crate) fn on_request(
        &self,
        mut fault: impl FnMut(&str, &Value) -> Option<Response> + Send + 'static,
    ) {
        let requests = Arc::clone(&self.requests);
        self.model.on_request(move |operation, body| {
            let (at, operation_of, body_of) = (Instant::now(), operation.to_owned(), body.clone());
            let request = Request { at, operation: operation_of, body: body_of };
            requests.lock().unwrap().push(request);
            fault(operation, body)
        });
    }

    /// Makes the requests of an operation fail with these numbers, which count from 0.
    pub(crate) fn fail(
        &self,
        failing: &'static str,
        numbers: &'static [usize],
        code: &'static str,
    ) {
        let mut number = 0;
        self.on_request(move |operation, _| {
            if operation != failing {
                return None;
            }
            number += 1;
            numbers.contains(&(number - 1)).then_some(Err(code))
        });
    }

    pub(crate) fn requests(&self, operation: &str) -> Vec<Request> {
        let requests = self.requests.lock().unwrap();
        requests.iter().filter(|request| request.operation == operation).cloned().collect()
    }

    /// Returns the types of the iterators that were requested, and their sequence numbers.
    pub(crate) fn iterators(&self) -> Vec<(String, Option<String>)> {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let iterator = |request: Request| {
            let kind = text(&request.body["ShardIteratorType"]).unwrap();
            (kind, text(&request.body["SequenceNumber"]))
        };
        self.requests("GetShardIterator").into_iter().map(iterator).collect()
    }

    /// Returns how many requests asked for the children of a shard.
    pub(crate) fn filtered(&self) -> usize {
        let described = self.requests("DescribeStream");
        described.iter().filter(|request| !request.body["ShardFilter"].is_null()).count()
    }

    pub(crate) fn put(&mut self, key: &str) {
        self.put_at(key, SystemTime::now());
    }

    pub(crate) fn put_at(&mut self, key: &str, at: SystemTime) {
        self.model.put(key, at);
        *self.written.entry(key.to_owned()).or_default() += 1;
    }

    /// Reads in a task, until the stream was disabled. The error is printed as one line.
    pub(crate) fn spawn(&self, start_at: StartAt) -> JoinHandle<Result<(), String>> {
        let (stream, seen) = (Arc::clone(&self.stream), Arc::clone(&self.seen));
        tokio::spawn(async move {
            let read = follow(stream, start_at, |_, event| seen.lock().unwrap().note(event));
            read.await.map_err(|error| crate::example::common::error::with_cause(&*error))
        })
    }

    /// Disables the stream, and reads it to its end.
    pub(crate) async fn read_to_end(&self) -> Result<(), String> {
        self.model.disable();
        self.spawn(StartAt::TrimHorizon).await.unwrap()
    }

    pub(crate) fn assert_all_once(&self) {
        self.seen.lock().unwrap().assert_all_once(&self.written);
    }
}
