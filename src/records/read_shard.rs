//! The sealed trait of shards that can be read: a shard's handle, a shard with its checkpoint, or
//! either in a `Result`.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use futures::Stream;
use futures::stream::FusedStream;
use tokio::time::Duration;

use crate::listing::error::ListError;
use crate::records::error::{Error, ReadError};
use crate::records::event::EndReason;
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::record::Record;

/// A shard that can be read: a [`ShardHandle`](crate::ShardHandle), a
/// [`CheckpointedShard`](crate::checkpoint::CheckpointedShard), or a `Result` of either, as
/// [`try_all_shards`](crate::try_all_shards) yields it.
///
/// The trait is sealed. [`Records`](super::Records), [`Batches`](super::Batches),
/// [`AllRecords`](super::AllRecords) and [`AllBatches`](super::AllBatches) are generic over it.
///
/// See the example of [`ShardStreamExt`](super::ShardStreamExt).
pub trait ReadShard: sealed::Open {}

impl<H: sealed::Open> ReadShard for H {}

pub(crate) mod sealed {
    use std::fmt;
    use std::sync::Arc;
    use std::task::{Context, Poll};

    use aws_sdk_kinesis::Client;
    use futures::stream::FusedStream;
    use futures::task::AtomicWaker;
    use tokio::time::Duration;

    use crate::records::event::EndReason;
    use crate::records::options::ReadOptions;
    use crate::records::permits::RequestPermits;
    use crate::records::record::Record;

    /// A shard that can be opened.
    pub trait Open: Sized {
        /// A record, as the user receives it.
        type Record: Receive;
        /// A page of records, as the reader yields it.
        type Page: IntoIterator<Item = Self::Record>;
        /// A page of records, as the user receives it.
        type Batch;
        /// The error of the reader.
        type Error;
        /// The reader of the shard's pages.
        type Reader: Read<Item = Result<Self::Page, Self::Error>>;

        /// Opens the shard. The reader sends no request before it is polled.
        fn open(
            self,
            client: &Client,
            options: Arc<ReadOptions>,
            permits: RequestPermits,
        ) -> Self::Reader;

        /// Turns a page into what the user gets, if any record of it is left.
        fn batch(page: Self::Page) -> Option<Self::Batch>;

        /// Takes the next record, and acknowledges the one that was taken before it.
        fn next_in_order(records: &mut PageRecords<Self>) -> Option<Record>;

        /// Notes that the user polls for a record of another shard.
        fn leave(_records: &mut PageRecords<Self>) {}
    }

    /// The records of a page that are not taken.
    pub(crate) type PageRecords<H> = <<H as Open>::Page as IntoIterator>::IntoIter;

    /// A record as the user receives it, with or without an acknowledgement.
    pub trait Receive: Sized {
        /// The acknowledgement of the record.
        type Acker;
        /// The acknowledgements of the records of a chunk.
        type ChunkAcks: Default;
        /// A chunk of records, as the user receives it.
        type Chunk;

        /// Returns the record.
        fn record(&self) -> &Record;

        /// Splits this into the record and its acknowledgement.
        fn split(self) -> (Record, Self::Acker);

        /// Acknowledges a record.
        fn acknowledge(acker: Self::Acker);

        /// Waits until a record that was received earlier may be processed. Returns whether it may:
        /// it may not once this worker has lost its shard. `waker` keeps the wait between polls.
        fn poll_permit(
            &self,
            waker: &mut Option<Arc<AtomicWaker>>,
            cx: &mut Context<'_>,
        ) -> Poll<bool>;

        /// Adds this to the end of a chunk.
        fn add_to(self, records: &mut Vec<Record>, acks: &mut Self::ChunkAcks);

        /// Returns whether a shard waits for the acknowledgement of records of the chunk.
        fn is_chunk_awaited(acks: &Self::ChunkAcks) -> bool;

        /// Waits until the chunk may be delivered, and removes the records of shards that this
        /// worker has lost.
        fn poll_chunk_permit(
            records: &mut Vec<Record>,
            acks: &mut Self::ChunkAcks,
            cx: &mut Context<'_>,
        ) -> Poll<()>;

        /// Makes a chunk of its records.
        fn chunk(records: Vec<Record>, acks: Self::ChunkAcks) -> Self::Chunk;
    }

    /// A stream of one shard's pages.
    pub trait Read: FusedStream + Unpin + fmt::Debug {
        /// Sets the options, before the first poll.
        #[track_caller]
        fn set_options(&mut self, options: Arc<ReadOptions>);
        /// Returns `MillisBehindLatest` of the last response.
        fn lag(&self) -> Option<Duration>;
        /// Returns the id of the shard, until the reader has ended.
        fn shard_id(&self) -> Option<&str>;
        /// Returns why the reader has ended, once it has.
        fn ended(&self) -> Option<&EndReason>;
    }
}
pub(crate) use sealed::{Open, PageRecords, Read};

impl<H: Open<Error = ReadError>> Open for Result<H, ListError> {
    type Record = H::Record;
    type Page = H::Page;
    type Batch = H::Batch;
    type Error = Error;
    type Reader = TryReader<H::Reader>;

    fn open(
        self,
        client: &Client,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
    ) -> TryReader<H::Reader> {
        match self {
            Ok(shard) => TryReader::Reading(shard.open(client, options, permits)),
            Err(error) => TryReader::NotListed(Some(error)),
        }
    }

    fn batch(page: H::Page) -> Option<H::Batch> {
        H::batch(page)
    }

    #[inline]
    fn next_in_order(records: &mut PageRecords<H>) -> Option<Record> {
        H::next_in_order(records)
    }

    fn leave(records: &mut PageRecords<H>) {
        H::leave(records);
    }
}

/// A reader of a shard, or a failed listing, whose error is the only item.
#[derive(Debug)]
pub enum TryReader<R> {
    /// The reader of the shard.
    Reading(R),
    /// The error of the listing, until it is yielded.
    NotListed(Option<ListError>),
}

impl<R, P> Stream for TryReader<R>
where
    R: Stream<Item = Result<P, ReadError>> + Unpin,
{
    type Item = Result<P, Error>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match self.get_mut() {
            Self::Reading(reader) => {
                let page = Pin::new(reader).poll_next(cx);
                page.map(|page| page.map(|page| page.map_err(Error::from)))
            }
            Self::NotListed(error) => Poll::Ready(error.take().map(|error| Err(error.into()))),
        }
    }
}

impl<R, P> FusedStream for TryReader<R>
where
    R: FusedStream<Item = Result<P, ReadError>> + Unpin,
{
    fn is_terminated(&self) -> bool {
        match self {
            Self::Reading(reader) => reader.is_terminated(),
            Self::NotListed(error) => error.is_none(),
        }
    }
}

impl<R, P> Read for TryReader<R>
where
    R: Read<Item = Result<P, ReadError>>,
{
    fn set_options(&mut self, options: Arc<ReadOptions>) {
        if let Self::Reading(reader) = self {
            reader.set_options(options);
        }
    }

    fn lag(&self) -> Option<Duration> {
        match self {
            Self::Reading(reader) => reader.lag(),
            Self::NotListed(_) => None,
        }
    }

    fn shard_id(&self) -> Option<&str> {
        match self {
            Self::Reading(reader) => reader.shard_id(),
            Self::NotListed(_) => None,
        }
    }

    fn ended(&self) -> Option<&EndReason> {
        match self {
            Self::Reading(reader) => reader.ended(),
            Self::NotListed(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt, StreamExt};

    use super::*;
    use crate::shard::stream_id::StreamId;

    /// A reader without pages, whose shard expires.
    #[derive(Debug, Default)]
    struct Empty {
        options: Option<Arc<ReadOptions>>,
        ended: Option<EndReason>,
    }

    impl Stream for Empty {
        type Item = Result<Vec<u8>, ReadError>;

        fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.ended = Some(EndReason::Expired);
            Poll::Ready(None)
        }
    }

    impl FusedStream for Empty {
        fn is_terminated(&self) -> bool {
            self.ended.is_some()
        }
    }

    impl Read for Empty {
        fn set_options(&mut self, options: Arc<ReadOptions>) {
            self.options = Some(options);
        }

        fn lag(&self) -> Option<Duration> {
            Some(Duration::from_secs(7))
        }

        fn shard_id(&self) -> Option<&str> {
            Some("shard")
        }

        fn ended(&self) -> Option<&EndReason> {
            self.ended.as_ref()
        }
    }

    #[test]
    fn a_listed_shard_is_read_by_its_own_reader() {
        let mut reader = TryReader::Reading(Empty::default());
        let options = Arc::new(ReadOptions::new());
        reader.set_options(Arc::clone(&options));
        let TryReader::Reading(Empty { options: Some(set), .. }) = &reader else { panic!() };
        assert!(Arc::ptr_eq(set, &options));
        assert_eq!(
            (reader.lag(), reader.shard_id()),
            (Some(Duration::from_secs(7)), Some("shard"))
        );
        assert!(!reader.is_terminated() && reader.ended().is_none());
        assert!(reader.next().now_or_never().expect("the end").is_none());
        assert!(reader.is_terminated());
        assert_eq!(reader.ended(), Some(&EndReason::Expired));
    }

    #[test]
    fn a_failed_listing_is_the_only_item_of_its_reader() {
        let error = ListError::malformed(&StreamId::from("orders"), "as scripted");
        let mut reader = TryReader::<Empty>::NotListed(Some(error));
        assert_eq!((reader.lag(), reader.shard_id(), reader.ended()), (None, None, None));
        assert!(!reader.is_terminated());
        let item = reader.next().now_or_never().expect("an item");
        assert!(matches!(item, Some(Err(Error::List(_)))), "{item:?}");
        assert!(reader.is_terminated());
        assert!(reader.next().now_or_never().expect("the end").is_none());
    }
}
