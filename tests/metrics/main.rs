//! The figures that an exporter of the crate `metrics` shows.

mod example;
#[path = "../../examples/metrics/exporter.rs"]
mod exporter;

use std::fmt::Debug;
use std::str::FromStr;
use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::records::Monitor;
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, Limits};
use kinesis_shards::{Checkpoints, MemoryStore, ReadOptions, ShardStreamExt, all_shards};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::time::{sleep, timeout};

/// Runs a consumer, and returns what an exporter shows afterwards.
fn scrape(consume: impl AsyncFnOnce(FakeKinesis, FakeStream, Client)) -> String {
    let recorder = PrometheusBuilder::new().build_recorder();
    let handle: PrometheusHandle = recorder.handle();
    metrics::with_local_recorder(&recorder, || {
        kinesis_shards::metrics::describe();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        let kinesis = FakeKinesis::new();
        kinesis.set_limits(Limits::none());
        let (orders, client) = (kinesis.create_stream("orders", 1), kinesis.client());
        runtime.block_on(consume(kinesis, orders, client));
    });
    handle.render()
}

/// Returns the value of a series.
fn value<T: FromStr<Err: Debug>>(scraped: &str, series: &str) -> T {
    let line = scraped.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    let line = line.unwrap_or_else(|| panic!("no series {series} in:\n{scraped}"));
    line.parse().expect("a number")
}

fn count(scraped: &str, series: &str) -> usize {
    value(scraped, series)
}

fn seconds(scraped: &str, series: &str) -> f64 {
    value(scraped, series)
}

#[test]
fn records_requests_and_ends_are_counted() {
    let scraped = scrape(async |_, orders, client| {
        for n in 0..3 {
            orders.put("customer 1", format!("order {n}"));
        }
        orders.split("shardId-000000000000");
        orders.put("customer 1", "the last one");
        let records = all_shards(&client, "orders").records(&client);
        assert_eq!(records.take(4).count().await, 4);
    });
    assert_eq!(count(&scraped, r#"kinesis_shards_records{stream="orders"}"#), 4);
    // The data and the partition keys.
    let bytes = 3 * "order 0".len() + "the last one".len() + 4 * "customer 1".len();
    let received = count(&scraped, r#"kinesis_shards_bytes{stream="orders"}"#);
    assert_eq!(received, bytes);
    let reads = r#"{stream="orders",operation="GetRecords",outcome="ok"}"#;
    assert!(count(&scraped, &format!("kinesis_shards_requests{reads}")) >= 2);
    let lists = r#"{stream="orders",operation="ListShards",outcome="ok"}"#;
    assert!(count(&scraped, &format!("kinesis_shards_requests{lists}")) >= 1);
    let ends = r#"kinesis_shards_readers_ended{stream="orders",reason="end_of_shard"}"#;
    assert_eq!(count(&scraped, ends), 1);
    let hand_overs = r#"kinesis_shards_hand_over_duration_count{stream="orders"}"#;
    assert!(count(&scraped, hand_overs) >= 1, "{scraped}");
    assert!(scraped.contains("# HELP kinesis_shards_records Records that were received"));
}

#[test]
fn retries_are_counted_by_their_code() {
    let scraped = scrape(async |kinesis, orders, client| {
        orders.put("customer 1", "an order");
        kinesis.fail_times("GetRecords", 2, Fault::Throttled);
        let mut records = all_shards(&client, "orders").records(&client);
        records.next().await.unwrap().unwrap();
    });
    let code = "ProvisionedThroughputExceededException";
    let retries = format!(r#"kinesis_shards_retries{{stream="orders",code="{code}"}}"#);
    assert_eq!(count(&scraped, &retries), 2);
    let requests = r#"kinesis_shards_requests{stream="orders",operation="GetRecords",outcome="#;
    assert_eq!(count(&scraped, &format!("{requests}\"{code}\"}}")), 2);
}

#[test]
fn the_gauges_show_what_is_behind_held_and_unsaved() {
    let scraped = scrape(async |_, orders, client| {
        orders.put("customer 1", "an order");
        let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await.unwrap();
        let mut records = all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
        let record = records.next().await.unwrap().unwrap();
        sleep(Duration::from_mins(1)).await;
        checkpoints.record_metrics();
        checkpoints.record_shard_metrics();
        drop(record);
    });
    let of_stream = |name: &str| format!(r#"{name}{{stream="orders"}}"#);
    assert!(
        (59.0..62.0).contains(&seconds(&scraped, &of_stream("kinesis_shards_lag_max"))),
        "{scraped}"
    );
    let lag = r#"kinesis_shards_lag{stream="orders",shard="shardId-000000000000"}"#;
    assert!((59.0..62.0).contains(&seconds(&scraped, lag)));
    assert_eq!(count(&scraped, &of_stream("kinesis_shards_unacknowledged")), 1);
    assert_eq!(count(&scraped, &of_stream("kinesis_shards_unacknowledged_age")), 60);
    for (state, shards) in [("reading", 1), ("finished", 0), ("waiting", 0)] {
        let series = format!(r#"kinesis_shards_shards{{stream="orders",state="{state}"}}"#);
        assert_eq!(count(&scraped, &series), shards);
    }
}

#[test]
fn a_monitor_sets_the_gauges_without_checkpoints() {
    let scraped = scrape(async |_, orders, client| {
        orders.put("customer 1", "an order");
        let monitor = Monitor::new();
        let options = ReadOptions::new().monitor(&monitor);
        let mut records = all_shards(&client, "orders").records(&client).with_options(options);
        records.next().await.unwrap().unwrap();
        assert!(timeout(Duration::from_secs(3), records.next()).await.is_err());
        monitor.record_metrics();
        monitor.record_shard_metrics();
    });
    assert!(seconds(&scraped, r#"kinesis_shards_lag_max{stream="orders"}"#) <= 1.0);
    let reading = r#"kinesis_shards_shards{stream="orders",state="reading"}"#;
    assert_eq!(count(&scraped, reading), 1);
    let lag = r#"kinesis_shards_lag{stream="orders",shard="shardId-000000000000"}"#;
    assert!(seconds(&scraped, lag) <= 1.0);
}

#[test]
fn saves_and_gaps_are_counted() {
    let scraped = scrape(async |_, orders, client| {
        orders.put("customer 1", "an order");
        let store = MemoryStore::new();
        for _ in 0..2 {
            let checkpoints = Checkpoints::load(store.clone(), "orders").await.unwrap();
            let mut records =
                all_shards(&client, "orders").checkpoints(&checkpoints).records(&client);
            records.next().await.unwrap().unwrap().ack();
            checkpoints.flush().await;
            drop(records);
            // The record of the checkpoint expires, and another comes.
            sleep(Duration::from_hours(30)).await;
            orders.put("customer 1", "another");
        }
    });
    let saves = r#"kinesis_shards_checkpoint_saves{stream="orders",outcome="ok"}"#;
    assert!(count(&scraped, saves) >= 2);
    assert_eq!(count(&scraped, r#"kinesis_shards_checkpoint_gaps{stream="orders"}"#), 1);
}
