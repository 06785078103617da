//! Responses that the servers in `tests/stores` do not give.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

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
use serde_json::{Value, json};

use super::*;
use crate::checkpoint::value::Checkpoint;
use crate::lease::table::{Beat, Change, Condition, LeaseWrite, WorkerState};

/// A DynamoDB that gives prepared responses.
#[derive(Clone, Debug, Default)]
struct Server(Arc<Mutex<Exchanges>>);

#[derive(Debug, Default)]
struct Exchanges {
    responses: VecDeque<(u16, Value)>,
    requests: Vec<Value>,
}

impl Server {
    fn new(responses: impl IntoIterator<Item = (u16, Value)>) -> Self {
        let responses = responses.into_iter().collect();
        Self(Arc::new(Mutex::new(Exchanges { responses, requests: Vec::new() })))
    }

    fn tables(&self) -> DynamoDbTables {
        let config = aws_sdk_dynamodb::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(Credentials::new("x", "x", None, None, "tests"))
            .retry_config(RetryConfig::disabled())
            .sleep_impl(TokioSleep::new())
            .http_client(self.clone());
        let client = Client::from_conf(config.build());
        DynamoDbTables::new(&client, "app".to_owned(), "app-workers".to_owned(), "orders".into())
    }

    async fn send(&self, request: Request) -> Result<Response, TableError> {
        self.tables().send(request).await
    }

    /// Sends a request that gets this response.
    async fn error(status: u16, body: Value, request: Request) -> (bool, String) {
        let error = Self::new([(status, body)]).send(request).await.unwrap_err();
        (error.is_permanent, error.source.to_string())
    }

    fn requests(&self) -> Vec<Value> {
        self.0.lock().unwrap().requests.clone()
    }
}

impl HttpClient for Server {
    fn http_connector(
        &self,
        _: &HttpConnectorSettings,
        _: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Server {
    fn call(&self, mut request: HttpRequest) -> HttpConnectorFuture {
        let server = self.clone();
        HttpConnectorFuture::new(async move {
            let body = ByteStream::new(request.take_body()).collect().await.unwrap().into_bytes();
            let mut exchanges = server.0.lock().unwrap();
            exchanges.requests.push(serde_json::from_slice(&body).unwrap());
            let (status, body) = exchanges.responses.pop_front().expect("a prepared response");
            Ok(HttpResponse::new(status.try_into().unwrap(), SdkBody::from(body.to_string())))
        })
    }
}

fn lease(shard: &str) -> Value {
    json!({
        "leaseKey": {"S": shard},
        "leaseCounter": {"N": "7"},
        "checkpoint": {"S": "TRIM_HORIZON"},
    })
}

fn key(shard: &str) -> Value {
    json!({"leaseKey": {"S": shard}})
}

fn with(mut row: Value, name: &str, value: Value) -> Value {
    row[name] = value;
    row
}

fn page(rows: &[Value]) -> Value {
    json!({"Items": rows, "Count": rows.len()})
}

fn coded(code: &str) -> Value {
    json!({"__type": format!("com.amazonaws.dynamodb.v20120810#{code}"), "message": "no."})
}

fn shards_of(response: Response) -> Vec<String> {
    let Response::Leases(leases) = response else { panic!("{response:?}") };
    leases.into_iter().map(|lease| lease.shard_id).collect()
}

fn save() -> Request {
    Request::Write(LeaseWrite {
        shard_id: "a".to_owned(),
        condition: Condition::Unowned { counter: 7 },
        change: Change::Save { checkpoint: Checkpoint::End },
        run: 1,
    })
}

fn beat() -> Request {
    Request::Beat(Beat {
        worker: "worker-1".to_owned(),
        run: 1,
        beat: 2,
        state: WorkerState::Up,
        held: 0,
        max: None,
        audits: 0,
        arrived: ["a".to_owned()].into(),
    })
}

#[tokio::test(start_paused = true)]
async fn unprocessed_keys_are_requested_again() {
    let response = |rows: &[Value], left: &[Value]| {
        let unprocessed = match left {
            [] => json!({}),
            _ => json!({"app": {"Keys": left, "ConsistentRead": true}}),
        };
        (200, json!({"Responses": {"app": rows}, "UnprocessedKeys": unprocessed}))
    };
    let server = Server::new([
        response(&[lease("a")], &[key("b"), key("c")]),
        response(&[], &[key("b"), key("c")]),
        response(&[lease("c")], &[]),
    ]);
    let wanted = ["a", "b", "c"].map(str::to_owned);
    let found = server.send(Request::Get(wanted.to_vec())).await.unwrap();
    assert_eq!(shards_of(found), ["a", "c"]);
    let requested: Vec<_> = server
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(request["RequestItems"]["app"]["ConsistentRead"], true);
            request["RequestItems"]["app"]["Keys"].as_array().unwrap().len()
        })
        .collect();
    assert_eq!(requested, [3, 2, 2]);

    let never = Server::new(vec![response(&[], &[key("a")]); 4]);
    let error = never.send(Request::Get(vec!["a".to_owned()])).await.unwrap_err();
    assert!(!error.is_permanent && error.source.to_string().contains("unprocessed"), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_at_most_a_hundred_different_keys() {
    let empty = (200, json!({"Responses": {"app": []}, "UnprocessedKeys": {}}));
    let server = Server::new(vec![empty; 3]);
    let shards = (0..250).chain(0..9).map(|i| format!("shard-{i}")).collect();
    assert_eq!(shards_of(server.send(Request::Get(shards)).await.unwrap()), [""; 0]);
    let keys = |request: &Value| request["RequestItems"]["app"]["Keys"].as_array().unwrap().len();
    assert_eq!(server.requests().iter().map(keys).collect::<Vec<_>>(), [100, 100, 50]);
    let none = Server::new([]);
    assert_eq!(shards_of(none.send(Request::Get(Vec::new())).await.unwrap()), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_scan_reads_every_page_and_leaves_out_rows_of_other_kinds() {
    let metrics = with(lease("metrics"), "entityType", json!({"S": "WORKER_METRIC_STATS"}));
    let leader = json!({"leaseKey": {"S": "Leader"}, "entityType": {"S": "LEADER"}});
    let mut first = page(&[lease("a"), metrics]);
    first["LastEvaluatedKey"] = key("metrics");
    let server = Server::new([(200, first), (200, page(&[leader, lease("b")]))]);
    assert_eq!(shards_of(server.send(Request::Scan).await.unwrap()), ["a", "b"]);
    let requests = server.requests();
    assert!(requests.iter().all(|request| request["ConsistentRead"] == true));
    assert_eq!(requests[1]["ExclusiveStartKey"], key("metrics"));
}

#[tokio::test(start_paused = true)]
async fn the_row_of_the_fleet_is_no_worker() {
    let fleet = json!({"worker": {"S": "#fleet"}, "joins": {"N": "3"}});
    let worker = json!({
        "worker": {"S": "worker-1"},
        "run": {"N": "3"},
        "beat": {"N": "4"},
        "state": {"S": "up"},
        "held": {"N": "0"},
        "placed": {"N": "0"},
    });
    let server = Server::new([(200, page(&[fleet, worker.clone()]))]);
    let response = server.send(Request::Workers { is_consistent: false }).await.unwrap();
    let Response::Workers(workers) = response else { panic!("{response:?}") };
    assert_eq!(
        workers.iter().map(|row| (row.id.as_str(), row.run)).collect::<Vec<_>>(),
        [("worker-1", 3)]
    );
    assert_eq!(server.requests()[0]["ConsistentRead"], false);

    let later = with(worker, "state", json!({"S": "resting"}));
    let (is_permanent, text) =
        Server::error(200, page(&[later]), Request::Workers { is_consistent: false }).await;
    assert!(is_permanent && text.contains("app-workers") && text.contains("resting"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_table_that_is_not_of_this_stream_or_fleet_is_a_permanent_error() {
    for (row, why) in [
        (with(lease("a"), "kinesisShardsStream", json!({"S": "others"})), "of stream others"),
        (with(lease("1:orders:2:a"), "streamName", json!({"S": "orders"})), "several streams"),
        (with(lease("a"), "checkpoint", json!({"S": "soon"})), "soon"),
    ] {
        let refused = json!({"__type": "ConditionalCheckFailedException", "Item": row});
        for (status, body, request) in [(200, page(&[row]), Request::Scan), (400, refused, save())]
        {
            let (is_permanent, text) = Server::error(status, body, request).await;
            assert!(is_permanent && text.contains("table app") && text.contains(why), "{text}");
        }
    }
    let start = Request::Start { start: Checkpoint::End, stream: "orders".to_owned() };
    let fleet = json!({"worker": {"S": "#fleet"}, "proto": {"N": "2"}});
    let (is_permanent, text) = Server::error(200, json!({"Attributes": fleet}), start).await;
    assert!(is_permanent && text.contains("version 2"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_error_says_whether_a_retry_may_mend_it_and_names_the_table() {
    for (status, code, is_permanent, advice) in [
        (400, "AccessDeniedException", true, "must allow dynamodb:UpdateItem"),
        (400, "ResourceNotFoundException", true, "was deleted"),
        (400, "ValidationException", true, "ValidationException"),
        (400, "ProvisionedThroughputExceededException", false, "Throughput"),
        (400, "ThrottlingException", false, "Throttling"),
        (500, "InternalServerError", false, "InternalServerError"),
        (400, "ExpiredTokenException", false, "ExpiredToken"),
    ] {
        for (request, table) in [(beat(), "table app-workers"), (save(), "table app")] {
            let (is, text) = Server::error(status, coded(code), request).await;
            assert_eq!(is, is_permanent, "{text}");
            assert!(text.contains(table) && text.contains(advice), "{text}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_without_credentials_is_a_permanent_error() {
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .http_client(Server::new([]));
    let client = Client::from_conf(config.build());
    let tables = DynamoDbTables::new(&client, "a".to_owned(), "b".to_owned(), "orders".into());
    let error = tables.create_missing().await.unwrap_err();
    let text = error.source.to_string();
    assert!(error.is_permanent && text.contains("no credentials provider"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn an_empty_response_is_neither_a_write_nor_an_empty_table() {
    let get = || Request::Get(vec!["a".to_owned()]);
    for request in [Request::Join, beat(), save(), get()] {
        let (is_permanent, text) = Server::error(200, json!({}), request).await;
        assert!(!is_permanent && text.contains("empty response"), "{text}");
    }
    for request in [Request::Scan, Request::Workers { is_consistent: false }] {
        let server = Server::new(vec![(200, json!({})); 4]);
        let error = server.send(request).await.unwrap_err();
        assert!(error.source.to_string().contains("empty response"), "{error:?}");
    }
}
