//! What the crate records for the facade of the crate `metrics`, by name.

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

#[cfg(feature = "metrics")]
pub use recording::describe;
#[cfg(feature = "metrics")]
pub(crate) use recording::*;

/// Waits for the response to a request, and records the outcome and the duration.
#[cfg(feature = "metrics")]
pub(crate) async fn observe<T, E>(
    stream: &str,
    operation: &'static str,
    request: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
) -> Result<T, SdkError<E, HttpResponse>>
where
    E: ProvideErrorMetadata,
{
    let sent_at = tokio::time::Instant::now();
    let response = request.await;
    let outcome = match &response {
        Ok(_) => OK,
        Err(SdkError::TimeoutError(_)) => "timeout",
        Err(error) => error.code().unwrap_or(FAILURE),
    };
    record_request(stream, operation, outcome, sent_at.elapsed());
    response
}

/// Waits for the response to a request. Without the feature `metrics`, nothing is recorded.
#[cfg(not(feature = "metrics"))]
pub(crate) fn observe<T, E, F>(_: &str, _: &'static str, request: F) -> F
where
    E: ProvideErrorMetadata,
    F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
{
    request
}

#[cfg(feature = "metrics")]
mod recording {
    use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
    use metrics::{gauge, histogram};
    use tokio::time::Duration;

    pub(crate) const OK: &str = "ok";
    /// The outcome of a request that failed without a code of AWS.
    pub(crate) const FAILURE: &str = "failure";

    /// The label of all figures of a stream.
    const STREAM: &str = "stream";

    /// Describes all figures to the recorder, with their units.
    ///
    /// Call it once, after the recorder is installed. See the example of
    /// [`metrics`](crate::metrics).
    pub fn describe() {
        use Unit::{Bytes, Count, Seconds};

        for (name, unit, text) in [
            ("kinesis_shards.records", Count, "Records that were received"),
            ("kinesis_shards.bytes", Bytes, "Data and partition keys that were received"),
            ("kinesis_shards.requests", Count, "Requests to Kinesis, by operation and outcome"),
            ("kinesis_shards.retries", Count, "Requests that are retried, by code"),
            ("kinesis_shards.iterators.expired", Count, "Iterators that expired before their use"),
            ("kinesis_shards.readers.ended", Count, "Readers that have ended, by reason"),
            ("kinesis_shards.checkpoint.saves", Count, "Saves of checkpoints, by outcome"),
            ("kinesis_shards.checkpoint.gaps", Count, "Gaps of records that may have expired"),
            ("kinesis_shards.checkpoint.pauses", Count, "Shards whose reading was paused"),
            ("kinesis_shards.lease.events", Count, "Events of leases, by kind"),
        ] {
            describe_counter!(name, unit, text);
        }
        for (name, text) in [
            ("kinesis_shards.request.duration", "From a request to its response, by operation"),
            (
                "kinesis_shards.hand_over.duration",
                "From the end of a parent to a child's first page",
            ),
        ] {
            describe_histogram!(name, Seconds, text);
        }
        for (name, unit, text) in [
            ("kinesis_shards.lag.max", Seconds, "The greatest lag of a shard"),
            ("kinesis_shards.lag", Seconds, "The lag of a shard"),
            ("kinesis_shards.shards", Count, "Shards, by state"),
            ("kinesis_shards.unacknowledged", Count, "Records that are not acknowledged"),
            ("kinesis_shards.unacknowledged.age", Seconds, "The age of the oldest of them"),
            ("kinesis_shards.checkpoint.unsaved.age", Seconds, "For how long a save is overdue"),
        ] {
            describe_gauge!(name, unit, text);
        }
    }

    pub(crate) fn record_request(
        stream: &str,
        operation: &'static str,
        outcome: &str,
        duration: Duration,
    ) {
        let outcome = outcome.to_owned();
        counter!(
            "kinesis_shards.requests",
            STREAM => stream.to_owned(), "operation" => operation, "outcome" => outcome
        )
        .increment(1);
        let durations = histogram!(
            "kinesis_shards.request.duration", STREAM => stream.to_owned(), "operation" => operation
        );
        durations.record(duration);
    }

    pub(crate) fn record_page(stream: &str, records: usize, bytes: usize) {
        counter!("kinesis_shards.records", STREAM => stream.to_owned()).increment(records as u64);
        counter!("kinesis_shards.bytes", STREAM => stream.to_owned()).increment(bytes as u64);
    }

    pub(crate) fn record_retry(stream: &str, code: Option<&str>, is_expired_iterator: bool) {
        let code = code.unwrap_or(FAILURE).to_owned();
        counter!("kinesis_shards.retries", STREAM => stream.to_owned(), "code" => code)
            .increment(1);
        if is_expired_iterator {
            counter!("kinesis_shards.iterators.expired", STREAM => stream.to_owned()).increment(1);
        }
    }

    pub(crate) fn record_end(stream: &str, reason: &'static str) {
        counter!("kinesis_shards.readers.ended", STREAM => stream.to_owned(), "reason" => reason)
            .increment(1);
    }

    pub(crate) fn record_hand_over(stream: &str, duration: Duration) {
        histogram!("kinesis_shards.hand_over.duration", STREAM => stream.to_owned())
            .record(duration);
    }

    pub(crate) fn record_save(stream: &str, outcome: &'static str) {
        let stream = stream.to_owned();
        counter!("kinesis_shards.checkpoint.saves", STREAM => stream, "outcome" => outcome)
            .increment(1);
    }

    pub(crate) fn record_gap(stream: &str) {
        counter!("kinesis_shards.checkpoint.gaps", STREAM => stream.to_owned()).increment(1);
    }

    pub(crate) fn record_pause(stream: &str) {
        counter!("kinesis_shards.checkpoint.pauses", STREAM => stream.to_owned()).increment(1);
    }

    #[cfg(feature = "dynamodb")]
    pub(crate) fn record_lease_event(stream: &str, worker: &str, kind: &'static str) {
        counter!(
            "kinesis_shards.lease.events",
            STREAM => stream.to_owned(), "worker" => worker.to_owned(), "kind" => kind
        )
        .increment(1);
    }

    pub(crate) fn set_max_lag(stream: &str, lag: Duration) {
        gauge!("kinesis_shards.lag.max", STREAM => stream.to_owned()).set(lag.as_secs_f64());
    }

    pub(crate) fn set_lag(stream: &str, shard_id: &str, lag: Duration) {
        gauge!("kinesis_shards.lag", STREAM => stream.to_owned(), "shard" => shard_id.to_owned())
            .set(lag.as_secs_f64());
    }

    pub(crate) fn set_shards(stream: &str, state: &'static str, shards: usize) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge!("kinesis_shards.shards", STREAM => stream.to_owned(), "state" => state)
            .set(shards as f64);
    }

    pub(crate) fn set_unacknowledged(stream: &str, records: u64, oldest: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        gauge!("kinesis_shards.unacknowledged", STREAM => stream.to_owned()).set(records as f64);
        gauge!("kinesis_shards.unacknowledged.age", STREAM => stream.to_owned())
            .set(oldest.as_secs_f64());
    }

    pub(crate) fn set_unsaved_age(stream: &str, age: Duration) {
        gauge!("kinesis_shards.checkpoint.unsaved.age", STREAM => stream.to_owned())
            .set(age.as_secs_f64());
    }
}
