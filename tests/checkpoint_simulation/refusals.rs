//! Refusals of the positions of checkpoints by Kinesis.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, Weak};

use kinesis_shards::testing::{FakeKinesis, Fault, Request};
use tokio::time::Instant;

use crate::oracle::Oracle;

/// The requests that Kinesis refuses.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// How many single requests to refuse: of each shard at most one in a life, so that no reader
    /// starts over.
    pub(crate) single: u32,
    pub(crate) until: Option<Instant>,
    /// By shard, its refused requests in this life.
    in_life: BTreeMap<String, u32>,
    pub(crate) count: u64,
}

impl Refusals {
    pub(crate) fn install(kinesis: &FakeKinesis, oracle: &Arc<Mutex<Oracle>>) -> Arc<Mutex<Self>> {
        let refusals = Arc::<Mutex<Self>>::default();
        let (hook, oracle) = (Arc::clone(&refusals), Arc::downgrade(oracle));
        kinesis.on_request(move |request| hook.lock().unwrap().next(request, &oracle));
        refusals
    }

    fn next(&mut self, request: &Request, oracle: &Weak<Mutex<Oracle>>) -> Option<Fault> {
        if request.body()["StartingPosition"]["SequenceNumber"].is_string() {
            // The reader polls then, and its next iterator counts.
            let is_refused = self.until.is_some_and(|until| Instant::now() < until);
            self.count += u64::from(is_refused);
            let code = "InvalidArgumentException".to_owned();
            return is_refused.then_some(Fault::Error { status: 400, code });
        }
        let has_number = request.body()["StartingSequenceNumber"].is_string();
        let shard = request.shard_id().filter(|_| has_number)?;
        let refused = self.in_life.entry(shard.to_owned()).or_default();
        if self.until.is_none_or(|until| Instant::now() >= until) {
            if self.single == 0 || *refused > 0 {
                return None;
            }
            self.single -= 1;
        }
        *refused += 1;
        self.count += 1;
        if *refused >= 2
            && let Some(oracle) = oracle.upgrade()
        {
            oracle.lock().unwrap().refuse(shard);
        }
        Some(Fault::InvalidSequenceNumber)
    }

    pub(crate) fn begin_life(&mut self) {
        self.in_life.clear();
    }
}
