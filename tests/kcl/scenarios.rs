//! The scenarios.

use std::time::Duration;

use crate::application::{Application, SHARDS};
use crate::trial::number_from;

/// Starts the first Java worker, and waits until it has all shards. An empty table is filled by a
/// KCL only before the first split, because kinesis-local lists closed shards to it, too.
async fn first_java(application: &mut Application, id: &str) -> Result<usize, String> {
    let java = application.start_java(id)?;
    let has_all = |this: &Application| this.log.leases(java).len() == usize::from(SHARDS);
    application.wait_until("it has all shards", has_all).await?;
    Ok(java)
}

pub(crate) async fn turns(application: &mut Application) -> Result<(), String> {
    let java = first_java(application, "java-1").await?;
    application.produce(true);
    application.records(java, 500).await?;
    application.stop(java).await?;
    let rust = application.start_rust("rust-1", false)?;
    application.all_are_read().await?;
    application.records(rust, 500).await?;
    application.stop(rust).await?;
    let java = application.start_java("java-2")?;
    application.all_are_read().await?;
    application.records(java, 200).await
}

pub(crate) async fn together(application: &mut Application) -> Result<(), String> {
    let java = first_java(application, "java-1").await?;
    let other_java = application.start_java("java-2")?;
    application.produce(true);
    let rust = application.start_rust("rust-1", true)?;
    // The older one places the shards.
    application.wait_until("it has started", |this| this.log.has(rust, "started")).await?;
    let other_rust = application.start_rust("rust-2", true)?;
    let seconds = number_from("KCL_SECONDS").unwrap_or(60);
    application.work_for(Duration::from_secs(seconds)).await?;
    application.all_are_read().await?;
    let both_read = |this: &Application| {
        this.log.records(rust) + this.log.records(other_rust) > 0
            && this.log.records(java) + this.log.records(other_java) > 0
    };
    application.wait_until("both kinds read", both_read).await?;
    application.stop(java).await?;
    application.all_are_read().await?;
    application.stop(other_java).await?;
    application.all_are_read().await?;
    // From now on the other one places them. By now the KCL has deleted rows of ended shards.
    application.stop(rust).await?;
    application.all_are_read().await?;
    application.work_for(Duration::from_secs(10)).await
}

pub(crate) async fn crash(application: &mut Application) -> Result<(), String> {
    let rust = application.start_rust("rust-1", true)?;
    let other_rust = application.start_rust("rust-2", true)?;
    application.produce(true);
    application.all_are_read().await?;
    let java = application.start_java("java-1")?;
    application.wait_until("it has started", |this| this.log.has(java, "started")).await?;
    application.work_for(Duration::from_secs(30)).await?;
    application.kill(rust);
    application.kill(other_rust);
    application.all_are_read().await
}

pub(crate) async fn hand_over(application: &mut Application) -> Result<(), String> {
    let java = first_java(application, "java-1").await?;
    application.produce(false);
    application.records(java, 100).await?;
    let rust = application.start_rust("rust-1", true)?;
    application.wait_until("it has started", |this| this.log.has(rust, "started")).await?;
    for shard in ["shardId-000000000000", "shardId-000000000001"] {
        application.ask_for_hand_over(shard, "java-1", "rust-1").await?;
        let has_it = |this: &Application| this.log.leases(rust).contains(shard);
        application.wait_until("it is handed over", has_it).await?;
    }
    application.records(rust, 100).await?;
    let shard = "shardId-000000000000";
    application.ask_for_hand_over(shard, "rust-1", "java-1").await?;
    let end = format!("ended {shard} the lease was given to worker java-1");
    application.wait_until("it is handed back", |this| this.log.has(rust, &end)).await?;
    let has_it = |this: &Application| this.log.leases(java).contains(shard);
    application.wait_until("the Java worker has it", has_it).await?;
    application.all_are_read().await
}
