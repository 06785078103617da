//! A Kinesis whose responses to `GetRecords` come from memory: every shard has the same pages.

use std::sync::Arc;

use aws_sdk_kinesis::Client;
use bytes::Bytes;

use super::canned::{client, string_field};

pub(crate) struct CannedRecords(Arc<Vec<Bytes>>);

/// The end of the last page. It names a child, since an end without any must be confirmed by a
/// list; the child is that of no shard here, so it is not read.
const END: &str = concat!(
    r#"null,"ChildShards":[{"ShardId":"shardId-000000999999","#,
    r#""ParentShards":["shardId-000000999998"],"#,
    r#""HashKeyRange":{"StartingHashKey":"0","EndingHashKey":"1"}}]"#
);

impl CannedRecords {
    /// Creates closed shards of `pages` pages, each with `records` records of `bytes` bytes.
    pub(crate) fn new(pages: usize, records: usize, bytes: usize) -> Self {
        // Zeros in Base64.
        let data = "A".repeat(bytes.div_ceil(3) * 4);
        let record = |n: usize| {
            format!(
                concat!(
                    r#"{{"SequenceNumber":"49{n:054}","#,
                    r#""ApproximateArrivalTimestamp":1767225600.123,"#,
                    r#""Data":"{data}","PartitionKey":"customer {n}"}}"#
                ),
                n = n,
                data = data
            )
        };
        let page = |n: usize| {
            let records: Vec<String> = (n * records..(n + 1) * records).map(record).collect();
            let records = records.join(",");
            // An iterator is the number of its page.
            let (next, behind) = match n + 1 {
                next if next < pages => (format!(r#""{next}""#), 1_000),
                _ => (END.to_owned(), 0),
            };
            format!(
                concat!(
                    r#"{{"Records":[{records}],"NextShardIterator":{next},"#,
                    r#""MillisBehindLatest":{behind}}}"#
                ),
                records = records,
                next = next,
                behind = behind
            )
        };
        Self(Arc::new((0..pages).map(|n| page(n).into()).collect()))
    }

    /// Creates open shards without records.
    pub(crate) fn idle() -> Self {
        let page = r#"{"Records":[],"NextShardIterator":"0","MillisBehindLatest":0}"#;
        Self(Arc::new(vec![Bytes::from_static(page.as_bytes())]))
    }

    /// Creates a client that lists this many closed shards.
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
        let pages = Arc::clone(&self.0);
        client(
            move |body| {
                if body.contains("ShardIterator") { records(&pages, body) } else { list.clone() }
            },
        )
    }

    pub(crate) fn client(&self) -> Client {
        let pages = Arc::clone(&self.0);
        client(move |body| records(&pages, body))
    }
}

/// Returns the response to `GetShardIterator` or `GetRecords`.
fn records(pages: &[Bytes], body: &str) -> Bytes {
    if body.contains("ShardIteratorType") {
        return Bytes::from_static(br#"{"ShardIterator":"0"}"#);
    }
    let iterator = string_field(body, "ShardIterator").expect("an iterator");
    pages[iterator.parse::<usize>().expect("the number of a page")].clone()
}
