use std::path::PathBuf;
use std::str::FromStr;

use clap::Parser;
use kinesis_shards::{StopAt, StreamId};

use crate::common::source::{Source, parse_time};

/// Copies the records of a Kinesis stream into files, one for each shard.
///
/// Without --stream it copies an in-process Kinesis with 32 shards into a temporary directory, is
/// interrupted, and resumes. It exits with an error if a record is lost or copied twice.
///
/// With --stream it copies a stream of yours, and ends by itself. A run that is stopped at any
/// point, and one that is started later with another end, continues after the last line of each
/// file. Each line is a record as JSON; a shard that has ended has one more.
#[derive(Parser)]
#[command(name = "backfill")]
pub(crate) struct Args {
    /// The stream's name or ARN; the credentials need kinesis:ListShards, kinesis:GetShardIterator
    /// and kinesis:GetRecords
    #[arg(long, value_name = "NAME-OR-ARN", value_parser = StreamId::from_str)]
    pub(crate) stream: Option<StreamId>,

    /// The directory of the files
    #[arg(long, value_name = "DIR", default_value = "backfill", requires = "stream")]
    pub(crate) dir: PathBuf,

    /// Where to end: tip, or a time such as 2026-11-23T09:00:00Z, which may lie in the future
    #[arg(
        long,
        value_name = "END",
        default_value = "tip",
        value_parser = parse_end,
        requires = "stream"
    )]
    pub(crate) until: StopAt,

    #[command(flatten)]
    pub(crate) source: Source,
}

fn parse_end(text: &str) -> Result<StopAt, String> {
    match text {
        "tip" => Ok(StopAt::Tip),
        _ => parse_time(text, "tip").map(StopAt::Timestamp),
    }
}
