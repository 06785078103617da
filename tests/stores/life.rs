//! Many lives of the consumer. Each is killed, except the last.

use std::collections::BTreeSet;
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::backend::Backend;
use crate::client::local_client;
use crate::consumer::Order;
use crate::figures::{Figures, Seen};
use crate::kind::Kind;
use crate::location::StoreLocation;
use crate::process::Process;
use crate::producer::{Load, Producer, Written, create, one_to_each};
use crate::trial::number_from;

const KILLS: u64 = 10;
/// The number of processes killed while they create the file.
const FIRST_OPENS: usize = 20;

pub(crate) async fn many(backend: Backend) -> Result<Figures, String> {
    let kills = number_from("CRASHES").unwrap_or(KILLS);
    let random = number_from("CRASHES_SEED").unwrap_or(0);
    let mut rng = Rng::with_seed(random);
    let kinesis = Process::start(Kind::Kinesalite).await?;
    let location = StoreLocation::new(backend).await?;
    let client = local_client(kinesis.port);
    create(&client, "crashes", 2).await?;

    let order = |concurrency| Order {
        kinesis: kinesis.port,
        stream: "crashes".to_owned(),
        backend,
        address: location.address().to_owned(),
        concurrency,
    };
    if backend == Backend::File {
        first_opens(&location, &order, &mut rng)?;
    }
    let mut seen = Seen::default();
    let producer = Producer::start(&client, "crashes", Load { seed: random, ..Load::default() });
    for _ in 0..kills {
        let consumer = order([0, 1, 8][rng.usize(..3)]).start()?;
        // Killed during its start, soon after it, or while it reads, however long the start takes.
        let (mut lines, after) = match rng.u32(..5) {
            0 => (Vec::new(), rng.u64(..120)),
            1 => (consumer.started()?, rng.u64(..200)),
            _ => (consumer.until("delivered")?, rng.u64(..400)),
        };
        tokio::time::sleep(Duration::from_millis(after)).await;
        lines.extend(consumer.kill());
        seen.figures.kills += 1;
        seen.figures.early += usize::from(!lines.iter().any(|line| line.starts_with("delivered")));
        seen.begin_life();
        seen.lines(&lines)?;
        seen.end_life();
    }
    let written = producer.stop().await?;
    to_the_end(&mut seen, &written, &order(8))?;
    let last = one_to_each(&client, "crashes", written.by_key.len()).await?;
    only_these_are_left(&mut seen, &order(0), last)?;
    seen.figures.written = written.by_key.iter().sum();
    (seen.figures.splits, seen.figures.merges) = (written.splits, written.merges);
    Ok(seen.figures)
}

/// Runs the last life, which reads the rest and is stopped while its last records are in flight.
fn to_the_end(seen: &mut Seen, written: &Written, order: &Order) -> Result<(), String> {
    let total: usize = written.by_key.iter().sum();
    let mut consumer = order.start()?;
    seen.begin_life();
    let mut has_started = false;
    while !has_started || seen.delivered() < total || seen.due_again() > 0 {
        let Some(line) = consumer.next_line()? else {
            let (delivered, due) = (seen.delivered(), seen.due_again());
            return Err(format!(
                "{delivered} of {total} records were delivered, and {due} were not repeated"
            ));
        };
        has_started |= line == "started";
        seen.lines(&[line])?;
    }
    // The end of its stdin stops it.
    consumer.close_stdin();
    let (lines, _) = consumer.wait()?;
    let is_complete = lines.iter().any(|line| line.starts_with("stopped true"));
    seen.lines(&lines)?;
    seen.end_life();
    if !is_complete {
        return Err(format!("the shutdown was not complete: {:?}", lines.last()));
    }
    seen.figures.lost = seen.lost(&written.by_key);
    if seen.figures.lost > 0 {
        return Err(format!("{} of {total} records were never processed", seen.figures.lost));
    }
    Ok(())
}

/// Runs one more life, which must deliver only the records written since, one for each open shard.
/// A repeated record of a shard or of its ancestors would come before that.
fn only_these_are_left(seen: &mut Seen, order: &Order, records: Vec<String>) -> Result<(), String> {
    let consumer = order.start()?;
    let mut left: BTreeSet<String> = records.into_iter().collect();
    seen.begin_life();
    while !left.is_empty() {
        let Some(line) = consumer.next_line()? else {
            return Err(format!("{left:?} were not delivered"));
        };
        if line.starts_with("delivered")
            && !line.rsplit(' ').next().is_some_and(|record| left.remove(record))
        {
            return Err(format!("after a complete shutdown: {line}"));
        }
        seen.lines(&[line])?;
    }
    Ok(())
}

/// Kills processes while they create the file. The next process must open what is left.
fn first_opens(
    location: &StoreLocation,
    order: &impl Fn(usize) -> Order,
    rng: &mut Rng,
) -> Result<(), String> {
    for n in 0..FIRST_OPENS {
        let order = Order { address: format!("{}-{n}", location.address()), ..order(0) };
        let consumer = order.start()?;
        thread::sleep(Duration::from_micros(rng.u64(..60_000)));
        consumer.kill();
        order.start()?.started()?;
    }
    Ok(())
}
