//! A table that is written while all its shards are replaced, read by the rest of this example.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_sdk_dynamodbstreams::types::Record;
use futures::future::try_join;
use kinesis_shards::StartAt;
use tokio::time::{Instant, sleep};

use super::follow::follow;
use super::model::{ARN, Model};
use super::print::print_event;
use super::read::Event;
use super::table_stream::{BoxError, TableStream};

const ROTATIONS: u32 = 4;
const WRITES_PER_ROTATION: u32 = 12;
const KEYS: u32 = 8;

/// Runs the demonstration, on a clock that jumps from event to event. Returns whether each change
/// was read once, and those of an item in order.
pub(crate) async fn run() -> Result<bool, BoxError> {
    println!("A model of a table has a change stream with 2 shards. All are replaced every 12 s,");
    println!(
        "which AWS does about every 4 hours. It throttles requests and lets iterators expire.\n"
    );
    let model = Model::new(2);
    let mut requests = 0;
    model.on_request(move |operation, _| {
        requests += 1;
        match operation {
            _ if requests % 31 == 0 => Some(Err("LimitExceededException")),
            "GetRecords" if requests % 13 == 0 => Some(Err("ExpiredIteratorException")),
            _ => None,
        }
    });

    let stream = Arc::new(TableStream::new(model.config(), ARN));
    let (ledger, began) = (Mutex::new(Ledger::default()), Instant::now());
    let reader = follow(stream, StartAt::TrimHorizon, |shard, event| {
        print!("{:>4.0} s  ", began.elapsed().as_secs_f64());
        print_event(shard, &event);
        let mut ledger = ledger.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Changes(changes) => changes.iter().for_each(|change| ledger.note(change)),
            Event::Gap(_) => ledger.gaps += 1,
        }
    });
    let writer = async {
        for n in 0..ROTATIONS * WRITES_PER_ROTATION {
            if n > 0 && n % WRITES_PER_ROTATION == 0 {
                model.rotate(n == 2 * WRITES_PER_ROTATION);
            }
            model.put(&format!("customer {}", n * 3 % KEYS), SystemTime::now());
            sleep(Duration::from_secs(1)).await;
        }
        model.disable();
        Ok(())
    };
    // The reader ends by itself at the end of a stream that was disabled.
    try_join(reader, writer).await?;
    let ledger = ledger.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(ledger.print_summary(ROTATIONS * WRITES_PER_ROTATION))
}

/// The changes that were read.
#[derive(Default)]
pub(crate) struct Ledger {
    /// How many changes of each item were read, which is the version of the last one.
    last: BTreeMap<String, u32>,
    read: u32,
    out_of_order: u32,
    gaps: u32,
}

impl Ledger {
    /// Counts a change. Each holds how often its item was written.
    pub(crate) fn note(&mut self, change: &Record) {
        let image = change.dynamodb.as_ref().and_then(|change| change.new_image());
        let field = |name| image.and_then(|image| image.get(name));
        let key = field("id").and_then(|id| id.as_s().ok()).cloned().unwrap_or_default();
        let version = field("version").and_then(|version| version.as_n().ok()?.parse().ok());
        let last = self.last.entry(key).or_default();
        self.read += 1;
        self.out_of_order += u32::from(version != Some(*last + 1));
        *last = version.unwrap_or_default();
    }

    /// Prints the counts. Returns whether each of the written changes was read once and in order.
    pub(crate) fn print_summary(&self, written: u32) -> bool {
        let Self { read, out_of_order, gaps, .. } = self;
        let (lost, repeated) = (written.saturating_sub(*read), read.saturating_sub(written));
        println!(
            "\nchanges {written}   repeated {repeated}   out of order {out_of_order}   \
                  gaps {gaps}   lost {lost}"
        );
        lost + repeated + out_of_order + gaps == 0
    }
}
