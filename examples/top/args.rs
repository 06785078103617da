use clap::Parser;
use kinesis_shards::StreamId;

use crate::common::source::Source;

/// Shows a Kinesis stream shard by shard, as it is read: the state of each shard, how much it gets,
/// how far the reader is behind, and when it will have caught up.
///
/// It reads the whole stream by polling, as a consumer of its own that stores nothing, and so takes
/// a share of the capacity: 5 reads and 2 MiB a second for each shard, which all consumers without
/// enhanced fan-out share. It reads a shard once a second at its tip. The lag and the states are
/// those of this reader. With `--leases`, the view also shows which worker of an application holds
/// each shard, and its checkpoint.
///
/// A shard is hot if it gets at least 80 % of the 1 MB or 1,000 records a second that Kinesis
/// accepts for a shard, or at least 10 % and three times as much as the median shard.
///
/// Keys: `l`, `r` and `i` sort by lag, rate and id, the arrows and Page Up and Down scroll, and
/// `q`, Esc and Ctrl-C quit.
///
/// Credentials and region are those of the AWS tools. The credentials need kinesis:ListShards,
/// kinesis:GetShardIterator and kinesis:GetRecords, and for `--leases` dynamodb:Scan on the table.
#[derive(Parser)]
#[command(name = "top")]
pub(crate) struct Args {
    /// The stream to watch, by name or ARN. By default, an in-process one with a moving load
    #[arg(long, value_name = "NAME")]
    pub(crate) stream: Option<StreamId>,

    /// The lease table in DynamoDB of the application that consumes the stream, which has the
    /// application's name. The table is scanned every 5 s, and not changed
    #[arg(long, value_name = "TABLE", requires = "stream")]
    pub(crate) leases: Option<String>,

    /// A DynamoDB server other than AWS, such as `http://127.0.0.1:8000`; by default the server at
    /// `--endpoint-url`
    #[arg(long, value_name = "URL", requires = "leases")]
    pub(crate) dynamodb_endpoint_url: Option<String>,

    /// Print what the view shows after 8 seconds as plain text, and exit. This is also done where
    /// stdout is not a terminal
    #[arg(long)]
    pub(crate) once: bool,

    #[command(flatten)]
    pub(crate) source: Source,
}
