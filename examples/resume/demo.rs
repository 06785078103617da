//! Three lives of one consumer, on an in-process Kinesis.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use kinesis_shards::testing::{FakeKinesis, FakeStream};
use kinesis_shards::{Checkpoints, FileStore, ReadOptions, ShardStreamExt, UnackedRecord, all_shards};
use tokio::time::{sleep, timeout};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// How often each record came, by its number.
type Seen = BTreeMap<u32, u32>;

/// Whether nothing was lost.
pub(crate) async fn run() -> Result<bool> {
    let dir = std::env::temp_dir().join(format!("resume-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let file = dir.join("checkpoints");
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 2);
    let mut seen = Seen::new();
    write(&orders, 0..300);
    println!(
        "An in-process Kinesis, stream orders, 2 shards, 300 records. The checkpoints are in {}.\n",
        file.display()
    );

    println!("The first life processes 200 of them, and crashes with 20 more in hand.");
    let checkpoints = open(&file).await?;
    let mut records = consume(&kinesis, &checkpoints);
    for _ in 0..200 {
        next(&mut records, &mut seen).await?.ack();
    }
    let mut in_hand = Vec::new();
    for _ in 0..20 {
        in_hand.push(next(&mut records, &mut seen).await?);
    }
    checkpoints.flush().await; // So that it is known what comes again. Without, it would be saved within 5 s.
    drop((records, in_hand, checkpoints));

    println!("\nA shard is split, and 100 more records are written.\n");
    orders.split("shardId-000000000000");
    write(&orders, 300..400);

    println!("The second life goes on from the file, reads to the end, and is stopped.");
    let checkpoints = open(&file).await?;
    let mut records = consume(&kinesis, &checkpoints);
    let mut processed = 0;
    while let Ok(record) = timeout(Duration::from_secs(3), next(&mut records, &mut seen)).await {
        record?.ack();
        processed += 1;
    }
    let stopped = checkpoints.stop(Duration::from_secs(5)).await;
    println!("  {processed} records; {stopped}");
    drop((records, checkpoints));

    println!("\nThe third finds nothing left to do.");
    let checkpoints = open(&file).await?;
    let mut records = consume(&kinesis, &checkpoints);
    let late = timeout(Duration::from_secs(2), records.next()).await.is_ok();
    drop((records, checkpoints));
    std::fs::remove_dir_all(dir)?;

    let lost = (0..400).filter(|number| !seen.contains_key(number)).count();
    let again = seen.values().filter(|times| **times > 1).count();
    println!("\nwritten 400   lost {lost}   came again {again} (20 were in hand at the crash)");
    Ok(lost == 0 && again == 20 && !late && stopped.is_complete())
}

fn write(orders: &FakeStream, numbers: std::ops::Range<u32>) {
    for number in numbers {
        orders.put(&format!("customer {}", number % 50), number.to_string());
    }
}

/// As a process does when it starts.
async fn open(file: &Path) -> Result<Checkpoints> {
    // The life before is of the same process here: its task that saves lets go of the file in a moment.
    sleep(Duration::from_millis(100)).await;
    let checkpoints = Checkpoints::load(FileStore::open(file)?, "orders").await?;
    let mut progress: Vec<_> = checkpoints.progress().collect();
    progress.sort_by(|(a, _), (b, _)| a.cmp(b));
    for (shard, progress) in progress {
        println!("  {shard}: {progress:?}");
    }
    Ok(checkpoints)
}

type Records =
    futures::stream::BoxStream<'static, std::result::Result<UnackedRecord, kinesis_shards::ReadError>>;

fn consume(kinesis: &FakeKinesis, checkpoints: &Checkpoints) -> Records {
    let client = kinesis.client();
    let options = ReadOptions::new().idle_interval(Duration::from_millis(250));
    all_shards(&client, "orders").checkpoints(checkpoints).records(&client).with(options).boxed()
}

async fn next(records: &mut Records, seen: &mut Seen) -> Result<UnackedRecord> {
    let record = records.try_next().await?.ok_or("the stream has ended")?;
    *seen.entry(std::str::from_utf8(record.data())?.parse()?).or_default() += 1;
    Ok(record)
}
