//! Random fleets over the whole stack: workers come, go, crash and lose their tables, while the
//! stream splits and merges. Each seed is one run.
//!
//! ```text
//! cargo test --test leases random                     100 seeds
//! LEASE_FLEETS=1000 cargo test --test leases random   1,000
//! LEASE_FLEET=7 cargo test --test leases random       seed 7 alone
//! ```

use fastrand::Rng;
use futures::stream::FuturesUnordered;
use kinesis_shards::lease::LeaseError;

use super::*;

/// A consumer with up to 20 records in hand, which it acknowledges after up to three seconds.
async fn consume(world: World, leases: Leases, seed: u64) -> Option<String> {
    let mut rng = Rng::with_seed(seed);
    let mut records =
        all_shards(&world.client, "orders").leased(&leases).records(&world.client).fuse();
    let mut in_hand = FuturesUnordered::new();
    let is_slow = rng.bool();
    loop {
        tokio::select! {
            record = records.next(), if in_hand.len() < 20 => match record {
                Some(Ok(record)) => {
                    world.note(&leases, &record);
                    let wait = Duration::from_millis(if is_slow { rng.u64(..3_000) } else { 1 });
                    in_hand.push(async move {
                        sleep(wait).await;
                        record.ack();
                    });
                }
                Some(Err(error)) => return Some(error.to_string()),
                None if in_hand.is_empty() => return None,
                None => while in_hand.next().await.is_some() {},
            },
            Some(()) = in_hand.next() => {}
        }
    }
}

struct Fleet {
    world: World,
    rng: Rng,
    workers: Vec<(Leases, JoinHandle<Option<String>>)>,
    joined: u32,
    /// Nothing happens after which records may come again.
    is_gentle: bool,
}

impl Fleet {
    async fn join(&mut self, id: Option<String>) -> Result<(), LeaseError> {
        let id = id.unwrap_or_else(|| {
            self.joined += 1;
            format!("w{}", self.joined)
        });
        let options = LeaseOptions::new()
            .worker(id)
            .settle(SECOND * self.rng.u32(1..30))
            .rest(SECOND * self.rng.u32(1..60));
        let save = Duration::from_millis(self.rng.u64(..30_000));
        let options = options.checkpoints(CheckpointOptions::new().save_interval(save));
        let leases = Leases::join_with(&self.world.board, "application", "orders", options).await?;
        let task = tokio::spawn(consume(self.world.clone(), leases.clone(), self.rng.u64(..)));
        self.workers.push((leases, task));
        Ok(())
    }

    fn take_worker(&mut self) -> Option<(Leases, JoinHandle<Option<String>>)> {
        let index = self.rng.usize(..self.workers.len().max(1));
        (index < self.workers.len()).then(|| self.workers.swap_remove(index))
    }

    fn reshard(&mut self) {
        let open = self.world.orders.shards();
        let open: Vec<_> = open
            .into_iter()
            .filter(|shard| {
                shard
                    .sequence_number_range()
                    .is_some_and(|range| range.ending_sequence_number().is_none())
            })
            .collect();
        let bound = |shard: &aws_sdk_kinesis::types::Shard, is_end: bool| -> u128 {
            let range = shard.hash_key_range().unwrap();
            let key = if is_end { range.ending_hash_key() } else { range.starting_hash_key() };
            key.parse().unwrap()
        };
        let pair = open.iter().find_map(|a| {
            let b = open.iter().find(|b| bound(a, true).checked_add(1) == Some(bound(b, false)))?;
            Some((a.shard_id().to_owned(), b.shard_id().to_owned()))
        });
        if let (Some((a, b)), true) = (pair, open.len() > 3 || self.rng.bool()) {
            self.world.orders.merge(&a, &b);
        } else {
            let index = self.rng.usize(..open.len());
            self.world.orders.split(open[index].shard_id());
        }
    }

    async fn step(&mut self) {
        self.world.put(self.rng.usize(..30));
        match self.rng.u32(..20) {
            0..5 if self.workers.len() < 5 => self.join(None).await.expect("it can join"),
            5..7 if !self.is_gentle => {
                if let Some((leases, task)) = self.take_worker() {
                    task.abort();
                    let _ = task.await;
                    let id = leases.worker_id().to_owned();
                    drop(leases);
                    if self.rng.bool() {
                        self.join(Some(id)).await.expect("it can join again");
                    }
                }
            }
            7..11 => {
                if let Some((leases, task)) = self.take_worker() {
                    let limit = if self.is_gentle { 30 } else { self.rng.u32(1..30) };
                    let report = leases.shutdown(SECOND * limit).await;
                    assert!(report.is_complete() || !self.is_gentle, "{report}");
                    assert_eq!(task.await.unwrap(), None, "its records end");
                }
            }
            11..14 => self.reshard(),
            14 if !self.is_gentle => {
                self.world.board.set_down(true);
                sleep(Duration::from_millis(self.rng.u64(..60_000))).await;
                self.world.board.set_down(false);
            }
            _ => {}
        }
        sleep(Duration::from_millis(self.rng.u64(..10_000))).await;
    }
}

async fn run(seed: u64) {
    let mut rng = Rng::with_seed(seed);
    let world = World::new(rng.u32(1..6));
    let is_gentle = rng.bool();
    let mut fleet = Fleet { world: world.clone(), rng, workers: Vec::new(), joined: 0, is_gentle };
    fleet.join(None).await.unwrap();
    for _ in 0..fleet.rng.u32(5..30) {
        fleet.step().await;
    }
    if fleet.workers.is_empty() {
        fleet.join(None).await.unwrap();
    }
    world.wait_for_all().await;
    // Shards of a worker that was killed last are read again by others.
    sleep(SECOND * 60).await;
    for (leases, task) in std::mem::take(&mut fleet.workers) {
        let report = leases.shutdown(SECOND * 30).await;
        assert!(report.is_complete(), "{report}");
        assert_eq!(task.await.unwrap(), None);
    }
    world.assert_tokens_grow();
    if is_gentle {
        assert_eq!(world.repeated(), 0);
    }
    // First deliveries of each customer are in order.
    let (mut last, mut delivered) = (BTreeMap::new(), BTreeSet::new());
    for Delivery { number, worker, shard, at, .. } in world.deliveries() {
        if delivered.insert(number) {
            let last = last.entry(number % 50).or_insert(number);
            assert!(number >= *last, "{worker}, {shard}, {at:?}: {number} came after {last}");
            *last = number;
        }
    }
    // All is durable: the next fleet repeats nothing.
    let before = world.deliveries().len();
    let after = world.join("after").await;
    sleep(SECOND * 60).await;
    assert_eq!(world.deliveries().len(), before, "the next fleet repeats nothing");
    after.kill().await;
}

#[test]
fn random_fleets_lose_nothing_and_keep_the_order() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds = match number("LEASE_FLEET") {
        Some(seed) => seed..seed + 1,
        None => 0..number("LEASE_FLEETS").unwrap_or(100),
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = { runtime }.enable_all().start_paused(true).build().unwrap();
        let run = std::panic::AssertUnwindSafe(|| runtime.block_on(run(seed)));
        if let Err(panic) = std::panic::catch_unwind(run) {
            eprintln!("fleet {seed} failed; repeat it with LEASE_FLEET={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
