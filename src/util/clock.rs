//! Kinesis's time, as far as a client can tell it.
//!
//! A client's clock may be ahead of Kinesis's: AWS takes signatures up to five minutes off. What it
//! calls now is then still to come, and who reads from there skips what is written until then. So
//! each answer to `ListShards` tells by its `Date` how far the clock is off. That is whole seconds,
//! rounded down, and was written before the answer travelled: what comes of it is never later than
//! Kinesis's own time, and about a second earlier. A server that sends no `Date` is taken to have
//! the client's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};

/// How far Kinesis's clock is ahead of the client's, in milliseconds; behind it, if negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockSkew(i32);

/// AWS refuses signatures of clients whose clocks are off by more.
pub(crate) const MAX_SKEW: Duration = Duration::from_mins(5);

impl ClockSkew {
    /// Returns the offset that a `Date` tells.
    ///
    /// A `Date` further ahead of the client than [`MAX_SKEW`] is not believed: it would put the
    /// start of a run at a time that is still to come. One that is far behind is harmless: it only
    /// makes a run begin earlier.
    fn between(client: SystemTime, kinesis: SystemTime) -> Self {
        let millis = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        // Rounded towards the past.
        Self(match kinesis.duration_since(client) {
            Ok(ahead) if ahead > MAX_SKEW => 0,
            Ok(ahead) => millis(ahead),
            Err(behind) => (-millis(behind.duration())).saturating_sub(1),
        })
    }

    /// What Kinesis's clock shows, at the least, when the client's shows this.
    pub(crate) fn to_server_time(self, client: SystemTime) -> SystemTime {
        let offset = Duration::from_millis(self.0.unsigned_abs().into());
        let kinesis =
            if self.0 < 0 { client.checked_sub(offset) } else { client.checked_add(offset) };
        kinesis.unwrap_or(client)
    }
}

/// Hears how far the clock is off, from each answer to a request that it is an interceptor of.
#[derive(Clone, Debug)]
pub(crate) struct ServerClock(Arc<AtomicI32>);

/// No answer has told it yet. It is no offset that a clock can have: that would be 24 days.
const UNHEARD: i32 = i32::MIN;

impl Default for ServerClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI32::new(UNHEARD)))
    }
}

impl ServerClock {
    /// As the last answer told it.
    pub(crate) fn offset(&self) -> Option<ClockSkew> {
        let offset = self.0.load(Ordering::Relaxed);
        (offset != UNHEARD).then_some(ClockSkew(offset))
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_before_deserialization(
        &self,
        answer: &BeforeDeserializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = answer.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(kinesis) = date.and_then(|date| SystemTime::try_from(date).ok()) {
            let client = components.time_source().map_or_else(SystemTime::now, |time| time.now());
            self.0.store(ClockSkew::between(client, kinesis).0, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Returns the time by the clock that `client` uses: the system's, or a test's.
pub(crate) fn now(client: &Client) -> SystemTime {
    client.config().time_source().map_or_else(SystemTime::now, |time| time.now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinesiss_time_is_never_put_too_late() {
        let kinesis = SystemTime::UNIX_EPOCH + Duration::from_hours(490_896);
        for micros in [0, 1, 999, 1_000, 1_001, 120_000_000, 86_400_000_000] {
            let off = Duration::from_micros(micros);
            for client in [kinesis + off, kinesis - off] {
                let told = ClockSkew::between(client, kinesis).to_server_time(client);
                assert!(told <= kinesis, "{off:?}");
                if client < kinesis && off > MAX_SKEW {
                    assert_eq!(told, client, "such a date is not believed");
                    continue;
                }
                assert!(
                    kinesis.duration_since(told).unwrap() <= Duration::from_millis(2),
                    "{off:?}"
                );
            }
        }
    }
}
