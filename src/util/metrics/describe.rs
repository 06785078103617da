//! The texts and units of all figures.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};

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
        ("kinesis_shards.subscriptions.ended", Count, "Subscriptions that have ended, by reason"),
        ("kinesis_shards.checkpoint.saves", Count, "Saves of checkpoints, by outcome"),
        ("kinesis_shards.checkpoint.gaps", Count, "Gaps of records that may have expired"),
        ("kinesis_shards.checkpoint.pauses", Count, "Shards whose reading was paused"),
        ("kinesis_shards.lease.events", Count, "Events of leases, by kind"),
        (
            "kinesis_shards.dynamodb.requests",
            Count,
            "Requests to a table of DynamoDB, by operation and outcome",
        ),
    ] {
        describe_counter!(name, unit, text);
    }
    for (name, text) in [
        ("kinesis_shards.request.duration", "From a request to its response, by operation"),
        ("kinesis_shards.hand_over.duration", "From the end of a parent to a child's first page"),
        (
            "kinesis_shards.dynamodb.request.duration",
            "From a request to a table of DynamoDB to its response, by operation",
        ),
    ] {
        describe_histogram!(name, Seconds, text);
    }
    for (name, unit, text) in [
        ("kinesis_shards.lag.max", Seconds, "The greatest lag of a shard"),
        ("kinesis_shards.lag", Seconds, "The lag of a shard"),
        ("kinesis_shards.shards", Count, "Shards, by state"),
        ("kinesis_shards.subscriptions", Count, "Open subscriptions by enhanced fan-out"),
        ("kinesis_shards.unacknowledged", Count, "Records that are not acknowledged"),
        ("kinesis_shards.unacknowledged.age", Seconds, "The age of the oldest of them"),
        ("kinesis_shards.checkpoint.unsaved.age", Seconds, "For how long a save is overdue"),
        ("kinesis_shards.leases", Count, "Leases that the worker holds"),
        ("kinesis_shards.lease.workers", Count, "Live workers that the worker sees"),
    ] {
        describe_gauge!(name, unit, text);
    }
}
