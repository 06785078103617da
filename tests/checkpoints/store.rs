//! A store that does what it is told: fails, answers late, or panics.

use std::collections::{BTreeSet, VecDeque};

use futures::future::{BoxFuture, FutureExt};
use kinesis_shards::StreamId;
use kinesis_shards::checkpoint::{CheckpointStore, Save, StoreError};

use super::*;

#[derive(Clone, Default)]
pub(crate) struct Scripted {
    pub(crate) memory: MemoryStore,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    log: Vec<(String, Call, Option<Instant>)>,
    script: VecDeque<Answer>,
    /// What holds for all that the script says nothing of.
    always: Option<Answer>,
    /// Of these shards, no call is answered.
    silent: BTreeSet<String>,
    at_once: usize,
    most_at_once: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Save(Checkpoint),
    Forget,
}

#[derive(Clone, Copy)]
pub(crate) enum Answer {
    Fails,
    FailsButKeepsIt,
    Late(Duration),
    LateAndFails(Duration),
    Panics,
}

impl Scripted {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn next(&self, answers: impl IntoIterator<Item = Answer>) {
        self.lock().script.extend(answers);
    }

    pub(crate) fn always(&self, answer: impl Into<Option<Answer>>) {
        self.lock().always = answer.into();
    }

    /// Of these shards, no call is answered from now on.
    pub(crate) fn silent_for<'a>(&self, shards: impl IntoIterator<Item = &'a str>) {
        self.lock().silent = shards.into_iter().map(str::to_owned).collect();
    }

    pub(crate) fn get(&self, shard: &str) -> Option<Checkpoint> {
        self.memory.get("orders", shard)
    }

    pub(crate) fn calls(&self, shard: &str) -> Vec<Call> {
        let log = &self.lock().log;
        log.iter().filter(|(id, ..)| id == shard).map(|(_, call, _)| call.clone()).collect()
    }

    pub(crate) fn times(&self, shard: &str) -> Vec<Instant> {
        self.lock().log.iter().filter(|(id, ..)| id == shard).filter_map(|(_, _, at)| *at).collect()
    }

    pub(crate) fn most_at_once(&self) -> usize {
        self.lock().most_at_once
    }

    async fn answer(&self, shard: &str, call: Call) -> Result<bool, StoreError> {
        let answer = {
            let mut state = self.lock();
            state.log.push((shard.to_owned(), call, Some(Instant::now())));
            state.at_once += 1;
            state.most_at_once = state.most_at_once.max(state.at_once);
            let always = state.always;
            state.script.pop_front().or(always)
        };
        let _asked = Asked(self);
        tokio::task::yield_now().await;
        if self.lock().silent.contains(shard) {
            std::future::pending::<()>().await;
        }
        if let Some(Answer::Late(time) | Answer::LateAndFails(time)) = answer {
            sleep(time).await;
        }
        match answer {
            Some(Answer::Fails | Answer::LateAndFails(_)) => Err("the store is down".into()),
            Some(Answer::FailsButKeepsIt) => Ok(false),
            Some(Answer::Panics) => panic!("the store panics, as it was told to"),
            Some(Answer::Late(_)) | None => Ok(true),
        }
    }
}

/// A call that is not answered ends when it is dropped.
struct Asked<'a>(&'a Scripted);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.lock().at_once -= 1;
    }
}

fn confirmed(confirmed: bool) -> Result<(), StoreError> {
    if confirmed { Ok(()) } else { Err("the store does not confirm it".into()) }
}

impl CheckpointStore for Scripted {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        self.memory.load(stream)
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let answer = self.answer(save.shard_id(), Call::Save(save.checkpoint.clone())).await?;
            self.memory.save(save).await?;
            confirmed(answer)
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let answer = self.answer(shard_id, Call::Forget).await?;
            self.memory.forget(stream, shard_id).await?;
            confirmed(answer)
        }
        .boxed()
    }
}
