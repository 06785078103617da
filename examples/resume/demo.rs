//! Three runs of one consumer, on an in-process Kinesis.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kinesis_shards::checkpoint::UnackedRecord;
use kinesis_shards::testing::{FakeKinesis, FakeStream};
use kinesis_shards::{Checkpoints, FileStore, ReadError, ReadOptions, ShardStreamExt, all_shards};
use tokio::time::{sleep, timeout};

type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

type Records = BoxStream<'static, Result<UnackedRecord, ReadError>>;

/// How often each record was delivered, by its number.
type Deliveries = BTreeMap<u32, u32>;

/// Runs the demonstration. Returns whether no record was lost and only those in hand at the crash
/// were delivered again.
pub(crate) async fn run() -> Result<bool> {
    let dir = std::env::temp_dir().join(format!("resume-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let file = dir.join("checkpoints");
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 2);
    let mut deliveries = Deliveries::new();
    write(&orders, 0..300);
    println!("An in-process Kinesis has the stream orders with 2 shards and 300 records.");
    println!("The checkpoints are in {}.\n", file.display());

    println!("The first run processes 200 records and crashes with 20 more in hand.");
    let checkpoints = open(&file).await?;
    let mut records = consume(&kinesis, &checkpoints);
    for _ in 0..200 {
        next(&mut records, &mut deliveries).await?.ack();
    }
    let mut in_hand = Vec::new();
    for _ in 0..20 {
        in_hand.push(next(&mut records, &mut deliveries).await?);
    }
    // Makes the number of repeated records exact. Without it, the save follows within 5 s.
    checkpoints.flush().await;
    drop((records, in_hand, checkpoints));

    println!("\nA shard is split, and 100 more records are written.\n");
    orders.split("shardId-000000000000");
    write(&orders, 300..400);

    println!("The second run continues from the file, reads to the end, and is stopped.");
    let checkpoints = open(&file).await?;
    let mut records = consume(&kinesis, &checkpoints);
    let mut processed = 0;
    while deliveries.len() < 400 {
        next(&mut records, &mut deliveries).await?.ack();
        processed += 1;
    }
    let report = checkpoints.shutdown(Duration::from_mins(1)).await;
    println!("  {processed} records; {report}");
    drop((records, checkpoints));

    println!("\nThe third run finds nothing left to do.");
    let checkpoints = open(&file).await?;
    let mut records = consume(&kinesis, &checkpoints);
    let found_more = timeout(Duration::from_secs(2), records.next()).await.is_ok();
    drop((records, checkpoints));
    std::fs::remove_dir_all(dir)?;

    let lost = (0..400).filter(|number| !deliveries.contains_key(number)).count();
    let repeated = deliveries.values().filter(|&&times| times > 1).count();
    println!("\nwritten 400   lost {lost}   repeated {repeated} (20 were in hand at the crash)");
    Ok(lost == 0 && repeated == 20 && !found_more && report.is_complete())
}

fn write(orders: &FakeStream, numbers: std::ops::Range<u32>) {
    for number in numbers {
        orders.put(&format!("customer {}", number % 50), number.to_string());
    }
}

/// Loads the checkpoints, as a process does when it starts.
async fn open(file: &Path) -> Result<Checkpoints> {
    let store = open_store(file).await?;
    let checkpoints = Checkpoints::load(store, "orders").await?;
    let mut shards: Vec<String> = checkpoints.progress().map(|(shard, _)| shard).collect();
    shards.sort();
    for shard in shards {
        if let Some(checkpoint) = checkpoints.get(&shard) {
            println!("  {shard}: checkpoint {checkpoint}");
        }
    }
    Ok(checkpoints)
}

/// Opens the store. The last run was part of this process, and its save task may still be closing
/// the file.
async fn open_store(file: &Path) -> Result<FileStore> {
    for _ in 0..100 {
        if let Ok(store) = FileStore::open(file) {
            return Ok(store);
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok(FileStore::open(file)?)
}

fn consume(kinesis: &FakeKinesis, checkpoints: &Checkpoints) -> Records {
    let client = kinesis.client();
    let options = ReadOptions::new().idle_interval(Duration::from_millis(250));
    let shards = all_shards(&client, "orders").checkpoints(checkpoints);
    shards.records(&client).with_options(options).boxed()
}

/// Takes the next record and counts its delivery.
async fn next(records: &mut Records, deliveries: &mut Deliveries) -> Result<UnackedRecord> {
    let record = records.try_next().await?.ok_or("the stream of records has ended")?;
    *deliveries.entry(std::str::from_utf8(record.data())?.parse()?).or_default() += 1;
    Ok(record)
}
