//! The operations of Kinesis that the clients use.

use serde_json::{Value, json};

use crate::format::Format;
use crate::http::{self, Request};
use crate::page::Page;
use crate::position::{PAGE_DIGITS, Position, page_of_record, sequence_number};

pub(crate) struct Kinesis {
    shards: usize,
    /// The records of each page.
    records: usize,
    json: Page,
    cbor: Page,
}

/// The type and the message of an error.
type Error = (&'static str, String);

impl Kinesis {
    /// Creates a stream. Its pages have `records` records of `bytes` bytes.
    pub(crate) fn new(shards: usize, records: usize, bytes: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(1);
        let data: Vec<_> = (0..records).map(|_| data(&mut random, bytes)).collect();
        let json = Page::new(Format::Json, &data);
        let cbor = Page::new(Format::Cbor, &data);
        Self { shards, records, json, cbor }
    }

    /// Appends the response to a request.
    pub(crate) fn respond(&self, request: &Request, out: &mut Vec<u8>) {
        if let Err((error, message)) = self.try_respond(request, out) {
            eprintln!("{} fails: {error}: {message}", request.operation);
            let body = request.format.encode(&json!({ "__type": error, "message": message }));
            out.extend(http::error_head(error, request.format, body.len()).into_bytes());
            out.extend(body);
        }
    }

    fn try_respond(&self, request: &Request, out: &mut Vec<u8>) -> Result<(), Error> {
        let input = request.format.decode(&request.body);
        let input = input.map_err(|error| ("SerializationException", error.to_string()))?;
        let output = match request.operation.as_str() {
            "GetRecords" => {
                let page = match request.format {
                    Format::Json => &self.json,
                    Format::Cbor => &self.cbor,
                };
                page.write(self.requested_page(&input)?, out);
                return Ok(());
            }
            "GetShardIterator" => self.get_shard_iterator(&input)?,
            "ListShards" => self.list_shards(&input),
            "DescribeStreamSummary" => self.describe_stream_summary(),
            other => return Err(("UnknownOperationException", format!("not served: {other}"))),
        };
        let body = request.format.encode(&output);
        out.extend(http::head(request.format, body.len()).into_bytes());
        out.extend(body);
        Ok(())
    }

    fn requested_page(&self, input: &Value) -> Result<Position, Error> {
        // Every response is a whole page.
        if input["Limit"].as_u64().is_some_and(|limit| limit < self.records as u64) {
            return Err(invalid(format!("a limit below {} records", self.records)));
        }
        let iterator = input["ShardIterator"].as_str();
        iterator.and_then(Position::from_iterator).ok_or_else(|| invalid("an unknown iterator"))
    }

    fn get_shard_iterator(&self, input: &Value) -> Result<Value, Error> {
        let shard = input["ShardId"].as_str();
        let shard = (0..self.shards).find(|n| shard == Some(&shard_id(*n)));
        let shard = shard.ok_or_else(|| ("ResourceNotFoundException", "no such shard".into()))?;
        let page_of_record = || {
            let number = input["StartingSequenceNumber"].as_str().and_then(page_of_record);
            number.ok_or_else(|| invalid("an unknown sequence number"))
        };
        // A consumer of the KCL continues after a whole page, or filters what it has processed.
        let page = match input["ShardIteratorType"].as_str() {
            Some("TRIM_HORIZON") => 0,
            Some("AT_SEQUENCE_NUMBER") => page_of_record()?,
            Some("AFTER_SEQUENCE_NUMBER") => page_of_record()? + 1,
            _ => return Err(invalid("a type of iterator that is not served")),
        };
        Ok(json!({ "ShardIterator": Position { shard, page }.iterator() }))
    }

    fn list_shards(&self, input: &Value) -> Value {
        let after = match input["ShardFilter"]["Type"].as_str() {
            Some("AFTER_SHARD_ID") => &input["ShardFilter"]["ShardId"],
            _ => &input["ExclusiveStartShardId"],
        };
        let after = after.as_str().unwrap_or_default();
        let listed = (0..self.shards).filter(|n| shard_id(*n).as_str() > after);
        json!({ "Shards": listed.map(|n| self.shard(n)).collect::<Vec<_>>() })
    }

    fn shard(&self, n: usize) -> Value {
        let width = u128::MAX / self.shards as u128;
        let start = width * n as u128;
        let end = if n + 1 == self.shards { u128::MAX } else { start + width - 1 };
        let first = sequence_number(&"0".repeat(PAGE_DIGITS), 0);
        json!({
            "ShardId": shard_id(n),
            "HashKeyRange": {
                "StartingHashKey": start.to_string(),
                "EndingHashKey": end.to_string(),
            },
            "SequenceNumberRange": { "StartingSequenceNumber": first },
        })
    }

    fn describe_stream_summary(&self) -> Value {
        json!({
            "StreamDescriptionSummary": {
                "StreamName": "orders",
                "StreamARN": "arn:aws:kinesis:us-east-1:123456789012:stream/orders",
                "StreamStatus": "ACTIVE",
                "RetentionPeriodHours": 24,
                "EnhancedMonitoring": [],
                "OpenShardCount": self.shards,
            }
        })
    }
}

/// Returns the data of a record: random bytes, but 1, 2 and 3 as the first, the middle and the last
/// one, whose sum a client can be checked by.
fn data(random: &mut fastrand::Rng, bytes: usize) -> Vec<u8> {
    let mut data = vec![0; bytes];
    random.fill(&mut data);
    (data[0], data[bytes / 2], data[bytes - 1]) = (1, 2, 3);
    data
}

fn shard_id(n: usize) -> String {
    format!("shardId-{n:012}")
}

fn invalid(message: impl Into<String>) -> Error {
    ("InvalidArgumentException", message.into())
}
