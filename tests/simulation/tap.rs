//! Reports the actual responses of listings to the oracle, which checks the crate against these.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use kinesis_shards::testing::json_of;
use serde_json::Value;

use crate::id::number;
use crate::life::Extent;
use crate::oracle::{Oracle, PageEntry};
use crate::requests::ListResult;
use crate::wire_format::body_of;

#[derive(Clone)]
pub(crate) struct Tap<C> {
    pub(crate) kinesis: C,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
}

#[derive(Clone)]
struct Line {
    connector: SharedHttpConnector,
    oracle: Arc<Mutex<Oracle>>,
}

/// A request in flight. It ends when it is dropped.
struct InFlight {
    oracle: Arc<Mutex<Oracle>>,
    life: u32,
    answer: ListResult,
}

impl<C> fmt::Debug for Tap<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tap")
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl<C: HttpClient + Clone + 'static> HttpClient for Tap<C> {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.kinesis.http_connector(settings, components);
        SharedHttpConnector::new(Line { connector, oracle: Arc::clone(&self.oracle) })
    }
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let request_body = body_of(&request);
        let token = request_body["NextToken"].as_str().map(str::to_owned);
        let extent = if request_body["ExclusiveStartShardId"].is_string() {
            Extent::Additions
        } else if request_body["ShardFilter"].is_object() {
            Extent::Filtered
        } else {
            Extent::Full
        };
        let line = self.clone();
        HttpConnectorFuture::new(async move {
            let mut in_flight = InFlight::begin(line.oracle, token.is_none().then_some(extent));
            let response = line.connector.call(request).await;
            if let Ok(response) = &response {
                in_flight.answer = in_flight.hear(response, token.as_deref());
            }
            response
        })
    }
}

impl InFlight {
    fn begin(oracle: Arc<Mutex<Oracle>>, first_page: Option<Extent>) -> Self {
        let life = oracle.lock().unwrap().listing_begins(first_page);
        Self { oracle, life, answer: ListResult::Failed }
    }

    fn hear(&self, response: &HttpResponse, token: Option<&str>) -> ListResult {
        let body = response.body().bytes().and_then(json_of);
        let Some(body) = body else { return ListResult::Failed };
        if !response.status().is_success() {
            return match body["__type"].as_str() {
                Some("ExpiredNextTokenException") => ListResult::ExpiredToken,
                Some("ResourceNotFoundException") => ListResult::NoStream,
                _ => ListResult::Failed,
            };
        }
        let next = &body["NextToken"];
        if !(next.is_null() || next.is_string()) || token.is_some() && token == next.as_str() {
            return ListResult::Failed;
        }
        let shards: Option<Vec<PageEntry>> =
            body["Shards"].as_array().and_then(|shards| shards.iter().map(listed).collect());
        let Some(shards) = shards else { return ListResult::Failed };
        if shards.is_empty()
            && next.is_null()
            && self.oracle.lock().unwrap().life.has_listed_no_shard()
        {
            // A full list without a shard counts as no list.
            return ListResult::NoStream;
        }
        self.oracle.lock().unwrap().receive_page(self.life, shards, next.is_null());
        if next.is_null() { ListResult::LastPage } else { ListResult::Page }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.oracle.lock().unwrap().listing_ends(self.life, self.answer);
    }
}

/// Parses a shard. Returns `None` for an invalid one, with which the crate rejects the whole list.
fn listed(shard: &Value) -> Option<PageEntry> {
    let index = number(shard["ShardId"].as_str()?)?;
    let parents: Vec<_> = ["ParentShardId", "AdjacentParentShardId"]
        .iter()
        .filter_map(|parent| number(shard[parent].as_str()?))
        .collect();
    let range = &shard["SequenceNumberRange"];
    let first = range["StartingSequenceNumber"].as_str().unwrap_or_default().to_owned();
    let closed = range["EndingSequenceNumber"].is_string();
    (!parents.contains(&index)).then_some(PageEntry { index, first, parents, closed })
}
