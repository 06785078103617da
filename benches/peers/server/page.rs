//! The response to `GetRecords`.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ciborium::Value;
use serde_json::json;

use crate::format::{Format, encode_cbor};
use crate::http;
use crate::position::{PAGE_DIGITS, Position, sequence_number};

/// A response that is encoded once. Each page is a copy of it, with another iterator and other
/// sequence numbers.
pub(crate) struct Page {
    response: Vec<u8>,
    iterator_at: usize,
    /// Where the digits of the page stand in each sequence number.
    digits_at: Vec<usize>,
}

/// Stands in place of the digits of the page. No other text contains it, and no base64.
const MARK: &str = "##########";

const MILLIS_BEHIND_LATEST: u32 = 60_000;
const ARRIVAL_MILLIS: u64 = 1_767_225_600_123;
const ARRIVAL_SECONDS: f64 = 1_767_225_600.123;

impl Page {
    pub(crate) fn new(format: Format, records: &[Vec<u8>]) -> Self {
        let iterator = Position { shard: 0, page: 0 }.iterator();
        let body = match format {
            Format::Json => json_body(records, &iterator),
            Format::Cbor => cbor_body(records, &iterator),
        };
        let mut response = http::head(format, body.len()).into_bytes();
        response.extend(body);
        let iterator_at = positions(&response, &iterator)[0];
        let digits_at = positions(&response, MARK);
        assert_eq!(digits_at.len(), records.len());
        Self { response, iterator_at, digits_at }
    }

    /// Appends the response with the page at `position`.
    pub(crate) fn write(&self, position: Position, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.response);
        let page = &mut out[start..];
        let next = Position { page: position.page + 1, ..position }.iterator();
        page[self.iterator_at..][..next.len()].copy_from_slice(next.as_bytes());
        let digits = position.page_digits();
        for at in &self.digits_at {
            page[*at..][..PAGE_DIGITS].copy_from_slice(digits.as_bytes());
        }
    }
}

fn json_body(records: &[Vec<u8>], iterator: &str) -> Vec<u8> {
    let records = records.iter().enumerate().map(|(n, data)| {
        json!({
            "SequenceNumber": sequence_number(MARK, n),
            "ApproximateArrivalTimestamp": ARRIVAL_SECONDS,
            "Data": BASE64_STANDARD.encode(data),
            "PartitionKey": partition_key(n),
        })
    });
    let page = json!({
        "Records": records.collect::<Vec<_>>(),
        "NextShardIterator": iterator,
        "MillisBehindLatest": MILLIS_BEHIND_LATEST,
    });
    Format::Json.encode(&page)
}

fn cbor_body(records: &[Vec<u8>], iterator: &str) -> Vec<u8> {
    // Kinesis's timestamps are milliseconds, under the tag whose timestamps are seconds elsewhere.
    let arrival = || Value::Tag(1, Box::new(ARRIVAL_MILLIS.into()));
    let records = records.iter().enumerate().map(|(n, data)| {
        map([
            ("SequenceNumber", sequence_number(MARK, n).into()),
            ("ApproximateArrivalTimestamp", arrival()),
            ("Data", data.as_slice().into()),
            ("PartitionKey", partition_key(n).into()),
        ])
    });
    let page = map([
        ("Records", records.collect::<Vec<_>>().into()),
        ("NextShardIterator", iterator.into()),
        ("MillisBehindLatest", MILLIS_BEHIND_LATEST.into()),
    ]);
    encode_cbor(&page)
}

fn map<const N: usize>(members: [(&str, Value); N]) -> Value {
    Value::Map(members.into_iter().map(|(name, value)| (name.into(), value)).collect())
}

fn partition_key(n: usize) -> String {
    format!("customer {n:08}")
}

/// Returns all positions of `text`.
fn positions(bytes: &[u8], text: &str) -> Vec<usize> {
    let windows = bytes.windows(text.len()).enumerate();
    windows.filter(|(_, window)| *window == text.as_bytes()).map(|(at, _)| at).collect()
}
