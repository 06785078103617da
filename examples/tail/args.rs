use std::str::FromStr;

use clap::Parser;
use kinesis_shards::StreamId;

use crate::common::source::Source;

/// Prints the records of a live Kinesis stream, across splits and merges, until Ctrl-C.
///
/// Each record is one line on stdout: arrival time, shard, lag, partition key and data, separated
/// by tabs. The lag says how far the page of the record was behind the tip of its shard. Control
/// characters are escaped. Data that is not UTF-8 is printed in base64, after `base64:`. Records
/// with the same partition key come in the order they were written.
///
/// Progress and errors go to stderr. Errors are retried: no record is left out or printed twice.
/// Only an error at the start that no retry can help, such as an unknown stream, ends the program.
///
/// Credentials and region are those of the AWS tools: environment variables, ~/.aws,
/// SSO, or the role of the instance or task. The credentials need kinesis:ListShards,
/// kinesis:GetShardIterator and kinesis:GetRecords.
#[derive(Parser)]
#[command(name = "tail")]
pub(crate) struct Args {
    /// The stream's name or ARN
    #[arg(value_name = "STREAM-NAME-OR-ARN", value_parser = StreamId::from_str)]
    pub(crate) stream: StreamId,

    #[command(flatten)]
    pub(crate) source: Source,

    /// Print each record as a JSON object on one line: `stream`, `shard_id`, `sequence_number`,
    /// `partition_key`, `arrival_time`, `lag_ms`, `data`, and `encoding`, which is `text` or
    /// `base64`
    #[arg(long)]
    pub(crate) json: bool,

    /// Print each user record that the Kinesis Producer Library has aggregated on its own line; in
    /// JSON with its `sub_sequence_number`
    #[arg(long)]
    pub(crate) deaggregate: bool,

    /// Read by enhanced fan-out, as this consumer. A name is registered unless it exists, and stays
    /// registered: AWS charges for a consumer until it is deregistered. The credentials need
    /// kinesis:SubscribeToShard, and for a name kinesis:DescribeStreamSummary,
    /// kinesis:DescribeStreamConsumer and kinesis:RegisterStreamConsumer
    #[arg(long, value_name = "CONSUMER-ARN-OR-NAME")]
    pub(crate) fan_out: Option<String>,
}
