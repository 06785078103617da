//! Listens to what the listings really told the core: the oracle holds the core to that, not to
//! what it should have been told.

use std::fmt;
use std::sync::{Arc, Mutex};

use aws_sdk_kinesis::config::http::{HttpRequest, HttpResponse};
use aws_sdk_kinesis::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use serde_json::Value;

use crate::id::number;
use crate::life::Extent;
use crate::oracle::{Listed, Oracle};
use crate::requests::Answer;

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

/// A request that is under way, until it is answered or dropped.
struct UnderWay {
    oracle: Arc<Mutex<Oracle>>,
    life: u32,
    answer: Answer,
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
        let asked: Value = request
            .body()
            .bytes()
            .and_then(|body| serde_json::from_slice(body).ok())
            .unwrap_or_default();
        let token = asked["NextToken"].as_str().map(str::to_owned);
        let extent = if asked["ExclusiveStartShardId"].is_string() {
            Extent::Additions
        } else if asked["ShardFilter"].is_object() {
            Extent::Filtered
        } else {
            Extent::Full
        };
        let line = self.clone();
        HttpConnectorFuture::new(async move {
            let mut under_way = UnderWay::begin(line.oracle, token.is_none().then_some(extent));
            let response = line.connector.call(request).await;
            if let Ok(response) = &response {
                under_way.answer = under_way.hear(response, token.as_deref());
            }
            response
        })
    }
}

impl UnderWay {
    fn begin(oracle: Arc<Mutex<Oracle>>, first_page: Option<Extent>) -> Self {
        let life = oracle.lock().unwrap().listing_begins(first_page);
        Self { oracle, life, answer: Answer::Failed }
    }

    fn hear(&self, response: &HttpResponse, token: Option<&str>) -> Answer {
        let body =
            response.body().bytes().and_then(|body| serde_json::from_slice::<Value>(body).ok());
        let Some(body) = body else { return Answer::Failed };
        if !response.status().is_success() {
            return match body["__type"].as_str() {
                Some("ExpiredNextTokenException") => Answer::ExpiredToken,
                Some("ResourceNotFoundException") => Answer::NoStream,
                _ => Answer::Failed,
            };
        }
        let next = &body["NextToken"];
        if !(next.is_null() || next.is_string()) || token.is_some() && token == next.as_str() {
            return Answer::Failed;
        }
        let shards: Option<Vec<Listed>> =
            body["Shards"].as_array().and_then(|shards| shards.iter().map(listed).collect());
        let Some(shards) = shards else { return Answer::Failed };
        if shards.is_empty() && next.is_null() && self.oracle.lock().unwrap().life.hears_no_shard()
        {
            // A full list without a shard is as good as none.
            return Answer::NoStream;
        }
        self.oracle.lock().unwrap().hear_page(self.life, shards, next.is_null());
        if next.is_null() { Answer::LastPage } else { Answer::Page }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.oracle.lock().unwrap().listing_ends(self.life, self.answer);
    }
}

/// None for a shard that cannot be: then the core refuses the whole list.
fn listed(shard: &Value) -> Option<Listed> {
    let index = number(shard["ShardId"].as_str()?)?;
    let parents: Vec<_> = ["ParentShardId", "AdjacentParentShardId"]
        .iter()
        .filter_map(|parent| number(shard[parent].as_str()?))
        .collect();
    let range = &shard["SequenceNumberRange"];
    let first = range["StartingSequenceNumber"].as_str().unwrap_or_default().to_owned();
    let closed = range["EndingSequenceNumber"].is_string();
    (!parents.contains(&index)).then_some(Listed { index, first, parents, closed })
}
