//! A Kinesis whose responses to `ListShards` come from memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_kinesis::Client;
use bytes::Bytes;

use super::canned::{Format, client, has_member, string_member};

pub(crate) struct CannedShards(Arc<Inner>);

struct Inner {
    pages: Vec<Bytes>,
    requests: AtomicUsize,
    request_bytes: AtomicUsize,
}

impl CannedShards {
    /// Creates a stream of `shards` open shards, listed in pages of `page` shards.
    pub(crate) fn new(shards: usize, page: usize) -> Self {
        let count = shards.div_ceil(page);
        let pages = (0..count).map(|n| {
            let range = n * page..shards.min((n + 1) * page);
            let shards: Vec<String> = range.map(shard).collect();
            // A token is the number of the page that it leads to.
            let token = match n + 1 {
                next if next < count => format!(r#","NextToken":"{next}""#),
                _ => String::new(),
            };
            Bytes::from(format!(r#"{{"Shards":[{}]{token}}}"#, shards.join(",")))
        });
        let (requests, request_bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { pages: pages.collect(), requests, request_bytes }))
    }

    pub(crate) fn client(&self) -> Client {
        let inner = Arc::clone(&self.0);
        client(Format::Json, move |body| inner.respond(body))
    }

    /// Returns the number of requests since the last call, and the bytes of their bodies.
    pub(crate) fn take_requests(&self) -> (usize, usize) {
        let Inner { requests, request_bytes, .. } = &*self.0;
        (requests.swap(0, Ordering::Relaxed), request_bytes.swap(0, Ordering::Relaxed))
    }
}

impl Inner {
    fn respond(&self, body: &[u8]) -> Bytes {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.request_bytes.fetch_add(body.len(), Ordering::Relaxed);
        if has_member(body, "ExclusiveStartShardId") {
            return Bytes::from_static(br#"{"Shards":[]}"#);
        }
        let token = string_member(body, "NextToken");
        let page = token.map_or(0, |token| token.parse().expect("the number of a page"));
        self.pages[page].clone()
    }
}

/// Formats a shard as AWS does, with numbers of as many digits.
fn shard(n: usize) -> String {
    format!(
        concat!(
            r#"{{"ShardId":"shardId-{n:012}","#,
            r#""HashKeyRange":{{"StartingHashKey":"{n:039}","EndingHashKey":"{n:039}"}},"#,
            r#""SequenceNumberRange":{{"StartingSequenceNumber":"49{n:054}"}}}}"#
        ),
        n = n
    )
}
