use std::str::FromStr;

use clap::Parser;
use kinesis_shards::StreamId;

use crate::common::Source;

/// Prints the records of a live Kinesis stream as they come, across every split and merge, until Ctrl-C.
///
/// One line a record goes to stdout: arrival time, shard, lag, partition key and data, with a tab between each. The lag is how far the page that the record came with was
/// behind the tip of its shard. Control characters are escaped; data that is not UTF-8 is in base64, after `base64:`. Records of one partition key come in the
/// order in which they were written.
///
/// The progress goes to stderr, and so do errors, which end nothing: it goes on, and no record is left out or printed twice.
///
/// Credentials and region come from where the AWS tools take them: environment variables, ~/.aws, SSO, the instance's or the task's role. The credentials need
/// kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords.
#[derive(Parser)]
#[command(name = "tail")]
pub(crate) struct Args {
    /// The stream's name or ARN
    #[arg(value_name = "STREAM-NAME-OR-ARN", value_parser = StreamId::from_str)]
    pub(crate) stream: StreamId,

    #[command(flatten)]
    pub(crate) source: Source,

    /// Print one JSON object a line: `stream`, `shard_id`, `sequence_number`, `partition_key`, `arrival_time`, `lag_ms`, `data`, and `encoding`, which is `text` or `base64`
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the user records that the Kinesis Producer Library has packed into one, each on its own line; in JSON with its `sub_sequence_number`
    #[arg(long)]
    pub(crate) deaggregate: bool,
}
