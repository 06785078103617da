//! The gauges that `record_metrics` sets.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::records::Monitor;
use kinesis_shards::{Checkpoints, MemoryStore, ReadOptions, ShardStreamExt, all_shards};
use tokio::time::{sleep, timeout};

use crate::{World, scrape};

const LAG: &str = r#"kinesis_shards_lag_max{stream="orders"}"#;
const SHARD_LAG: &str = r#"kinesis_shards_lag{stream="orders",shard="shardId-000000000000"}"#;
const UNACKNOWLEDGED: &str = r#"kinesis_shards_unacknowledged{stream="orders"}"#;
const UNACKNOWLEDGED_AGE: &str = r#"kinesis_shards_unacknowledged_age{stream="orders"}"#;

fn shards(state: &str) -> String {
    format!(r#"kinesis_shards_shards{{stream="orders",state="{state}"}}"#)
}

#[test]
fn the_gauges_show_what_is_behind_and_held_until_all_is_dropped() {
    let after = scrape(async |world| {
        let World { orders, client, .. } = world;
        orders.put("customer 1", "an order");
        let checkpoints = Checkpoints::load(MemoryStore::new(), "orders").await.unwrap();
        let mut records = all_shards(client, "orders").checkpoints(&checkpoints).records(client);
        let record = records.next().await.unwrap().unwrap();
        sleep(Duration::from_mins(1)).await;
        checkpoints.record_metrics();
        checkpoints.record_shard_metrics();
        let page = world.page();
        for series in [LAG, SHARD_LAG] {
            assert!((59.0..62.0).contains(&page.seconds(series)), "{page}");
        }
        assert_eq!((page.count(UNACKNOWLEDGED), page.count(UNACKNOWLEDGED_AGE)), (1, 60));
        for (state, number) in [("reading", 1), ("finished", 0), ("waiting", 0)] {
            assert_eq!(page.count(shards(state)), number);
        }
        record.ack();
        drop(records);
        checkpoints.flush().await;
        checkpoints.record_metrics();
        checkpoints.record_shard_metrics();
        let page = world.page();
        for series in [LAG, SHARD_LAG, UNACKNOWLEDGED, UNACKNOWLEDGED_AGE] {
            assert_eq!(page.count(series), 0);
        }
        // Nobody reads it now.
        assert_eq!((page.count(shards("reading")), page.count(shards("waiting"))), (0, 1));
    });
    assert_eq!(after.count(shards("waiting")), 0, "{after}");
}

#[test]
fn a_monitor_sets_the_gauges_without_checkpoints_until_its_readers_are_dropped() {
    let after = scrape(async |world| {
        let World { kinesis, orders, client, .. } = world;
        kinesis.create_stream("payments", 1).put("customer 1", "a payment");
        orders.put("customer 1", "an order");
        let monitor = Monitor::new();
        let record = || {
            monitor.record_metrics();
            monitor.record_shard_metrics();
            world.page()
        };
        let options = ReadOptions::new().monitor(&monitor);
        let records =
            |stream: &str| all_shards(client, stream).records(client).with_options(options.clone());
        let (mut orders, mut payments) = (records("orders"), records("payments"));
        orders.next().await.unwrap().unwrap();
        payments.next().await.unwrap().unwrap();
        assert!(timeout(Duration::from_secs(30), orders.next()).await.is_err());
        let page = record();
        assert!(page.seconds(LAG) <= 1.0 && page.seconds(SHARD_LAG) <= 1.0, "{page}");
        let payments_lag = r#"kinesis_shards_lag_max{stream="payments"}"#;
        assert!((29.0..32.0).contains(&page.seconds(payments_lag)), "{page}");
        assert_eq!(page.count(shards("reading")), 1);
        drop(payments);
        let page = record();
        assert_eq!(page.count(payments_lag), 0);
        let of_shard = SHARD_LAG.replace("orders", "payments");
        assert_eq!(page.count(of_shard), 0);
        assert_eq!(page.count(shards("reading")), 1);
    });
    assert_eq!((after.count(shards("reading")), after.count(LAG)), (0, 0), "{after}");
}
