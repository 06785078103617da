use std::str::FromStr;

use clap::Parser;
use kinesis_shards::StreamId;

use crate::common::Source;

/// Watch every shard of a Kinesis stream arrive, parents before children, and its records with it.
///
/// Without --stream it runs by itself, on an in-process Kinesis that is split and merged while it is written and read,
/// ends within some 10 seconds, and fails if any record was lost, duplicated or out of order.
///
/// With --stream it follows a stream of yours until Ctrl-C. Credentials and region come from where the AWS tools take them: environment
/// variables, ~/.aws, SSO, the instance's or the task's role.
#[derive(Parser)]
#[command(name = "quickstart")]
pub(crate) struct Args {
    /// The stream's name or ARN; the credentials need kinesis:ListShards, kinesis:GetShardIterator and kinesis:GetRecords
    #[arg(long, value_name = "NAME-OR-ARN", value_parser = StreamId::from_str)]
    pub(crate) stream: Option<StreamId>,

    #[command(flatten)]
    pub(crate) source: Source,
}
