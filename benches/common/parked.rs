//! Shards that a worker is offered, and whose leases another worker holds.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use futures::StreamExt;
use kinesis_shards::all_shards;
use kinesis_shards::lease::{LeaseOptions, Leases};
use kinesis_shards::testing::LeaseBoard;
use tokio::time::sleep;

use super::canned::Format;
use super::canned_shards::CannedShards;

/// The shards of the stream.
const SHARDS: usize = 10_000;
/// The leases of the second worker.
const OWN: u64 = 10;
/// The shards that are parked at the second worker.
pub(crate) const PARKED: usize = SHARDS - 10;

/// Two workers that hold leases, and read no shard.
pub(crate) struct Workers {
    board: LeaseBoard,
    client: Client,
}

impl Workers {
    pub(crate) fn new() -> Self {
        Self {
            board: LeaseBoard::new(),
            client: CannedShards::new(Format::Json, SHARDS, 1_000).client(),
        }
    }

    /// Starts the worker that gets the leases of all shards.
    pub(crate) async fn start_first(&self) {
        self.start(LeaseOptions::new().worker("first")).await;
        assert_eq!(self.leases_of("first"), SHARDS);
    }

    /// Starts the worker at which all shards but a few are parked.
    pub(crate) async fn start_second(&self) {
        self.start(LeaseOptions::new().worker("second").max_leases(OWN)).await;
        assert_eq!(self.leases_of("first"), PARKED);
    }

    /// Starts a worker, and waits until the leases are balanced.
    async fn start(&self, options: LeaseOptions) {
        let leases = Leases::join_with(&self.board, "bench", "orders", options).await;
        let leases = leases.expect("a worker");
        let mut shards = all_shards(&self.client, "orders").leased(&leases);
        tokio::spawn(async move {
            let _leases = leases;
            let mut held = Vec::new();
            while let Some(shard) = shards.next().await {
                held.push(shard);
            }
        });
        sleep(Duration::from_mins(5)).await;
    }

    fn leases_of(&self, worker: &str) -> usize {
        let leases = self.board.leases("bench");
        leases.iter().filter(|lease| lease.owner.as_deref() == Some(worker)).count()
    }
}
