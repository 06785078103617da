//! Records of leased shards that are processed by key, or in chunks: none is delivered once another
//! worker may have the lease.

use kinesis_shards::lease::{Lease, LeasedShards};
use kinesis_shards::records::AllRecords;

use super::*;

const HOUR: Duration = Duration::from_hours(1);

impl World {
    /// Puts records of one key, with numbers that grow from 0.
    fn put_of_one_key(&self, records: usize) {
        for number in 0..records {
            self.orders.put("customer 1", number.to_string());
        }
    }

    fn records(&self, leases: &Leases) -> AllRecords<LeasedShards> {
        all_shards(&self.client, "orders").leased(leases).records(&self.client)
    }

    /// Processes each record for the time that its number says, and logs it.
    async fn process_by_key(
        &self,
        leases: &Leases,
        time: fn(usize) -> Duration,
    ) -> Arc<Mutex<Vec<usize>>> {
        let processed = Arc::<Mutex<Vec<_>>>::default();
        tokio::spawn(self.records(leases).for_each_by_key(4, {
            let processed = Arc::clone(&processed);
            move |record| {
                let number = number(&record.unwrap());
                processed.lock().unwrap().push(number);
                sleep(time(number))
            }
        }));
        while processed.lock().unwrap().is_empty() {
            sleep(SECOND).await;
        }
        processed
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_waits_for_its_key_waits_for_a_paused_lease_too() {
    let world = World::new(1);
    world.put_of_one_key(3);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let processed = world.process_by_key(&leases, |_| SECOND * 12).await;
    world.board.set_down(true);
    sleep(SECOND * 60).await;
    assert_eq!(*processed.lock().unwrap(), [0], "another worker might have the lease");
    world.board.set_down(false);
    sleep(SECOND * 60).await;
    assert_eq!(*processed.lock().unwrap(), [0, 1, 2]);
    assert!(leases.shutdown(SECOND * 10).await.is_complete());
}

#[tokio::test(start_paused = true)]
async fn records_that_wait_for_their_key_are_dropped_with_their_lease() {
    let world = World::new(1);
    world.orders.put("customer 2", "0");
    for number in 1..4 {
        world.orders.put("customer 1", number.to_string());
    }
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let time = |number| SECOND * if number == 0 { 20 } else { 600 };
    let processed = world.process_by_key(&leases, time).await;
    // The save of the first record is refused, and the lease is lost.
    world.board.delete_lease("application", "shardId-000000000000");
    sleep(SECOND * 300).await;
    assert_eq!(*processed.lock().unwrap(), [0, 1, 0], "the shard is read again");
    sleep(SECOND * 3_000).await;
    assert_eq!(*processed.lock().unwrap(), [0, 1, 0, 1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_given_away_when_the_records_that_wait_are_processed() {
    let world = World::new(1);
    world.put_of_one_key(5);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let processed = world.process_by_key(&leases, |_| SECOND).await;
    let report = leases.shutdown(SECOND * 25).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(*processed.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn a_chunk_waits_for_its_paused_lease() {
    let world = World::new(1);
    world.put(3);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut chunks = world.records(&leases).chunks(100, SECOND * 20);
    assert!(tokio::time::timeout(SECOND * 10, chunks.next()).await.is_err());
    world.board.set_down(true);
    assert!(tokio::time::timeout(SECOND * 60, chunks.next()).await.is_err());
    world.board.set_down(false);
    let chunk = chunks.next().await.unwrap().unwrap();
    assert!(chunk.leases().all(Lease::is_held));
    assert_eq!(chunk.try_ack().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn the_records_of_a_lost_lease_are_removed_from_their_chunk() {
    let world = World::new(2);
    let [first, second] = ["shardId-000000000000", "shardId-000000000001"];
    world.orders.put_to(first, "0");
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut chunks = world.records(&leases).chunks(100, SECOND * 600);
    assert!(tokio::time::timeout(SECOND * 599, chunks.next()).await.is_err());
    let chunk = chunks.next().await.unwrap().unwrap();
    for number in 1..4 {
        world.orders.put_to(first, number.to_string());
        world.orders.put_to(second, (10 * number).to_string());
    }
    assert!(tokio::time::timeout(SECOND * 10, chunks.next()).await.is_err());
    // The save of the first chunk is refused, and the lease is lost.
    world.board.delete_lease("application", first);
    chunk.ack();
    let chunk = chunks.next().await.unwrap().unwrap();
    let mut numbers: Vec<_> = chunk.records().iter().map(number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [0, 1, 2, 3, 10, 20, 30], "each record once");
    let shards: BTreeSet<_> = chunk.leases().map(|lease| lease.shard_id().to_owned()).collect();
    assert!(chunk.leases().all(Lease::is_held) && shards.len() == 2);
    chunk.into_parts().1.try_ack().unwrap();
    let report = leases.shutdown(SECOND * 10).await;
    assert!(report.is_complete(), "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_chunk_is_yielded_when_its_lease_is_given_away() {
    let world = World::new(1);
    world.put(3);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut chunks = world.records(&leases).chunks(100, HOUR);
    assert!(tokio::time::timeout(SECOND * 10, chunks.next()).await.is_err());
    let consumer = tokio::spawn(async move {
        let mut acknowledged = 0;
        while let Some(chunk) = chunks.next().await {
            acknowledged += chunk.unwrap().ack().len();
        }
        acknowledged
    });
    let report = leases.shutdown(SECOND * 25).await;
    assert!(report.is_complete(), "{report}");
    assert_eq!(consumer.await.unwrap(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_acknowledgement_of_a_chunk_without_effect_is_reported() {
    let world = World::new(1);
    world.put(3);
    let leases = Leases::join(&world.board, "application", "orders").await.unwrap();
    let mut chunks = world.records(&leases).chunks(3, HOUR);
    let chunk = chunks.next().await.unwrap().unwrap();
    let report = leases.shutdown(SECOND * 10).await;
    assert_eq!(report.unacknowledged(), 3, "{report}");
    let error = chunk.try_ack().unwrap_err();
    assert!(error.to_string().contains("has no effect"), "{error}");
    assert_eq!(error.into_inner().len(), 3);
}
