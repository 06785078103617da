//! The readers of all shards of a stream, opened with one client and its options.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aws_sdk_kinesis::Client;
use futures::Stream;
use pin_project::pin_project;

use crate::records::options::ReadOptions;
use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::Open;
use crate::records::reader_set::ReaderSet;

/// The readers of a stream of shards.
#[pin_project]
pub(crate) struct Readers<S: Stream<Item: ReadShard>> {
    #[pin]
    reader_set: ReaderSet<S, <S::Item as Open>::Reader>,
    client: Client,
    options: Arc<ReadOptions>,
}

impl<S: Stream<Item: ReadShard>> Readers<S> {
    pub(crate) fn new(shards: S, client: &Client) -> Self {
        Self { reader_set: ReaderSet::new(shards), client: client.clone(), options: Arc::default() }
    }

    pub(crate) fn with_options(self, options: ReadOptions) -> Self {
        Self { options: Arc::new(options), ..self }
    }

    #[track_caller]
    pub(crate) fn max_concurrent_reads(self, reads: usize) -> Self {
        Self { reader_set: self.reader_set.max_concurrent_reads(reads), ..self }
    }

    pub(crate) fn options(&self) -> &ReadOptions {
        &self.options
    }

    pub(crate) fn readers(&self) -> impl Iterator<Item = &<S::Item as Open>::Reader> {
        self.reader_set.readers()
    }

    pub(crate) fn is_terminated(&self) -> bool {
        self.reader_set.is_terminated()
    }

    /// Yields the next page or error, and sets its reader aside until it is
    /// [resumed](Self::resume).
    pub(crate) fn poll_next(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<ReaderItem<S::Item>>> {
        let this = self.project();
        let (client, options) = (this.client, this.options);
        this.reader_set
            .poll_next(cx, |shard, permits| shard.open(client, Arc::clone(options), permits))
    }

    pub(crate) fn resume(self: Pin<&mut Self>, reader: <S::Item as Open>::Reader) {
        self.project().reader_set.resume(reader);
    }
}

/// A page or an error, and its reader.
pub(crate) type ReaderItem<H> =
    (Result<<H as Open>::Page, <H as Open>::Error>, <H as Open>::Reader);
