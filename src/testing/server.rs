//! The state that all clones of a fake share, and the path of a request through it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::Value;
use tokio::time::Instant;

use crate::testing::cbor_support::CborSupport;
use crate::testing::clock::Clock;
use crate::testing::fault::{Damage, Effect};
use crate::testing::log::Log;
use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::service::Service;
use crate::testing::model::subscription::Subscriber;
use crate::testing::model::time::Millis;
use crate::testing::request::Request;
use crate::testing::script::Script;
use crate::testing::wire::cbor::{self, Dialect};
use crate::testing::wire::operations::respond;
use crate::testing::wire::overrides::{Override, SubscriptionFault};

#[derive(Debug)]
pub(crate) struct Server {
    /// Distinguishes the fakes of one process.
    number: u64,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    state: Mutex<State>,
}

/// The settings that do not change once the fake is built.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) keeps_log: bool,
    pub(crate) date_header: bool,
    pub(crate) date_ahead: Duration,
    pub(crate) latency: Duration,
    pub(crate) cbor: CborSupport,
    /// The maximum number of requests that a connection carries at a time.
    pub(crate) streams_per_connection: Option<usize>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) service: Service,
    pub(crate) log: Log,
    pub(crate) script: Script,
}

/// The number of fakes that this process has built.
static FAKES: AtomicU64 = AtomicU64::new(0);

/// The outcome of a request, as its client sees it.
pub(crate) enum Outcome {
    Response {
        response: Response,
        delay: Duration,
    },
    /// The response is the events of a subscription.
    Subscribed {
        subscription: Subscribed,
        delay: Duration,
    },
    NeverResponds,
    ConnectionRefused,
    NeverConnects,
    ConnectionReset,
}

/// An accepted `SubscribeToShard`.
pub(crate) struct Subscribed {
    pub(crate) subscriber: Subscriber,
    pub(crate) fault: Option<SubscriptionFault>,
    /// Whether the payloads of the events are in CBOR.
    pub(crate) is_cbor: bool,
    /// The number of the request in the log, if there is a log.
    pub(crate) request: Option<u64>,
}

/// A response on the wire.
pub(crate) struct Response {
    pub(crate) status: u16,
    /// The error code, for the header `x-amzn-errortype`.
    pub(crate) error: Option<String>,
    pub(crate) body: Vec<u8>,
    pub(crate) is_cbor: bool,
}

impl Server {
    pub(crate) fn new(clock: Clock, service: Service, settings: Settings) -> Self {
        let state = State { service, log: Log::default(), script: Script::default() };
        let number = FAKES.fetch_add(1, Ordering::Relaxed);
        Self { number, clock, settings, state: Mutex::new(state) }
    }

    /// Returns the header `Date` of a response that is sent now, if responses have one.
    pub(crate) fn date(&self) -> Option<String> {
        let ahead = i64::try_from(self.settings.date_ahead.as_secs()).ok()?;
        let seconds = i64::try_from(self.clock.now().0 / 1000).ok()?.saturating_add(ahead);
        let date = || DateTime::from_secs(seconds).fmt(Format::HttpDate).ok();
        self.settings.date_header.then(date).flatten()
    }

    pub(crate) fn retry_partition(&self) -> String {
        format!("FakeKinesis {}", self.number)
    }

    /// Locks the state. A poisoned lock is no reason to fail: a call that panics in a test has
    /// applied its change as a whole or not at all.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the model outside of any request.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Service, Millis) -> T) -> T {
        call(&mut self.state().service, self.clock.now())
    }

    /// Carries out a request, whose body `is_cbor` or JSON.
    pub(crate) fn handle(&self, operation: &str, body: &[u8], is_cbor: bool) -> Outcome {
        let at = Instant::now();
        let body = if is_cbor { cbor::to_json(body) } else { serde_json::from_slice(body).ok() };
        let (body, is_object) = match body {
            Some(body @ Value::Object(_)) => (body, true),
            _ => (Value::Null, false),
        };
        let mut request = Request::new(operation, body, is_cbor, at);
        if let Some(refusal) = Response::refusal(self.settings.cbor).filter(|_| is_cbor) {
            if self.settings.keeps_log {
                request.error.clone_from(&refusal.error);
                self.state().log.push(request, None);
            }
            return Outcome::Response { response: refusal, delay: Duration::ZERO };
        }
        // The hook runs without the lock, because it may call the fake.
        let hook = self.state().script.hook.clone();
        let hooked = hook.and_then(|hook| hook(&request));
        if let Some(fault) = &hooked {
            assert!(
                fault.applies_to(operation),
                "{fault:?}, which the hook returned, cannot apply to {operation}"
            );
        }

        let mut state = self.state();
        let now = self.clock.at(at);
        request.fault = state.script.next(operation, hooked);
        let effect = request.fault.as_ref().map(|fault| fault.effect(operation, now));
        let is_truncated = matches!(effect, Some(Effect::Damage(Damage::Truncated)));
        let (mut read, mut subscriber, mut subscription_fault) = (None, None, None);
        let mut carry_out = |mut overrides: Override| {
            subscription_fault = overrides.subscription.take();
            if !is_object {
                let error = ApiError::new(Code::Serialization, "The body is not a JSON object.");
                return Outcome::now(Err(error));
            }
            let reply = respond(&mut state.service, operation, request.body(), now, overrides);
            Outcome::now(reply.map(|reply| {
                (read, subscriber) = (reply.read, reply.subscriber);
                reply.body
            }))
        };
        let mut outcome = match effect {
            None => carry_out(Override::default()),
            Some(Effect::Override(overrides)) => carry_out(overrides),
            Some(Effect::Damage(damage)) => {
                let outcome = carry_out(Override::default()).damaged(damage);
                if !damage.is_only_delay() {
                    // The service does not notice: a subscription stays until the next one.
                    (read, subscriber) = (None, None);
                }
                outcome
            }
            Some(Effect::Respond(body)) => Outcome::now(Ok(body)),
            Some(Effect::Reject { status, code, message }) => Outcome::Response {
                response: Response::error(status, &code, message),
                delay: Duration::ZERO,
            },
            Some(Effect::NeverResponds) => Outcome::NeverResponds,
            Some(Effect::ConnectionRefused) => Outcome::ConnectionRefused,
            Some(Effect::NeverConnects) => Outcome::NeverConnects,
        };
        let dialect = self.settings.cbor.dialect().filter(|_| is_cbor);
        if let Some(dialect) = dialect {
            outcome.translate(dialect);
        }
        if let (Outcome::Response { response, .. }, true) = (&mut outcome, is_truncated) {
            response.truncate();
        }
        let mut number = None;
        if self.settings.keeps_log {
            if let Outcome::Response { response, .. } = &outcome {
                request.error.clone_from(&response.error);
            }
            number = Some(state.log.push(request, read));
        }
        match (outcome, subscriber) {
            (Outcome::Response { delay, .. }, Some(subscriber)) => {
                let (fault, is_cbor) = (subscription_fault, dialect.is_some());
                let subscription = Subscribed { subscriber, fault, is_cbor, request: number };
                Outcome::Subscribed { subscription, delay }
            }
            (outcome, _) => outcome,
        }
    }
}

impl Outcome {
    fn now(result: Result<String, ApiError>) -> Self {
        let response = match result {
            Ok(body) => Response::json(200, None, body),
            Err(api_error) => Response::error(400, api_error.code.as_str(), &api_error.message),
        };
        Self::Response { response, delay: Duration::ZERO }
    }

    fn damaged(self, damage: Damage) -> Self {
        let Self::Response { mut response, mut delay } = self else { return self };
        match damage {
            Damage::Lost => return Self::ConnectionReset,
            Damage::Late(by) => delay = by,
            Damage::Slow(rate) => {
                let millis = response.body.len() as u64 * 1_000 / u64::from(rate.max(1));
                delay = Duration::from_millis(millis);
            }
            // An error response keeps its error.
            _ if response.error.is_some() => {}
            // After the translation, see `handle`.
            Damage::Truncated => {}
            Damage::NotJson => response.body = PAGE.into(),
            Damage::WrongTypes => response.body = WRONG_TYPES.into(),
        }
        Self::Response { response, delay }
    }

    /// Translates the body of the response into CBOR.
    fn translate(&mut self, dialect: Dialect) {
        if let Self::Response { response, .. } = self {
            response.body = cbor::from_json(&response.body, dialect);
            response.is_cbor = true;
        }
    }
}

const PAGE: &str = "<html><body>It works!</body></html>";
/// The members of every response, each with a wrong type.
const WRONG_TYPES: &str = r#"{"Shards":"none","NextToken":[7],"Records":7,"NextShardIterator":{},
"ShardIterator":[],"ShardId":{},"SequenceNumber":[],"StreamNames":7,"StreamDescription":7,
"StreamDescriptionSummary":"none","CurrentShardCount":"four"}"#;

impl Response {
    fn json(status: u16, error: Option<String>, body: String) -> Self {
        Self { status, error, body: body.into_bytes(), is_cbor: false }
    }

    fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "__type": code, "message": message }).to_string();
        Self::json(status, Some(code.to_owned()), body)
    }

    /// Returns the response to each request in CBOR, if the server knows no CBOR.
    fn refusal(support: CborSupport) -> Option<Self> {
        match support {
            CborSupport::Supported | CborSupport::Kinesalite | CborSupport::JsonResponses => None,
            CborSupport::SerializationException => {
                let code = Code::Serialization.as_str();
                Some(Self::error(400, code, "The body is not a JSON object."))
            }
            CborSupport::UnsupportedMediaType => Some(Self::json(415, None, String::new())),
            CborSupport::InternalError => Some(Self::json(500, None, PAGE.to_owned())),
        }
    }

    /// Keeps the first half of the body. An error response keeps its error.
    fn truncate(&mut self) {
        if self.error.is_none() {
            self.body.truncate(self.body.len() / 2);
            if self.body.is_empty() {
                self.body.push(if self.is_cbor { 0xbf } else { b'{' });
            }
        }
    }
}
