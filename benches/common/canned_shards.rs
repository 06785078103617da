//! A Kinesis whose responses to `ListShards` come from memory.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_kinesis::Client;
use bytes::Bytes;

use super::canned::{ARRAY, Format, MAP, client, has_member, head, string_member, text};

pub(crate) struct CannedShards(Arc<Inner>);

struct Inner {
    format: Format,
    pages: Vec<Bytes>,
    requests: AtomicUsize,
    request_bytes: AtomicUsize,
}

impl CannedShards {
    /// Creates a stream of `shards` open shards, listed in pages of `page` shards.
    pub(crate) fn new(format: Format, shards: usize, page: usize) -> Self {
        let count = shards.div_ceil(page);
        let pages = (0..count).map(|n| {
            let range = n * page..shards.min((n + 1) * page);
            // A token is the number of the page that it leads to.
            let token = Some(n + 1).filter(|next| *next < count).map(|next| next.to_string());
            Bytes::from(match format {
                Format::Json => json_page(range, token),
                Format::Cbor => cbor_page(range, token),
            })
        });
        let (requests, request_bytes) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self(Arc::new(Inner { format, pages: pages.collect(), requests, request_bytes }))
    }

    pub(crate) fn client(&self) -> Client {
        let inner = Arc::clone(&self.0);
        client(self.0.format, move |body| inner.respond(body))
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
            return Bytes::from(match self.format {
                Format::Json => json_page(0..0, None),
                Format::Cbor => cbor_page(0..0, None),
            });
        }
        let token = string_member(body, "NextToken");
        let page = token.map_or(0, |token| token.parse().expect("the number of a page"));
        self.pages[page].clone()
    }
}

fn json_page(shards: Range<usize>, token: Option<String>) -> Vec<u8> {
    let shards: Vec<String> = shards.map(json_shard).collect();
    let token = token.map_or_else(String::new, |token| format!(r#","NextToken":"{token}""#));
    format!(r#"{{"Shards":[{}]{token}}}"#, shards.join(",")).into_bytes()
}

fn cbor_page(shards: Range<usize>, token: Option<String>) -> Vec<u8> {
    let mut out = Vec::new();
    head(&mut out, MAP, 1 + u64::from(token.is_some()));
    text(&mut out, "Shards");
    head(&mut out, ARRAY, shards.len() as u64);
    for n in shards {
        cbor_shard(&mut out, n);
    }
    if let Some(token) = token {
        text(&mut out, "NextToken");
        text(&mut out, &token);
    }
    out
}

/// Formats a shard as AWS does, with numbers of as many digits.
fn json_shard(n: usize) -> String {
    format!(
        concat!(
            r#"{{"ShardId":"shardId-{n:012}","#,
            r#""HashKeyRange":{{"StartingHashKey":"{n:039}","EndingHashKey":"{n:039}"}},"#,
            r#""SequenceNumberRange":{{"StartingSequenceNumber":"49{n:054}"}}}}"#
        ),
        n = n
    )
}

/// Encodes the same shard.
fn cbor_shard(out: &mut Vec<u8>, n: usize) {
    let hash_key = format!("{n:039}");
    head(out, MAP, 3);
    text(out, "ShardId");
    text(out, &format!("shardId-{n:012}"));
    text(out, "HashKeyRange");
    head(out, MAP, 2);
    text(out, "StartingHashKey");
    text(out, &hash_key);
    text(out, "EndingHashKey");
    text(out, &hash_key);
    text(out, "SequenceNumberRange");
    head(out, MAP, 1);
    text(out, "StartingSequenceNumber");
    text(out, &format!("49{n:054}"));
}
