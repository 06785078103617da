//! The stream of the records of many shards, in bounded runs of each.

use std::collections::VecDeque;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures::Stream;
use futures::stream::FusedStream;
use pin_project::pin_project;
use tokio::time::{Duration, Instant};

use crate::records::read_shard::ReadShard;
use crate::records::read_shard::sealed::{Open, PageRecords};
use crate::records::readers::Readers;

/// The default number of records of one shard in a row.
const DEFAULT_MAX_RUN: NonZeroUsize = NonZeroUsize::new(100).expect("not zero");

/// The time below which a run continues: within it, a fast consumer takes more than `max_run`
/// records and delays no other shard. Pages that are delivered whole stay in the processor's caches
/// and are freed at once: without this, reading 64 shards of small records took a third longer.
const MIN_RUN: Duration = Duration::from_millis(10);

/// A stream of the records of all shards of `S`.
///
/// A page is delivered in runs: of up to `max_run` records, or of the records that the consumer
/// takes within [`MIN_RUN`], whichever are more. After each run, the pages that arrived during the
/// run join the queue, the page moves to the end of the queue, and the run of the first page
/// begins. A shard's reader is set aside while its page is held here, so the shard is read further,
/// or ends, only when the last record of its page was taken.
#[pin_project]
pub(crate) struct MergeRecords<S: Stream<Item: ReadShard>> {
    #[pin]
    readers: Readers<S>,
    /// The page of the current run.
    current: Option<PendingPage<S::Item>>,
    /// The number of records left in the run.
    left_in_run: usize,
    /// The time at which the run started.
    run_started_at: Option<Instant>,
    /// The pages that wait for their run.
    waiting: VecDeque<PendingPage<S::Item>>,
    max_run: NonZeroUsize,
}

/// A page with records left, and its reader.
struct PendingPage<H: ReadShard> {
    records: PageRecords<H>,
    reader: H::Reader,
}

impl<S: Stream<Item: ReadShard>> MergeRecords<S> {
    pub(crate) fn new(readers: Readers<S>) -> Self {
        Self {
            readers,
            current: None,
            left_in_run: 0,
            run_started_at: None,
            waiting: VecDeque::new(),
            max_run: DEFAULT_MAX_RUN,
        }
    }

    #[track_caller]
    pub(crate) fn max_run(self, records: usize) -> Self {
        let max_run =
            NonZeroUsize::new(records).expect("max_run is 0: no record would ever be delivered");
        Self { max_run, ..self }
    }

    #[track_caller]
    pub(crate) fn map_readers(self, map: impl FnOnce(Readers<S>) -> Readers<S>) -> Self {
        Self { readers: map(self.readers), ..self }
    }

    pub(crate) fn inner(&self) -> &Readers<S> {
        &self.readers
    }

    /// Returns all open readers, including those that are set aside.
    pub(crate) fn readers(&self) -> impl Iterator<Item = &<S::Item as Open>::Reader> {
        let set_aside = self.current.iter().chain(&self.waiting).map(|page| &page.reader);
        set_aside.chain(self.readers.readers())
    }

    /// Polls for the next record, which `next` takes from the current page.
    // A record of the current page costs as much as the `next` of a vector.
    #[inline]
    pub(crate) fn poll_next_by<T>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        next: impl Fn(&mut PageRecords<S::Item>) -> Option<T>,
    ) -> Poll<Option<Result<T, <S::Item as Open>::Error>>> {
        loop {
            let this = self.as_mut().project();
            if *this.left_in_run > 0
                && let Some(page) = this.current
                && let Some(record) = next(&mut page.records)
            {
                *this.left_in_run -= 1;
                return Poll::Ready(Some(Ok(record)));
            }
            match ready!(self.as_mut().poll_run(cx)) {
                Some(Ok(())) => {}
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => return Poll::Ready(None),
            }
        }
    }

    /// Begins the next run; `None` is the end of the stream.
    fn poll_run(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<(), <S::Item as Open>::Error>>> {
        let mut this = self.project();
        let is_exhausted = |page: &PendingPage<S::Item>| page.records.size_hint().1 == Some(0);
        // A run with records left has reached the end of its page.
        if let Some(page) = this.current.take_if(|page| *this.left_in_run > 0 || is_exhausted(page))
        {
            let PendingPage { mut records, reader } = page;
            <S::Item as Open>::leave(&mut records);
            // The page is dropped before the next one is polled for.
            drop(records);
            this.readers.as_mut().resume(reader);
        }
        *this.left_in_run = this.max_run.get();
        let now = Instant::now();
        let is_short = this.run_started_at.is_some_and(|started_at| now - started_at < MIN_RUN);
        if is_short && this.current.is_some() {
            return Poll::Ready(Some(Ok(())));
        }
        if let Some(page) = this.current {
            <S::Item as Open>::leave(&mut page.records);
        }
        *this.run_started_at = Some(now);
        // Only one page per run joins the queue, which bounds the work at the end of a run.
        let next = this.readers.as_mut().poll_next(cx);
        let has_ended = matches!(next, Poll::Ready(None));
        match next {
            Poll::Ready(Some((Ok(page), reader))) => {
                this.waiting.push_back(PendingPage { records: page.into_iter(), reader });
            }
            Poll::Ready(Some((Err(error), reader))) => {
                this.readers.resume(reader);
                return Poll::Ready(Some(Err(error)));
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
        if let Some(first) = this.waiting.pop_front() {
            // The page moves only if another waits.
            this.waiting.extend(this.current.replace(first));
        }
        match this.current {
            Some(_) => Poll::Ready(Some(Ok(()))),
            None if has_ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl<S: Stream<Item: ReadShard>> Stream for MergeRecords<S> {
    type Item = Result<<S::Item as Open>::Record, <S::Item as Open>::Error>;

    #[inline]
    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_next_by(cx, Iterator::next)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let pages = self.current.iter().chain(&self.waiting);
        (pages.map(|page| page.records.size_hint().0).sum(), None)
    }
}

impl<S: Stream<Item: ReadShard>> FusedStream for MergeRecords<S> {
    fn is_terminated(&self) -> bool {
        self.current.is_none() && self.waiting.is_empty() && self.readers.is_terminated()
    }
}
