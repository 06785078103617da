//! The figures of leases.

use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::lease::{LeaseOptions, Leases};
use kinesis_shards::testing::{FakeKinesis, LeaseBoard, Limits};
use kinesis_shards::{ShardStreamExt, all_shards};
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::{Page, scrape};

/// A worker of the application `payments-report`, and the task that consumes its records.
struct Worker {
    leases: Leases,
    task: JoinHandle<()>,
}

impl Worker {
    async fn join(kinesis: &FakeKinesis, board: &LeaseBoard, name: &str) -> Self {
        let options = LeaseOptions::new().worker(name);
        let leases = Leases::join_with(board, "payments-report", "payments", options).await;
        let leases = leases.unwrap();
        let (client, worker) = (kinesis.client(), leases.clone());
        let task = tokio::spawn(async move {
            let mut records = all_shards(&client, "payments").leased(&worker).records(&client);
            while let Some(record) = records.next().await {
                record.unwrap().ack();
            }
        });
        Self { leases, task }
    }

    /// Kills the worker: nothing of it runs any longer.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
        drop(self.leases);
        // The runtime drops the task that has proven that the worker lives.
        sleep(Duration::from_millis(1)).await;
    }
}

fn of_worker(name: &str, worker: &str) -> String {
    let labels = format!(r#"stream="payments",application="payments-report",worker="{worker}""#);
    format!("{name}{{{labels}}}")
}

/// Returns the leases that a worker holds, and the workers that it sees.
fn standing(page: &Page, worker: &str) -> (usize, usize) {
    (
        page.count(of_worker("kinesis_shards_leases", worker)),
        page.count(of_worker("kinesis_shards_lease_workers", worker)),
    )
}

fn events(page: &Page, worker: &str, kind: &str) -> usize {
    let series = of_worker("kinesis_shards_lease_events", worker);
    page.count(series.replace('}', &format!(r#",kind="{kind}"}}"#)))
}

#[test]
fn a_worker_shows_its_leases_and_the_live_workers_until_it_is_gone() {
    const MINUTE: Duration = Duration::from_mins(1);
    scrape(async |world| {
        let kinesis = &world.kinesis;
        kinesis.set_limits(Limits::none());
        kinesis.create_stream("payments", 4).put("customer 1", "a payment");
        let board = LeaseBoard::new();
        let a = Worker::join(kinesis, &board, "a").await;
        sleep(MINUTE).await;
        assert_eq!(standing(&world.page(), "a"), (4, 1));
        let b = Worker::join(kinesis, &board, "b").await;
        sleep(3 * MINUTE).await;
        let page = world.page();
        assert_eq!((standing(&page, "a"), standing(&page, "b")), ((2, 2), (2, 2)), "{page}");
        assert_eq!((events(&page, "a", "moved"), events(&page, "b", "granted")), (2, 2));
        b.kill().await;
        let page = world.page();
        assert_eq!(standing(&page, "b"), (0, 0), "a worker that is killed holds nothing");
        sleep(MINUTE).await;
        let page = world.page();
        assert_eq!((standing(&page, "a"), standing(&page, "b")), ((4, 1), (0, 0)));
        assert_eq!(events(&page, "a", "fenced"), 1);
        assert!(a.leases.shutdown(MINUTE).await.is_complete());
        assert_eq!(standing(&world.page(), "a"), (0, 0), "a worker that has left");
        a.kill().await;
    });
}

#[test]
fn a_worker_that_is_cut_off_counts_its_pause_and_a_loss() {
    const MINUTE: Duration = Duration::from_mins(1);
    scrape(async |world| {
        let payments = world.kinesis.create_stream("payments", 1);
        payments.put("customer 1", "a payment");
        let board = LeaseBoard::new();
        let a = Worker::join(&world.kinesis, &board, "a").await;
        sleep(MINUTE).await;
        board.set_down(true);
        sleep(MINUTE / 4).await;
        assert_eq!(events(&world.page(), "a", "paused"), 1);
        board.set_down(false);
        sleep(MINUTE).await;
        let page = world.page();
        assert_eq!((events(&page, "a", "resumed"), standing(&page, "a")), (1, (1, 1)));
        // The save of the next record finds no row.
        board.delete_lease("payments-report", "shardId-000000000000");
        payments.put("customer 1", "another");
        sleep(MINUTE).await;
        assert_eq!(events(&world.page(), "a", "lost"), 1);
        a.kill().await;
        assert_eq!(standing(&world.page(), "a"), (0, 0));
    });
}
