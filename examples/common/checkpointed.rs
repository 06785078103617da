//! A consumer with checkpoints, until Ctrl-C.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::TryStreamExt;
use kinesis_shards::{Checkpoints, ReadOptions, ShardStreamExt, StartAt, all_shards};

use super::with_cause;

/// How long Ctrl-C waits for what is in flight, and for the store.
const LIMIT: Duration = Duration::from_secs(20);

/// Prints where each shard goes on, and each record; on Ctrl-C it stops reading, saves, and says what is saved.
pub(crate) async fn until_ctrl_c(
    client: &Client,
    from: StartAt,
    checkpoints: &Checkpoints,
) -> Result<(), String> {
    for (shard, progress) in checkpoints.progress() {
        println!("{shard}: an earlier run left it at {progress:?}");
    }
    println!(
        "Following {} from there; what is new starts at {from:?}. Ctrl-C stops it.\n",
        checkpoints.stream()
    );
    let stop = tokio::spawn({
        let checkpoints = checkpoints.clone();
        async move {
            tokio::signal::ctrl_c().await.expect("Ctrl-C can be listened for");
            checkpoints.stop(LIMIT).await
        }
    });

    let options = ReadOptions::new();
    // As the Java library reads: a table may go from one to the other at any record.
    #[cfg(feature = "kpl")]
    let options = options.deaggregate_own_hash_range();
    let shards = all_shards(client, checkpoints.stream()).start_at(from).checkpoints(checkpoints);
    let mut records = shards.records(client).with(options).auto_ack();
    loop {
        match records.try_next().await {
            Ok(Some(record)) => {
                let data = String::from_utf8_lossy(record.data());
                println!("{} {} {}", record.shard_id(), record.sequence_number(), data.escape_debug());
            }
            // The shard is tried again by itself.
            Err(error) => eprintln!("{}", with_cause(&error)),
            // It was stopped.
            Ok(None) => break,
        }
    }
    let stopped = stop.await.map_err(|error| error.to_string())?;
    println!("\n{stopped}");
    for (shard, checkpoint) in stopped.checkpoints() {
        println!("{shard}: saved at {checkpoint}");
    }
    if !stopped.is_complete() {
        return Err("it was stopped before all was done: what was not saved comes again".to_owned());
    }
    Ok(())
}
