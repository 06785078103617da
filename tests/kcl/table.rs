//! The lease table, as it is seen from outside.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::DisplayErrorContext;
use aws_sdk_dynamodb::types::AttributeValue;
use tokio::task::JoinHandle;

const PAUSE: Duration = Duration::from_millis(200);

/// The position of a checkpoint: the greater, the later.
type Position = (u8, usize, String, u64);

/// A task that reads the table again and again, and notes each checkpoint that has gone back.
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Vec<String>>,
}

impl Watch {
    pub(crate) fn start(client: &Client, table: &str) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let (client, table, stopped) = (client.clone(), table.to_owned(), Arc::clone(&stop));
        let task = tokio::spawn(async move {
            let mut positions = BTreeMap::new();
            let mut faults = Vec::new();
            while !stopped.load(Ordering::SeqCst) {
                // The table may not exist yet.
                let scan = client.scan().table_name(&table).consistent_read(true);
                let rows = scan.send().await.map(|scan| scan.items.unwrap_or_default());
                for row in rows.unwrap_or_default() {
                    let Some((shard, position)) = position(&row) else { continue };
                    let known = positions.entry(shard.clone()).or_insert_with(|| position.clone());
                    if *known > position {
                        faults.push(format!("{shard} went back from {known:?} to {position:?}"));
                    }
                    *known = position;
                }
                tokio::time::sleep(PAUSE).await;
            }
            faults
        });
        Self { stop, task }
    }

    /// Returns the checkpoints that have gone back.
    pub(crate) async fn stop(self) -> Result<(), String> {
        self.stop.store(true, Ordering::SeqCst);
        let faults = self.task.await.map_err(|error| error.to_string())?;
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }
}

fn position(row: &std::collections::HashMap<String, AttributeValue>) -> Option<(String, Position)> {
    let text = |name: &str| row.get(name)?.as_s().ok().cloned();
    let checkpoint = text("checkpoint")?;
    let sub = row.get("checkpointSubSequenceNumber").and_then(|sub| sub.as_n().ok());
    let sub = sub.and_then(|sub| sub.parse().ok()).unwrap_or(0);
    let rank = match checkpoint.as_str() {
        "AT_TIMESTAMP" => 0,
        "TRIM_HORIZON" => 1,
        "LATEST" => 2,
        "SHARD_END" => 4,
        _ => 3,
    };
    Some((text("leaseKey")?, (rank, checkpoint.len(), checkpoint, sub)))
}

/// Asks a worker to hand a lease over, as the leader of a KCL 3.x does.
pub(crate) async fn ask_for_hand_over(
    client: &Client,
    table: &str,
    shard: &str,
    from: &str,
    to: &str,
) -> Result<(), String> {
    let s = |text: &str| AttributeValue::S(text.to_owned());
    let update = client.update_item().table_name(table).key("leaseKey", s(shard));
    let update = update
        .condition_expression("leaseOwner = :from AND attribute_not_exists(checkpointOwner)")
        .update_expression("SET leaseOwner = :to, checkpointOwner = :from")
        .expression_attribute_values(":from", s(from))
        .expression_attribute_values(":to", s(to));
    let updated = update.send().await;
    updated.map(drop).map_err(|error| format!("UpdateItem: {}", DisplayErrorContext(error)))
}
