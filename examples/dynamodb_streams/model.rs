//! An in-process model of a table's change stream, behind the SDK.
//!
//! It lists its shards newest first, in short pages, so that children precede their parents.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use aws_sdk_dynamodbstreams::config::{BehaviorVersion, Builder, Config, Credentials, Region};
use aws_sdk_dynamodbstreams::primitives::DateTime;
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use serde_json::{Value, json};
use tokio::task::yield_now;

pub(crate) const ARN: &str =
    "arn:aws:dynamodb:eu-central-1:123456789012:table/orders/stream/2026-01-01T00:00:00.000";
/// AWS's pages have up to 100 shards, and up to 1,000 changes.
const SHARDS_PER_PAGE: usize = 3;
const CHANGES_PER_PAGE: usize = 10;
/// The number of hashes of keys.
const HASHES: u32 = 1 << 16;

/// The body of a response, or the code of an error.
pub(crate) type Response = Result<Value, &'static str>;
/// Responds to a request instead of the model, by its operation and body.
type Fault = Box<dyn FnMut(&str, &Value) -> Option<Response> + Send>;

#[derive(Clone, Default)]
pub(crate) struct Model(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    shards: Vec<Shard>,
    /// How often the item of each key was written.
    versions: BTreeMap<String, u32>,
    changes: u64,
    is_disabled: bool,
    fault: Option<Fault>,
}

struct Shard {
    id: String,
    parent: Option<String>,
    /// The hashes of the keys that it has.
    keys: Range<u32>,
    changes: Vec<Value>,
    is_closed: bool,
}

impl Model {
    /// Creates a stream with this number of shards.
    pub(crate) fn new(shards: u32) -> Self {
        let model = Self::default();
        for shard in 0..shards {
            model.lock().add(None, shard * HASHES / shards..(shard + 1) * HASHES / shards);
        }
        model
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the configuration of a client of this model.
    pub(crate) fn config(&self) -> Builder {
        Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("eu-central-1"))
            .credentials_provider(Credentials::new("none", "none", None, None, "model"))
            .sleep_impl(TokioSleep::new())
            .http_client(self.clone())
    }

    /// Writes an item at this time. Its new image holds how often it was written.
    pub(crate) fn put(&self, key: &str, at: SystemTime) {
        let mut state = self.lock();
        let version = state.versions.entry(key.to_owned()).or_default();
        *version += 1;
        let version = *version;
        state.changes += 1;
        let change = json!({
            "eventName": if version == 1 { "INSERT" } else { "MODIFY" },
            "dynamodb": {
                "ApproximateCreationDateTime": DateTime::from(at).secs(),
                "Keys": {"id": {"S": key}},
                "NewImage": {"id": {"S": key}, "version": {"N": version.to_string()}},
                "SequenceNumber": format!("{:021}", state.changes),
            },
        });
        let mix = |hash: u32, byte: u8| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        let hash = key.bytes().fold(0x811C_9DC5, mix).wrapping_mul(0x9E37_79B9) >> 16;
        let open = |shard: &&mut Shard| !shard.is_closed && shard.keys.contains(&hash);
        state.shards.iter_mut().find(open).expect("an open shard").changes.push(change);
    }

    /// Replaces all open shards, as AWS does about every four hours. Each gets a child, or two if
    /// `split` is true.
    pub(crate) fn rotate(&self, split: bool) {
        let mut state = self.lock();
        let open = state.shards.iter_mut().filter(|shard| !shard.is_closed);
        let closed = open.map(|shard| {
            shard.is_closed = true;
            (shard.id.clone(), shard.keys.clone())
        });
        for (id, keys) in closed.collect::<Vec<_>>() {
            let middle = if split { keys.start.midpoint(keys.end) } else { keys.start };
            for keys in [keys.start..middle, middle..keys.end] {
                if !keys.is_empty() {
                    state.add(Some(id.clone()), keys);
                }
            }
        }
    }

    /// Disables the stream: its shards are closed and get no child.
    pub(crate) fn disable(&self) {
        let mut state = self.lock();
        state.is_disabled = true;
        state.shards.iter_mut().for_each(|shard| shard.is_closed = true);
    }

    /// Responds with what `fault` returns for a request, if it returns anything.
    pub(crate) fn on_request(
        &self,
        fault: impl FnMut(&str, &Value) -> Option<Response> + Send + 'static,
    ) {
        self.lock().fault = Some(Box::new(fault));
    }
}

impl State {
    fn add(&mut self, parent: Option<String>, keys: Range<u32>) {
        // The time of the creation and a hash, by which ids of one time do not ascend.
        let number = u32::try_from(self.shards.len()).unwrap_or_default();
        let hash = (number + 1).wrapping_mul(0x9E37_79B9);
        let id =
            format!("shardId-{:020}-{hash:08x}", 1_700_000_000_000_u64 + u64::from(number / 8));
        self.shards.push(Shard { id, parent, keys, changes: Vec::new(), is_closed: false });
    }

    fn respond(&mut self, operation: &str, body: &Value) -> Response {
        if let Some(response) = self.fault.as_mut().and_then(|fault| fault(operation, body)) {
            return response;
        }
        match operation {
            "DescribeStream" => Ok(self.describe(body)),
            "GetShardIterator" => {
                let shard = self.shard(&body["ShardId"])?;
                let position = |number: &Value| {
                    let is_before =
                        |change: &&Value| change["dynamodb"]["SequenceNumber"] != *number;
                    shard.changes.iter().take_while(is_before).count()
                };
                let position = match body["ShardIteratorType"].as_str() {
                    Some("TRIM_HORIZON") => 0,
                    Some("LATEST") => shard.changes.len(),
                    Some("AFTER_SEQUENCE_NUMBER") => position(&body["SequenceNumber"]) + 1,
                    _ => return Err("ValidationException"),
                };
                Ok(json!({"ShardIterator": format!("{position} {}", shard.id)}))
            }
            "GetRecords" => {
                let iterator = body["ShardIterator"].as_str().unwrap_or_default();
                let (position, id) = iterator.split_once(' ').ok_or("ValidationException")?;
                let position: usize = position.parse().map_err(|_| "ValidationException")?;
                let shard = self.shard(&json!(id))?;
                let left = shard.changes.get(position..).unwrap_or_default();
                let page = &left[..left.len().min(CHANGES_PER_PAGE)];
                let next = position + page.len();
                let is_end = shard.is_closed && next == shard.changes.len();
                let next = (!is_end).then(|| format!("{next} {id}"));
                Ok(json!({"Records": page, "NextShardIterator": next}))
            }
            _ => Err("UnknownOperationException"),
        }
    }

    fn shard(&self, id: &Value) -> Result<&Shard, &'static str> {
        let found = self.shards.iter().find(|shard| *id == shard.id);
        found.ok_or("ResourceNotFoundException")
    }

    fn describe(&self, body: &Value) -> Value {
        let filter = &body["ShardFilter"]["ShardId"];
        let newest_first = self.shards.iter().rev();
        let mut after = newest_first
            .filter(|shard| filter.is_null() || shard.parent.as_deref() == filter.as_str());
        if let Some(start) = body["ExclusiveStartShardId"].as_str() {
            after.find(|shard| shard.id == start);
        }
        let page: Vec<_> = after.by_ref().take(SHARDS_PER_PAGE).collect();
        let last = after.next().and(page.last()).map(|shard| &shard.id);
        let shards = page.iter().map(|shard| {
            let end = shard.is_closed.then_some("999999999999999999999");
            let range = json!({"StartingSequenceNumber": "1", "EndingSequenceNumber": end});
            let Shard { id, parent, .. } = shard;
            json!({"ShardId": id, "ParentShardId": parent, "SequenceNumberRange": range})
        });
        let shards: Vec<Value> = shards.collect();
        let status = if self.is_disabled { "DISABLED" } else { "ENABLED" };
        json!({"StreamDescription": {
            "StreamArn": ARN, "StreamStatus": status,
            "Shards": shards, "LastEvaluatedShardId": last,
        }})
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Model")
    }
}

impl HttpClient for Model {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Model {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let model = self.clone();
        HttpConnectorFuture::new(async move {
            // A request that is never pending would starve the other tasks.
            yield_now().await;
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default();
            let body = request.body().bytes().unwrap_or_default();
            let body = serde_json::from_slice(body).unwrap_or_default();
            let (status, body) = match model.lock().respond(operation, &body) {
                Ok(response) => (200_u16, response),
                Err(code) => {
                    let status = if code == "InternalServerError" { 500 } else { 400 };
                    (status, json!({"__type": code, "message": "a fault of the model"}))
                }
            };
            let status = status.try_into().expect("a status of HTTP");
            Ok(HttpResponse::new(status, SdkBody::from(body.to_string())))
        })
    }
}
