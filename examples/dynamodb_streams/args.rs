use clap::Parser;

use super::common::source::Source;

/// Prints the changes of a DynamoDB table, those of one item in the order in which they were made.
///
/// Without --table it reads an in-process model of a table whose shards are replaced while it is
/// written. It exits with an error if a change is lost, repeated or out of order.
///
/// With --table it reads the change stream of a table of yours until Ctrl-C, or to its end if the
/// stream was disabled.
#[derive(Parser)]
#[command(name = "dynamodb_streams")]
pub(crate) struct Args {
    /// The table's name, or the ARN of its stream; the credentials need dynamodb:DescribeTable,
    /// dynamodb:DescribeStream, dynamodb:GetShardIterator and dynamodb:GetRecords
    #[arg(id = "stream", long = "table", value_name = "NAME-OR-ARN")]
    pub(crate) table: Option<String>,

    #[command(flatten)]
    pub(crate) source: Source,
}
