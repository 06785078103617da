//! Many lives of the consumer, all but the last of them killed.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::client::local_client;
use crate::consumer::Order;
use crate::figures::{Figures, Seen};
use crate::kind::Kind;
use crate::place::Place;
use crate::process::Process;
use crate::producer::{Producer, Written};
use crate::stores::Kept;

const KILLS: u64 = 25;
const PATIENCE: Duration = Duration::from_mins(2);

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

    /// SIGKILL; gives what it had said.
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
    let created = client.create_stream().stream_name("crashes").shard_count(2).send().await;
    created.map_err(|error| format!("CreateStream: {error:?}"))?;
    tokio::time::sleep(Duration::from_millis(100)).await;

    let order = |concurrency| Order {
        kinesis: kinesis.port,
        stream: "crashes".to_owned(),
        kept,
        place: place.name().to_owned(),
        concurrency,
    };
    let mut seen = Seen::default();
    let producer = Producer::start(&client, "crashes", random);
    for _ in 0..kills {
        let consumer = Consumer::start(&order([0, 1, 8][rng.usize(..3)]))?;
        // Now and then in its start.
        let after = if rng.u32(..5) == 0 { rng.u64(..120) } else { rng.u64(150..1_050) };
        tokio::time::sleep(Duration::from_millis(after)).await;
        let lines = consumer.kill();
        seen.figures.kills += 1;
        seen.figures.early += usize::from(!lines.iter().any(|line| line.starts_with("delivered")));
        seen.begin_life();
        seen.lines(&lines)?;
        seen.end_life();
    }
    let written = producer.stop().await?;
    to_the_end(&mut seen, &written, &order(8))?;
    nothing_is_left(&mut seen, &order(0))?;
    seen.figures.written = written.by_key.iter().sum();
    (seen.figures.splits, seen.figures.merges) = (written.splits, written.merges);
    Ok(seen.figures)
}

/// The last life reads what is left, and is stopped while its last records are in flight.
fn to_the_end(seen: &mut Seen, written: &Written, order: &Order) -> Result<(), String> {
    let total: usize = written.by_key.iter().sum();
    let mut consumer = Consumer::start(order)?;
    let deadline = Instant::now() + PATIENCE;
    seen.begin_life();
    let mut has_started = false;
    while !has_started || seen.come() < total || seen.due_again() > 0 {
        if Instant::now() > deadline {
            let (come, again) = (seen.come(), seen.due_again());
            return Err(format!("{come} of {total} records came, and {again} did not come again"));
        }
        let line = match consumer.lines.recv_timeout(Duration::from_secs(1)) {
            Ok(line) => line,
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return Err("the consumer has ended".to_owned()),
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
    for (key, count) in written.by_key.iter().enumerate() {
        if seen.of_key(key) != *count {
            return Err(format!("key {key}: {count} were written, {} came", seen.of_key(key)));
        }
    }
    Ok(())
}

/// One more: nothing comes any more.
fn nothing_is_left(seen: &mut Seen, order: &Order) -> Result<(), String> {
    let consumer = Consumer::start(order)?;
    thread::sleep(Duration::from_secs(3));
    let lines = consumer.kill();
    if let Some(line) = lines.iter().find(|line| line.starts_with("delivered")) {
        return Err(format!("after a complete stop it still {line}"));
    }
    if !lines.iter().any(|line| line == "started") {
        return Err("the last consumer did not start in time".to_owned());
    }
    seen.begin_life();
    seen.lines(&lines)
}
