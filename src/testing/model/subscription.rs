//! `SubscribeToShard`: who is subscribed, and the events of a subscription.
//!
//! The model computes the next event when the reading end asks for it, and signals every change
//! that may bring one: a record, the end of the shard, or the end of the subscription.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::consumer::Subscription;
use crate::testing::model::consumers::ConsumerRef;
use crate::testing::model::reading::{
    IteratorStart, MAX_RECORDS, ReadBatch, ReadFaults, ReadRange, read_batch, start_offset,
};
use crate::testing::model::sequence::SequenceNumber;
use crate::testing::model::service::{Service, StreamRef, not_found};
use crate::testing::model::shard::shard_id;
use crate::testing::model::status::Status;
use crate::testing::model::time::Millis;

/// How long a subscription lasts.
pub(crate) const LIFETIME: Duration = Duration::from_mins(5);
/// How long a subscription rejects another one.
const PROTECTED: Duration = Duration::from_secs(5);
/// The time from a write to its event: AWS says typically 70 ms.
const DELIVERY: Duration = Duration::from_millis(70);
/// The time after which a subscription without news sends an empty event.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// The maximum number of bytes in one event, and within one second. An event with one record may
/// have more.
const MAX_EVENT_BYTES: usize = 2 << 20;

/// The reading end of a subscription, which the body of its response keeps.
#[derive(Debug)]
pub(crate) struct Subscriber {
    stream: String,
    stream_id: u64,
    consumer: String,
    consumer_id: u64,
    shard: u32,
    number: u64,
    since: Millis,
    /// Where the next event begins.
    offset: u64,
    /// When the last event was sent, or else when the subscription began.
    last_event: Millis,
    /// When the throughput allows the next records.
    next_records: Millis,
    /// Whether the end of the shard was sent.
    ended: bool,
    /// Signalled when the next event may be due before the time that
    /// [`next_event`](Service::next_event) returned.
    pub(crate) change: Arc<Notify>,
}

/// The next step of a subscription.
#[derive(Debug)]
pub(crate) enum Next<'a> {
    Event(SubscriptionEvent<'a>),
    /// Nothing is due before this time.
    Wait(Millis),
    /// The subscription is over.
    End,
}

#[derive(Debug)]
pub(crate) struct SubscriptionEvent<'a> {
    pub(crate) batch: ReadBatch<'a>,
    /// A position after everything sent so far, also at the end of a closed shard. It advances with
    /// the time if there is nothing to send.
    pub(crate) continuation: SequenceNumber,
}

impl Service {
    pub(crate) fn subscribe(
        &mut self,
        consumer_arn: &str,
        shard: &str,
        start: IteratorStart<'_>,
        now: Millis,
    ) -> Result<Subscriber, ApiError> {
        let consumer_ref = ConsumerRef { arn: Some(consumer_arn), ..ConsumerRef::default() };
        let (stream_name, consumer) = consumer_ref.resolve(self)?;
        self.live_stream(StreamRef::named(stream_name), now)?;
        let status = self.consumer_mut(consumer_ref, now)?.status(now);
        if status != Status::Active {
            let message = format!(
                "Consumer {consumer_arn} is not ACTIVE, instead in state {}.",
                status.as_str()
            );
            return Err(ApiError::new(Code::ResourceInUse, message));
        }
        let stream = &self.streams[stream_name];
        let shard = stream.shard(shard)?;
        let offset = start_offset(stream, shard, start, "SubscribeToShard", now)?;
        let (stream_id, shard) = (stream.id, shard.index);
        let consumer_id = stream.consumers[consumer].id;
        self.meters.admit_subscription(consumer_id, shard, now)?;
        let is_protected = self.meters.limits.subscriptions;
        let number = self.new_number();
        let in_use = in_use(&self.account, stream_name, shard, consumer);
        let subscriptions = &mut self.consumer_mut(consumer_ref, now)?.subscriptions;
        if let Some(other) = subscriptions.get(&shard)
            && is_protected
            && now.since(other.since) < PROTECTED
        {
            return Err(in_use);
        }
        let change = Arc::new(Notify::new());
        subscriptions
            .insert(shard, Subscription { number, since: now, change: Arc::clone(&change) });
        Ok(Subscriber {
            stream: stream_name.to_owned(),
            stream_id,
            consumer: consumer.to_owned(),
            consumer_id,
            shard,
            number,
            since: now,
            offset,
            last_event: now,
            next_records: now,
            ended: false,
            change,
        })
    }

    /// Ends a subscription, unless it has ended.
    pub(crate) fn unsubscribe(&mut self, subscriber: &Subscriber) {
        if let Some(stream) = self.streams.get_mut(&subscriber.stream)
            && let Some(consumer) = stream.consumers.get_mut(&subscriber.consumer)
            && consumer
                .subscriptions
                .get(&subscriber.shard)
                .is_some_and(|subscription| subscription.number == subscriber.number)
        {
            consumer.subscriptions.remove(&subscriber.shard);
        }
    }

    /// Returns the next event, which counts as sent.
    ///
    /// # Errors
    ///
    /// Returns the exception that ends the subscription.
    pub(crate) fn next_event(
        &mut self,
        subscriber: &mut Subscriber,
        now: Millis,
    ) -> Result<Next<'_>, ApiError> {
        if subscriber.ended {
            self.unsubscribe(subscriber);
            return Ok(Next::End);
        }
        self.check_subscriber(subscriber, now)?;
        let expiry = subscriber.since.plus(LIFETIME);
        if now >= expiry {
            subscriber.ended = true;
            self.unsubscribe(subscriber);
            return Ok(Next::End);
        }
        let stream = self.stream_mut(StreamRef::named(&subscriber.stream), now)?;
        let horizon = stream.retention_start(now);
        match stream.shards.get_mut(&subscriber.shard) {
            Some(shard) => shard.records.trim(horizon),
            None => return Err(stream.no_shard_at(subscriber.shard)),
        }
        let (end_rules, limits) = (self.end_rules, self.meters.limits);

        let shard = self.streams[&subscriber.stream].shard_at(subscriber.shard)?;
        let delivered = now.minus(DELIVERY);
        let first = subscriber.offset.max(shard.records.first());
        let records = || shard.records.from(first).take(MAX_RECORDS);
        let max_records = records().take_while(|record| record.arrived <= delivered).count();
        let at_end = shard.closed.is_some_and(|closed| closed <= delivered);
        let has_news = max_records > 0 || at_end;
        let heartbeat = subscriber.last_event.plus(HEARTBEAT);
        let is_due = has_news && now >= subscriber.next_records;
        if !is_due && now < heartbeat {
            let arrivals = records().next().map(|record| record.arrived);
            let news = arrivals.into_iter().chain(shard.closed).map(|time| time.plus(DELIVERY));
            let news = news.min().map(|news| news.max(subscriber.next_records));
            return Ok(Next::Wait(news.into_iter().fold(heartbeat.min(expiry), Millis::min)));
        }

        let faults = ReadFaults { no_records: !is_due, ..ReadFaults::default() };
        let range = ReadRange {
            offset: subscriber.offset,
            is_new: false,
            max_records,
            max_bytes: MAX_EVENT_BYTES,
        };
        let stream = &self.streams[&subscriber.stream];
        let batch = read_batch(stream, shard, range, end_rules, faults, now);
        subscriber.offset = first + batch.records.len() as u64;
        subscriber.last_event = now;
        subscriber.ended = batch.ended;
        if limits.read_bytes {
            let millis = batch.bytes() * 1000 / MAX_EVENT_BYTES;
            subscriber.next_records = now.plus(Duration::from_millis(millis as u64));
        }
        let second = if stream.time_in_numbers { now.0 / 1000 } else { shard.start.second };
        let continuation = SequenceNumber { place: subscriber.offset, second, ..shard.start };
        Ok(Next::Event(SubscriptionEvent { batch, continuation }))
    }

    /// Checks that the subscription is still there.
    fn check_subscriber(&mut self, subscriber: &Subscriber, now: Millis) -> Result<(), ApiError> {
        let account = self.account.clone();
        let stream = self.live_stream(StreamRef::named(&subscriber.stream), now)?;
        if stream.id != subscriber.stream_id {
            return Err(not_found(&subscriber.stream, &account));
        }
        let consumer = stream
            .consumers
            .get(&subscriber.consumer)
            .filter(|consumer| consumer.id == subscriber.consumer_id)
            .filter(|consumer| consumer.status(now) != Status::Deleting)
            .ok_or_else(|| {
                ApiError::not_found(format!(
                    "Consumer {} of stream {} under account {account} not found.",
                    subscriber.consumer, subscriber.stream
                ))
            })?;
        match consumer.subscriptions.get(&subscriber.shard) {
            Some(subscription) if subscription.number == subscriber.number => Ok(()),
            _ => Err(in_use(&account, &subscriber.stream, subscriber.shard, &subscriber.consumer)),
        }
    }
}

fn in_use(account: &str, stream: &str, shard: u32, consumer: &str) -> ApiError {
    let message = format!(
        "Another active subscription exists for this consumer: {account}:{stream}:{}:{consumer}",
        shard_id(shard)
    );
    ApiError::new(Code::ResourceInUse, message)
}
