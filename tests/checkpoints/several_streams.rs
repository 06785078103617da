//! Several streams in one program, each with its own checkpoints.

use std::collections::BTreeMap;

use futures::future::{FutureExt, join_all, try_join_all};
use futures::stream::select_all;

use super::*;

const NAMES: [&str; 2] = ["orders", "payments"];

/// Puts records with these numbers into both streams.
fn put(kinesis: &FakeKinesis, numbers: std::ops::Range<u32>) {
    for number in numbers {
        for name in NAMES {
            kinesis.stream(name).put("customer 1", number.to_string());
        }
    }
}

async fn load(store: &MemoryStore) -> Vec<Checkpoints> {
    let load = |name| Checkpoints::load(store.clone(), name);
    try_join_all(NAMES.map(load)).await.unwrap()
}

/// Creates the chain of each stream.
fn chains(client: &Client, consumers: &[Checkpoints]) -> Vec<AllRecords<CheckpointedShards>> {
    let chain =
        |(name, checkpoints)| all_shards(client, name).checkpoints(checkpoints).records(client);
    NAMES.into_iter().zip(consumers).map(chain).collect()
}

/// Shuts all consumers down, after this time.
async fn shut_down(consumers: &[Checkpoints], after: Duration) {
    sleep(after).await;
    let limit = Duration::from_secs(30);
    for report in join_all(consumers.iter().map(|consumer| consumer.shutdown(limit))).await {
        assert!(report.is_complete(), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_loop_and_one_shutdown_serve_several_streams() {
    let kinesis = FakeKinesis::new();
    for name in NAMES {
        kinesis.create_stream(name, 2);
    }
    let client = kinesis.client();
    let store = MemoryStore::new();
    for run in 0..2 {
        put(&kinesis, run * 10..run * 10 + 10);
        let consumers = load(&store).await;
        let chains = chains(&client, &consumers).into_iter().map(AllRecords::auto_ack);
        let mut records = select_all(chains);
        let mut seen = BTreeMap::<String, Vec<u32>>::new();
        let consume = async {
            while let Some(record) = records.next().await {
                let record = record.unwrap();
                seen.entry(record.stream().to_string()).or_default().push(number(&record));
            }
        };
        let stop = shut_down(&consumers, Duration::from_mins(1));
        futures::future::join(consume, stop).await;
        let expected: Vec<_> = (run * 10..run * 10 + 10).collect();
        assert_eq!(seen.len(), 2);
        assert!(seen.values().all(|numbers| *numbers == expected), "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_records_of_several_streams_are_processed_by_key() {
    let kinesis = FakeKinesis::new();
    for name in NAMES {
        kinesis.create_stream(name, 2);
    }
    put(&kinesis, 0..5);
    let client = kinesis.client();
    let consumers = load(&MemoryStore::new()).await;
    let seen = Mutex::new(BTreeMap::<String, Vec<u32>>::new());
    let process = |record: Record| {
        seen.lock().unwrap().entry(record.stream().to_string()).or_default().push(number(&record));
        sleep(Duration::from_secs(1)).map(Ok::<_, ReadError>)
    };
    let chains = chains(&client, &consumers).into_iter();
    let consume = try_join_all(chains.map(|records| records.try_for_each_by_key(4, &process)));
    let stop = shut_down(&consumers, Duration::from_mins(1));
    futures::future::join(consume, stop).await.0.unwrap();
    let seen = seen.into_inner().unwrap();
    assert!(
        seen.len() == 2 && seen.values().all(|numbers| *numbers == [0, 1, 2, 3, 4]),
        "{seen:?}"
    );
}
