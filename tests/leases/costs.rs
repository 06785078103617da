//! The number of requests, as the documentation of `lease` states it.

use super::*;

const QUARTER: Duration = Duration::from_mins(15);

/// Returns the number of requests of two idle workers with two leases within 15 minutes.
async fn requests(options: impl Fn(LeaseOptions) -> LeaseOptions) -> usize {
    let world = World::new(2);
    let _workers = [
        world.join_with(options(LeaseOptions::new().worker("a"))).await,
        world.join_with(options(LeaseOptions::new().worker("b"))).await,
    ];
    sleep(SECOND * 200).await; // until the leases are balanced
    let before = world.board.requests();
    sleep(QUARTER).await;
    world.board.requests() - before
}

/// A beat and a read of the workers every 2 s, and an audit each minute by the oldest.
const IDLE: usize = 2 * 450 * 2 + 15;

#[tokio::test(start_paused = true)]
async fn an_idle_worker_sends_two_requests_every_fifth_of_the_failover_time() {
    let requests = requests(|options| options).await;
    assert!((IDLE - 20..=IDLE + 20).contains(&requests), "{requests}, not {IDLE}");
}

#[tokio::test(start_paused = true)]
async fn beside_a_kcl_each_lease_is_written_every_third_of_the_failover_time() {
    let requests = requests(LeaseOptions::beside_kcl).await;
    let expected = IDLE + 2 * 270;
    assert!((expected - 20..=expected + 20).contains(&requests), "{requests}, not {expected}");
}
