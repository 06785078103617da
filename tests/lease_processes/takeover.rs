//! One worker is killed, and another takes its shards: over a DynamoDB that checks a condition and
//! writes in two steps, so that no write may count on another to be refused.

use std::sync::Arc;

use crate::fleet::{Fleet, Servers};
use crate::kind::Kind;
use crate::producer::{Load, Producer};
use crate::worker::Times;

const TIMES: Times = Times { failover: 3_000, settle: 1_000, rest: 500, save_interval: 300 };
const SHARDS: usize = 4;

pub(crate) async fn run(dynamodb: Kind) -> Result<(), String> {
    let name = format!("takeover-{dynamodb}");
    let servers = Arc::new(Servers::start(&name, Kind::Kinesalite, dynamodb).await?);
    let mut fleet = Fleet::new(&servers, "takeover", 4, TIMES).await?;
    let load = Load { pauses_per_reshard: 0, ..Load::default() };
    let producer = Producer::start(&servers.kinesis(), "takeover", load);
    for number in 0..3 {
        fleet.join(&format!("worker-{number}")).await?;
    }
    fleet.balanced(SHARDS).await?;
    for process in 0..2 {
        fleet.kill(process);
        // The leases of the killed one are balanced again when it is replaced.
        fleet.join(&format!("worker-{}", 3 + process)).await?;
        fleet.balanced(SHARDS).await?;
    }
    let written = producer.stop().await?;
    fleet.delivered(&written.by_key).await?;
    fleet.stop_all().await?;
    let (records, repeats) = (fleet.log.records(), fleet.log.repeats());
    println!("{dynamodb}: 2 kills: {records} records, 0 lost, {repeats} repeated");
    servers.remove_files();
    Ok(())
}
