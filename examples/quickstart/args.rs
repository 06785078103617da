use aws_sdk_kinesis::primitives::{DateTime, DateTimeFormat};
use clap::Parser;
use kinesis_shards::StartAt;

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
    #[arg(long, value_name = "NAME-OR-ARN")]
    pub(crate) stream: Option<String>,

    /// Another server than AWS's, such as `http://127.0.0.1:4567`
    #[arg(long, value_name = "URL", requires = "stream")]
    pub(crate) endpoint_url: Option<String>,

    /// The AWS region, if not the environment's
    #[arg(long, value_name = "REGION", requires = "stream")]
    pub(crate) region: Option<String>,

    /// Where to begin: latest, trim-horizon, or a time such as 2026-11-23T09:00:00Z
    #[arg(long, value_name = "START", default_value = "latest", value_parser = parse_start, requires = "stream")]
    pub(crate) from: StartAt,
}

impl Args {
    pub(crate) fn get() -> Self {
        Self::parse()
    }
}

fn parse_start(text: &str) -> Result<StartAt, String> {
    match text {
        "latest" => Ok(StartAt::Latest),
        "trim-horizon" => Ok(StartAt::TrimHorizon),
        time => DateTime::from_str(time, DateTimeFormat::DateTimeWithOffset).map(StartAt::Timestamp).map_err(
            |error| format!("neither latest, nor trim-horizon, nor a time as in RFC 3339 ({error})"),
        ),
    }
}
