//! The figures of subscriptions by enhanced fan-out.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::records::{AllRecords, FanOut};
use kinesis_shards::testing::{FakeKinesis, Fault};
use kinesis_shards::{AllShards, ReadOptions, ShardStreamExt, all_shards};
use metrics_exporter_prometheus::PrometheusBuilder;
use tokio::time::timeout;

use crate::{World, paused_runtime, scrape};

const OPEN: &str = r#"kinesis_shards_subscriptions{stream="orders"}"#;

fn ended(reason: &str) -> String {
    format!(r#"kinesis_shards_subscriptions_ended{{stream="orders",reason="{reason}"}}"#)
}

fn requests(operation: &str, outcome: &str) -> String {
    let labels = format!(r#"stream="orders",operation="{operation}",outcome="{outcome}""#);
    format!("kinesis_shards_requests{{{labels}}}")
}

fn duration(part: &str) -> String {
    let labels = r#"stream="orders",operation="SubscribeToShard""#;
    format!("kinesis_shards_request_duration_{part}{{{labels}}}")
}

impl World {
    /// Reads `orders` as the consumer `billing`.
    fn subscribe(&self) -> AllRecords<AllShards> {
        let consumer = FanOut::consumer(self.orders.register_consumer("billing"));
        let options = ReadOptions::new().fan_out(&consumer);
        all_shards(&self.client, "orders").records(&self.client).with_options(options)
    }

    /// Reads for five minutes and more, while records come.
    async fn read_on(&self, records: &mut AllRecords<AllShards>) {
        for n in 0..32 {
            self.orders.put("customer 1", format!("order {n}"));
            let _ =
                timeout(Duration::from_secs(10), async { while records.next().await.is_some() {} })
                    .await;
        }
    }
}

#[test]
fn a_subscription_is_counted_while_it_is_open() {
    let after = scrape(async |world| {
        world.orders.put("customer 1", "an order");
        let late = Fault::LateFirstFrame(Duration::from_secs(20));
        world.kinesis.fail_next("SubscribeToShard", late);
        let mut records = world.subscribe();
        records.next().await.unwrap().unwrap();
        let page = world.page();
        assert_eq!(page.count(OPEN), 1);
        assert_eq!(page.count(requests("SubscribeToShard", "ok")), 1);
        world.read_on(&mut records).await;
        let page = world.page();
        assert_eq!((page.count(OPEN), page.count(ended("ended"))), (1, 1));
        assert_eq!(page.count(requests("SubscribeToShard", "ok")), 2);
        // The first took 20 s to respond, and neither counts its five minutes.
        assert_eq!(page.count(duration("count")), 2);
        assert!((20.0..22.0).contains(&page.seconds(&duration("sum"))), "{page}");
    });
    assert_eq!((after.count(OPEN), after.count(ended("closed"))), (0, 1), "{after}");
}

/// Each fault ends the first subscription, and the second one is open.
#[test]
fn subscriptions_that_end_are_counted_by_reason() {
    let exception = |code: &str| Fault::ExceptionAfter(1, code.to_owned());
    for (fault, reason) in [
        (exception("ResourceInUseException"), "taken_over"),
        (exception("InternalFailureException"), "error"),
        (Fault::SilentAfter(1), "silence"),
        (Fault::IoErrorAfter(1), "cut"),
        (Fault::BadChecksumAfter(1), "cut"),
        (Fault::EndsAfter(1), "ended"),
    ] {
        let after = scrape(async |world| {
            world.kinesis.fail_next("SubscribeToShard", fault.clone());
            let mut records = world.subscribe();
            for n in 0..8 {
                world.orders.put("customer 1", format!("order {n}"));
                let _ = timeout(Duration::from_secs(10), records.next()).await;
            }
            let page = world.page();
            assert_eq!(page.count(ended(reason)), 1, "{fault:?}");
            assert_eq!(page.count(OPEN), 1, "{fault:?}");
        });
        assert_eq!(after.count(OPEN), 0, "{fault:?}");
        let ends =
            after.0.lines().filter(|line| line.starts_with("kinesis_shards_subscriptions_ended{"));
        assert_eq!(ends.count(), 2, "{fault:?}: the fault and the drop\n{after}");
    }
}

#[test]
fn the_end_of_a_shard_ends_its_subscription() {
    scrape(async |world| {
        world.orders.put("customer 1", "an order");
        let mut records = world.subscribe();
        records.next().await.unwrap().unwrap();
        world.orders.split("shardId-000000000000");
        world.orders.put("customer 1", "another");
        records.next().await.unwrap().unwrap();
        assert!(timeout(Duration::from_secs(3), records.next()).await.is_err());
        let page = world.page();
        // Those of both children are open.
        assert_eq!((page.count(ended("shard_end")), page.count(OPEN)), (1, 2));
    });
}

#[test]
fn subscriptions_that_are_refused_are_counted_by_outcome() {
    scrape(async |world| {
        world.orders.put("customer 1", "an order");
        world.kinesis.fail_times("SubscribeToShard", 2, Fault::LimitExceeded);
        world.kinesis.fail_next("SubscribeToShard", Fault::NeverResponds);
        let mut records = world.subscribe();
        records.next().await.unwrap().unwrap();
        let page = world.page();
        for (outcome, count) in [("LimitExceededException", 2), ("timeout", 1), ("ok", 1)] {
            assert_eq!(page.count(requests("SubscribeToShard", outcome)), count);
        }
        assert_eq!(page.count(OPEN), 1);
    });
}

#[test]
fn the_requests_of_a_registration_are_counted() {
    let page = scrape(async |world| {
        let consumer = FanOut::register(&world.client, "orders", "billing").await.unwrap();
        consumer.deregister(&world.client).await.unwrap();
    });
    for (operation, outcome, count) in [
        ("DescribeStreamSummary", "ok", 1),
        ("DescribeStreamConsumer", "ResourceNotFoundException", 1),
        ("RegisterStreamConsumer", "ok", 1),
        ("DeregisterStreamConsumer", "ok", 1),
    ] {
        assert_eq!(page.count(requests(operation, outcome)), count);
    }
    assert!(page.count(requests("DescribeStreamConsumer", "ok")) >= 1);
}

/// The recorder is looked up for each figure. A subscription that was open before is not counted.
#[test]
fn an_exporter_that_is_installed_later_gets_the_later_figures() {
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 1);
    let recorder = PrometheusBuilder::new().build_recorder();
    let (client, exporter) = (kinesis.client(), recorder.handle());
    let world = World { kinesis, orders, client, exporter };
    let runtime = paused_runtime();
    let mut records = world.subscribe();
    world.orders.put("customer 1", "an order");
    runtime.block_on(records.next()).unwrap().unwrap();
    assert_eq!(world.page().0, "");
    metrics::with_local_recorder(&recorder, || {
        world.orders.put("customer 1", "another");
        runtime.block_on(records.next()).unwrap().unwrap();
        let page = world.page();
        assert_eq!(page.count(r#"kinesis_shards_records{stream="orders"}"#), 1);
        assert_eq!(page.find::<f64>(OPEN), None);
        runtime.block_on(world.read_on(&mut records));
        assert_eq!(world.page().count(OPEN), 1);
        drop(records);
        assert_eq!(world.page().count(OPEN), 0);
    });
}
