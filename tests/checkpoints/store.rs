//! A store with scripted faults: it fails, responds late or never, or panics.

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
    script: VecDeque<Response>,
    /// The response to calls after the script.
    always: Option<Response>,
    /// Calls for these shards get no response.
    silent: BTreeSet<String>,
    in_flight: usize,
    max_in_flight: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Call {
    Save(Checkpoint),
    Forget,
}

#[derive(Clone, Copy)]
pub(crate) enum Response {
    Fails,
    FailsAfterSaving,
    Late(Duration),
    LateAndFails(Duration),
    Panics,
}

impl Scripted {
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn next(&self, responses: impl IntoIterator<Item = Response>) {
        self.lock().script.extend(responses);
    }

    pub(crate) fn always(&self, response: impl Into<Option<Response>>) {
        self.lock().always = response.into();
    }

    /// Calls for these shards get no response from now on.
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

    pub(crate) fn max_in_flight(&self) -> usize {
        self.lock().max_in_flight
    }

    async fn respond(&self, shard: &str, call: Call) -> Result<bool, StoreError> {
        let response = {
            let mut state = self.lock();
            state.log.push((shard.to_owned(), call, Some(Instant::now())));
            state.in_flight += 1;
            state.max_in_flight = state.max_in_flight.max(state.in_flight);
            let always = state.always;
            state.script.pop_front().or(always)
        };
        let _call = InFlight(self);
        tokio::task::yield_now().await;
        if self.lock().silent.contains(shard) {
            std::future::pending::<()>().await;
        }
        if let Some(Response::Late(time) | Response::LateAndFails(time)) = response {
            sleep(time).await;
        }
        match response {
            Some(Response::Fails | Response::LateAndFails(_)) => Err("the store is down".into()),
            Some(Response::FailsAfterSaving) => Ok(false),
            Some(Response::Panics) => panic!("the store panics, as scripted"),
            Some(Response::Late(_)) | None => Ok(true),
        }
    }
}

/// A call in flight, which ends when it is dropped.
struct InFlight<'a>(&'a Scripted);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

fn confirm(is_confirmed: bool) -> Result<(), StoreError> {
    if is_confirmed { Ok(()) } else { Err("the store does not confirm it".into()) }
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
            let response =
                self.respond(save.shard_id(), Call::Save(save.checkpoint.clone())).await?;
            self.memory.save(save).await?;
            confirm(response)
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let response = self.respond(shard_id, Call::Forget).await?;
            self.memory.forget(stream, shard_id).await?;
            confirm(response)
        }
        .boxed()
    }
}
