//! Reports iterators at `LATEST` to the oracle: records written before them are not owed.

use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::config::http::HttpRequest;
use aws_sdk_kinesis::config::{HttpClient, RuntimeComponents};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use kinesis_shards::testing::FakeKinesis;
use serde_json::Value;

use crate::id::number;
use crate::oracle::Oracle;
use crate::wire_format::body_of;

#[derive(Clone)]
pub(crate) struct LatestTap {
    pub(crate) kinesis: FakeKinesis,
    pub(crate) oracle: Arc<Mutex<Oracle>>,
}

#[derive(Clone)]
struct Line {
    connector: SharedHttpConnector,
    tap: LatestTap,
}

/// Where an iterator starts that skips records.
enum From {
    Latest,
    Time(SystemTime),
}

impl From {
    fn of(request: &Value) -> Option<Self> {
        // A subscription has its position in a structure.
        let (kind, position) = match &request["StartingPosition"] {
            Value::Null => (&request["ShardIteratorType"], request),
            position => (&position["Type"], position),
        };
        match kind.as_str()? {
            "LATEST" => Some(Self::Latest),
            "AT_TIMESTAMP" => {
                let since = Duration::from_secs_f64(position["Timestamp"].as_f64()?);
                Some(Self::Time(SystemTime::UNIX_EPOCH + since))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for LatestTap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LatestTap")
    }
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Line")
    }
}

impl HttpClient for LatestTap {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        let connector = self.kinesis.http_client().http_connector(settings, components);
        SharedHttpConnector::new(Line { connector, tap: self.clone() })
    }
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = body_of(&request);
        let shard = body["ShardId"].as_str().and_then(number);
        let response = self.connector.call(request);
        let (Some(shard), Some(from)) = (shard, From::of(&body)) else { return response };
        let tap = self.tap.clone();
        HttpConnectorFuture::new(async move {
            // The fake creates the iterator at once, however late the response is.
            let requested = tap.kinesis.now();
            let response = response.await;
            if response.as_ref().is_ok_and(|response| response.status().is_success()) {
                let mut oracle = tap.oracle.lock().unwrap();
                match from {
                    From::Latest => oracle.received_latest(shard, requested, tap.kinesis.now()),
                    From::Time(time) => oracle.received_time(shard, time),
                }
            }
            response
        })
    }
}
