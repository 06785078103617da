//! What all clones of a fake share, and the one path that every request takes.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::time::Instant;

use super::clock::Clock;
use super::log::Request;
use super::model::{Code, Millis, Refusal, Service};
use super::wire;

#[derive(Debug)]
pub(super) struct Server {
    pub(super) clock: Clock,
    pub(super) keeps_log: bool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) service: Service,
    pub(super) log: Vec<Request>,
}

/// An answer on the wire.
pub(super) struct Answer {
    pub(super) status: u16,
    /// The error code, for the header of that name.
    pub(super) error: Option<String>,
    pub(super) body: String,
}

impl Server {
    pub(super) fn new(clock: Clock, service: Service, keeps_log: bool) -> Self {
        Self { clock, keeps_log, state: Mutex::new(State { service, log: Vec::new() }) }
    }

    /// The state. A test that failed while it held the lock has not broken it: every change is made at once.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls the model outside of any request.
    pub(super) fn with<T>(&self, call: impl FnOnce(&mut Service, Millis) -> T) -> T {
        call(&mut self.state().service, self.clock.now())
    }

    pub(super) fn handle(&self, operation: &str, body: &[u8]) -> Answer {
        let at = Instant::now();
        let (body, well_formed) = match serde_json::from_slice(body) {
            Ok(body @ Value::Object(_)) => (body, true),
            _ => (Value::Null, false),
        };
        let mut state = self.state();
        let result = if well_formed {
            wire::answer(&mut state.service, operation, &body, self.clock.at(at))
        } else {
            Err(Refusal::new(Code::Serialization, "The body is no JSON object."))
        };
        let answer = Answer::from(result);
        if self.keeps_log {
            let (operation, error) = (operation.to_owned(), answer.error.clone());
            state.log.push(Request { operation, body: Arc::new(body), at, error });
        }
        answer
    }
}

impl From<Result<String, Refusal>> for Answer {
    fn from(result: Result<String, Refusal>) -> Self {
        match result {
            Ok(body) => Self { status: 200, error: None, body },
            Err(refusal) => Self::error(400, refusal.code.as_str(), &refusal.message),
        }
    }
}

impl Answer {
    pub(super) fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "__type": code, "message": message }).to_string();
        Self { status, error: Some(code.to_owned()), body }
    }
}
