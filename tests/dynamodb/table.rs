//! A fake DynamoDB with one table behind the real SDK, with the operations that `DynamoDbStore`
//! uses.
//!
//! The suite `tests/stores` runs the store against independent servers. They cannot throttle most
//! writes, omit responses, or show the table after each write, and they need a running clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_smithy_async::rt::sleep::TokioSleep;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::byte_stream::ByteStream;
use serde_json::{Map, Value, json};

pub(crate) const NAME: &str = "orders-application";
/// The number of rows in a page of a scan.
const PAGE: usize = 3;

pub(crate) type Row = Map<String, Value>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// An error; the operation is not carried out.
    Throttled,
    /// A `200` without a body; the operation is not carried out.
    Empty,
    /// No response; the operation is not carried out.
    NoResponse,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) operation: String,
    /// The key of the row, empty for an operation on the table.
    pub(crate) key: String,
    pub(crate) fault: Option<Fault>,
}

type Faults = Box<dyn FnMut(&str, &str) -> Option<Fault> + Send>;
type Watch = Box<dyn Fn(&Rows) + Send>;

#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) rows: BTreeMap<String, Row>,
    /// The keys of all rows that have ever existed.
    pub(crate) ever: BTreeSet<String>,
}

#[derive(Clone, Default)]
pub(crate) struct Table(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    is_missing: bool,
    rows: Rows,
    faults: Option<Faults>,
    watch: Option<Watch>,
    requests: Vec<Request>,
}

impl Table {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    /// Creates a client that does not retry.
    pub(crate) fn client(&self) -> Client {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("x", "x", None, None, "table"))
            .retry_config(RetryConfig::disabled())
            .sleep_impl(TokioSleep::new())
            .http_client(self.clone());
        Client::from_conf(config.build())
    }

    pub(crate) fn remove_table(&self) {
        self.lock().is_missing = true;
    }

    /// Draws the fault of each request by its operation and the key of its row.
    pub(crate) fn on_request(
        &self,
        faults: impl FnMut(&str, &str) -> Option<Fault> + Send + 'static,
    ) {
        self.lock().faults = Some(Box::new(faults));
    }

    pub(crate) fn fail_always(&self, operation: &'static str, fault: Fault) {
        self.on_request(move |of, _| (of == operation).then_some(fault));
    }

    pub(crate) fn heal(&self) {
        self.lock().faults = None;
    }

    /// Calls `watch` with the rows after each write.
    pub(crate) fn watch(&self, watch: impl Fn(&Rows) + Send + 'static) {
        self.lock().watch = Some(Box::new(watch));
    }

    pub(crate) fn row(&self, key: &str) -> Option<Row> {
        self.lock().rows.rows.get(key).cloned()
    }

    /// Returns the text of an attribute, empty if there is none.
    pub(crate) fn text(&self, key: &str, attribute: &str) -> String {
        let row = self.row(key).unwrap_or_default();
        row.get(attribute).and_then(|value| value["S"].as_str()).unwrap_or_default().to_owned()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.lock().rows.rows.keys().cloned().collect()
    }

    /// Writes a lease, as the Kinesis Client Library does.
    pub(crate) fn put_lease(&self, key: &str, checkpoint: &str, parents: &[&str]) {
        let mut row = Row::new();
        row.insert("leaseKey".to_owned(), json!({"S": key}));
        row.insert("leaseOwner".to_owned(), json!({"S": "worker-of-java"}));
        row.insert("leaseCounter".to_owned(), json!({"N": "41"}));
        row.insert("checkpoint".to_owned(), json!({"S": checkpoint}));
        row.insert("checkpointSubSequenceNumber".to_owned(), json!({"N": "0"}));
        if !parents.is_empty() {
            row.insert("parentShardId".to_owned(), json!({"SS": parents}));
        }
        let mut state = self.lock();
        state.rows.ever.insert(key.to_owned());
        state.rows.rows.insert(key.to_owned(), row);
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Table")
    }
}

impl HttpClient for Table {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Table {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let table = self.clone();
        HttpConnectorFuture::new(async move {
            let target = request.headers().get("x-amz-target").unwrap_or_default();
            let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
            let body = ByteStream::new(request.take_body()).collect().await.unwrap().into_bytes();
            let input: Value = serde_json::from_slice(&body).unwrap();
            tokio::task::yield_now().await;
            let Some((status, body)) = table.lock().handle(&operation, &input) else {
                return pending().await;
            };
            Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body)))
        })
    }
}

/// An error code, and the other members of the body.
type Refusal = (&'static str, Value);

impl State {
    /// Returns the status and the body; `None` for no response.
    fn handle(&mut self, operation: &str, input: &Value) -> Option<(u16, String)> {
        assert_eq!(input["TableName"], NAME);
        let key = input["Key"]["leaseKey"]["S"].as_str().unwrap_or_default();
        let fault = self.faults.as_mut().and_then(|faults| faults(operation, key));
        self.requests.push(Request { operation: operation.to_owned(), key: key.to_owned(), fault });
        let result = match fault {
            Some(Fault::NoResponse) => return None,
            Some(Fault::Empty) => return Some((200, String::new())),
            Some(Fault::Throttled) => Err(("ProvisionedThroughputExceededException", json!({}))),
            None => self.respond(operation, key, input),
        };
        Some(match result {
            Ok(output) => (200, output.to_string()),
            Err((code, mut body)) => {
                body["__type"] = json!(format!("com.amazonaws.dynamodb.v20120810#{code}"));
                (400, body.to_string())
            }
        })
    }

    fn respond(&mut self, operation: &str, key: &str, input: &Value) -> Result<Value, Refusal> {
        if operation == "CreateTable" {
            self.is_missing = false;
            return Ok(json!({"TableDescription": {"TableStatus": "CREATING"}}));
        }
        if self.is_missing {
            return Err(("ResourceNotFoundException", json!({})));
        }
        match operation {
            "DescribeTable" => Ok(json!({"Table": {"TableStatus": "ACTIVE"}})),
            "Scan" => {
                let from = input["ExclusiveStartKey"]["leaseKey"]["S"].as_str().unwrap_or_default();
                let rows = &self.rows.rows;
                let page: Vec<_> =
                    rows.iter().filter(|(key, _)| key.as_str() > from).take(PAGE).collect();
                let items: Vec<_> = page.iter().map(|(_, row)| (*row).clone()).collect();
                let mut output =
                    json!({"Count": items.len(), "ScannedCount": items.len(), "Items": items});
                if let Some((last, _)) = page.last() {
                    output["LastEvaluatedKey"] = json!({"leaseKey": {"S": last}});
                }
                Ok(output)
            }
            "GetItem" => Ok(self.rows.rows.get(key).map_or(json!({}), |row| json!({"Item": row}))),
            "UpdateItem" => self.update(key, input),
            "DeleteItem" => {
                self.check(key, input)?;
                let old = self.rows.rows.remove(key);
                self.notify();
                Ok(old.map_or(json!({}), |row| json!({"Attributes": row})))
            }
            _ => panic!("unknown operation: {operation}"),
        }
    }

    fn notify(&self) {
        if let Some(watch) = &self.watch {
            watch(&self.rows);
        }
    }

    fn check(&self, key: &str, input: &Value) -> Result<(), Refusal> {
        let row = self.rows.rows.get(key);
        let condition = input["ConditionExpression"].as_str().expect("each write has a condition");
        let holds = match condition.split_once(" = ") {
            None if condition == "attribute_not_exists(#leaseKey)" => row.is_none(),
            Some(("#leaseCounter", value)) => {
                let counter = &input["ExpressionAttributeValues"][value];
                row.is_some_and(|row| row.get("leaseCounter") == Some(counter))
            }
            _ => panic!("unknown condition: {condition}"),
        };
        if holds {
            return Ok(());
        }
        let mut body = json!({});
        if let (Some(row), "ALL_OLD") =
            (row, input["ReturnValuesOnConditionCheckFailure"].as_str().unwrap_or_default())
        {
            body["Item"] = json!(row);
        }
        Err(("ConditionalCheckFailedException", body))
    }

    fn update(&mut self, key: &str, input: &Value) -> Result<Value, Refusal> {
        self.check(key, input)?;
        let row = self.rows.rows.entry(key.to_owned()).or_insert_with(|| {
            let key = ("leaseKey".to_owned(), json!({"S": key}));
            Row::from_iter([key])
        });
        let expression = input["UpdateExpression"].as_str().expect("an expression");
        let (set, remove) = expression.split_once(" REMOVE ").unwrap_or((expression, ""));
        let attribute = |name: &str| {
            let name = &input["ExpressionAttributeNames"][name];
            name.as_str().expect("each name is a placeholder").to_owned()
        };
        for change in set.strip_prefix("SET ").expect("a SET clause").split(", ") {
            let (name, value) = change.split_once(" = ").expect("an assignment");
            let value = input["ExpressionAttributeValues"][value].clone();
            assert!(!value.is_null(), "{change}");
            row.insert(attribute(name), value);
        }
        for name in remove.split(", ").filter(|name| !name.is_empty()) {
            row.remove(&attribute(name));
        }
        let row = row.clone();
        self.rows.ever.insert(key.to_owned());
        self.notify();
        let wants = input["ReturnValues"].as_str().unwrap_or_default();
        Ok(if wants == "ALL_NEW" { json!({"Attributes": row}) } else { json!({}) })
    }
}
