//! Workers that cannot join. Each gets an error of one line, and the workers that are there
//! continue.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeDefinition, AttributeValue, BillingMode, KeySchemaElement, KeyType,
    ScalarAttributeType,
};
use kinesis_shards::lease::{LeaseError, LeaseOptions, Leases};

use crate::client::unwrap_response;
use crate::dynamodb::dynamodb;
use crate::fleet::{Fleet, Servers};
use crate::kind::Kind;
use crate::producer::one_to_each;
use crate::proxy::{Proxy, Treatment};
use crate::worker::Times;

/// The failover time is long, so that no worker loses its leases on a machine that is busy.
const TIMES: Times = Times { failover: 20_000, settle: 1_000, rest: 500, save_interval: 300 };

const DENIED: &str = r#"{"__type": "com.amazon.coral.service#AccessDeniedException", "message":
    "User: u is not authorized to perform: dynamodb:UpdateItem on resource: table/t"}"#;
const DELETING: &str = r#"{"Table": {"TableName": "orders", "TableStatus": "DELETING"}}"#;

async fn servers(name: &str) -> Result<Arc<Servers>, String> {
    Servers::start(name, Kind::Kinesalite, Kind::Ministack).await.map(Arc::new)
}

async fn join(client: &Client, stream: &str, worker: &str) -> Result<Leases, LeaseError> {
    let options =
        LeaseOptions::new().worker(worker).failover_time(Duration::from_millis(TIMES.failover));
    Leases::join_with(client, "orders", stream, options).await
}

/// Checks that joining has failed with one line that contains these texts.
fn check_error(joined: Result<Leases, LeaseError>, texts: &[&str]) -> Result<(), String> {
    let error = joined.err().ok_or("the worker has joined")?.to_string();
    println!("{error}");
    let is_clear = !error.contains('\n') && texts.iter().all(|text| error.contains(text));
    is_clear.then_some(()).ok_or_else(|| format!("{texts:?} expected: {error}"))
}

async fn create_table(client: &Client, name: &str, key: &str) {
    let attribute =
        AttributeDefinition::builder().attribute_name(key).attribute_type(ScalarAttributeType::S);
    let schema = KeySchemaElement::builder().attribute_name(key).key_type(KeyType::Hash);
    let create = client.create_table().table_name(name).billing_mode(BillingMode::PayPerRequest);
    let create = create.attribute_definitions(attribute.build().expect("an attribute"));
    unwrap_response(create.key_schema(schema.build().expect("a key")).send().await);
    let row = client.put_item().table_name(name).item(key, AttributeValue::S("theirs".to_owned()));
    unwrap_response(row.send().await);
}

async fn rows(client: &Client, table: &str) -> usize {
    unwrap_response(client.scan().table_name(table).send().await).items().len()
}

/// Each of the two tables may be the one of another application.
pub(crate) async fn table_of_another_application() -> Result<(), String> {
    for table in ["orders", "orders-workers"] {
        let servers = servers(&format!("of-another-application-{table}")).await?;
        let client = dynamodb(&servers.dynamodb_port().to_string());
        create_table(&client, table, "id").await;
        check_error(join(&client, "orders", "worker-0").await, &[table, "key id"])?;
        if rows(&client, table).await != 1 {
            return Err("its row is not there any longer".to_owned());
        }
        servers.remove_files();
    }
    Ok(())
}

/// A worker of another stream, and one with the id of a worker that runs, disturb no one.
pub(crate) async fn workers_that_do_not_fit() -> Result<(), String> {
    let servers = servers("do-not-fit").await?;
    let mut fleet = Fleet::new(&servers, "orders", 2, TIMES).await?;
    fleet.join("worker-0").await?;
    let mut written = one_to_each(&servers.kinesis(), "orders", 0).await?.len();
    fleet.delivered(&vec![1; written]).await?;
    let client = dynamodb(&servers.dynamodb_port().to_string());
    let other_stream = join(&client, "payments", "worker-1").await;
    check_error(other_stream, &["orders", "they are of stream orders"])?;
    let twin = join(&client, "orders", "worker-0").await;
    if !twin.as_ref().is_err_and(LeaseError::is_worker_id_taken) {
        return Err("the id of a worker that runs is not taken".to_owned());
    }
    check_error(twin, &["worker-0", "a worker with this id is running"])?;
    written += one_to_each(&servers.kinesis(), "orders", written).await?.len();
    fleet.delivered(&vec![1; written]).await?;
    fleet.stop_all().await?;
    let grants = fleet.log.notes(0).iter().filter(|note| note.starts_with("granted")).count();
    if grants != 2 || fleet.log.repeats() > 0 {
        return Err(fleet.failure("the worker was disturbed"));
    }
    servers.remove_files();
    Ok(())
}

/// Without permission for one of the tables, or while it is being deleted, no worker joins.
pub(crate) async fn tables_out_of_reach() -> Result<(), String> {
    let servers = servers("out-of-reach").await?;
    let proxy = Proxy::start(servers.dynamodb_port()).await;
    let client = dynamodb(&proxy.port().to_string());
    let answered = |table: &str, status, body: &str| Treatment::Answered {
        containing: format!("\"{table}\""),
        status,
        body: body.to_owned(),
    };
    for table in ["orders", "orders-workers"] {
        proxy.treat(answered(table, 400, DENIED));
        let texts = [table, "AccessDeniedException", "credentials must allow dynamodb:"];
        check_error(join(&client, "orders", "worker-0").await, &texts)?;
        proxy.treat(answered(table, 200, DELETING));
        check_error(join(&client, "orders", "worker-0").await, &[table, "is being deleted"])?;
    }
    proxy.treat(Treatment::Forwarded);
    join(&client, "orders", "worker-0").await.map_err(|error| error.to_string())?;
    servers.remove_files();
    Ok(())
}

/// A worker ends with an error when a table is deleted. The next makes it again, and loses nothing.
pub(crate) async fn tables_that_are_deleted() -> Result<(), String> {
    for table in ["orders", "orders-workers"] {
        let servers = servers(&format!("deleted-{table}")).await?;
        // The next worker waits until the failover time of the one that has failed is over.
        let times = Times { failover: 5_000, ..TIMES };
        let mut fleet = Fleet::new(&servers, "orders", 2, times).await?;
        let worker = fleet.join("worker-0").await?;
        let mut written = one_to_each(&servers.kinesis(), "orders", 0).await?.len();
        fleet.delivered(&vec![1; written]).await?;
        let client = dynamodb(&servers.dynamodb_port().to_string());
        unwrap_response(client.delete_table().table_name(table).send().await);
        // The worker has something to save.
        written += one_to_each(&servers.kinesis(), "orders", written).await?.len();
        fleet.failed(worker).await?;
        let error = fleet.log.notes(worker).iter().find(|note| note.starts_with("error"));
        let error = error.cloned().unwrap_or_default();
        println!("{error}");
        if !error.contains(&format!("{table} was deleted")) {
            return Err(fleet.failure(&error));
        }
        fleet.join("worker-1").await?;
        written += one_to_each(&servers.kinesis(), "orders", written).await?.len();
        // With the leases, their tokens begin again.
        fleet.all_delivered(&vec![1; written]).await?;
        fleet.stop_all().await?;
        servers.remove_files();
    }
    Ok(())
}
