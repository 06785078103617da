//! The context that one reader shares with its source and its requests.

use std::sync::Arc;

use aws_sdk_kinesis::Client;

use crate::records::options::ReadOptions;
use crate::records::permits::RequestPermits;
use crate::records::source::latest::LatestAnchor;
use crate::shard::offer::Offer;
use crate::shard::stream_id::StreamId;

/// One reader of one shard: how it reads, and since when.
///
/// The context is shared, so that an idle reader and its pending request take little memory.
#[derive(Clone)]
pub(crate) struct ReaderContext {
    pub(crate) client: Client,
    pub(crate) offer: Arc<Offer>,
    pub(crate) options: Arc<ReadOptions>,
    pub(crate) permits: RequestPermits,
    pub(crate) latest_anchor: LatestAnchor,
}

impl ReaderContext {
    /// Creates the context of a reader that is created now.
    pub(crate) fn new(
        client: &Client,
        offer: Arc<Offer>,
        options: Arc<ReadOptions>,
        permits: RequestPermits,
    ) -> Self {
        let latest_anchor = LatestAnchor::now(client, &offer);
        Self { client: client.clone(), offer, options, permits, latest_anchor }
    }

    pub(crate) fn stream(&self) -> &StreamId {
        self.offer.stream()
    }

    pub(crate) fn shard_id(&self) -> &str {
        self.offer.shard.shard_id()
    }
}
