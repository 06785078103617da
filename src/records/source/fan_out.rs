//! Reads a shard by enhanced fan-out: Kinesis pushes events over a subscription.
//!
//! A subscription lasts up to 5 minutes. The next one continues after the last event. Where a
//! subscription leaves something open, the shard is polled until that is known: whether an end
//! without children is one, whether the shard or the consumer does not exist, and which start
//! Kinesis accepts.

use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use aws_sdk_kinesis::config::Config;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::error::BuildError;
use aws_sdk_kinesis::primitives::event_stream::EventReceiver;
use aws_sdk_kinesis::types::error::SubscribeToShardEventStreamError;
use aws_sdk_kinesis::types::{
    StartingPosition, SubscribeToShardEvent, SubscribeToShardEventStream,
};
use futures::future::{BoxFuture, FutureExt};
use tokio::time::{Duration, Instant, sleep_until};

use crate::records::error::ReadError;
use crate::records::event::ReadEventKind;
use crate::records::fan_out::FanOut;
use crate::records::source::continuity::{Continuity, Finding, Tip};
use crate::records::source::polling::Polling;
use crate::records::source::reader_context::ReaderContext;
use crate::records::source::{Page, Source, Stop};
use crate::records::subscription_error::SubscriptionError;
use crate::shard::position::StartPosition;
use crate::util::abort_on_drop::AbortOnDrop;
use crate::util::backoff::backoff;
use crate::util::clock::now;
use crate::util::metrics::{OpenSubscription, SubscriptionEnd};
use crate::util::received_record::ReceivedRecord;
use crate::util::request_timeout::{polled_ticks, request_timeout};
use crate::util::runtime::LastRuntime;

/// The time without an event after which a subscription is dead, as a number of ticks. AWS sends
/// an empty event every few seconds to an idle shard, so no tick ends there. The SDK has no timeout
/// for silence.
const MAX_SILENT_TICKS: u32 = 5;
const SILENT_TICK: Duration = Duration::from_secs(8);
/// The time after the start of a subscription during which AWS refuses another one of the consumer
/// for the same shard.
const SUBSCRIPTION_INTERVAL: Duration = Duration::from_secs(5);
/// AWS allows one request a second for each consumer and shard.
const MIN_RETRY_DELAY: Duration = Duration::from_secs(1);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);
/// The longest delay after another subscriber has taken over. Two subscribers that take over from
/// each other would read little.
const MAX_TAKEOVER_DELAY: Duration = Duration::from_mins(1);

/// The time after which an idle shard is polled once. kinesis-local never ends the subscription to
/// a closed shard, and consumers of AWS have hung at the end of a shard.
const MAX_UNCHECKED: Duration = Duration::from_mins(5);

/// The pages without new records that a reader polls before it subscribes again, if the shard may
/// have ended. The first may repeat the last record, and some servers send an empty page before the
/// end.
const MAX_PAGES_BEFORE_END: u32 = 3;

type Receiver = EventReceiver<SubscribeToShardEventStream, SubscribeToShardEventStreamError>;

/// The events of a subscription, which is open until they are dropped.
struct Events {
    receiver: Receiver,
    open: OpenSubscription,
}

/// The source to which Kinesis pushes pages.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Subscription {
    consumer: Arc<FanOut>,
    context: Arc<ReaderContext>,
    /// The position after the last event, which is never `LATEST`.
    position: StartPosition,
    /// The position at which the last subscription was requested.
    requested: StartPosition,
    continuity: Continuity,
    /// Whether the next subscription starts at the last record, to check that the shard still has
    /// it: the server may have restarted.
    checks_last_record: bool,
    /// The reader that polls where a subscription leaves something open.
    polling: Polling,
    mode: Mode,
    /// The pages without new records that are polled before the next subscription.
    pages_left: u32,
    /// Whether a poll found the shard since the last event.
    was_found: bool,
    events: Option<Events>,
    subscribed_at: Option<Instant>,
    /// Whether the subscription has had an event.
    has_event: bool,
    /// The time of the last record or poll.
    checked_at: Instant,
    /// The earliest time of the next request. `None` means at once.
    next: Option<Instant>,
    failures: u32,
    takeovers: u32,
    /// Whether another subscriber has taken over, which was not reported yet.
    was_taken_over: bool,
    /// The next event, with the request for a subscription before it if there is none.
    in_flight: Option<BoxFuture<'static, Received>>,
    /// An event that is not taken yet.
    completed: Option<Received>,
    earlier_start: Option<StartPosition>,
    runtime: LastRuntime,
}

/// The origin of the next page.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// The events of a subscription.
    Events,
    /// Polls, until a page shows that the shard continues.
    Polls,
}

/// What was received from a subscription.
struct Received {
    /// The subscription, unless it has ended.
    events: Option<Events>,
    /// The time at which the subscription began, if it is new.
    subscribed_at: Option<Instant>,
    /// The event. `None` means that the subscription has ended.
    result: Result<Option<SubscribeToShardEvent>, SubscriptionError>,
    at: SystemTime,
}

/// The request for a subscription and for its next event.
struct Receive {
    consumer: Arc<FanOut>,
    context: Arc<ReaderContext>,
    subscription: Result<Events, Start>,
}

/// Where and when a subscription starts.
struct Start {
    from: StartPosition,
    not_before: Option<Instant>,
}

impl Subscription {
    /// Creates a source that reads from where `polling` would begin.
    pub(crate) fn new(consumer: FanOut, mut polling: Polling) -> Self {
        let context = Arc::clone(&polling.context);
        let position = context.latest_anchor.replace_latest(polling.position());
        Self {
            consumer: Arc::new(consumer),
            context,
            requested: position.clone(),
            continuity: std::mem::take(&mut polling.continuity),
            position,
            checks_last_record: false,
            polling,
            mode: Mode::Events,
            pages_left: 0,
            was_found: false,
            events: None,
            subscribed_at: None,
            has_event: false,
            checked_at: Instant::now(),
            next: None,
            failures: 0,
            takeovers: 0,
            was_taken_over: false,
            in_flight: None,
            completed: None,
            earlier_start: None,
            runtime: LastRuntime::default(),
        }
    }

    /// Returns the position of the next subscription.
    fn next_position(&self) -> StartPosition {
        match self.continuity.position() {
            // A search for the last record begins again.
            Some(StartPosition::TrimHorizon) => StartPosition::TrimHorizon,
            Some(last) if self.checks_last_record => last,
            _ => self.position.clone(),
        }
    }

    /// Begins to receive the next event, in this task or in a new one.
    fn begin(&mut self) -> BoxFuture<'static, Received> {
        let subscription = self.events.take().ok_or_else(|| {
            self.requested = self.next_position();
            Start { from: self.requested.clone(), not_before: self.next }
        });
        let (consumer, context) = (Arc::clone(&self.consumer), Arc::clone(&self.context));
        let receive = Receive { consumer, context, subscription };
        match &self.context.options.runtime {
            None => receive.run().boxed(),
            Some(runtime) => AbortOnDrop::spawn(runtime, receive.run()).boxed(),
        }
    }

    fn poll_received(&mut self, cx: &mut Context<'_>) -> Poll<Received> {
        if let Some(received) = self.completed.take() {
            return Poll::Ready(received);
        }
        if self.runtime.has_changed() && self.context.options.runtime.is_none() {
            // The timers and the connection belong to the former runtime.
            self.drop_subscription();
        }
        // A future that panics is dropped, and the next poll begins another.
        let mut receive = self.in_flight.take().unwrap_or_else(|| self.begin());
        let received = receive.as_mut().poll(cx);
        if received.is_pending() {
            self.in_flight = Some(receive);
        }
        received
    }

    /// Drops the subscription. The next one begins no earlier than AWS allows.
    fn drop_subscription(&mut self) {
        self.in_flight = None;
        self.events = None;
        let allowed = self.subscribed_at.take().map(|begun| begun + SUBSCRIPTION_INTERVAL);
        self.next = self.next.max(allowed);
    }

    /// Returns the page of an event, or `None` if there is none yet.
    fn handle_event(
        &mut self,
        event: SubscribeToShardEvent,
        received_at: SystemTime,
    ) -> Result<Option<Page>, Stop> {
        let SubscribeToShardEvent {
            records,
            continuation_sequence_number: continuation,
            millis_behind_latest,
            child_shards,
            ..
        } = event;
        self.has_event = true;
        self.was_found = false;
        self.failures = 0;
        let lag = Duration::from_millis(u64::try_from(millis_behind_latest).unwrap_or(0));
        // AWS tells the end by both. ministack keeps a continuation there.
        let children = child_shards.unwrap_or_default();
        let is_unconfirmed = continuation.is_empty() && children.is_empty();
        let mut records: Vec<_> = records.into_iter().map(ReceivedRecord::Sdk).collect();
        let bytes = self.context.options.count_bytes(&records);
        let received = records.len();
        let tip = match &children[..] {
            [_, ..] => Tip::End,
            [] if !lag.is_zero() => Tip::Ahead,
            [] => Tip::Reached,
        };
        if !is_unconfirmed || received > 0 {
            match self.continuity.examine(&mut records, tip) {
                Finding::Continues => {}
                Finding::Missing => {
                    self.drop_subscription();
                    return Ok(None);
                }
                Finding::Replaced => return Err(Stop::Replaced),
            }
        }
        if !continuation.is_empty() {
            self.position = StartPosition::After(continuation);
        } else if let Some(last) = records.last() {
            self.position = StartPosition::After(last.sequence_number().to_owned());
        }
        self.emit(ReadEventKind::Page { records: received, bytes, lag: Some(lag) });
        if received > 0 {
            self.checked_at = Instant::now();
        }
        let is_closed = is_unconfirmed || self.context.offer.is_known_to_be_closed();
        let may_have_ended = received == 0
            && lag.is_zero()
            && (is_closed || self.checked_at.elapsed() >= MAX_UNCHECKED);
        let end = (!children.is_empty()).then_some(children);
        let may_end_run = received == 0 && self.may_have_reached_run_end(lag, received_at);
        if is_unconfirmed || (end.is_none() && (may_have_ended || may_end_run)) {
            self.drop_subscription();
            // The first page repeats the last record, if any. If the event may have reached the end
            // of the run, the shard is polled to its tip.
            let has_last_record = self.continuity.position().is_some();
            let pages = if may_end_run {
                u32::MAX
            } else if is_closed {
                MAX_PAGES_BEFORE_END
            } else {
                1 + u32::from(has_last_record)
            };
            self.begin_polling(pages);
            if records.is_empty() {
                return Ok(None);
            }
        } else if end.is_none() {
            self.read_ahead();
        } else if let Some(events) = &mut self.events {
            events.open.ends_by(SubscriptionEnd::ShardEnd);
        }
        Ok(Some(Page { records, lag: Some(lag), received_at, end, is_at_run_end: false }))
    }

    /// Returns whether an event without records may have reached the end of the run. The event may
    /// have waited in a buffer, so a poll decides.
    fn may_have_reached_run_end(&self, lag: Duration, received_at: SystemTime) -> bool {
        let offer = &self.context.offer;
        let run_end = offer.context.run_end();
        run_end.is_some_and(|end| end.is_reached(Some(lag), offer.to_server_time(received_at)))
    }

    /// Begins to receive the next event in a task, if the reader has a runtime.
    fn read_ahead(&mut self) {
        if self.context.options.runtime.is_some() {
            self.in_flight = Some(self.begin());
        }
    }

    /// Polls the shard from here on, until its end, new records, or this many pages without any.
    fn begin_polling(&mut self, pages: u32) {
        self.mode = Mode::Polls;
        self.pages_left = pages;
        let continuity = std::mem::take(&mut self.continuity);
        self.polling = self.polling.restarted(self.position.clone(), continuity);
    }

    /// Subscribes again, since the shard continues.
    fn end_polling(&mut self, records: &[ReceivedRecord]) {
        self.mode = Mode::Events;
        self.was_found = true;
        self.checked_at = Instant::now();
        if let Some(last) = records.last() {
            self.position = StartPosition::After(last.sequence_number().to_owned());
        } else if self.polling.continuity.position().is_none() {
            self.position = self.polling.position();
        }
        self.continuity = std::mem::take(&mut self.polling.continuity);
        self.earlier_start = self.polling.take_earlier_start().or(self.earlier_start.take());
        // Its iterator would expire.
        self.polling = self.polling.restarted(self.position.clone(), Continuity::default());
    }

    /// Schedules another subscription, or returns why none would succeed.
    fn handle_failure(&mut self, error: SubscriptionError) -> Result<(), Stop> {
        let error = ReadError::subscription(self.context.stream(), self.shard_id(), error);
        let lasted = self.subscribed_at.map(|begun| begun.elapsed()).unwrap_or_default();
        self.drop_subscription();
        self.checks_last_record |= error.is_network_failure();
        self.failures = self.failures.saturating_add(1);
        let is_not_found = error.is_not_found();
        if is_not_found && self.was_found {
            // The shard exists, so the consumer does not.
            return Err(Stop::Failed(error));
        }
        if is_not_found || error.code() == Some("InvalidArgumentException") {
            // The shard is polled at once, and the next subscription may follow that.
            self.next = self.next.max(Some(Instant::now() + MIN_RETRY_DELAY));
            self.retry_in(&error, Duration::ZERO);
            self.begin_polling(1);
            return Ok(());
        }
        if !error.is_retryable() {
            return Err(Stop::Failed(error));
        }
        let mut wait = if error.is_taken_over() {
            self.was_taken_over = true;
            self.takeovers = if lasted > MAX_TAKEOVER_DELAY { 0 } else { self.takeovers + 1 };
            let again = self.takeovers.saturating_sub(1);
            SUBSCRIPTION_INTERVAL + backoff(MIN_RETRY_DELAY, MAX_TAKEOVER_DELAY, again)
        } else {
            MIN_RETRY_DELAY + backoff(MIN_RETRY_DELAY, MAX_RETRY_DELAY, self.failures - 1)
        };
        let now = Instant::now();
        if let Some(allowed) = self.next {
            wait = wait.max(allowed.saturating_duration_since(now));
        }
        self.next = Some(now + wait);
        self.retry_in(&error, wait);
        Ok(())
    }

    fn retry_in(&self, error: &ReadError, wait: Duration) {
        let (stream, shard) = (self.context.stream().name(), self.shard_id());
        let (failures, consumer) = (self.failures, self.consumer.arn());
        tracing::warn!(
            stream, shard, consumer, %error, failures, ?wait, "subscription failed; retrying"
        );
        self.emit(ReadEventKind::Retry { error, failures, wait });
    }

    fn shard_id(&self) -> &str {
        self.context.shard_id()
    }

    fn emit(&self, kind: ReadEventKind<'_>) {
        self.context.options.emit(&self.context.offer.context, self.shard_id(), kind);
    }
}

impl Source for Subscription {
    fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page, Stop>> {
        loop {
            if self.mode == Mode::Polls {
                let page = ready!(self.polling.poll_page(cx))?;
                self.pages_left = self.pages_left.saturating_sub(1);
                let continues = !page.records.is_empty() || self.pages_left == 0;
                if page.end.is_none() && continues {
                    self.end_polling(&page.records);
                }
                return Poll::Ready(Ok(page));
            }
            let received = ready!(self.poll_received(cx));
            self.events = received.events;
            if received.subscribed_at.is_some() {
                self.subscribed_at = received.subscribed_at;
                self.has_event = false;
                self.checks_last_record = false;
                self.continuity.expect(&self.requested);
            }
            match received.result {
                Ok(Some(event)) => {
                    if let Some(page) = self.handle_event(event, received.at)? {
                        return Poll::Ready(Ok(page));
                    }
                }
                Ok(None) if self.has_event => self.drop_subscription(),
                Ok(None) => {
                    let reason = "the subscription ended without an event".to_owned();
                    self.handle_failure(SubscriptionError::no_event(reason))?;
                }
                Err(error) => self.handle_failure(error)?,
            }
        }
    }

    fn poll_in_flight(&mut self, cx: &mut Context<'_>) {
        if self.mode == Mode::Polls {
            self.polling.poll_in_flight(cx);
        } else if self.in_flight.is_some()
            && let Poll::Ready(received) = self.poll_received(cx)
        {
            self.completed = Some(received);
        }
    }

    fn yield_shard(&mut self, cx: &mut Context<'_>) {
        self.poll_in_flight(cx);
        if self.mode == Mode::Events {
            // An event that was received is kept, without its subscription.
            if let Some(received) = &mut self.completed {
                received.events = None;
                self.subscribed_at = received.subscribed_at.or(self.subscribed_at);
            }
            self.drop_subscription();
        }
    }

    fn take_earlier_start(&mut self) -> Option<StartPosition> {
        self.earlier_start.take()
    }

    fn take_takeover(&mut self) -> bool {
        std::mem::take(&mut self.was_taken_over)
    }
}

impl Receive {
    /// Waits for the end of the pause, subscribes if there is no subscription, and waits for an
    /// event.
    async fn run(self) -> Received {
        let Self { consumer, context, subscription } = self;
        let mut subscribed_at = None;
        let events = match subscription {
            Ok(events) => Ok(events),
            Err(Start { from, not_before }) => {
                if let Some(not_before) = not_before {
                    sleep_until(not_before).await;
                }
                // Boxed, so that the future that waits for an event is small.
                let events = subscribe(&consumer, &context, &from).boxed().await;
                subscribed_at = events.is_ok().then(Instant::now);
                events
            }
        };
        let (events, result) = match events {
            Ok(mut events) => {
                let result = next_event(&mut events).await;
                // After any error the SDK (1.130) returns the next event, and would skip one.
                let is_open = matches!(result, Ok(Some(_)));
                match &result {
                    Ok(Some(_)) => {}
                    Ok(None) => events.open.ends_by(SubscriptionEnd::Ended),
                    Err(error) => events.open.ends_by(error.end()),
                }
                (is_open.then_some(events), result)
            }
            Err(error) => (None, Err(error)),
        };
        Received { events, subscribed_at, result, at: now(&context.client) }
    }
}

async fn subscribe(
    consumer: &FanOut,
    context: &ReaderContext,
    from: &StartPosition,
) -> Result<Events, SubscriptionError> {
    let from = starting_position(from).map_err(|error| {
        SubscriptionError::no_event(format!("the start is incomplete: {error}"))
    })?;
    let client = consumer.client().unwrap_or(&context.client);
    let request = client
        .subscribe_to_shard()
        .consumer_arn(consumer.arn())
        .shard_id(context.shard_id())
        .starting_position(from);
    let once = Config::builder().retry_config(RetryConfig::disabled());
    // The SDK waits for the first frame here. Its own timeouts do not count that time.
    let request = request_timeout(request.customize().config_override(once).send());
    let figures = context.offer.context.figures();
    match figures.observe("SubscribeToShard", request).await {
        Ok(Ok(output)) => Ok(Events { receiver: output.event_stream, open: figures.subscribed() }),
        Ok(Err(error)) => Err(SubscriptionError::request(error)),
        Err(no_response) => Err(SubscriptionError::no_event(no_response.to_string())),
    }
}

/// Waits for the next event, and skips events of a kind that is not known.
async fn next_event(
    events: &mut Events,
) -> Result<Option<SubscribeToShardEvent>, SubscriptionError> {
    loop {
        match polled_ticks(MAX_SILENT_TICKS, SILENT_TICK, events.receiver.recv()).await {
            Ok(Ok(Some(SubscribeToShardEventStream::SubscribeToShardEvent(event)))) => {
                return Ok(Some(event));
            }
            Ok(Ok(Some(_))) => {}
            Ok(Ok(None)) => return Ok(None),
            Ok(Err(error)) => return Err(SubscriptionError::event(error)),
            Err(_) => {
                let reason = format!("no event within {:?}", MAX_SILENT_TICKS * SILENT_TICK);
                return Err(SubscriptionError::no_event(reason));
            }
        }
    }
}

fn starting_position(from: &StartPosition) -> Result<StartingPosition, BuildError> {
    StartingPosition::builder()
        .r#type(from.iterator_type())
        .set_sequence_number(from.sequence_number().map(str::to_owned))
        .set_timestamp(from.timestamp())
        .build()
}
