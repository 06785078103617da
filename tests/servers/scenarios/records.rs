//! Records read during writes and reshards: none is lost, none is read twice, and the records of
//! each key are in order.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use kinesis_shards::shard::{Progress, StartPosition};
use kinesis_shards::{ShardHandle, all_shards};
use tokio::sync::watch;

use super::SOON;
use crate::known::Quirk;
use crate::reader::{End, Reader, text};
use crate::server::Server;
use crate::stream::Stream;
use crate::writers::{Got, Writers, assert_exact};

const KEYS: usize = 4;
/// The number of records between two reshards.
const PHASE: usize = 16;

pub(crate) async fn records_across_reshards(server: Server) {
    let stream = Stream::create(&server, 2).await;
    let writers = Writers::start(&stream, KEYS);
    let run = tokio::spawn(Run::new(&server, &stream).read_all(HashMap::new()));
    reshard(&stream, &writers).await;
    writers.write(PHASE).await;
    let written = writers.stop().await;
    let left = run.await.expect("the run");
    let got = left.got_once(&server);
    assert_exact(&written, &got);
}

/// The consumer is stopped again and again, and continues from its progress.
pub(crate) async fn records_across_restarts(server: Server) {
    let stream = Stream::create(&server, 2).await;
    let writers = Writers::start(&stream, KEYS);
    let run = Run::new(&server, &stream);
    let resharding = async {
        reshard(&stream, &writers).await;
        writers.write(PHASE).await;
    };
    let restarting = async {
        loop {
            let progress = run.left.progress();
            let reading = run.clone().read_all(progress);
            let stopped = run.left.more_records(PHASE);
            tokio::select! { _ = reading => {} () = stopped => {} }
            server.seen.note("the run is stopped and restarted");
        }
    };
    tokio::select! { () = resharding => {} () = restarting => {} }
    let written = writers.stop().await;
    let left = run.clone().read_all(run.left.progress()).await;
    assert_exact(&written, &left.got_once(&server));
}

/// Splits two shards, merges two neighbouring children, splits the merged shard, and merges again,
/// with records written between.
pub(super) async fn reshard(stream: &Stream, writers: &Writers) {
    writers.write(PHASE).await;
    let [a, b] = stream.open_ids().await.try_into().expect("two shards");
    let [_, a_high] = stream.split(&a).await;
    writers.write(PHASE).await;
    let [b_low, b_high] = stream.split(&b).await;
    let merged = stream.merge(&a_high, &b_low).await;
    writers.write(PHASE).await;
    let [_, merged_high] = stream.split(&merged).await;
    stream.merge(&merged_high, &b_high).await;
    writers.write(PHASE).await;
}

/// A consumer as in the documentation, which remembers its progress.
#[derive(Clone)]
struct Run {
    server: Server,
    stream: Stream,
    left: Arc<Left>,
}

/// The state that a run leaves to the next.
#[derive(Default)]
struct Left {
    state: Mutex<State>,
    records: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    got: Vec<Got>,
    progress: HashMap<String, Progress>,
    /// The shards with two parents, whose records may be copies that the server made.
    merged: HashSet<String>,
    /// The open shards of which every record was read.
    idle: HashSet<String>,
}

impl Run {
    fn new(server: &Server, stream: &Stream) -> Self {
        Self { server: server.clone(), stream: stream.clone(), left: Arc::default() }
    }

    /// Reads until the writers are done and every record was read.
    async fn read_all(self, progress: HashMap<String, Progress>) -> Arc<Left> {
        self.left.state().idle.clear();
        let shards =
            all_shards(&self.server.client, &self.stream.name).poll_interval(SOON).resume(progress);
        shards
            .take_until(self.all_read())
            .for_each_concurrent(None, |shard| self.read(shard))
            .await;
        self.left
    }

    async fn read(&self, shard: ShardHandle) {
        self.server.seen.note(format_args!("reading {shard:?}"));
        if shard.parents().count() == 2 {
            self.left.state().merged.insert(shard.id().to_owned());
        }
        let mut reader = Reader::open(&self.server, &self.stream, &shard).await;
        loop {
            match reader.next().await {
                Ok(record) => {
                    let after = StartPosition::After(record.sequence_number.clone());
                    let got = Got { shard: shard.id().to_owned(), text: text(&record) };
                    self.left.note(got, Progress::At(after));
                }
                Err(End::Closed(children)) => {
                    self.left.state().progress.insert(shard.id().to_owned(), Progress::Finished);
                    return shard.complete_with(children);
                }
                Err(End::Idle) => {
                    self.left.state().idle.insert(shard.id().to_owned());
                    return shard.complete();
                }
            }
        }
    }

    async fn all_read(&self) {
        loop {
            tokio::time::sleep(SOON).await;
            if self.stream.is_written() {
                continue;
            }
            let shards = self.stream.ids().await;
            let state = self.left.state();
            let is_read = |id: &String| {
                state.idle.contains(id) || state.progress.get(id) == Some(&Progress::Finished)
            };
            if shards.iter().all(is_read) {
                return;
            }
        }
    }
}

impl Left {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn progress(&self) -> HashMap<String, Progress> {
        self.state().progress.clone()
    }

    /// Stores the record and the progress together, as in a transaction.
    fn note(&self, got: Got, progress: Progress) {
        let mut state = self.state();
        state.progress.insert(got.shard.clone(), progress);
        state.got.push(got);
        self.records.send_modify(|records| *records += 1);
    }

    async fn more_records(&self, n: usize) {
        let mut records = self.records.subscribe();
        let enough = *records.borrow() + n;
        let _ = records.wait_for(|records| *records >= enough).await;
    }

    /// Returns the records that were read, without the copies that a server put into merged
    /// children.
    fn got_once(&self, server: &Server) -> Vec<Got> {
        let state = self.state();
        let mut texts = HashSet::new();
        let copies = server.has(Quirk::MergeCopiesRecords);
        let is_copy = |got: &Got, texts: &HashSet<String>| {
            copies && state.merged.contains(&got.shard) && texts.contains(&got.text)
        };
        let mut once = Vec::new();
        for got in &state.got {
            if !is_copy(got, &texts) {
                texts.insert(got.text.clone());
                once.push(got.clone());
            }
        }
        once
    }
}
