//! The crate's own readers: `ShardHandle::batches` of one shard, and `ShardStreamExt::batches` and
//! `records` of all shards.

use std::pin::pin;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::records::{Batch, Batches, EndReason, ReadEventKind};
use kinesis_shards::{ReadError, ReadOptions, Record, ShardHandle, ShardStreamExt};
use tokio::runtime::Handle;
use tokio::time::sleep;

use crate::consumer::{Consumer, Offers};
use crate::id::{Id, Offered, number};
use crate::oracle::Oracle;
use crate::reader::{ScriptedPanic, TrackedHandle, named};
use crate::script::{End, Reading as Setting, Stop, Visit};

/// Returns whether a reader may be at the end of its shard, and needs a list to confirm that.
fn claims_end(event: &ReadEventKind<'_>) -> bool {
    let ReadEventKind::Retry { error, .. } = event else { return false };
    error.code().is_none() && error.to_string().contains("the response")
}

fn options(consumer: &Consumer, visit: &Visit) -> ReadOptions {
    let options = ReadOptions::new()
        .idle_interval(Duration::from_millis(visit.idle_ms))
        .max_records(u16::try_from(visit.limit).unwrap_or(1_000));
    let options = match &*consumer.fan_out.lock().unwrap() {
        Some(fan_out) => options.fan_out(fan_out),
        None => options,
    };
    if consumer.setup.spawn { options.spawn_on(Handle::current()) } else { options }
}

fn deliver(oracle: &mut Oracle, id: Id, record: &Record) {
    let text = std::str::from_utf8(record.data()).unwrap_or_default();
    oracle.deliver_once(id, text.parse().unwrap_or(usize::MAX), record.sequence_number());
}

fn has_ended(oracle: &mut Oracle, offered: Offered, end: &EndReason) {
    let id = offered.id;
    match end {
        EndReason::EndOfShard { children } => oracle.complete(offered, true, &named(children, id)),
        EndReason::Expired => oracle.expire(offered),
        EndReason::Failed | EndReason::Dropped => oracle.abandon(offered),
        end => oracle.violate(format!("the reader of shard {id} ended: {end:?}")),
    }
}

/// A reader of one shard. It reports to the oracle when it is dropped before its end.
struct Reading {
    consumer: Arc<Consumer>,
    offered: Offered,
    batches: Batches,
}

impl Reading {
    /// Delivers an item. Returns whether the reader continues.
    fn take(&mut self, next: Option<Result<Batch, ReadError>>) -> bool {
        let mut oracle = self.consumer.oracle.lock().unwrap();
        if let Some(Ok(batch)) = next {
            batch.into_iter().for_each(|record| deliver(&mut oracle, self.offered.id, &record));
            return true;
        }
        if oracle.is_current(self.offered.life) {
            match self.batches.ended() {
                Some(end) => has_ended(&mut oracle, self.offered, end),
                None => oracle.violate(format!(
                    "the reader of shard {} yielded None before its end",
                    self.offered.id
                )),
            }
        }
        false
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut oracle = self.consumer.oracle.lock().unwrap_or_else(PoisonError::into_inner);
        let id = self.offered.id;
        if let Some(readers) = oracle.active_readers.get_mut(&id) {
            *readers -= 1;
        }
        let is_gone = id.generation != oracle.truth.generation;
        oracle.ended_with_stream +=
            u64::from(is_gone && self.batches.ended() == Some(&EndReason::Expired));
        if self.batches.ended().is_none() {
            oracle.abandon(self.offered);
        }
    }
}

pub(crate) async fn read(
    consumer: Arc<Consumer>,
    offered: Offered,
    handle: ShardHandle,
    visit: Visit,
) {
    let Offered { life, id, .. } = offered;
    let held = TrackedHandle::new(&consumer, offered, handle);
    let draining = &consumer.draining;
    if visit.end == End::Hold {
        draining.begun().await;
    }
    let Some(handle) = held.into_handle() else { return };
    consumer.oracle.lock().unwrap().open(id, handle.start(), consumer.kinesis.now());
    let oracle = Arc::clone(&consumer.oracle);
    let options = options(&consumer, &visit).on_event(move |event| {
        let mut oracle = oracle.lock().unwrap();
        if claims_end(&event.kind) && oracle.is_current(life) {
            oracle.life.requests.allow();
        }
    });
    let batches = handle.batches(&consumer.client).with_options(options);
    *consumer.oracle.lock().unwrap().active_readers.entry(id).or_default() += 1;
    let mut reading = Reading { consumer: Arc::clone(&consumer), offered, batches };
    let mut reads = 0;
    loop {
        if let End::Stop(after, stop) = visit.end
            && reads >= after
            && !draining.has_begun()
        {
            if stop == Stop::Panic && consumer.setup.tasks {
                std::panic::panic_any(ScriptedPanic);
            }
            return;
        }
        let next = reading.batches.next().await;
        if !reading.take(next) {
            return;
        }
        reads += 1;
        if let End::Complete { linger_ms, .. } = visit.end
            && !draining.has_begun()
        {
            // A slow consumer.
            sleep(Duration::from_millis(linger_ms / 2)).await;
        }
    }
}

/// Reads all shards until the life ends.
pub(crate) async fn read_all(consumer: Arc<Consumer>, life: u32, offers: Offers) {
    let setup = &consumer.setup;
    let visit = consumer.visits.first().unwrap_or(&Visit::FAITHFUL);
    let oracle = Arc::clone(&consumer.oracle);
    let options = options(&consumer, visit).on_event(move |event| {
        let mut oracle = oracle.lock().unwrap();
        if claims_end(&event.kind) && oracle.is_current(life) {
            oracle.life.requests.allow();
        }
        let ReadEventKind::Ended(end) = event.kind else { return };
        let offered = id_of(&oracle, event.shard_id).and_then(|id| oracle.life.latest_offer(id));
        if let Some(offered) = offered.filter(|_| oracle.is_current(life)) {
            has_ended(&mut oracle, offered, end);
        }
    });
    let take = |record: &Record| {
        let mut oracle = consumer.oracle.lock().unwrap();
        if let Some(id) = id_of(&oracle, record.shard_id()) {
            deliver(&mut oracle, id, record);
        }
    };
    let linger = || async {
        if !consumer.draining.has_begun() {
            sleep(Duration::from_millis(setup.consumer_ms)).await;
        }
    };
    // A reader that fails has reported its end by an event.
    if setup.reading == Setting::AllBatches {
        let batches = offers
            .batches(&consumer.client)
            .with_options(options)
            .max_concurrent_reads(setup.max_concurrent_reads);
        let mut batches = pin!(batches);
        while let Some(next) = batches.next().await {
            next.into_iter().flatten().for_each(|record| take(&record));
            linger().await;
        }
    } else {
        let records = offers.records(&consumer.client).with_options(options).max_run(setup.run);
        let records = records.max_concurrent_reads(setup.max_concurrent_reads);
        let mut records = pin!(records);
        while let Some(next) = records.next().await {
            next.iter().for_each(take);
            linger().await;
        }
    }
    consumer.oracle.lock().unwrap().violate("the stream of records ended");
}

/// Returns the shard of this id in the current stream: no stream is created again during such a
/// life.
fn id_of(oracle: &Oracle, shard_id: &str) -> Option<Id> {
    Some(Id { generation: oracle.truth.generation, index: number(shard_id)? })
}
