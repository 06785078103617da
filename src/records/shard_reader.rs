//! The reader of one shard's batches, over any source of pages.

use std::sync::Arc;
use std::task::{Context, Poll, ready};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::ChildShard;
use tokio::time::Duration;

use crate::records::batch::Batch;
use crate::records::error::ReadError;
use crate::records::monitor::{Monitor, PageProgress, Progress};
use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::source::fan_out::Subscription;
use crate::records::source::polling::Polling;
use crate::records::source::reader_context::ReaderContext;
use crate::records::source::{Source, Stop};
use crate::shard::offer::Offer;
use crate::shard::position::StartPosition;

/// A reader of one shard, which does not end the shard's handle.
pub(crate) struct ShardReader {
    context: Arc<ReaderContext>,
    from: StartPosition,
    /// Whether an earlier reader of this shard has read the record at the start.
    is_resumed: bool,
    start_kind: ReaderStart,
    /// The source, which the first poll creates.
    source: Option<Box<dyn Source>>,
    /// The end, once the last page was yielded.
    end: Option<PageEnd>,
    lag: Option<Duration>,
    /// A monitor besides those of the options.
    monitor: Option<Monitor>,
    /// The progress that monitors show. The first poll creates it if there is a monitor.
    progress: Option<Arc<Progress>>,
    /// Whether a page arrived, with or without records.
    has_received_page: bool,
}

/// The meaning of the position at which a reader starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReaderStart {
    /// The user or a checkpoint has set the position.
    Given,
    /// The position is a time that stands for an earlier `LATEST`.
    Estimate,
    /// The position is the tip of the shard: `LATEST`, or the present time in its place.
    Tip,
}

impl ReaderStart {
    fn of(from: &StartPosition, is_estimate: bool) -> Self {
        match from {
            StartPosition::Latest => Self::Tip,
            _ if is_estimate => Self::Estimate,
            _ => Self::Given,
        }
    }
}

/// The end of the last page.
enum PageEnd {
    /// The shard has ended, and has these children.
    Shard(Vec<ChildShard>),
    /// The run ends before the shard does.
    Run,
}

/// A step of a reader. A step other than a batch is the last.
pub(crate) enum Step {
    /// The next batch, of at least one record.
    Batch(Batch),
    /// The shard has ended, and has these children.
    End(Vec<ChildShard>),
    /// The run ends before the shard does.
    Reached,
    /// Kinesis does not find the shard.
    Expired,
    /// The shard is another with the same id and sequence numbers, whose records were not read.
    Replaced,
    /// An error that no retry would resolve.
    Failed(ReadError),
}

impl From<PageEnd> for Step {
    fn from(end: PageEnd) -> Self {
        match end {
            PageEnd::Shard(children) => Self::End(children),
            PageEnd::Run => Self::Reached,
        }
    }
}

impl ShardReader {
    pub(crate) fn new(
        client: &Client,
        offer: Arc<Offer>,
        from: StartPosition,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
    ) -> Self {
        offer.begin_reading();
        Self {
            start_kind: ReaderStart::of(&from, offer.is_estimate),
            is_resumed: false,
            context: Arc::new(ReaderContext::new(client, offer, options, permits)),
            from,
            source: None,
            end: None,
            lag: None,
            monitor: None,
            progress: None,
            has_received_page: false,
        }
    }

    /// Creates a reader of the same shard that starts at `from`.
    pub(crate) fn restarted_at(&self, from: StartPosition) -> Self {
        let ReaderContext { client, offer, options, permits, .. } = &*self.context;
        let (offer, options, permits) = (Arc::clone(offer), Arc::clone(options), permits.clone());
        let (is_resumed, monitor) = (self.is_resumed, self.monitor.clone());
        Self { is_resumed, monitor, ..Self::new(client, offer, from, options, permits) }
    }

    /// Sets what the start stands for.
    pub(crate) fn start_kind(self, start_kind: ReaderStart) -> Self {
        Self { start_kind, ..self }
    }

    /// Expects the record at the start, which an earlier reader of this shard has read.
    pub(crate) fn resumed(self) -> Self {
        Self { is_resumed: true, ..self }
    }

    /// Returns the earlier time at which the source started because Kinesis refused the start. The
    /// time is returned once.
    pub(crate) fn take_earlier_start(&mut self) -> Option<StartPosition> {
        self.source.as_mut()?.take_earlier_start()
    }

    /// Adds a monitor to those of the options.
    pub(crate) fn monitored(mut self, monitor: &Monitor) -> Self {
        self.monitor = Some(monitor.clone());
        self
    }

    /// Registers the progress of this reader with its monitors.
    fn show_progress(&mut self) {
        let ReaderContext { client, offer, options, .. } = &*self.context;
        let monitors = || options.monitors.iter().chain(&self.monitor);
        if monitors().next().is_some() {
            let progress = Progress::new(client.clone(), Arc::clone(offer));
            let progress = Arc::new(progress);
            monitors().for_each(|monitor| monitor.add(&progress));
            self.progress = Some(progress);
        }
    }

    pub(crate) fn options(&self) -> &ReadOptions {
        &self.context.options
    }

    pub(crate) fn set_options(&mut self, options: Arc<ReadOptions>) {
        Arc::make_mut(&mut self.context).options = options;
    }

    /// Returns whether the reader was polled.
    pub(crate) fn was_polled(&self) -> bool {
        self.source.is_some()
    }

    /// Returns whether a page arrived, so Kinesis accepted the start.
    pub(crate) fn has_received_page(&self) -> bool {
        self.has_received_page
    }

    /// Returns the `MillisBehindLatest` of the last response.
    pub(crate) fn lag(&self) -> Option<Duration> {
        self.lag
    }

    /// Polls the request in flight, and keeps its page for [`poll_next`](Self::poll_next).
    pub(crate) fn poll_in_flight(&mut self, cx: &mut Context<'_>) {
        if let Some(source) = &mut self.source {
            source.poll_in_flight(cx);
        }
    }

    /// Polls the request in flight, and lets another reader have the shard.
    pub(crate) fn yield_shard(&mut self, cx: &mut Context<'_>) {
        if let Some(source) = &mut self.source {
            source.yield_shard(cx);
        }
    }

    /// Returns whether another subscriber has taken the shard over since the last call.
    pub(crate) fn take_takeover(&mut self) -> bool {
        self.source.as_mut().is_some_and(|source| source.take_takeover())
    }

    /// Records the time since the end of the parent at the first page, and notes the end of the
    /// shard for its children.
    #[cfg(feature = "metrics")]
    fn record_hand_over(&self, end: Option<&[ChildShard]>) {
        let context = &self.context.offer.context;
        if !self.has_received_page
            && let Some(duration) = context.hand_overs.first_page(self.context.shard_id())
        {
            context.figures().record_hand_over(duration);
        }
        if let Some(children) = end {
            context.hand_overs.end(children);
        }
    }

    /// Polls for the next step.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        let run_end = self.context.offer.context.run_end().copied();
        if self.start_kind == ReaderStart::Tip && run_end.is_some_and(|end| end.is_tip()) {
            // No record lies between the two.
            return Poll::Ready(Step::Reached);
        }
        if let Some(end) = self.end.take() {
            return Poll::Ready(end.into());
        }
        if self.source.is_none() {
            self.show_progress();
        }
        let source = self.source.get_or_insert_with(|| {
            let polling = Polling::new(Arc::clone(&self.context), self.from.clone())
                .estimated_start(self.start_kind != ReaderStart::Given)
                .resumed(self.is_resumed);
            match self.context.options.fan_out.clone() {
                Some(consumer) => Box::new(Subscription::new(consumer, polling)),
                None => Box::new(polling),
            }
        });
        // The shard id now belongs to another stream, whose shards have other readers.
        if self.context.offer.poll_gone(cx) {
            let (stream, shard) = (self.context.stream().name(), self.context.shard_id());
            tracing::warn!(
                stream,
                shard,
                "the stream was re-created; the reader of its old shard ends"
            );
            return Poll::Ready(Step::Expired);
        }
        let mut page = match ready!(source.poll_page(cx)) {
            Ok(page) => page,
            Err(Stop::Expired) => return Poll::Ready(Step::Expired),
            Err(Stop::Replaced) => {
                let (stream, shard) = (self.context.stream().name(), self.context.shard_id());
                tracing::warn!(
                    stream,
                    shard,
                    "the shard was replaced: the server lost its data; reading the shard from its \
                     oldest record"
                );
                return Poll::Ready(Step::Replaced);
            }
            Err(Stop::Failed(error)) => return Poll::Ready(Step::Failed(error)),
        };
        if let Some(run_end) = &run_end {
            page.cut_at(run_end);
        }
        self.lag = page.lag;
        if let Some(progress) = &self.progress {
            progress.receive_page(&page.records, page.lag);
        }
        #[cfg(feature = "metrics")]
        self.record_hand_over(page.end.as_deref());
        self.has_received_page = true;
        let end =
            if page.is_at_run_end { Some(PageEnd::Run) } else { page.end.map(PageEnd::Shard) };
        if page.records.is_empty() {
            if let Some(end) = end {
                return Poll::Ready(end.into());
            }
            // A server that sends only empty pages must not keep the task from other work.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.end = end;
        Poll::Ready(Step::Batch(Batch {
            records: page.records,
            offer: Arc::clone(&self.context.offer),
            lag: page.lag,
            received_at: page.received_at,
            progress: self.progress.clone().map(PageProgress::new),
            #[cfg(feature = "kpl")]
            deaggregation: self.context.options.deaggregation,
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use aws_sdk_kinesis::config::{BehaviorVersion, Config};
    use aws_sdk_kinesis::types::{Record, Shard};
    use futures::future::poll_fn;
    use futures::poll;

    use super::*;
    use crate::records::source::Page;
    use crate::shard::stream_context::StreamContext;
    use crate::shard::stream_id::StreamId;
    use crate::util::clock::now;

    /// A source that yields these pages, and is pending before each.
    #[derive(Default)]
    struct Scripted {
        pages: VecDeque<Result<Page, Stop>>,
        is_ready: bool,
        earlier_start: Option<StartPosition>,
    }

    impl Source for Scripted {
        fn poll_page(&mut self, cx: &mut Context<'_>) -> Poll<Result<Page, Stop>> {
            self.is_ready = !self.is_ready;
            if self.is_ready {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(self.pages.pop_front().expect("no poll after the end"))
        }

        fn poll_in_flight(&mut self, _: &mut Context<'_>) {}

        fn take_earlier_start(&mut self) -> Option<StartPosition> {
            self.earlier_start.take()
        }
    }

    fn client() -> Client {
        Client::from_conf(Config::builder().behavior_version(BehaviorVersion::latest()).build())
    }

    fn page(records: usize, end: Option<Vec<ChildShard>>) -> Page {
        let record = || {
            let record = Record::builder().sequence_number("7").partition_key("key");
            record.data(Vec::new().into()).build().expect("every required member is set")
        };
        let records = (0..records).map(|_| record().into()).collect();
        let lag = Some(Duration::from_secs(3));
        Page { records, lag, received_at: now(&client()), end, is_at_run_end: false }
    }

    /// Creates a reader over this source.
    fn reader(source: Scripted) -> ShardReader {
        let context = Arc::new(StreamContext::new(StreamId::from("orders")));
        let shard = Shard::builder().shard_id("shard").build().expect("an id is set");
        let from = StartPosition::TrimHorizon;
        let offer = Arc::new(Offer::new(shard, context, from.clone(), [None, None]));
        let options = Arc::new(ReadOptions::new());
        let mut reader =
            ShardReader::new(&client(), offer, from, options, RequestPermits::default());
        reader.source = Some(Box::new(source));
        reader
    }

    async fn next(reader: &mut ShardReader) -> Step {
        poll_fn(|cx| reader.poll_next(cx)).await
    }

    #[tokio::test]
    async fn batches_of_the_source_are_yielded_up_to_the_end() {
        let child = ChildShard::builder().shard_id("child").set_parent_shards(Some(Vec::new()));
        let range = aws_sdk_kinesis::types::HashKeyRange::builder();
        let range = range.starting_hash_key("0").ending_hash_key("1").build().expect("a range");
        let child = child.hash_key_range(range).build().expect("a child");
        let pages = [page(2, None), page(0, None), page(1, Some(vec![child.clone()]))];
        let pages = pages.into_iter().map(Ok).collect();
        let mut reader = reader(Scripted { pages, ..Scripted::default() });
        assert!(!reader.has_received_page());
        for records in [2, 1] {
            let Step::Batch(batch) = next(&mut reader).await else { panic!("not a batch") };
            assert_eq!(batch.into_iter().count(), records);
            assert_eq!(reader.lag(), Some(Duration::from_secs(3)));
        }
        assert!(reader.has_received_page());
        let Step::End(children) = next(&mut reader).await else { panic!("not the end") };
        assert_eq!(children, [child]);
    }

    #[tokio::test]
    async fn an_end_without_records_is_yielded_at_once() {
        let pages = [Ok(page(0, Some(Vec::new())))].into();
        let mut reader = reader(Scripted { pages, ..Scripted::default() });
        assert!(matches!(next(&mut reader).await, Step::End(children) if children.is_empty()));
    }

    #[tokio::test]
    async fn the_reader_stops_when_its_source_stops() {
        let error = ReadError::no_iterator(&StreamId::from("orders"), "shard");
        for stop in [Stop::Expired, Stop::Replaced, Stop::Failed(error)] {
            let text = format!("{stop:?}");
            let pages = [Err(stop)].into();
            let mut reader = reader(Scripted { pages, ..Scripted::default() });
            let next = next(&mut reader).await;
            let is_same = match next {
                Step::Expired => text == "Expired",
                Step::Replaced => text == "Replaced",
                Step::Failed(_) => text.starts_with("Failed"),
                Step::Batch(_) | Step::End(_) | Step::Reached => false,
            };
            assert!(is_same, "{text}");
        }
    }

    #[tokio::test]
    async fn the_reader_yields_to_the_runtime_at_empty_pages() {
        let pages = (0..3).map(|_| Ok(page(0, None))).chain([Ok(page(1, None))]).collect();
        let mut reader = reader(Scripted { pages, ..Scripted::default() });
        for _ in 0..7 {
            assert!(poll!(poll_fn(|cx| reader.poll_next(cx))).is_pending());
        }
        assert!(poll!(poll_fn(|cx| reader.poll_next(cx))).is_ready());
    }

    #[test]
    fn a_reader_that_starts_again_expects_its_first_record_and_keeps_its_monitor() {
        let monitor = Monitor::new();
        for is_resumed in [false, true] {
            let first = reader(Scripted::default()).monitored(&monitor);
            let first = if is_resumed { first.resumed() } else { first };
            let mut again = first.restarted_at(StartPosition::TrimHorizon);
            assert_eq!(again.is_resumed, is_resumed);
            again.show_progress();
            assert_eq!(monitor.status().len(), 1);
        }
    }

    #[test]
    fn a_monitor_keeps_few_readers_that_have_ended() {
        let monitor = Monitor::new();
        let monitored = || {
            let mut reader = reader(Scripted::default()).monitored(&monitor);
            reader.show_progress();
            reader
        };
        let open: Vec<_> = (0..10).map(|_| monitored()).collect();
        for _ in 0..1_000 {
            drop(monitored());
        }
        assert!(monitor.listed() <= 20, "{}", monitor.listed());
        assert_eq!(monitor.status().len(), open.len());
    }

    #[test]
    fn the_earlier_start_of_a_source_is_returned_once() {
        let earlier_start = Some(StartPosition::TrimHorizon);
        let mut reader = reader(Scripted { earlier_start, ..Scripted::default() });
        assert_eq!(reader.take_earlier_start(), Some(StartPosition::TrimHorizon));
        assert_eq!(reader.take_earlier_start(), None);
    }
}
