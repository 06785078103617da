//! A Kinesis that answers `GetRecords` from memory: every shard has the same pages.

use std::fmt;
use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_types::body::SdkBody;
use bytes::Bytes;

use super::canned;

/// An iterator is the number of its page.
#[derive(Clone)]
pub(crate) struct CannedRecords(Arc<Vec<Bytes>>);

impl CannedRecords {
    /// So many pages, each of so many records of so many bytes, and then the shard's end.
    pub(crate) fn new(pages: usize, records: usize, bytes: usize) -> Self {
        // Base64 of zeros.
        let data = "A".repeat(bytes.div_ceil(3) * 4);
        let record = |n: usize| {
            format!(
                concat!(
                    r#"{{"SequenceNumber":"49{n:054}","ApproximateArrivalTimestamp":1767225600.123,"#,
                    r#""Data":"{data}","PartitionKey":"customer {n}"}}"#
                ),
                n = n,
                data = data
            )
        };
        let page = |page: usize| {
            let records: Vec<String> = (page * records..(page + 1) * records).map(record).collect();
            let next = if page + 1 < pages { format!(r#""{}""#, page + 1) } else { "null".to_owned() };
            let records = records.join(",");
            let behind = if page + 1 < pages { 1_000 } else { 0 };
            format!(r#"{{"Records":[{records}],"NextShardIterator":{next},"MillisBehindLatest":{behind}}}"#)
        };
        Self(Arc::new((0..pages).map(|n| page(n).into()).collect()))
    }

    /// Shards that are open, and in which there is nothing.
    pub(crate) fn idle() -> Self {
        let page = r#"{"Records":[],"NextShardIterator":"0","MillisBehindLatest":0}"#;
        Self(Arc::new(vec![Bytes::from_static(page.as_bytes())]))
    }

    pub(crate) fn client(&self) -> Client {
        canned::client(self.clone())
    }

    fn answer(&self, body: &str) -> Bytes {
        if body.contains("ShardIteratorType") {
            return Bytes::from_static(br#"{"ShardIterator":"0"}"#);
        }
        let iterator = body.split_once(r#""ShardIterator":""#).and_then(|(_, rest)| rest.split_once('"'));
        let (iterator, _) = iterator.expect("an iterator");
        self.0[iterator.parse::<usize>().expect("one of ours")].clone()
    }
}

impl fmt::Debug for CannedRecords {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CannedRecords")
    }
}

impl HttpClient for CannedRecords {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for CannedRecords {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().and_then(|body| std::str::from_utf8(body).ok()).unwrap_or_default();
        let response = HttpResponse::new(200.try_into().expect("a status"), SdkBody::from(self.answer(body)));
        HttpConnectorFuture::ready(Ok(response))
    }
}
