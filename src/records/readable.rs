//! What can be read: a shard as it is offered, or with its checkpoint.

use super::{Batch, Batches, Record};
use crate::ShardHandle;

/// A shard that can be read: a [`ShardHandle`], or a [`CheckpointedShard`](crate::CheckpointedShard).
///
/// It is sealed: [`Records`](super::Records) and [`AllRecords`](super::AllRecords) are generic over it.
pub trait ReadShard: sealed::Open {}

impl<H: sealed::Open> ReadShard for H {}

pub(crate) mod sealed {
    use std::fmt;
    use std::sync::Arc;

    use aws_sdk_kinesis::Client;
    use futures::stream::FusedStream;
    use tokio::time::Duration;

    use crate::records::permits::RequestPermits;
    use crate::{ReadError, ReadOptions, ReaderEnd};

    /// How a shard is opened, and what its records are.
    pub trait Open: Sized {
        type Record;
        type Page: IntoIterator<Item = Self::Record>;
        type Reader: Read<Item = Result<Self::Page, ReadError>>;

        fn open(self, client: &Client, options: Arc<ReadOptions>, permits: RequestPermits) -> Self::Reader;
    }

    /// One shard's pages.
    pub trait Read: FusedStream + Unpin + fmt::Debug {
        fn set_options(&mut self, options: Arc<ReadOptions>);
        fn lag(&self) -> Option<Duration>;
        fn shard_id(&self) -> Option<&str>;
        fn ended(&self) -> Option<&ReaderEnd>;
    }
}
pub(crate) use sealed::{Open, Read};

impl Open for ShardHandle {
    type Record = Record;
    type Page = Batch;
    type Reader = Batches;

    fn open(
        self,
        client: &aws_sdk_kinesis::Client,
        options: std::sync::Arc<super::ReadOptions>,
        permits: super::permits::RequestPermits,
    ) -> Batches {
        Batches::new(self, client, options, permits)
    }
}

impl Read for Batches {
    fn set_options(&mut self, options: std::sync::Arc<super::ReadOptions>) {
        Self::set_options(self, options);
    }

    fn lag(&self) -> Option<tokio::time::Duration> {
        Self::lag(self)
    }

    fn shard_id(&self) -> Option<&str> {
        Self::shard_id(self)
    }

    fn ended(&self) -> Option<&super::ReaderEnd> {
        Self::ended(self)
    }
}
