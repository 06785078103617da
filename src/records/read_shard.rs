//! What can be read: a shard as it is offered, or with its checkpoint.

use crate::records::batch::Batch;
use crate::records::batches::Batches;
use crate::records::record::Record;
use crate::shard::handle::ShardHandle;

/// A shard that can be read: a [`ShardHandle`], or a
/// [`CheckpointedShard`](crate::checkpoint::CheckpointedShard).
///
/// It is sealed: [`Records`](super::Records) and [`AllRecords`](super::AllRecords) are generic over
/// it.
pub trait ReadShard: sealed::Open {}

impl<H: sealed::Open> ReadShard for H {}

pub(crate) mod sealed {
    use std::fmt;
    use std::sync::Arc;

    use aws_sdk_kinesis::Client;
    use futures::stream::FusedStream;
    use tokio::time::Duration;

    use crate::records::error::ReadError;
    use crate::records::event::EndReason;
    use crate::records::options::ReadOptions;
    use crate::records::permits::RequestPermits;

    /// How a shard is opened, and what its records are.
    pub trait Open: Sized {
        type Record;
        type Page: IntoIterator<Item = Self::Record>;
        type Reader: Read<Item = Result<Self::Page, ReadError>>;

        fn open(
            self,
            client: &Client,
            options: Arc<ReadOptions>,
            permits: RequestPermits,
        ) -> Self::Reader;
    }

    /// One shard's pages.
    pub trait Read: FusedStream + Unpin + fmt::Debug {
        fn set_options(&mut self, options: Arc<ReadOptions>);
        fn lag(&self) -> Option<Duration>;
        fn shard_id(&self) -> Option<&str>;
        fn ended(&self) -> Option<&EndReason>;
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
        options: std::sync::Arc<crate::records::options::ReadOptions>,
        permits: crate::records::permits::RequestPermits,
    ) -> Batches {
        Batches::new(self, client, options, permits)
    }
}

impl Read for Batches {
    fn set_options(&mut self, options: std::sync::Arc<crate::records::options::ReadOptions>) {
        Self::set_options(self, options);
    }

    fn lag(&self) -> Option<tokio::time::Duration> {
        Self::lag(self)
    }

    fn shard_id(&self) -> Option<&str> {
        Self::shard_id(self)
    }

    fn ended(&self) -> Option<&crate::records::event::EndReason> {
        Self::ended(self)
    }
}
