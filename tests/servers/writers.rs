//! Writers that run while shards are read, and the check of the records read.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::stream::Stream;

/// The pause between writes, so that the readers keep up on a busy machine.
const PAUSE: Duration = Duration::from_millis(5);

/// One writer for each key. Each puts `key:0`, `key:1` and so on until it is stopped.
pub(crate) struct Writers {
    tasks: JoinSet<(String, usize)>,
    stop: Arc<AtomicBool>,
    written: Arc<AtomicUsize>,
}

impl Writers {
    pub(crate) fn start(stream: &Stream, keys: usize) -> Self {
        let mut writers =
            Self { tasks: JoinSet::new(), stop: Arc::default(), written: Arc::default() };
        for key in 0..keys {
            stream.writer_begins();
            let (stream, stop, written) =
                (stream.clone(), Arc::clone(&writers.stop), Arc::clone(&writers.written));
            writers.tasks.spawn(async move {
                let key = format!("key-{key}");
                let mut n = 0;
                while !stop.load(Ordering::SeqCst) {
                    stream.put(&key, &format!("{key}:{n}")).await;
                    n += 1;
                    written.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(PAUSE).await;
                }
                stream.writer_ends();
                (key, n)
            });
        }
        writers
    }

    /// Waits until `n` more records are written.
    pub(crate) async fn write(&self, n: usize) {
        let enough = self.written.load(Ordering::SeqCst) + n;
        while self.written.load(Ordering::SeqCst) < enough {
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Stops the writers and returns the number of records of each key.
    pub(crate) async fn stop(self) -> BTreeMap<String, usize> {
        self.stop.store(true, Ordering::SeqCst);
        self.tasks.join_all().await.into_iter().collect()
    }
}

/// A record that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Got {
    pub(crate) shard: String,
    pub(crate) text: String,
}

/// Asserts that every record was read once, and the records of each key in order.
#[track_caller]
pub(crate) fn assert_exact(written: &BTreeMap<String, usize>, got: &[Got]) {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    let mut all = HashSet::new();
    for Got { shard, text } in got {
        let (key, n) = text.split_once(':').expect("key:n");
        assert!(all.insert(text), "{text} was read twice, the second time from {shard}");
        let next = next.entry(key).or_default();
        assert_eq!(n.parse(), Ok(*next), "{text} was read from {shard} instead of {key}:{next}");
        *next += 1;
    }
    for (key, &n) in written {
        assert_eq!(
            next.get(key.as_str()).copied().unwrap_or_default(),
            n,
            "number of records of {key} read"
        );
    }
}
