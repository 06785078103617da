//! Policies for IAM.
//!
//! A consumer that polls, on one stream:
//!
//! ```json
//! {
//!   "Version": "2012-10-17",
//!   "Statement": [
//!     {
//!       "Effect": "Allow",
//!       "Action": ["kinesis:ListShards", "kinesis:GetShardIterator", "kinesis:GetRecords"],
//!       "Resource": "arn:aws:kinesis:eu-west-1:123456789012:stream/orders"
//!     }
//!   ]
//! }
//! ```
//!
//! On top of it:
//!
//! | for | actions | on |
//! |---|---|---|
//! | an encrypted stream | `kms:Decrypt` | the KMS key of the stream |
//! | a [`DynamoDbStore`] | `dynamodb:Scan`, `GetItem`, `UpdateItem`, `DeleteItem`; `CreateTable` and `DescribeTable` if it creates its table | `table/orders-application` |
//! | many workers | [the policy of `lease`] | both tables |
//! | fan-out | [the policy of `records`] | the stream and `stream/orders/consumer/*` |
//! | a stream of another account | a resource policy on the stream that names the role, and the stream by its ARN | the stream |
//!
//! The AWS documentation lists the actions of Kinesis under "Actions, resources, and condition keys
//! for Amazon Kinesis Data Streams". A missing permission ends the readers with an error that is
//! not [retryable](crate::ReadError::is_retryable), and fails the listing with an `Err` or a line
//! in the log.
//!
//! [`DynamoDbStore`]: crate::checkpoint#stores
//! [the policy of `lease`]: https://docs.rs/kinesis-shards/latest/kinesis_shards/lease/index.html#permissions
//! [the policy of `records`]: crate::records#polling-or-fan-out
