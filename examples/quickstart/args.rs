use std::str::FromStr;

use clap::Parser;
use kinesis_shards::StreamId;

use crate::common::source::Source;

/// Watches every shard of a Kinesis stream open, parents before children, and reads its records.
///
/// Without --stream it runs on an in-process Kinesis that is split and merged while it is written
/// and read. It ends within some 10 seconds, with an error if a record was lost, duplicated or out
/// of order.
///
/// With --stream it follows a stream of yours until Ctrl-C. Credentials and region are those of
/// the AWS tools: environment variables, ~/.aws, SSO, or the role of the instance or
/// task.
#[derive(Parser)]
#[command(name = "quickstart")]
pub(crate) struct Args {
    /// The stream's name or ARN; the credentials need kinesis:ListShards, kinesis:GetShardIterator
    /// and kinesis:GetRecords
    #[arg(long, value_name = "NAME-OR-ARN", value_parser = StreamId::from_str)]
    pub(crate) stream: Option<StreamId>,

    #[command(flatten)]
    pub(crate) source: Source,
}
