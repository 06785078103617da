//! A Kinesis whose responses to `GetRecords` come from memory: every shard has the same pages.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use bytes::Bytes;

use super::canned::{
    ARRAY, BYTES, Format, INTEGER, MAP, NULL, TAG, client, has_member, head, string_member, text,
};

#[derive(Clone)]
pub(crate) struct CannedRecords {
    format: Format,
    pages: Arc<Vec<Bytes>>,
}

impl CannedRecords {
    /// Creates closed shards of `pages` pages, each with `records` records of `bytes` bytes.
    pub(crate) fn new(format: Format, pages: usize, records: usize, bytes: usize) -> Self {
        let page = |n: usize| {
            let numbers = n * records..(n + 1) * records;
            let next = (n + 1 < pages).then(|| (n + 1).to_string());
            match format {
                Format::Json => json_page(numbers, bytes, next.as_deref()),
                Format::Cbor => cbor_page(numbers, bytes, next.as_deref()),
            }
        };
        Self { format, pages: Arc::new((0..pages).map(page).collect()) }
    }

    /// Creates open shards without records.
    pub(crate) fn idle() -> Self {
        let page = r#"{"Records":[],"NextShardIterator":"0","MillisBehindLatest":0}"#;
        Self { format: Format::Json, pages: Arc::new(vec![Bytes::from_static(page.as_bytes())]) }
    }

    /// Creates a client that lists this many closed shards, in JSON.
    pub(crate) fn client_with_list(&self, shards: usize) -> Client {
        let shard = |n: usize| {
            format!(
                concat!(
                    r#"{{"ShardId":"shardId-{n:012}","#,
                    r#""HashKeyRange":{{"StartingHashKey":"{n}","EndingHashKey":"{n}"}},"#,
                    r#""SequenceNumberRange":{{"StartingSequenceNumber":"1{n}","#,
                    r#""EndingSequenceNumber":"2{n}"}}}}"#
                ),
                n = n
            )
        };
        let shards: Vec<String> = (0..shards).map(shard).collect();
        let list = Bytes::from(format!(r#"{{"Shards":[{}]}}"#, shards.join(",")));
        let records = self.clone();
        client(self.format, move |body| {
            if has_member(body, "ShardIterator") { records.respond(body) } else { list.clone() }
        })
    }

    pub(crate) fn client(&self) -> Client {
        let records = self.clone();
        client(self.format, move |body| records.respond(body))
    }

    /// Returns the response to `GetShardIterator` or `GetRecords`.
    fn respond(&self, body: &[u8]) -> Bytes {
        if has_member(body, "ShardIteratorType") {
            return match self.format {
                Format::Json => Bytes::from_static(br#"{"ShardIterator":"0"}"#),
                Format::Cbor => Bytes::from_static(b"\xa1\x6dShardIterator\x610"),
            };
        }
        // An iterator is the number of its page.
        let iterator = string_member(body, "ShardIterator").expect("an iterator");
        self.pages[iterator.parse::<usize>().expect("the number of a page")].clone()
    }
}

/// Returns the sequence number of a record.
fn sequence_number(n: usize) -> String {
    format!("49{n:054}")
}

/// The ids in the end of the last page. It names a child, since an end without any must be
/// confirmed by a list; the child is that of no shard here, so it is not read.
const CHILD: &str = "shardId-000000999999";
const PARENT: &str = "shardId-000000999998";

fn json_page(numbers: std::ops::Range<usize>, bytes: usize, next: Option<&str>) -> Bytes {
    // Zeros in Base64.
    let data = "A".repeat(bytes.div_ceil(3) * 4);
    let record = |n: usize| {
        format!(
            concat!(
                r#"{{"SequenceNumber":"{number}","#,
                r#""ApproximateArrivalTimestamp":1767225600.123,"#,
                r#""Data":"{data}","PartitionKey":"customer {n}"}}"#
            ),
            number = sequence_number(n),
            n = n,
            data = data
        )
    };
    let records: Vec<String> = numbers.map(record).collect();
    let records = records.join(",");
    let rest = match next {
        Some(next) => format!(r#""NextShardIterator":"{next}","MillisBehindLatest":1000"#),
        None => format!(
            concat!(
                r#""NextShardIterator":null,"ChildShards":[{{"ShardId":"{child}","#,
                r#""ParentShards":["{parent}"],"#,
                r#""HashKeyRange":{{"StartingHashKey":"0","EndingHashKey":"1"}}}}],"#,
                r#""MillisBehindLatest":0"#
            ),
            child = CHILD,
            parent = PARENT
        ),
    };
    format!(r#"{{"Records":[{records}],{rest}}}"#).into()
}

fn cbor_page(numbers: std::ops::Range<usize>, bytes: usize, next: Option<&str>) -> Bytes {
    let mut out = Vec::new();
    head(&mut out, MAP, if next.is_some() { 3 } else { 4 });
    text(&mut out, "Records");
    head(&mut out, ARRAY, numbers.len() as u64);
    for n in numbers {
        head(&mut out, MAP, 4);
        text(&mut out, "SequenceNumber");
        text(&mut out, &sequence_number(n));
        text(&mut out, "ApproximateArrivalTimestamp");
        head(&mut out, TAG, 1);
        head(&mut out, INTEGER, 1_767_225_600_123);
        text(&mut out, "Data");
        head(&mut out, BYTES, bytes as u64);
        out.resize(out.len() + bytes, 0);
        text(&mut out, "PartitionKey");
        text(&mut out, &format!("customer {n}"));
    }
    text(&mut out, "NextShardIterator");
    match next {
        Some(next) => text(&mut out, next),
        None => out.push(NULL),
    }
    text(&mut out, "MillisBehindLatest");
    head(&mut out, INTEGER, if next.is_some() { 1_000 } else { 0 });
    if next.is_none() {
        text(&mut out, "ChildShards");
        head(&mut out, ARRAY, 1);
        head(&mut out, MAP, 3);
        text(&mut out, "ShardId");
        text(&mut out, CHILD);
        text(&mut out, "ParentShards");
        head(&mut out, ARRAY, 1);
        text(&mut out, PARENT);
        text(&mut out, "HashKeyRange");
        head(&mut out, MAP, 2);
        text(&mut out, "StartingHashKey");
        text(&mut out, "0");
        text(&mut out, "EndingHashKey");
        text(&mut out, "1");
    }
    out.into()
}
