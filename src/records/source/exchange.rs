//! One exchange with Kinesis: a read, and before it a new iterator if there is none that is fit for
//! use.
//!
//! Both are one future. With a future each, a shard would wait for its permit twice, and between
//! the two its iterator would age: where many shards take permits, or where nobody polls the reader
//! for long, every iterator would have expired before it is used.

use std::sync::Arc;
use std::time::SystemTime;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use tokio::time::{Duration, Instant};

use crate::listing::error::ListError;
use crate::records::error::ReadError;
use crate::records::page_limit::PageLimit;
use crate::records::permits::RequestPermits;
use crate::records::source::latest::LatestAnchor;
use crate::records::source::requests::{get_records, get_shard_iterator, is_closed};
use crate::shard::offer::Offer;
use crate::shard::position::StartPosition;
use crate::util::clock::now;

/// An iterator expires 300 s after the request that made it.
const MAX_ITERATOR_AGE: Duration = Duration::from_secs(290);

/// What is sent, once it may be.
pub(crate) struct Exchange {
    pub(crate) client: Client,
    pub(crate) offer: Arc<Offer>,
    /// Where a new iterator begins.
    pub(crate) from: StartPosition,
    pub(crate) opened: LatestAnchor,
    pub(crate) iterator: Option<ShardIterator>,
    /// Whether the shards are listed instead of the shard being read.
    pub(crate) lists: bool,
    pub(crate) limit: PageLimit,
    /// The limit of a read by a new iterator.
    pub(crate) first_limit: PageLimit,
    pub(crate) permits: RequestPermits,
}

/// An iterator, and when the request was sent that made it.
#[derive(Clone, Debug)]
pub(crate) struct ShardIterator {
    pub(crate) token: String,
    pub(crate) asked_at: Instant,
}

/// What an exchange was for.
pub(crate) enum Content {
    Records(GetRecordsOutput),
    /// Whether the shard is listed as closed; none if it is not listed.
    Listed(Option<bool>),
}

/// What came of an exchange.
pub(crate) struct Answer {
    pub(crate) result: Result<Content, ReadError>,
    /// The iterator that was used for the read, if there was one.
    pub(crate) iterator: Option<ShardIterator>,
    /// The position that the iterator was made for, if it is a new one.
    pub(crate) made_for: Option<StartPosition>,
    /// When the last request was sent.
    pub(crate) asked_at: Instant,
    /// When its response came.
    pub(crate) came: Instant,
    /// The same by the client's clock.
    pub(crate) came_at: SystemTime,
}

impl ShardIterator {
    fn is_fit(&self) -> bool {
        self.asked_at.elapsed() < MAX_ITERATOR_AGE
    }
}

impl Exchange {
    /// Waits for the end of the pause and for a permit, and runs the exchange.
    pub(crate) async fn run(self, pause_ends: Option<Instant>) -> Answer {
        if let Some(pause_ends) = pause_ends {
            tokio::time::sleep_until(pause_ends).await;
        }
        let _permit = self.permits.acquire().await;
        // What is sent, and what is awaited of it, exists only from here on.
        Box::pin(self.send()).await
    }

    async fn send(self) -> Answer {
        let (stream, shard) = (self.offer.stream(), self.offer.shard.shard_id());
        if self.lists {
            let asked_at = Instant::now();
            let listed = match is_closed(&self.client, &self.offer).await {
                Ok(is_closed) => Ok(Content::Listed(is_closed)),
                Err(ListError::StreamNotFound { .. }) => Ok(Content::Listed(None)),
                Err(error) => Err(ReadError::list_shards(stream, shard, error)),
            };
            return self.answer(listed, asked_at);
        }
        let (mut iterator, mut made_for) =
            (self.iterator.clone().filter(ShardIterator::is_fit), None);
        if iterator.is_none() {
            let _one_of_many = self.permits.acquire_iterator().await;
            let mut from = self.from.clone();
            while iterator.is_none() {
                if self.opened.is_past(now(&self.client)) {
                    from = self.opened.not_latest(from);
                }
                let asked_at = Instant::now();
                let made =
                    get_shard_iterator(self.client.clone(), Arc::clone(&self.offer), from.clone())
                        .await;
                let token = match made {
                    Ok(Some(token)) => token,
                    Ok(None) => {
                        return self.answer(Err(ReadError::no_iterator(stream, shard)), asked_at);
                    }
                    Err(error) => {
                        let error = ReadError::get_shard_iterator(stream, shard, error);
                        return self.answer(Err(error), asked_at);
                    }
                };
                // A LATEST that came late would skip what was written since the reader was made.
                let skips = from == StartPosition::Latest && self.opened.is_past(now(&self.client));
                iterator =
                    Some(ShardIterator { token, asked_at }).filter(|made| !skips && made.is_fit());
            }
            made_for = Some(from);
        }
        let asked_at = Instant::now();
        let token = iterator.as_ref().map(|iterator| iterator.token.clone()).unwrap_or_default();
        let limit = if made_for.is_some() { self.first_limit } else { self.limit };
        let read = get_records(self.client.clone(), Arc::clone(&self.offer), token, limit).await;
        let result = match read {
            Ok(output) => Ok(Content::Records(output)),
            Err(error) => Err(ReadError::get_records(stream, shard, error)),
        };
        Answer { iterator, made_for, ..self.answer(result, asked_at) }
    }

    fn answer(&self, result: Result<Content, ReadError>, asked_at: Instant) -> Answer {
        let (came, came_at) = (Instant::now(), now(&self.client));
        Answer { result, iterator: None, made_for: None, asked_at, came, came_at }
    }
}
