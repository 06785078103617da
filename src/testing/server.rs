//! What all clones of a fake share, and the one path that every request takes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_smithy_types::DateTime;
use aws_smithy_types::date_time::Format;
use serde_json::Value;
use tokio::time::Instant;

use crate::testing::clock::Clock;
use crate::testing::fault::{Damage, Effect};
use crate::testing::log::Request;
use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::service::Service;
use crate::testing::model::time::Millis;
use crate::testing::script::Script;
use crate::testing::wire;
use crate::testing::wire::operations::{Override, Reply};

#[derive(Debug)]
pub(crate) struct Server {
    /// Tells this fake from every other of the process.
    number: u64,
    pub(crate) clock: Clock,
    pub(crate) settings: Settings,
    state: Mutex<State>,
}

/// What does not change once the fake is built.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) keeps_log: bool,
    pub(crate) date_header: bool,
    pub(crate) date_ahead: Duration,
    pub(crate) latency: Duration,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) service: Service,
    pub(crate) log: Vec<Request>,
    pub(crate) script: Script,
}

/// How many fakes there have been.
static FAKES: AtomicU64 = AtomicU64::new(0);

/// What becomes of a request.
pub(crate) enum Outcome {
    Answer { answer: Answer, after: Duration },
    Silence,
    Unreachable,
    NoConnection,
    Lost,
}

/// An answer on the wire.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The error code, for the header of that name.
    pub(crate) error: Option<String>,
    pub(crate) body: String,
}

impl Server {
    pub(crate) fn new(clock: Clock, service: Service, settings: Settings) -> Self {
        let state = State { service, log: Vec::new(), script: Script::default() };
        let number = FAKES.fetch_add(1, Ordering::Relaxed);
        Self { number, clock, settings, state: Mutex::new(state) }
    }

    /// The header `Date` of an answer that is given now, if answers have one.
    pub(crate) fn date(&self) -> Option<String> {
        let ahead = i64::try_from(self.settings.date_ahead.as_secs()).ok()?;
        let seconds = i64::try_from(self.clock.now().0 / 1000).ok()?.saturating_add(ahead);
        let date = || DateTime::from_secs(seconds).fmt(Format::HttpDate).ok();
        self.settings.date_header.then(date).flatten()
    }

    pub(crate) fn retry_partition(&self) -> String {
        format!("FakeKinesis {}", self.number)
    }

    /// The state. A test that failed while it held the lock has not broken it: every change is made
    /// at once.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the model outside of any request.
    pub(crate) fn with<T>(&self, call: impl FnOnce(&mut Service, Millis) -> T) -> T {
        call(&mut self.state().service, self.clock.now())
    }

    pub(crate) fn handle(&self, operation: &str, body: &[u8]) -> Outcome {
        let at = Instant::now();
        let (body, well_formed) = match serde_json::from_slice(body) {
            Ok(body @ Value::Object(_)) => (body, true),
            _ => (Value::Null, false),
        };
        let mut request = Request::new(operation, body, at);
        // Called while the state is free, for it may call the fake.
        let hook = self.state().script.hook();
        let hooked = hook.and_then(|hook| hook(&request));
        if let Some(fault) = &hooked {
            assert!(fault.applies_to(operation), "the hook's {fault:?} cannot befall {operation}");
        }

        let mut state = self.state();
        let now = self.clock.at(at);
        request.fault = state.script.next(operation, hooked);
        let mut carry_out = |twist| {
            if well_formed {
                wire::operations::answer(&mut state.service, operation, request.body(), now, twist)
            } else {
                Err(ApiError::new(Code::Serialization, "The body is no JSON object."))
            }
        };
        let mut read = None;
        let mut done = |result: Result<Reply, ApiError>| {
            Outcome::now(result.map(|reply| {
                read = reply.read;
                reply.body
            }))
        };
        let outcome = match request.fault.as_ref().map(|fault| fault.effect(operation, now)) {
            None => done(carry_out(Override::default())),
            Some(Effect::Override(twist)) => done(carry_out(twist)),
            Some(Effect::Damage(damage @ (Damage::Late(_) | Damage::Slow(_)))) => {
                done(carry_out(Override::default())).damaged(damage)
            }
            Some(Effect::Damage(damage)) => {
                Outcome::now(carry_out(Override::default()).map(|reply| reply.body)).damaged(damage)
            }
            Some(Effect::Answer(body)) => Outcome::now(Ok(body)),
            Some(Effect::Refuse { status, code, message }) => Outcome::Answer {
                answer: Answer::error(status, &code, message),
                after: Duration::ZERO,
            },
            Some(Effect::Silence) => Outcome::Silence,
            Some(Effect::Unreachable) => Outcome::Unreachable,
            Some(Effect::NoConnection) => Outcome::NoConnection,
        };
        if self.settings.keeps_log {
            request.read = read;
            if let Outcome::Answer { answer, .. } = &outcome {
                request.error.clone_from(&answer.error);
            }
            state.log.push(request);
        }
        outcome
    }
}

impl Outcome {
    fn now(result: Result<String, ApiError>) -> Self {
        let answer = match result {
            Ok(body) => Answer { status: 200, error: None, body },
            Err(api_error) => Answer::error(400, api_error.code.as_str(), &api_error.message),
        };
        Self::Answer { answer, after: Duration::ZERO }
    }

    fn damaged(self, damage: Damage) -> Self {
        let Self::Answer { mut answer, mut after } = self else { return self };
        match damage {
            Damage::Lost => return Self::Lost,
            Damage::Late(by) => after = by,
            Damage::Slow(rate) => {
                let millis = answer.body.len() as u64 * 1_000 / u64::from(rate.max(1));
                after = Duration::from_millis(millis);
            }
            // What was refused all the same keeps its error.
            _ if answer.error.is_some() => {}
            Damage::Truncated => {
                answer.body =
                    String::from_utf8_lossy(&answer.body.as_bytes()[..answer.body.len() / 2])
                        .into_owned();
                if answer.body.is_empty() {
                    answer.body.push('{');
                }
            }
            Damage::NotJson => "<html><body>It works!</body></html>".clone_into(&mut answer.body),
            Damage::WrongTypes => WRONG_TYPES.clone_into(&mut answer.body),
        }
        Self::Answer { answer, after }
    }
}

/// The members of every answer, with types they do not have.
const WRONG_TYPES: &str = r#"{"Shards":"none","NextToken":[7],"Records":7,"NextShardIterator":{},"ShardIterator":[],
"ShardId":{},"SequenceNumber":[],"StreamNames":7,"StreamDescription":7,"StreamDescriptionSummary":"none",
"CurrentShardCount":"four"}"#;

impl Answer {
    fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "__type": code, "message": message }).to_string();
        Self { status, error: Some(code.to_owned()), body }
    }
}
