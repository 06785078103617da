//! The requests to one service, by operation and outcome.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use metrics::{Key, SharedString};
use pin_project::pin_project;
use tokio::time::{Duration, Instant};

use crate::util::metrics::series::{Labels, add, record};
use crate::util::request_timeout::NoResponse;

pub(crate) const OK: &str = "ok";
/// The outcome of a request that failed without a code of AWS.
pub(crate) const FAILURE: &str = "failure";
const TIMEOUT: &str = "timeout";

/// The requests of one owner to one service.
#[derive(Debug)]
pub(crate) struct Requests {
    labels: Labels,
    count: &'static str,
    duration: &'static str,
    frequent: Vec<Operation>,
}

/// The figures of one operation.
#[derive(Debug)]
struct Operation {
    name: &'static str,
    succeeded: Key,
    duration: Key,
}

impl Requests {
    /// Creates the figures with these names. The keys of the `frequent` operations are made now,
    /// and those of others each time.
    pub(crate) fn new(
        labels: Labels,
        [count, duration]: [&'static str; 2],
        frequent: &[&'static str],
    ) -> Self {
        let requests = Self { labels, count, duration, frequent: Vec::new() };
        let frequent = frequent.iter().map(|name| requests.operation(name)).collect();
        Self { frequent, ..requests }
    }

    fn operation(&self, name: &'static str) -> Operation {
        let operation = [("operation", SharedString::const_str(name))];
        Operation {
            name,
            succeeded: self.counter(name, SharedString::const_str(OK)),
            duration: self.labels.key_with(self.duration, operation),
        }
    }

    fn counter(&self, operation: &'static str, outcome: SharedString) -> Key {
        let labels = [("operation", SharedString::const_str(operation)), ("outcome", outcome)];
        self.labels.key_with(self.count, labels)
    }

    /// Waits for the response to a request, and records the outcome and the duration.
    pub(crate) fn observe<F>(&self, operation: &'static str, request: F) -> Observed<'_, F> {
        Observed { requests: self, operation, request, sent_at: None }
    }

    fn record(&self, operation: &'static str, failure: Option<&str>, duration: Duration) {
        let made;
        let figures = if let Some(made) = self.frequent.iter().find(|it| it.name == operation) {
            made
        } else {
            made = self.operation(operation);
            &made
        };
        match failure {
            None => add(&figures.succeeded, 1),
            Some(failure) => add(&self.counter(operation, failure.to_owned().into()), 1),
        }
        record(&figures.duration, duration);
    }
}

/// A request whose outcome and duration are recorded.
#[pin_project]
pub(crate) struct Observed<'a, F> {
    requests: &'a Requests,
    operation: &'static str,
    #[pin]
    request: F,
    sent_at: Option<Instant>,
}

impl<F: Future<Output: Observable>> Future for Observed<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let sent_at = *this.sent_at.get_or_insert_with(Instant::now);
        let response = ready!(this.request.poll(cx));
        this.requests.record(this.operation, response.failure(), sent_at.elapsed());
        Poll::Ready(response)
    }
}

/// The result of a request.
pub(crate) trait Observable {
    /// Returns the outcome of a request that has failed: a code of AWS, or a word of this crate.
    fn failure(&self) -> Option<&str>;
}

impl<T, E: ProvideErrorMetadata, R> Observable for Result<T, SdkError<E, R>> {
    fn failure(&self) -> Option<&str> {
        match self {
            Ok(_) => None,
            Err(SdkError::TimeoutError(_)) => Some(TIMEOUT),
            Err(error) => Some(error.code().unwrap_or(FAILURE)),
        }
    }
}

impl<R: Observable> Observable for Result<R, NoResponse> {
    fn failure(&self) -> Option<&str> {
        match self {
            Ok(response) => response.failure(),
            Err(NoResponse) => Some(TIMEOUT),
        }
    }
}

/// The requests to one table of DynamoDB.
#[cfg(feature = "dynamodb")]
#[derive(Debug)]
pub(crate) struct TableFigures(Requests);

#[cfg(feature = "dynamodb")]
impl TableFigures {
    pub(crate) fn new(table: &str) -> Self {
        let names =
            ["kinesis_shards.dynamodb.requests", "kinesis_shards.dynamodb.request.duration"];
        let frequent = ["UpdateItem", "Scan", "GetItem", "BatchGetItem", "DeleteItem"];
        Self(Requests::new(Labels::new([("table", table)]), names, &frequent))
    }

    /// Waits for the response to a request, and records the outcome and the duration.
    pub(crate) fn observe<F>(&self, operation: &'static str, request: F) -> Observed<'_, F> {
        self.0.observe(operation, request)
    }
}
