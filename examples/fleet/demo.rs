//! The demonstration.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::board::{Board, number};
use crate::client::local_client;
use crate::fleet::Fleet;
use crate::message::Message;
use crate::producer;
use crate::servers::Servers;

const SHARDS: i32 = 6;
/// The shard that is split.
const SPLIT: &str = "shardId-000000000000";
/// How long the fleet runs undisturbed before a worker is killed.
const QUIET: Duration = Duration::from_secs(5);
/// The limit of each step. It takes a few seconds.
const STEP_LIMIT: Duration = Duration::from_mins(2);

/// Runs the demonstration. Returns whether no record was lost.
pub(crate) async fn run() -> Result<bool, String> {
    let servers = Servers::start().await?;
    let client = local_client(servers.kinesis.port);
    producer::create_stream(&client, SHARDS).await?;
    println!("A Kinesis and a DynamoDB run on this machine. The stream has {SHARDS} shards.");
    println!("Each worker is a process. The failover time is 4 s, the settle time 2 s.\n");
    let (stop, stopped) = oneshot::channel();
    let writing = tokio::spawn(producer::write(client.clone(), stopped));
    let fleet = Fleet::new(servers.kinesis.port, servers.dynamodb.port);
    let mut demo = Demo { fleet, board: Board::default(), since: Instant::now() };
    demo.steps(&client).await?;

    let _ = stop.send(());
    let written = writing.await.map_err(|error| error.to_string())??;
    demo.wait_until("all records are read", |board| board.has_read(written)).await?;
    for worker in ["worker-3", "worker-4"] {
        demo.fleet.shut_down(worker)?;
    }
    let has_ended = |board: &Board| board.has_left("worker-3") && board.has_left("worker-4");
    demo.wait_until("no worker is left", has_ended).await?;
    Ok(demo.board.print_summary(written))
}

struct Demo {
    fleet: Fleet,
    board: Board,
    since: Instant,
}

impl Demo {
    /// Kills a worker, adds one, splits a shard, and shuts a worker down.
    async fn steps(&mut self, client: &Client) -> Result<(), String> {
        let mut open = usize::try_from(SHARDS).unwrap_or_default();
        self.say("three workers start");
        for worker in ["worker-1", "worker-2", "worker-3"] {
            self.fleet.start(worker)?;
        }
        self.wait_until("each has its share", |board| {
            board.is_balanced(&["worker-1", "worker-2", "worker-3"], open)
        })
        .await?;

        self.run_for(QUIET).await?;
        self.say("worker-2 is killed (SIGKILL)");
        self.fleet.kill("worker-2").await?;
        self.wait_until("the others have its shards", |board| {
            board.is_balanced(&["worker-1", "worker-3"], open)
        })
        .await?;

        self.say("worker-4 starts");
        self.fleet.start("worker-4")?;
        self.wait_until("it has its share", |board| {
            board.is_balanced(&["worker-1", "worker-3", "worker-4"], open)
        })
        .await?;

        self.say(format!("shard {} is split", number(SPLIT)));
        producer::split(client, SPLIT).await?;
        open += 1;
        self.wait_until("its children are read", |board| {
            board.owner(SPLIT).is_none()
                && board.is_balanced(&["worker-1", "worker-3", "worker-4"], open)
        })
        .await?;

        self.say("worker-1 shuts down");
        self.fleet.shut_down("worker-1")?;
        self.wait_until("the others have its shards", |board| {
            board.has_left("worker-1") && board.is_balanced(&["worker-3", "worker-4"], open)
        })
        .await
    }

    /// Takes in what the workers tell until the condition holds.
    async fn wait_until(
        &mut self,
        what: &str,
        holds: impl Fn(&Board) -> bool,
    ) -> Result<(), String> {
        let since = Instant::now();
        while !holds(&self.board) {
            let next = timeout_at(since + STEP_LIMIT, self.fleet.next()).await;
            let (worker, message) =
                next.map_err(|_| format!("not within {STEP_LIMIT:?}: {what}"))??;
            self.note(&worker, message);
        }
        let took = since.elapsed().as_secs_f64();
        self.say(format!("{what} after {took:.1} s{}", self.board.describe()));
        Ok(())
    }

    /// Takes in what the workers tell, for a while.
    async fn run_for(&mut self, time: Duration) -> Result<(), String> {
        let until = Instant::now() + time;
        while let Ok(next) = timeout_at(until, self.fleet.next()).await {
            let (worker, message) = next?;
            self.note(&worker, message);
        }
        Ok(())
    }

    fn note(&mut self, worker: &str, message: Message) {
        if let Some(line) = self.board.note(worker, message) {
            self.say(line);
        }
    }

    fn say(&self, line: impl std::fmt::Display) {
        println!("{:>5.1}s  {line}", self.since.elapsed().as_secs_f64());
    }
}
