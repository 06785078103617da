//! Short questions.
//!
//! **Does it deduplicate?** No. Delivery is at least once; the destination drops what it has, by
//! the sequence number: see `lease`, "Fencing", and
//! [batches into a database](crate::checkpoint#batches-into-a-database).
//!
//! **Is the order kept?** Per partition key, across splits and merges, if you process the records
//! of a key one after another. Between keys and between shards there is none. Producers that spread
//! records (`RecordDistributionStrategy=AUTO`) have no order per key to keep.
//!
//! **May I process records concurrently?** Yes: acknowledge each when it is done, in any order. The
//! checkpoint moves up to the first that is missing.
//!
//! **When does the stream end?** At `shutdown`, or if you end it by a combinator such as
//! `take_until`. A Kinesis stream has no end.
//!
//! **What if my process is killed?** The next run continues from the last saved checkpoints. Up to
//! 5 s or 1,000 records of each shard come again with the defaults of one process.
//!
//! **Can two processes read the same stream?** Independently, yes: each with its own store or
//! application name. Sharing its shards needs leases.
//!
//! **Can it read the changes of a DynamoDB table?** The crate orders the shards of the table's
//! stream, and you list and read them: see
//! [another API, the same order](crate::lineage#another-api-the-same-order) and the example
//! `dynamodb_streams`.
//!
//! **Does it need DynamoDB?** Only leases and a `DynamoDbStore` do.
//!
//! **Which runtime?** tokio, with its time driver. The features of the SDK's client are yours to
//! choose: the crate sends its requests with your client.
//!
//! **Does it spawn tasks?** One for saving with checkpoints, some with leases, and those that
//! [`spawn_on`](crate::ReadOptions::spawn_on) asks for. All of them end with the values they work
//! for.
//!
//! **Why does a child start at `TRIM_HORIZON` in a run from `Latest`?** It was born after the run
//! began: all its records are new, and `LATEST` would skip the first ones.
//!
//! **Can I read another account's stream?** Yes: by its ARN, with a client of its region, and a
//! resource policy that allows it.
//!
//! **How do I read everything again?** Stop the consumer and
//! [reset](crate::checkpoint::StoredCheckpoints::reset) its checkpoints, to the trim horizon or to
//! a time.
