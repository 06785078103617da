//! [`Request`]: one entry of the request log.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

use crate::testing::fault::Fault;
use crate::testing::wire::reply::Read;
use crate::testing::wire::subject::{shard_of, stream_of};

/// A request that reached the fake. Each attempt of the SDK's retries is a request of its own.
///
/// ```
/// use kinesis_shards::testing::FakeKinesis;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let fake = FakeKinesis::new();
/// fake.create_stream("orders", 1);
/// fake.client().list_shards().stream_name("orders").max_results(10).send().await?;
///
/// let request = &fake.requests()[0];
/// assert_eq!(request.operation(), "ListShards");
/// assert_eq!(request.stream_name(), Some("orders"));
/// assert_eq!(request.body()["MaxResults"], 10);
/// assert_eq!((request.error(), request.fault()), (None, None));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Request {
    /// The number of requests that were logged before this one.
    pub(crate) number: u64,
    operation: String,
    body: Arc<Value>,
    at: Instant,
    is_cbor: bool,
    stream: Option<String>,
    shard: Option<String>,
    pub(crate) error: Option<String>,
    pub(crate) fault: Option<Fault>,
    pub(crate) reads: Option<Reads>,
}

/// The sum of what a request has read: by its response, or by the events of its subscription.
#[derive(Clone, Debug)]
pub(crate) struct Reads {
    pub(crate) stream_id: u64,
    pub(crate) parents: Vec<String>,
    records: usize,
    bytes: usize,
    /// The turn of the response or of the first event. All responses to reads and all events take
    /// turns.
    pub(crate) first: u64,
    /// The turn of the response or event that was the end of a closed shard.
    pub(crate) end: Option<u64>,
}

impl Request {
    pub(crate) fn new(operation: &str, body: Value, is_cbor: bool, at: Instant) -> Self {
        let (stream, shard) = (stream_of(&body), shard_of(&body));
        let (operation, body) = (operation.to_owned(), Arc::new(body));
        let (error, fault, reads) = (None, None, None);
        Self { number: 0, operation, body, at, is_cbor, stream, shard, error, fault, reads }
    }

    /// Adds a response or an event to what this request has read.
    pub(crate) fn add_read(&mut self, read: Read, turn: u64) {
        let Read { stream_id, parents, records, bytes, ended } = read;
        let (first, end) = (turn, None);
        let none = || Reads { stream_id, parents, records: 0, bytes: 0, first, end };
        let reads = self.reads.get_or_insert_with(none);
        reads.records += records;
        reads.bytes += bytes;
        reads.end = reads.end.or(ended.then_some(turn));
    }

    /// Returns the operation's name as in AWS's API reference, for example `ListShards`.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// Returns the JSON body, for example `request.body()["StreamName"]`. It is `null` if the
    /// client sent no JSON object. A body in CBOR is translated.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// Returns whether the request was in CBOR, by its `Content-Type`.
    #[must_use]
    pub fn is_cbor(&self) -> bool {
        self.is_cbor
    }

    /// Returns when the request arrived, on tokio's clock.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// Returns the name of the stream that the request refers to: by name, by ARN, by an iterator
    /// or by a token.
    #[must_use]
    pub fn stream_name(&self) -> Option<&str> {
        self.stream.as_deref()
    }

    /// Returns the id of the shard that a `GetShardIterator`, a `GetRecords` or a
    /// `SubscribeToShard` refers to.
    #[must_use]
    pub fn shard_id(&self) -> Option<&str> {
        self.shard.as_deref()
    }

    /// Returns the error code of the response. Returns `None` if the request succeeded or got no
    /// response.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }

    /// Returns the number of records in the response to a `GetRecords`, or in all events of a
    /// `SubscribeToShard` up to the time at which the log was read.
    ///
    /// A response or an event that a fault lost or damaged counts as zero records. A response that
    /// [`Fault::Late`] delayed counts in full, even if the client no longer waited for it.
    #[must_use]
    pub fn records_read(&self) -> usize {
        self.reads.as_ref().map_or(0, |reads| reads.records)
    }

    /// Returns the number of bytes of data and partition keys in the response or the events, under
    /// the same conditions as [`records_read`](Self::records_read).
    #[must_use]
    pub fn bytes_read(&self) -> usize {
        self.reads.as_ref().map_or(0, |reads| reads.bytes)
    }

    /// Returns whether the response, or an event, was the end of a closed shard: the response had
    /// no next iterator, or the event was the last one of the shard.
    #[must_use]
    pub fn read_the_end(&self) -> bool {
        self.reads.as_ref().is_some_and(|reads| reads.end.is_some())
    }

    /// Returns the fault that the request met.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        self.fault.as_ref()
    }
}
