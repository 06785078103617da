//! Reading by enhanced fan-out, compared with the SDK's bare subscription loop.

use std::time::{Duration, Instant};

use aws_sdk_kinesis::primitives::DateTime;
use futures::future::{self, join_all};
use futures::{FutureExt, StreamExt, stream};
use kinesis_shards::records::FanOut;
use kinesis_shards::testing::{FakeKinesis, Fault};
use kinesis_shards::{ReadOptions, ShardHandle, ShardStreamExt, all_shards};
use tokio::time::sleep;

use crate::common::canned::Format;
use crate::common::measure::{processor_seconds_per_item, ratio, to_f64};
use crate::common::subscriptions::{
    consumer, idle_stream, read_subscription_bare, spawn_bare_subscriptions, subscription_client,
};
use crate::common::table::Table;
use crate::common::workload::{Workload, handles};
use crate::{paused_runtime, runtime};

pub(crate) fn measure(table: &mut Table) {
    Table::heading("Enhanced fan-out: one subscription for each shard");
    for format in [Format::Json, Format::Cbor] {
        measure_throughput(table, format);
    }
    measure_idle_subscriptions(table);
    measure_recovery();
}

/// Compares the processor time of a record.
fn measure_throughput(table: &mut Table, format: Format) {
    let workload = Workload { shards: 8, pages: 10, records: 10_000, bytes: 100 };
    let Workload { shards, pages, records, bytes } = workload;
    let total = workload.total_records();
    let runtime = runtime();
    let client = runtime.block_on(subscription_client(format, pages, records, bytes));
    let (client, consumer) = (&client, &consumer());
    let bare = || {
        processor_seconds_per_item(total, || {
            let shards =
                (0..shards).map(|n| read_subscription_bare(client, consumer, n.to_string()));
            let records: usize = runtime.block_on(join_all(shards)).into_iter().sum();
            assert_eq!(records, total);
        })
    };
    let ours = || {
        processor_seconds_per_item(total, || {
            let options = ReadOptions::new().fan_out(consumer);
            let all = handles(shards).records(client).with_options(options).take(total);
            let sum = all
                .fold(0, |sum, record| future::ready(sum + record.expect("a record").data().len()));
            assert_eq!(runtime.block_on(sum), total * bytes);
        })
    };
    let what =
        format!("{shards} shards, events of {records} records of {bytes} bytes in {format:?}");
    let floor = "processor time / the bare subscriptions";
    table.row(&format!("{what}: {floor}"), 1.0 / 0.9, ratio(9, ours, bare));
    Table::note(&format!("{what}: records per second of a core"), 1.0 / ours());
}

/// Compares the processor time of shards without records, on a paused clock. The fake sends an
/// event each 5 seconds; its own time counts in both.
fn measure_idle_subscriptions(table: &mut Table) {
    const SHARDS: usize = 1_000;
    const SECONDS: usize = 120;
    let (ours, bare) = paused_runtime().block_on(async {
        let (client, consumer) = idle_stream(SHARDS);
        let shards: Vec<ShardHandle> = handles(SHARDS).take(SHARDS).collect().await;
        let shards = stream::iter(shards).chain(stream::pending());
        let options = ReadOptions::new().fan_out(&consumer);
        let mut batches = Box::pin(shards.batches(&client).with_options(options));
        let ours = seconds_within(SECONDS, batches.next().map(drop)).await;
        drop(batches);

        let _subscriptions = spawn_bare_subscriptions(&client, &consumer, SHARDS);
        let bare = seconds_within(SECONDS, future::pending::<()>()).await;
        (ours, bare)
    });
    let what = format!("{SHARDS} idle subscriptions: ");
    table.row(&format!("{what}processor time / the bare subscriptions"), 1.5, ours / bare);
    let micros = ours / to_f64(SHARDS * SECONDS) * 1e6;
    Table::note(&format!("{what}microseconds per shard and second, with the fake's"), micros);
}

/// Returns the seconds that this many seconds of the paused clock take, after as many that do not
/// count.
async fn seconds_within(seconds: usize, mut read: impl Future<Output = ()> + Unpin) -> f64 {
    let mut elapsed = 0.0;
    for _ in 0..2 {
        let start = Instant::now();
        future::select(&mut read, Box::pin(sleep(Duration::from_secs(seconds as u64)))).await;
        elapsed = start.elapsed().as_secs_f64();
    }
    elapsed
}

/// Measures the longest simulated time from the arrival of a record to its delivery, with a record
/// each 100 ms, when a subscription meets a fault after 10 s.
fn measure_recovery() {
    let code = |code: &str| code.to_owned();
    let faults = [
        ("none", None),
        ("the end of the subscription", Some(Fault::EndsAfter(100))),
        ("a cut connection", Some(Fault::CutFrameAfter(100))),
        ("a wrong checksum", Some(Fault::BadChecksumAfter(100))),
        ("an exception", Some(Fault::ExceptionAfter(100, code("InternalFailureException")))),
        ("a takeover", Some(Fault::ExceptionAfter(100, code("ResourceInUseException")))),
        ("silence", Some(Fault::SilentAfter(100))),
        ("no first frame", Some(Fault::NoFirstFrame)),
    ];
    for (what, fault) in faults {
        let seconds = paused_runtime().block_on(longest_delivery(fault));
        Table::note(&format!("longest seconds from arrival to delivery; fault: {what}"), seconds);
    }
}

async fn longest_delivery(fault: Option<Fault>) -> f64 {
    const RECORDS: usize = 1_200;
    let kinesis = FakeKinesis::new();
    let orders = kinesis.create_stream("orders", 1);
    let consumer = FanOut::consumer(orders.register_consumer("bench"));
    if let Some(fault) = fault {
        kinesis.fail_next("SubscribeToShard", fault);
    }
    let client = kinesis.client();
    let options = ReadOptions::new().fan_out(&consumer);
    let records = all_shards(&client, "orders").records(&client).with_options(options);
    let writer = async {
        for _ in 0..RECORDS {
            sleep(Duration::from_millis(100)).await;
            orders.put("customer 1", "an order");
        }
    };
    let latencies = records.take(RECORDS).map(|record| {
        let arrival = record.expect("a record").arrival_time().expect("an arrival time");
        let now = DateTime::from(kinesis.now());
        now.as_secs_f64() - arrival.as_secs_f64()
    });
    let longest = latencies.fold(0.0, |longest, latency| future::ready(f64::max(longest, latency)));
    future::join(longest, writer).await.0
}
