//! A reader of one shard as a careful user would write it, which also follows its script.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::ChildShard;
use futures::future::select;
use kinesis_shards::ShardHandle;
use kinesis_shards::shard::StartPosition;
use tokio::time::{sleep, sleep_until};

use crate::consumer::Consumer;
use crate::id::{Id, Offered, number};
use crate::script::{End, STREAM, Stop, Visit};

/// The number of ends without children and with a lag that complete a closed shard. Fewer may be
/// damaged responses.
const MAX_UNCONFIRMED_ENDS: usize = 7;

/// A handle that reports its end to the oracle.
pub(crate) struct TrackedHandle {
    consumer: Arc<Consumer>,
    offered: Offered,
    handle: Option<ShardHandle>,
}

impl TrackedHandle {
    pub(crate) fn new(consumer: &Arc<Consumer>, offered: Offered, handle: ShardHandle) -> Self {
        Self { consumer: Arc::clone(consumer), offered, handle: Some(handle) }
    }

    pub(crate) fn into_handle(mut self) -> Option<ShardHandle> {
        self.handle.take()
    }

    fn complete(mut self, at_its_end: bool, children: Vec<ChildShard>) {
        let Some(handle) = self.handle.take() else { return };
        let named = named(&children, self.offered.id);
        self.consumer.oracle.lock().unwrap().complete(self.offered, at_its_end, &named);
        handle.complete_with(children);
    }

    fn abandon(mut self) {
        let Some(handle) = self.handle.take() else { return };
        self.consumer.oracle.lock().unwrap().abandon(self.offered);
        handle.abandon();
    }
}

impl Drop for TrackedHandle {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        self.consumer.oracle.lock().unwrap().drop_handle(self.offered);
        drop(handle);
    }
}

/// Returns the children of `parent` that `GetRecords` named, with their parents.
pub(crate) fn named(children: &[ChildShard], parent: Id) -> Vec<(Id, Vec<Id>)> {
    let of_this = |id: &str| Some(Id { index: number(id)?, ..parent });
    let children = children.iter().filter_map(|child| {
        let parents = child.parent_shards().iter().filter_map(|parent| of_this(parent)).collect();
        Some((of_this(child.shard_id())?, parents))
    });
    children.collect()
}

/// The payload of a panic that is part of the script.
pub(crate) struct ScriptedPanic;

pub(crate) async fn read(
    consumer: Arc<Consumer>,
    offered: Offered,
    handle: ShardHandle,
    visit: Visit,
) {
    let id = offered.id;
    let start = handle.start().clone();
    let held = TrackedHandle::new(&consumer, offered, handle);
    let draining = &consumer.draining;
    if visit.end == End::Hold {
        draining.begun().await;
    }
    let known = consumer.oracle.lock().unwrap().position(id);
    let mut position = match known {
        Some(known) if consumer.setup.remembers => known,
        _ => start,
    };
    let mut iterator = None;
    let mut reads = 0;
    let mut unconfirmed_ends = 0;
    loop {
        if let End::Stop(after, stop) = visit.end
            && reads >= after
            && !draining.has_begun()
        {
            return match stop {
                Stop::Panic if consumer.setup.tasks => std::panic::panic_any(ScriptedPanic),
                Stop::Panic | Stop::Drop => drop(held),
                Stop::Abandon => held.abandon(),
                Stop::Complete => held.complete(false, Vec::new()),
            };
        }
        let turn = consumer.oracle.lock().unwrap().reserve_request(id);
        sleep_until(turn).await;
        let Some(from) = iterator.take() else {
            match iterator_at(&consumer, id, &mut position).await {
                Ok(Some(made)) => iterator = Some(made),
                Ok(None) => sleep(Duration::from_secs(1)).await,
                Err(Gone) => return held.complete(true, Vec::new()),
            }
            continue;
        };
        let was_closed = !consumer.oracle.lock().unwrap().truth.is_open(id);
        let read =
            consumer.client.get_records().shard_iterator(&from).limit(visit.limit).send().await;
        let batch = match read {
            Ok(batch) => batch,
            Err(error) if error.code() == Some("ExpiredIteratorException") => continue,
            Err(_) if is_gone(&consumer, id) => return held.complete(true, Vec::new()),
            Err(_) => {
                iterator = Some(from);
                sleep(Duration::from_secs(1)).await;
                continue;
            }
        };
        reads += 1;
        let is_empty = batch.records.is_empty();
        for record in &batch.records {
            let text = std::str::from_utf8(record.data.as_ref()).unwrap_or_default();
            let number = text.parse().unwrap_or(usize::MAX);
            consumer.oracle.lock().unwrap().deliver(id, number, &record.sequence_number);
            position = StartPosition::After(record.sequence_number.clone());
            unconfirmed_ends = 0;
        }
        iterator = batch.next_shard_iterator;
        if iterator.is_none() {
            let children = batch.child_shards.unwrap_or_default();
            if !children.is_empty() || was_closed && batch.millis_behind_latest == Some(0) {
                return end(held, &visit, children).await;
            }
            unconfirmed_ends += usize::from(was_closed);
            if unconfirmed_ends > MAX_UNCONFIRMED_ENDS {
                return end(held, &visit, children).await;
            }
            // The response proves nothing.
            sleep(Duration::from_secs(1)).await;
            continue;
        }
        if is_empty {
            // While draining, nothing is written, and a closed shard ends soon.
            let idle_ms = match (draining.has_begun(), was_closed) {
                (true, true) => 1_000,
                (true, false) => 30_000,
                (false, _) => visit.idle_ms,
            };
            let idle = sleep(Duration::from_millis(idle_ms));
            if draining.has_begun() {
                idle.await;
            } else {
                select(pin!(idle), pin!(draining.begun())).await;
            }
        }
    }
}

async fn end(held: TrackedHandle, visit: &Visit, children: Vec<ChildShard>) {
    let End::Complete { with_children, linger_ms } = visit.end else {
        return held.complete(true, Vec::new());
    };
    if !held.consumer.draining.has_begun() {
        sleep(Duration::from_millis(linger_ms)).await;
    }
    held.complete(true, if with_children { children } else { Vec::new() });
}

/// The shard and its records have expired.
struct Gone;

fn is_gone(consumer: &Consumer, id: Id) -> bool {
    !consumer.oracle.lock().unwrap().truth.is_listed(id)
}

async fn iterator_at(
    consumer: &Consumer,
    id: Id,
    position: &mut StartPosition,
) -> Result<Option<String>, Gone> {
    if id.generation != consumer.oracle.lock().unwrap().truth.generation {
        // The shard of this name belongs to another stream.
        return Err(Gone);
    }
    let request = consumer
        .client
        .get_shard_iterator()
        .stream_name(STREAM)
        .shard_id(format!("shardId-{:012}", id.index))
        .shard_iterator_type(position.iterator_type())
        .set_starting_sequence_number(position.sequence_number().map(str::to_owned))
        .set_timestamp(position.timestamp());
    if *position == StartPosition::Latest {
        // A second iterator must not start later, whether this one is received or not.
        let now = consumer.kinesis.now();
        consumer.oracle.lock().unwrap().requested_latest(id, now);
        *position = StartPosition::Timestamp(DateTime::from(now));
    }
    match request.send().await {
        Ok(made) => Ok(made.shard_iterator),
        Err(_) if is_gone(consumer, id) => Err(Gone),
        Err(_) => Ok(None),
    }
}
