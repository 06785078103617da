//! The response to `SubscribeToShard`: frames of `application/vnd.amazon.eventstream`, one by one
//! as the client polls the body.

use std::future::pending;
use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use bytes::Bytes;
use futures::Stream;
use futures::stream::{StreamExt, unfold};
use http_body::{Body, Frame};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{sleep, timeout_at};

use crate::testing::model::api_error::ApiError;
use crate::testing::model::subscription::{Next, Subscriber};
use crate::testing::model::time::Millis;
use crate::testing::server::{Server, State, Subscribed};
use crate::testing::wire::cbor::{self, Dialect};
use crate::testing::wire::consumers::event;
use crate::testing::wire::overrides::{
    FAULT_MESSAGE, FirstFrame, Interruption, ShardEnd, SubscriptionFault,
};
use crate::testing::wire::reply::Read;
use crate::testing::wire::{CBOR, JSON};

pub(crate) const CONTENT_TYPE: &str = "application/vnd.amazon.eventstream";

/// The source of the frames.
struct Frames {
    server: Arc<Server>,
    subscriber: Subscriber,
    is_cbor: bool,
    request: Option<u64>,
    /// The stream of the connection that carries the response, if their number is limited.
    _stream: Option<OwnedSemaphorePermit>,
    first: Option<FirstFrame>,
    interruption: Option<(u64, Interruption)>,
    end: ShardEnd,
    /// The number of events so far.
    events: u64,
    next: NextFrame,
}

/// The frame that comes next.
enum NextFrame {
    First,
    Event,
    /// The I/O error that follows a cut frame.
    Error,
    None,
}

/// Whether an event reaches the client.
#[derive(Clone, Copy)]
enum Delivery {
    Whole,
    Damaged,
}

/// What a subscription does next, with the payload of its event.
enum Step {
    Send(String),
    Wait(Millis),
    End,
}

impl Drop for Frames {
    fn drop(&mut self) {
        self.server.with(|service, _| service.unsubscribe(&self.subscriber));
    }
}

/// The body of a response: the frames of a subscription.
struct EventStream(Pin<Box<dyn Stream<Item = Result<Bytes, Error>> + Send + Sync>>);

impl Body for EventStream {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.0.as_mut().poll_next(cx).map_ok(Frame::data)
    }
}

/// Returns the body of the response to a `SubscribeToShard`. Dropping it ends the subscription.
pub(crate) fn body(
    server: Arc<Server>,
    Subscribed { subscriber, fault, is_cbor, request }: Subscribed,
    stream: Option<OwnedSemaphorePermit>,
) -> SdkBody {
    let mut frames = Frames {
        server,
        subscriber,
        is_cbor,
        request,
        _stream: stream,
        first: None,
        interruption: None,
        end: ShardEnd::Complete,
        events: 0,
        next: NextFrame::First,
    };
    match fault {
        Some(SubscriptionFault::First(first)) => frames.first = Some(first),
        Some(SubscriptionFault::After(events, what)) => frames.interruption = Some((events, what)),
        Some(SubscriptionFault::End(end)) => frames.end = end,
        None => {}
    }
    let stream = unfold(frames, |mut frames| async move {
        frames.next_frame().await.map(|frame| (frame, frames))
    });
    SdkBody::from_body_1_x(EventStream(Box::pin(stream.fuse())))
}

impl Frames {
    async fn next_frame(&mut self) -> Option<Result<Bytes, Error>> {
        if matches!(self.next, NextFrame::First) {
            self.next = NextFrame::Event;
            match self.first.take() {
                None => return Some(Ok(self.initial_response())),
                Some(FirstFrame::Never) => pending().await,
                Some(FirstFrame::Late(by)) => {
                    sleep(by).await;
                    return Some(Ok(self.initial_response()));
                }
                Some(FirstFrame::Exception(code)) => {
                    return Some(Ok(self.fail(&code, FAULT_MESSAGE)));
                }
                Some(FirstFrame::NoInitialResponse) => {}
            }
        }
        match self.next {
            NextFrame::First | NextFrame::Event => {}
            NextFrame::Error => {
                self.next = NextFrame::None;
                return Some(Err(io_error()));
            }
            NextFrame::None => return None,
        }
        let Some((_, interruption)) =
            self.interruption.take_if(|(events, _)| *events == self.events)
        else {
            return self.next_event(Delivery::Whole).await.map(Ok);
        };
        match interruption {
            Interruption::Silence => pending().await,
            Interruption::End => None,
            Interruption::Exception(code) => Some(Ok(self.fail(&code, FAULT_MESSAGE))),
            Interruption::UnknownEvent => Some(Ok(self.frame("event", "FakeKinesisEvent", "{}"))),
            Interruption::IoError => {
                self.next_event(Delivery::Damaged).await.map(|_| Err(io_error()))
            }
            Interruption::CutFrame => {
                let mut cut = self.next_event(Delivery::Damaged).await?;
                cut.truncate(cut.len() / 2);
                self.next = NextFrame::Error;
                Some(Ok(cut))
            }
            Interruption::BadChecksum => {
                let mut bad = self.next_event(Delivery::Damaged).await?.to_vec();
                // The checksum is the end of the frame.
                if let Some(last) = bad.last_mut() {
                    *last = !*last;
                }
                Some(Ok(bad.into()))
            }
        }
    }

    /// Waits for the frame of the next event or exception. Returns `None` at the end of the
    /// subscription.
    async fn next_event(&mut self, delivery: Delivery) -> Option<Bytes> {
        loop {
            match self.next_step(delivery) {
                Ok(Step::Send(payload)) => {
                    self.events += 1;
                    return Some(self.frame("event", "SubscribeToShardEvent", &payload));
                }
                Ok(Step::Wait(until)) => {
                    let until = self.server.clock.instant(until);
                    // The model decides again at this time or after a change.
                    let _ = timeout_at(until, self.subscriber.change.notified()).await;
                }
                Ok(Step::End) => return None,
                Err(ApiError { code, message }) => {
                    return Some(self.fail(code.as_str(), &message));
                }
            }
        }
    }

    /// Makes the next event, if it is due. An event that reaches the client counts in the log.
    fn next_step(&mut self, delivery: Delivery) -> Result<Step, ApiError> {
        let now = self.server.clock.now();
        let State { service, log, .. } = &mut *self.server.state();
        Ok(match service.next_event(&mut self.subscriber, now)? {
            Next::Event(next) => {
                if let (Delivery::Whole, Some(request)) = (delivery, self.request) {
                    log.add_event(request, Read::of(&next.batch));
                }
                Step::Send(event(next, self.end))
            }
            Next::Wait(until) => Step::Wait(until),
            Next::End => Step::End,
        })
    }

    /// Returns the frame of an exception, after which nothing follows.
    fn fail(&mut self, code: &str, message: &str) -> Bytes {
        self.next = NextFrame::None;
        let payload = serde_json::json!({ "message": message }).to_string();
        self.frame("exception", code, &payload)
    }

    fn initial_response(&self) -> Bytes {
        self.frame("event", "initial-response", "{}")
    }

    /// Returns the frame of a message: an event or an exception of this type.
    fn frame(&self, message_type: &'static str, name: &str, payload: &str) -> Bytes {
        let name_header = if message_type == "event" { ":event-type" } else { ":exception-type" };
        let text = |value: &str| HeaderValue::String(value.to_owned().into());
        let (content_type, payload) = if self.is_cbor {
            (CBOR, cbor::from_json(payload.as_bytes(), Dialect::Aws))
        } else {
            (JSON, payload.as_bytes().to_vec())
        };
        let message = Message::new(payload)
            .add_header(Header::new(":message-type", text(message_type)))
            .add_header(Header::new(name_header, text(name)))
            .add_header(Header::new(":content-type", text(content_type)));
        let mut frame = Vec::new();
        write_message_to(&message, &mut frame)
            .unwrap_or_else(|error| unreachable!("the headers are short: {error}"));
        frame.into()
    }
}

fn io_error() -> Error {
    Error::new(ErrorKind::ConnectionReset, FAULT_MESSAGE)
}
