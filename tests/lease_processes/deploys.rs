//! Workers that come and go in peace, while the stream is split and merged: nothing is repeated.

use std::sync::Arc;
use std::time::Duration;

use crate::fleet::{Fleet, Servers};
use crate::kind::Kind;
use crate::producer::{Load, Producer, one_to_each};
use crate::worker::Times;

/// The failover time is long, so that no worker loses its leases on a machine that is busy.
const TIMES: Times = Times { failover: 60_000, settle: 1_000, rest: 500, save_interval: 300 };
const DEPLOYS: usize = 4;

pub(crate) async fn run(kinesis: Kind) -> Result<(), String> {
    let servers = Servers::start(&format!("deploys-{kinesis}"), kinesis, Kind::Ministack).await?;
    let servers = Arc::new(servers);
    let client = servers.kinesis();
    let mut fleet = Fleet::new(&servers, "deploys", 4, TIMES).await?;
    let load = Load { pauses_per_reshard: 40, ..Load::default() };
    let producer = Producer::start(&client, "deploys", load);
    for number in 0..3 {
        fleet.join(&format!("worker-{number}")).await?;
    }
    // A new worker joins, and the oldest leaves.
    for number in 3..3 + DEPLOYS {
        fleet.join(&format!("worker-{number}")).await?;
        let oldest = fleet.running()[0];
        fleet.stop(oldest).await?;
    }
    // A worker restarts under its id, with a pause for some moves between the others.
    let restarted = fleet.running()[1];
    let id = fleet.id(restarted);
    fleet.stop(restarted).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    fleet.join(&id).await?;
    tokio::time::sleep(Duration::from_secs(2)).await;
    let written = producer.stop().await?;
    fleet.delivered(&written.by_key).await?;
    fleet.stop_all().await?;
    // The next fleet continues just where the last has stopped.
    let last = one_to_each(&client, "deploys", written.by_key.len()).await?.len();
    fleet.join("worker-last").await?;
    let mut by_key = written.by_key;
    by_key.extend(vec![1; last]);
    fleet.delivered(&by_key).await?;
    fleet.stop_all().await?;
    let repeats = fleet.log.repeats();
    if repeats > 0 {
        return Err(fleet.failure(&format!("{repeats} records were delivered again")));
    }
    println!(
        "{kinesis}: {DEPLOYS} surge deploys, {} splits, {} merges: {} records, 0 lost, 0 repeated",
        written.splits,
        written.merges,
        fleet.log.records()
    );
    servers.remove_files();
    Ok(())
}
