//! One exchange with Kinesis: a read, preceded by a request for an iterator if there is no usable
//! one.
//!
//! Both requests are one future under one permit. With two futures, a shard would wait for a permit
//! twice, and its iterator would age in between: where many shards wait for permits, or the reader
//! is not polled for long, every iterator would expire before it is used.

use std::sync::Arc;
use std::time::SystemTime;

use tokio::time::{Duration, Instant};
use tracing::Instrument;

use crate::listing::error::ListError;
use crate::records::error::ReadError;
use crate::records::page_limit::RequestLimit;
use crate::records::source::reader_context::ReaderContext;
use crate::records::source::requests::{
    RecordsResponse, get_records, get_shard_iterator, is_closed,
};
use crate::shard::position::StartPosition;
use crate::util::clock::now;

/// An iterator expires 300 s after the request for it.
const MAX_ITERATOR_AGE: Duration = Duration::from_secs(290);

/// The requests of one exchange, before they are sent.
pub(crate) struct Exchange {
    pub(crate) context: Arc<ReaderContext>,
    /// The position at which a new iterator starts.
    pub(crate) from: StartPosition,
    pub(crate) iterator: Option<ShardIterator>,
    /// Whether to list the shards instead of reading the shard.
    pub(crate) lists_shards: bool,
    pub(crate) limit: RequestLimit,
    /// The limit of a read with a new iterator.
    pub(crate) first_limit: RequestLimit,
}

/// An iterator, and the time at which the request for it was sent.
#[derive(Clone, Debug)]
pub(crate) struct ShardIterator {
    pub(crate) token: String,
    pub(crate) sent_at: Instant,
}

/// The content of a successful response.
pub(crate) enum Content {
    Records(RecordsResponse),
    /// Whether the shard is listed as closed. `None` if it is not listed.
    Listed(Option<bool>),
}

/// The outcome of an exchange.
pub(crate) struct ExchangeOutcome {
    pub(crate) result: Result<Content, ReadError>,
    /// The iterator of the read, if a read was sent, or the one that a list left unused.
    pub(crate) iterator: Option<ShardIterator>,
    /// The position at which the iterator starts, if the iterator is new.
    pub(crate) iterator_start: Option<StartPosition>,
    /// The time at which the last request was sent.
    pub(crate) sent_at: Instant,
    /// The time at which the exchange completed.
    pub(crate) completed_at: Instant,
    /// The same time by the client's clock.
    pub(crate) received_at: SystemTime,
}

impl ShardIterator {
    fn is_fresh(&self) -> bool {
        self.sent_at.elapsed() < MAX_ITERATOR_AGE
    }
}

impl Exchange {
    /// Waits for the end of the pause and for a permit, then sends the requests.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` has room for its arguments twice")]
    pub(crate) fn run(
        self,
        pause_ends: Option<Instant>,
    ) -> impl Future<Output = ExchangeOutcome> + Send {
        async move {
            if let Some(pause_ends) = pause_ends {
                tokio::time::sleep_until(pause_ends).await;
            }
            let _permit = self.context.permits.acquire().await;
            let (stream, shard) = (self.context.stream().name(), self.context.shard_id());
            let span = tracing::debug_span!("read_shard", stream, shard);
            // Boxed, so that a reader that waits for its pause or a permit takes little memory.
            Box::pin(self.send().instrument(span)).await
        }
    }

    async fn send(self) -> ExchangeOutcome {
        let context = &*self.context;
        let (stream, shard) = (context.stream(), context.shard_id());
        let figures = context.offer.context.figures();
        if self.lists_shards {
            let sent_at = Instant::now();
            let listed = match is_closed(context).await {
                Ok(is_closed) => Ok(Content::Listed(is_closed)),
                Err(ListError::StreamNotFound { .. }) => Ok(Content::Listed(None)),
                Err(error) => Err(ReadError::list_shards(stream, shard, error)),
            };
            let outcome = self.outcome(listed, sent_at);
            return ExchangeOutcome { iterator: self.iterator, ..outcome };
        }
        let (mut iterator, mut iterator_start) =
            (self.iterator.clone().filter(ShardIterator::is_fresh), None);
        if iterator.is_none() {
            let _permit = context.permits.acquire_iterator().await;
            let mut from = self.from.clone();
            while iterator.is_none() {
                if context.latest_anchor.is_late(now(&context.client)) {
                    from = context.latest_anchor.replace_latest(from);
                }
                let sent_at = Instant::now();
                let request = get_shard_iterator(context, &from);
                let token = match figures.observe("GetShardIterator", request).await {
                    Ok(Some(token)) => token,
                    Ok(None) => {
                        return self.outcome(Err(ReadError::no_iterator(stream, shard)), sent_at);
                    }
                    Err(error) => {
                        let error = ReadError::get_shard_iterator(stream, shard, error);
                        return self.outcome(Err(error), sent_at);
                    }
                };
                // A late LATEST would skip records written after the reader was created.
                let skips = from == StartPosition::Latest
                    && context.latest_anchor.is_late(now(&context.client));
                iterator =
                    Some(ShardIterator { token, sent_at }).filter(|new| !skips && new.is_fresh());
            }
            iterator_start = Some(from);
        }
        let sent_at = Instant::now();
        let token = iterator.as_ref().map(|iterator| iterator.token.clone()).unwrap_or_default();
        let limit = if iterator_start.is_some() { self.first_limit } else { self.limit };
        let request = get_records(context, token, limit);
        let result = match figures.observe("GetRecords", request).await {
            Ok(output) => Ok(Content::Records(output)),
            Err(error) => Err(ReadError::get_records(stream, shard, error)),
        };
        ExchangeOutcome { iterator, iterator_start, ..self.outcome(result, sent_at) }
    }

    fn outcome(&self, result: Result<Content, ReadError>, sent_at: Instant) -> ExchangeOutcome {
        let (completed_at, received_at) = (Instant::now(), now(&self.context.client));
        ExchangeOutcome {
            result,
            iterator: None,
            iterator_start: None,
            sent_at,
            completed_at,
            received_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_iterator_is_used_for_less_than_290_s() {
        let iterator = ShardIterator { token: "token".to_owned(), sent_at: Instant::now() };
        tokio::time::advance(Duration::from_millis(289_999)).await;
        assert!(iterator.is_fresh());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(!iterator.is_fresh());
    }
}
