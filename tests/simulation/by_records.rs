//! A reader of one shard that leaves the reading to the crate: `ShardHandle::batches`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::{Batch, Batches, ReadError, ReadEventKind, ReadOptions, ReaderEnd, ShardHandle};
use tokio::time::{sleep, sleep_until};

use crate::consumer::Consumer;
use crate::life::Id;
use crate::reader::{Held, Scripted, named};
use crate::script::{End, Stop, Visit};

/// A reader that tells the oracle when it is dropped before its end.
struct Reading {
    consumer: Arc<Consumer>,
    life: u32,
    id: Id,
    batches: Batches,
    /// The record that came last, by its number.
    last: Option<usize>,
}

impl Reading {
    /// False if it is over.
    fn take(&mut self, next: Option<Result<Batch, ReadError>>) -> bool {
        let mut oracle = self.consumer.oracle.lock().unwrap();
        let is_current = oracle.is_current(self.life);
        match next {
            Some(Ok(batch)) => {
                for record in batch {
                    let text = std::str::from_utf8(record.data()).unwrap_or_default();
                    let number = text.parse().unwrap_or(usize::MAX);
                    if self.last.replace(number).is_some_and(|last| last >= number) {
                        oracle.violate(format!("one reader of shard {} gave record {number} again", self.id));
                    }
                    oracle.deliver(self.id, number, record.sequence_number());
                }
                return true;
            }
            _ if !is_current => {}
            Some(Err(_)) => oracle.abandon(self.id),
            None => match self.batches.ended() {
                Some(ReaderEnd::EndOfShard { children }) => oracle.complete(self.id, true, &named(children)),
                Some(ReaderEnd::Expired) => oracle.expire(self.id),
                end => oracle.violate(format!("the reader of shard {} has ended: {end:?}", self.id)),
            },
        }
        false
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        let mut oracle = self.consumer.oracle.lock().unwrap();
        // Its last request may just have been sent.
        oracle.take_turn(self.id);
        if self.batches.ended().is_none() && oracle.is_current(self.life) {
            oracle.abandon(self.id);
        }
    }
}

pub(crate) async fn read(consumer: Arc<Consumer>, life: u32, id: Id, handle: ShardHandle, visit: Visit) {
    let held = Held::new(&consumer, life, id, handle);
    let draining = &consumer.draining;
    if visit.end == End::Hold {
        draining.begun().await;
    }
    // Readers of one shard that follow each other share its limits.
    let turn = consumer.oracle.lock().unwrap().take_turn(id);
    sleep_until(turn).await;
    let Some(handle) = held.into_handle() else { return };
    let oracle = Arc::clone(&consumer.oracle);
    let options = ReadOptions::new()
        .idle_interval(Duration::from_millis(visit.idle_ms))
        .max_records(u16::try_from(visit.limit).unwrap_or(1_000))
        .on_event(move |event| {
            if let ReadEventKind::Page { .. } | ReadEventKind::Retry { .. } = event.kind {
                oracle.lock().unwrap().take_turn(id);
            }
        });
    let batches = handle.batches(&consumer.client).with(options);
    let mut reading = Reading { consumer: Arc::clone(&consumer), life, id, batches, last: None };
    let mut reads = 0;
    loop {
        if let End::Stop(after, stop) = visit.end
            && reads >= after
            && !draining.has_begun()
        {
            if stop == Stop::Panic && consumer.setup.tasks {
                std::panic::panic_any(Scripted);
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
