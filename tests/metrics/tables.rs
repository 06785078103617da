//! The requests to DynamoDB.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::checkpoint::UnackedRecord;
use kinesis_shards::{Checkpoints, DynamoDbStore, ShardStreamExt, all_shards};
use tokio::time::sleep;

use self::table::{Fault, NAME, Table};
use crate::{World, scrape};

#[path = "../dynamodb/table.rs"]
#[allow(dead_code, reason = "the tests of the store use the rest")]
mod table;

fn requests(operation: &str, outcome: &str) -> String {
    let labels = format!(r#"table="{NAME}",operation="{operation}",outcome="{outcome}""#);
    format!("kinesis_shards_dynamodb_requests{{{labels}}}")
}

/// Takes a record, once the start of its shard is saved.
async fn take_record(
    World { orders, client, .. }: &World,
    table: &Table,
) -> (Checkpoints, UnackedRecord) {
    orders.put("customer 1", "an order");
    let store = DynamoDbStore::new(&table.client(), NAME);
    let checkpoints = Checkpoints::load(store, "orders").await.unwrap();
    let mut records = all_shards(client, "orders").checkpoints(&checkpoints).records(client);
    let record = records.next().await.unwrap().unwrap();
    checkpoints.flush().await;
    (checkpoints, record)
}

#[test]
fn the_requests_to_a_table_are_counted_by_operation_and_outcome() {
    let table = Table::default();
    let page = scrape(async |world| {
        let (checkpoints, record) = take_record(world, &table).await;
        let mut throttled = 0;
        table.on_request(move |_, _| {
            throttled += 1;
            (throttled <= 2).then_some(Fault::Throttled)
        });
        record.ack();
        checkpoints.flush().await;
    });
    let sent = |operation: &str, is_ok: bool| {
        let requests = table.requests();
        let of = requests.iter().filter(|it| it.operation == operation);
        of.filter(|it| it.fault.is_none() == is_ok).count()
    };
    for operation in ["Scan", "UpdateItem"] {
        assert_eq!(page.count(requests(operation, "ok")), sent(operation, true), "{page}");
    }
    let throttled = requests("UpdateItem", "ProvisionedThroughputExceededException");
    assert_eq!((page.count(throttled), sent("UpdateItem", false)), (2, 2), "{page}");
    let labels = format!(r#"table="{NAME}",operation="UpdateItem""#);
    let durations =
        page.count(format!("kinesis_shards_dynamodb_request_duration_count{{{labels}}}"));
    assert_eq!(durations, sent("UpdateItem", true) + 2);
}

#[test]
fn a_request_without_a_response_is_a_timeout() {
    let table = Table::default();
    table.fail_always("Scan", Fault::NoResponse);
    let page = scrape(async |_| {
        let store = DynamoDbStore::new(&table.client(), NAME);
        assert!(Checkpoints::load(store, "orders").await.is_err());
    });
    assert_eq!(page.count(requests("Scan", "timeout")), table.requests().len());
}

#[test]
fn an_unsaved_checkpoint_ages_until_the_table_is_back() {
    const AGE: &str = r#"kinesis_shards_checkpoint_unsaved_age{stream="orders"}"#;
    const FAILED: &str = r#"kinesis_shards_checkpoint_saves{stream="orders",outcome="failure"}"#;
    let table = Table::default();
    scrape(async |world| {
        let (checkpoints, record) = take_record(world, &table).await;
        table.fail_always("UpdateItem", Fault::Throttled);
        record.ack();
        sleep(Duration::from_mins(1)).await;
        checkpoints.record_metrics();
        let page = world.page();
        assert!((50.0..=60.0).contains(&page.seconds(AGE)), "{page}");
        assert!(page.count(FAILED) >= 2);
        table.heal();
        checkpoints.flush().await;
        checkpoints.record_metrics();
        assert_eq!(world.page().count(AGE), 0);
    });
}
