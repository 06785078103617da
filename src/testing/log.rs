//! What was asked of the fake.

use std::sync::Arc;

use serde_json::Value;
use tokio::time::Instant;

/// One request that reached the fake; the SDK's retries are requests of their own.
#[derive(Clone, Debug)]
pub struct Request {
    pub(super) operation: String,
    pub(super) body: Arc<Value>,
    pub(super) at: Instant,
    pub(super) error: Option<String>,
}

impl Request {
    /// The operation, as in AWS's API reference: `ListShards`.
    #[must_use]
    pub fn operation(&self) -> &str {
        &self.operation
    }

    /// The JSON body: `request.body()["StreamName"]`.
    #[must_use]
    pub fn body(&self) -> &Value {
        &self.body
    }

    /// When it came, on tokio's clock.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }

    /// The error code it was refused with; `None` if it succeeded.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.error.as_deref()
    }
}
