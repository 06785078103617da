//! The arguments.

use clap::Parser;
use kinesis_shards::StreamId;

use crate::common::source::Source;

/// Shares the shards of a stream among workers, through a table in DynamoDB.
///
/// Without --stream it runs on servers of this machine: three workers start, one is killed, one
/// joins, a shard is split, one shuts down. It ends within a minute, with an error if a record was
/// lost.
///
/// With --stream and --application it joins the workers of that application as one more, prints
/// which shards it gets and loses, and leaves at Ctrl-C. It acknowledges the records of its shards
/// and does nothing with them: do not use the application of a service that needs them.
#[derive(Parser)]
#[command(name = "fleet")]
pub(crate) struct Args {
    /// The stream's name or ARN
    #[arg(long, value_name = "NAME-OR-ARN", requires = "application")]
    pub(crate) stream: Option<StreamId>,

    /// The application: its lease table has this name, and its workers table this name and
    /// `-workers`. Missing tables are created
    #[arg(long, value_name = "NAME", requires = "stream")]
    pub(crate) application: Option<String>,

    /// The id of this worker; by default the name of the host and random digits
    #[arg(long, value_name = "ID", requires = "stream")]
    pub(crate) worker: Option<String>,

    /// A DynamoDB server other than AWS, such as `http://127.0.0.1:8000`; by default the server at
    /// `--endpoint-url`
    #[arg(long, value_name = "URL", requires = "stream")]
    pub(crate) dynamodb_endpoint_url: Option<String>,

    #[command(flatten)]
    pub(crate) source: Source,
}
