//! The figures that an exporter of the crate `metrics` shows.

mod example;
#[path = "../../examples/metrics/exporter.rs"]
mod exporter;
mod fan_out;
mod gauges;
mod labels;
mod leases;
mod tables;

use std::fmt::{self, Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits};
use kinesis_shards::{Checkpoints, MemoryStore, ShardStreamExt, all_shards};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::sleep;

/// The stream `orders`, and the exporter of its consumers.
struct World {
    kinesis: FakeKinesis,
    orders: FakeStream,
    client: Client,
    exporter: PrometheusHandle,
}

impl World {
    /// Returns what the exporter shows now.
    fn page(&self) -> Page {
        Page(self.exporter.render())
    }
}

/// What an exporter has shown.
struct Page(String);

impl Page {
    /// Returns the value of a series, if it exists.
    fn find<T: FromStr<Err: Debug>>(&self, series: &str) -> Option<T> {
        let value = self.0.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))?;
        Some(value.parse().expect("a number"))
    }

    fn count(&self, series: impl Display) -> usize {
        let series = series.to_string();
        self.find(&series).unwrap_or_else(|| panic!("no series {series} in:\n{self}"))
    }

    fn seconds(&self, series: &str) -> f64 {
        self.find(series).unwrap_or_else(|| panic!("no series {series} in:\n{self}"))
    }
}

impl Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn paused_runtime() -> tokio::runtime::Runtime {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap()
}

/// Runs a consumer of one shard, and returns what the exporter shows afterwards.
fn scrape(consume: impl AsyncFnOnce(&World)) -> Page {
    let recorder = PrometheusBuilder::new().build_recorder();
    let kinesis = FakeKinesis::new();
    kinesis.set_limits(Limits::none());
    let (orders, client) = (kinesis.create_stream("orders", 1), kinesis.client());
    let world = World { kinesis, orders, client, exporter: recorder.handle() };
    metrics::with_local_recorder(&recorder, || {
        kinesis_shards::metrics::describe();
        paused_runtime().block_on(consume(&world));
    });
    world.page()
}

#[test]
fn records_requests_and_ends_are_counted() {
    let page = scrape(async |world| {
        let World { orders, client, .. } = world;
        for n in 0..3 {
            orders.put("customer 1", format!("order {n}"));
        }
        orders.split("shardId-000000000000");
        orders.put("customer 1", "the last one");
        let records = all_shards(client, "orders").records(client);
        assert_eq!(records.take(4).count().await, 4);
    });
    assert_eq!(page.count(r#"kinesis_shards_records{stream="orders"}"#), 4);
    // The data and the partition keys.
    let bytes = 3 * "order 0".len() + "the last one".len() + 4 * "customer 1".len();
    let received = page.count(r#"kinesis_shards_bytes{stream="orders"}"#);
    assert_eq!(received, bytes);
    let reads = r#"{stream="orders",operation="GetRecords",outcome="ok"}"#;
    assert!(page.count(format!("kinesis_shards_requests{reads}")) >= 2);
    let lists = r#"{stream="orders",operation="ListShards",outcome="ok"}"#;
    assert!(page.count(format!("kinesis_shards_requests{lists}")) >= 1);
    let ends = r#"kinesis_shards_readers_ended{stream="orders",reason="end_of_shard"}"#;
    assert_eq!(page.count(ends), 1);
    let hand_overs = r#"kinesis_shards_hand_over_duration_count{stream="orders"}"#;
    assert!(page.count(hand_overs) >= 1, "{page}");
    assert!(page.0.contains("# HELP kinesis_shards_records Records that were received"));
}

#[test]
fn retries_are_counted_by_their_code() {
    let page = scrape(async |world| {
        let World { kinesis, orders, client, .. } = world;
        orders.put("customer 1", "an order");
        kinesis.fail_times("GetRecords", 2, Fault::Throttled);
        let mut records = all_shards(client, "orders").records(client);
        records.next().await.unwrap().unwrap();
    });
    let code = "ProvisionedThroughputExceededException";
    let retries = format!(r#"kinesis_shards_retries{{stream="orders",code="{code}"}}"#);
    assert_eq!(page.count(retries), 2);
    let requests = r#"kinesis_shards_requests{stream="orders",operation="GetRecords",outcome="#;
    assert_eq!(page.count(format!("{requests}\"{code}\"}}")), 2);
}

#[test]
fn expired_iterators_are_counted() {
    let page = scrape(async |world| {
        let World { kinesis, orders, client, .. } = world;
        orders.put("customer 1", "an order");
        kinesis.fail_next("GetRecords", Fault::ExpiredIterator);
        let mut records = all_shards(client, "orders").records(client);
        records.next().await.unwrap().unwrap();
    });
    assert_eq!(page.count(r#"kinesis_shards_iterators_expired{stream="orders"}"#), 1);
}

#[test]
fn saves_and_gaps_are_counted() {
    let page = scrape(async |world| {
        let World { orders, client, .. } = world;
        orders.put("customer 1", "an order");
        let store = MemoryStore::new();
        for _ in 0..2 {
            let checkpoints = Checkpoints::load(store.clone(), "orders").await.unwrap();
            let mut records =
                all_shards(client, "orders").checkpoints(&checkpoints).records(client);
            records.next().await.unwrap().unwrap().ack();
            checkpoints.flush().await;
            drop(records);
            // The record of the checkpoint expires, and another comes.
            sleep(Duration::from_hours(30)).await;
            orders.put("customer 1", "another");
        }
    });
    let saves = r#"kinesis_shards_checkpoint_saves{stream="orders",outcome="ok"}"#;
    assert!(page.count(saves) >= 2);
    assert_eq!(page.count(r#"kinesis_shards_checkpoint_gaps{stream="orders"}"#), 1);
}
