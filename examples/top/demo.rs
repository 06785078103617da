//! An in-process stream with a moving load, and an application of two workers that consumes it.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::checkpoint::CheckpointOptions;
use kinesis_shards::lease::{LeaseOptions, Leases};
use kinesis_shards::testing::{FakeKinesis, FakeStream, Fault, LeaseBoard, RandomFaults};
use kinesis_shards::{ReadOptions, ShardStreamExt, StartAt, all_shards, try_all_shards};
use tokio::time::interval;

use crate::common::error::with_cause;
use crate::feed::Feed;
use crate::lease_table::LeaseTable;

const STREAM: &str = "orders";
const APPLICATION: &str = "orders-application";
/// Records are written at this interval.
const STEP: Duration = Duration::from_millis(100);
/// The number of records that the hot shard gets in a step: 900 a second, of the 1,000 that Kinesis
/// accepts.
const HOT_RECORDS: u32 = 90;
/// The steps after which the hot load moves to another shard, and a shard is split or merged.
const MOVE_STEPS: u32 = 300;
const RESHARD_STEPS: u32 = 200;
/// The backlog of one shard: the time in which it was written, the records per second, and their
/// size.
const BACKLOG: Duration = Duration::from_mins(5);
const BACKLOG_RECORDS: u32 = 40;
const BACKLOG_BYTES: usize = 2_000;

pub(crate) struct Demo {
    kinesis: FakeKinesis,
    orders: FakeStream,
    board: LeaseBoard,
}

impl Demo {
    /// Creates the stream and its backlog. The clock must be paused.
    pub(crate) async fn new() -> Self {
        let kinesis = FakeKinesis::builder().log_requests(false).build();
        let orders = kinesis.create_stream(STREAM, 4);
        for _ in 0..BACKLOG.as_secs() {
            for _ in 0..BACKLOG_RECORDS {
                orders.put_to(&id(3), [b'.'; BACKLOG_BYTES]);
            }
            kinesis.advance(Duration::from_secs(1)).await;
        }
        let throttled = RandomFaults::seeded(7).rate_of("GetRecords", Fault::Throttled, 0.05);
        kinesis.fail_at_random(throttled);
        Self { kinesis, orders, board: LeaseBoard::new() }
    }

    pub(crate) fn feed(&self) -> Feed {
        let client = self.kinesis.client();
        let interval = Duration::from_secs(1);
        Feed {
            shards: try_all_shards(&client, STREAM).start_at(StartAt::TrimHorizon),
            client,
            stream: STREAM.into(),
            // Small pages, so that the lag is seen to shrink.
            options: ReadOptions::new().max_records(1_000),
            leases: Some(LeaseTable::Board { board: self.board.clone(), application: APPLICATION }),
            list_interval: interval,
            lease_interval: interval,
        }
    }

    /// Runs the producer and the workers of the application. Ends with an error, or not at all.
    pub(crate) async fn run(&self) -> Result<(), String> {
        tokio::select! {
            () = self.produce() => Ok(()),
            ended = self.work("worker-a") => ended,
            ended = self.work("worker-b") => ended,
        }
    }

    async fn produce(&self) {
        let mut ticks = interval(STEP);
        let mut halves = None;
        for step in 0_u32.. {
            ticks.tick().await;
            let open = self.orders.open_shards();
            let any = |turn: u32| &open[turn as usize % open.len()];
            let first_hot = id(2);
            let hot = if step < MOVE_STEPS { &first_hot } else { any(step / MOVE_STEPS) };
            for (place, shard) in (0..).zip(&open) {
                // A load that comes and goes, at each shard at another time.
                let wave = (step / 10 + 7 * place) % 20;
                let records = if shard == hot { HOT_RECORDS } else { wave.min(20 - wave) };
                for record in 0..records {
                    self.orders.put_to_with_key(shard, &format!("customer {record}"), [b'.'; 200]);
                }
            }
            match step {
                15 => halves = Some(self.orders.split(&id(0))),
                // The children of the shard with the backlog wait until it is read.
                20 => drop(self.orders.split(&id(3))),
                35 => {
                    let high = halves.take().map(|(_, high)| high);
                    high.map(|high| self.orders.merge(&high, &id(1)));
                }
                _ if step % RESHARD_STEPS == RESHARD_STEPS - 1 => match halves.take() {
                    None => halves = Some(self.orders.split(any(step / RESHARD_STEPS))),
                    Some((low, high)) => drop(self.orders.merge(&low, &high)),
                },
                _ => {}
            }
        }
    }

    async fn work(&self, worker: &str) -> Result<(), String> {
        // Faster than the defaults, so that there is something to see.
        let second = Duration::from_secs(1);
        let checkpoints = CheckpointOptions::new().save_interval(second);
        let options = LeaseOptions::new().worker(worker).checkpoints(checkpoints);
        let options = options.settle(second).rest(second);
        let leases = Leases::join_with(&self.board, APPLICATION, STREAM, options).await;
        let leases = leases.map_err(|error| with_cause(&error))?;
        let client = self.kinesis.client();
        let shards = all_shards(&client, STREAM).leased(&leases);
        // It leaves most of the capacity to the view.
        let options = ReadOptions::new().max_bytes_per_second(400_000).max_records(1_000);
        let mut records = shards.records(&client).with_options(options).auto_ack();
        while let Some(record) = records.next().await {
            drop(record.map_err(|error| with_cause(&error))?);
        }
        Ok(())
    }
}

fn id(number: u32) -> String {
    format!("shardId-{number:012}")
}
