//! Many lives of the consumer, all but the last of them killed.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use fastrand::Rng;

use crate::client::local_client;
use crate::consumer::Order;
use crate::figures::{Figures, Seen};
use crate::kind::Kind;
use crate::place::Place;
use crate::process::Process;
use crate::producer::{Producer, Written, create, one_to_each};
use crate::stores::Kept;

const KILLS: u64 = 25;
/// How often a process is killed that makes the file.
const FIRST_OPENS: usize = 20;
/// A consumer that is silent for longer hangs. It says something every second or so.
const PATIENCE: Duration = Duration::from_mins(10);

fn number_from(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

/// A consumer that runs. Dropping it kills it.
struct Consumer {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Consumer {
    fn start(order: &Order) -> Result<Self, String> {
        let this = std::env::current_exe().map_err(|error| error.to_string())?;
        let child = Command::new(this)
            .env(Order::VARIABLE, order.to_env())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.map_err(|error| format!("the consumer did not start: {error}"))?;
        let out = child.stdout.take().ok_or("it has no output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    fn next_line(&self) -> Result<Option<String>, String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => Err("the consumer has ended".to_owned()),
        }
    }

    /// What it says until it has started.
    fn started(&self) -> Result<Vec<String>, String> {
        self.until("started")
    }

    /// What it says up to the first line that begins so.
    fn until(&self, what: &str) -> Result<Vec<String>, String> {
        let mut lines: Vec<String> = Vec::new();
        while lines.last().is_none_or(|line| !line.starts_with(what)) {
            let line = self.next_line().map_err(|error| format!("{error}: {:?}", lines.last()))?;
            lines.push(line.ok_or_else(|| format!("{what} was not said"))?);
        }
        Ok(lines)
    }

    /// SIGKILL; gives what else it had said.
    fn kill(mut self) -> Vec<String> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.lines.iter().collect()
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) async fn many(kept: Kept) -> Result<Figures, String> {
    let kills = number_from("CRASHES").unwrap_or(KILLS);
    let random = number_from("CRASHES_SEED").unwrap_or(0);
    let mut rng = Rng::with_seed(random);
    let kinesis = Process::start(Kind::Kinesalite).await?;
    let place = Place::new(kept).await?;
    let client = local_client(kinesis.port);
    create(&client, "crashes", 2).await?;

    let order = |concurrency| Order {
        kinesis: kinesis.port,
        stream: "crashes".to_owned(),
        kept,
        place: place.name().to_owned(),
        concurrency,
    };
    if kept == Kept::File {
        first_opens(&place, &order, &mut rng)?;
    }
    let mut seen = Seen::default();
    let producer = Producer::start(&client, "crashes", random);
    for _ in 0..kills {
        let consumer = Consumer::start(&order([0, 1, 8][rng.usize(..3)]))?;
        // Now and then in its start, or soon after it; otherwise while it reads, however long it
        // takes until then.
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
    let last = one_to_each(&client, "crashes").await?;
    only_these_are_left(&mut seen, &order(0), last)?;
    seen.figures.written = written.by_key.iter().sum();
    (seen.figures.splits, seen.figures.merges) = (written.splits, written.merges);
    Ok(seen.figures)
}

/// The last life reads what is left, and is stopped while its last records are in flight.
fn to_the_end(seen: &mut Seen, written: &Written, order: &Order) -> Result<(), String> {
    let total: usize = written.by_key.iter().sum();
    let mut consumer = Consumer::start(order)?;
    seen.begin_life();
    let mut has_started = false;
    while !has_started || seen.come() < total || seen.due_again() > 0 {
        let Some(line) = consumer.next_line()? else {
            let (come, again) = (seen.come(), seen.due_again());
            return Err(format!("{come} of {total} records came, and {again} did not come again"));
        };
        has_started |= line == "started";
        seen.lines(&[line])?;
    }
    // Its input ends: it stops.
    drop(consumer.child.stdin.take());
    let lines: Vec<_> = consumer.lines.iter().collect();
    let stopped = lines.iter().any(|line| line.starts_with("stopped true"));
    seen.lines(&lines)?;
    seen.end_life();
    if !stopped {
        return Err(format!("it did not stop as it should: {:?}", lines.last()));
    }
    seen.figures.lost = seen.lost(&written.by_key);
    if seen.figures.lost > 0 {
        return Err(format!("{} of {total} records were never done", seen.figures.lost));
    }
    Ok(())
}

/// One more: nothing comes but what was written since, to each open shard. What comes again of a
/// shard or of its ancestors comes before that.
fn only_these_are_left(seen: &mut Seen, order: &Order, records: Vec<String>) -> Result<(), String> {
    let consumer = Consumer::start(order)?;
    let mut left: BTreeSet<String> = records.into_iter().collect();
    seen.begin_life();
    while !left.is_empty() {
        let Some(line) = consumer.next_line()? else {
            return Err(format!("{left:?} did not come"));
        };
        if line.starts_with("delivered")
            && !line.rsplit(' ').next().is_some_and(|record| left.remove(record))
        {
            return Err(format!("after a complete stop it still {line}"));
        }
        seen.lines(&[line])?;
    }
    Ok(())
}

/// Kills while the file is made: whatever is left of that, the next process opens it.
fn first_opens(
    place: &Place,
    order: &impl Fn(usize) -> Order,
    rng: &mut Rng,
) -> Result<(), String> {
    for n in 0..FIRST_OPENS {
        let order = Order { place: format!("{}-{n}", place.name()), ..order(0) };
        let consumer = Consumer::start(&order)?;
        thread::sleep(Duration::from_micros(rng.u64(..60_000)));
        consumer.kill();
        Consumer::start(&order)?.started()?;
    }
    Ok(())
}
