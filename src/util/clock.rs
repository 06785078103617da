//! Kinesis's time, as far as a client can tell it.
//!
//! A client's clock may be ahead of Kinesis's: AWS accepts signatures that are up to five minutes
//! off. A reader that starts at the client's time then skips all records that are written until
//! Kinesis's clock shows that time. So the `Date` of each `ListShards` response tells how far the
//! two clocks are apart. A `Date` holds whole seconds, rounded down, and was written before the
//! response was sent: the time derived from it is up to about a second early, and never late. A
//! server that sends no `Date` is assumed to have the client's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicI64, Ordering};
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_kinesis::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_kinesis::error::BoxError;
use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};

/// How far Kinesis's clock is ahead of the client's, in milliseconds; negative if it is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClockSkew(i32);

/// AWS refuses the signatures of a client whose clock is off by more.
pub(crate) const MAX_SKEW: Duration = Duration::from_mins(5);

/// A `Date` is rounded down by less than this.
pub(crate) const MAX_DATE_DELAY: Duration = Duration::from_secs(1);

impl ClockSkew {
    /// Returns the skew that a `Date` shows.
    ///
    /// A `Date` that is ahead of the client by more than [`MAX_SKEW`] is ignored: it could put the
    /// start of a run into the future. One that is far behind only makes a run begin earlier.
    fn between(client: SystemTime, kinesis: SystemTime) -> Self {
        let millis = |duration: Duration| i32::try_from(duration.as_millis()).unwrap_or(i32::MAX);
        // Rounded towards the past.
        Self(match kinesis.duration_since(client) {
            Ok(ahead) if ahead > MAX_SKEW => 0,
            Ok(ahead) => millis(ahead),
            Err(behind) => (-millis(behind.duration())).saturating_sub(1),
        })
    }

    /// Converts a time by the client's clock to Kinesis's, or to a time a little earlier.
    pub(crate) fn to_server_time(self, client: SystemTime) -> SystemTime {
        let skew = Duration::from_millis(self.0.unsigned_abs().into());
        let kinesis = if self.0 < 0 { client.checked_sub(skew) } else { client.checked_add(skew) };
        kinesis.unwrap_or(client)
    }
}

/// The clock of Kinesis, as the last response showed it.
///
/// The clock is an interceptor that reads the `Date` of each response. Clones share the reading.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerClock(Arc<Reading>);

#[derive(Debug)]
struct Reading {
    skew: AtomicI32,
    /// The last `Date`, in seconds since the Unix epoch.
    date: AtomicI64,
}

/// No response has come yet. As a skew it would be 24 days.
const UNKNOWN: i32 = i32::MIN;
const NO_DATE: i64 = i64::MIN;

impl Default for Reading {
    fn default() -> Self {
        Self { skew: AtomicI32::new(UNKNOWN), date: AtomicI64::new(NO_DATE) }
    }
}

impl ServerClock {
    /// Returns the skew that the last response showed.
    pub(crate) fn skew(&self) -> Option<ClockSkew> {
        let skew = self.0.skew.load(Ordering::Relaxed);
        (skew != UNKNOWN).then_some(ClockSkew(skew))
    }

    /// Returns the last `Date`, however far it is from the client's time.
    pub(crate) fn last_date(&self) -> Option<SystemTime> {
        let date = self.0.date.load(Ordering::Relaxed);
        (date != NO_DATE).then(|| SystemTime::try_from(DateTime::from_secs(date)).ok()).flatten()
    }

    /// Converts a time by the client's clock; see [`ClockSkew::to_server_time`].
    pub(crate) fn to_server_time(&self, client: SystemTime) -> SystemTime {
        self.skew().unwrap_or_default().to_server_time(client)
    }
}

impl Intercept for ServerClock {
    fn name(&self) -> &'static str {
        "ServerClock"
    }

    fn read_before_deserialization(
        &self,
        response: &BeforeDeserializationInterceptorContextRef<'_>,
        components: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = response.response().headers().get("date");
        let date = date.and_then(|date| DateTime::from_str(date, DateTimeFormat::HttpDate).ok());
        if let Some(date) = date
            && let Ok(kinesis) = SystemTime::try_from(date)
        {
            let client = components.time_source().map_or_else(SystemTime::now, |time| time.now());
            self.0.skew.store(ClockSkew::between(client, kinesis).0, Ordering::Relaxed);
            self.0.date.store(date.secs(), Ordering::Relaxed);
        }
        Ok(())
    }
}

/// Rounds to milliseconds since the Unix epoch. JSON has a time in seconds, as a floating-point
/// number, and CBOR in milliseconds: the times of one record may differ by some hundred
/// nanoseconds.
pub(crate) fn to_millis(time: DateTime) -> i128 {
    (time.as_nanos() + 500_000).div_euclid(1_000_000)
}

/// Returns the time by the clock that `client` uses: the system's, or a test's.
pub(crate) fn now(client: &Client) -> SystemTime {
    client.config().time_source().map_or_else(SystemTime::now, |time| time.now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_time_is_never_late() {
        let kinesis = SystemTime::UNIX_EPOCH + Duration::from_hours(490_896);
        for micros in [0, 1, 999, 1_000, 1_001, 120_000_000, 86_400_000_000] {
            let skew = Duration::from_micros(micros);
            for client in [kinesis + skew, kinesis - skew] {
                let converted = ClockSkew::between(client, kinesis).to_server_time(client);
                assert!(converted <= kinesis, "{skew:?}");
                if client < kinesis && skew > MAX_SKEW {
                    assert_eq!(converted, client, "such a date is ignored");
                    continue;
                }
                assert!(
                    kinesis.duration_since(converted).unwrap() <= Duration::from_millis(2),
                    "{skew:?}"
                );
            }
        }
    }
}
