//! One complete listing: all the pages of `ListShards`, from the first to the one without a
//! `NextToken`.

use std::collections::HashSet;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType};

use crate::listing::error::ListError;
use crate::listing::shard_list::Pages;
use crate::shard::stream_context::StreamContext;
use crate::util::request_timeout::request_timeout;

/// What the first page asks for.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Query {
    Everything,
    /// What was open at this time or later.
    FromTimestamp(DateTime),
    /// What follows this id.
    After(String),
}

/// AWS gives 1,000 shards a page, and a stream has far fewer than ten million: past this a server
/// counts in circles.
const MAX_PAGES: usize = 10_000;
const MAX_CONSECUTIVE_EMPTY_PAGES: usize = 1_000;
/// What is wrong with a full list without a shard.
pub(crate) const NO_SHARDS: &str = "it names no shard";
/// How often a listing is begun again because its token had expired, before that is an error.
const MAX_RESTARTS: usize = 3;

pub(crate) async fn list(
    client: &Client,
    context: &StreamContext,
    query: &Query,
) -> Result<Pages, ListError> {
    let stream = &context.id;
    let mut restarts = 0;
    loop {
        match pages(client, context, query).await {
            // A stream has at least one shard: this one is being created or deleted.
            Ok(pages) if pages.len() == 0 && !matches!(query, Query::After(_)) => {
                return Err(ListError::malformed(stream, NO_SHARDS));
            }
            Ok(pages) => return Ok(pages),
            Err(PageError::TokenExpired(_)) if restarts < MAX_RESTARTS => {
                restarts += 1;
                tracing::debug!(
                    stream = stream.name(),
                    restarts,
                    "a NextToken expired: listing from the first page"
                );
            }
            Err(PageError::TokenExpired(error) | PageError::Other(error)) => return Err(error),
        }
    }
}

enum PageError {
    TokenExpired(ListError),
    Other(ListError),
}

async fn pages(
    client: &Client,
    context: &StreamContext,
    query: &Query,
) -> Result<Pages, PageError> {
    let stream = &context.id;
    let endless = |why: &str| {
        PageError::Other(ListError::malformed(stream, format!("its pages never end: {why}")))
    };
    let mut pages = Pages::new();
    let mut begun = HashSet::new();
    let mut empty_in_a_row = 0;
    let mut token = None;
    loop {
        let page = page(client, context, query, token.clone()).await?;
        // Not so an empty one: no shards would be taken for the truth.
        let Some(shards) = page.shards else {
            return Err(PageError::Other(ListError::malformed(stream, "a page has no `Shards`")));
        };
        let next = page.next_token.filter(|token| !token.is_empty());
        if next.is_some() {
            if next == token {
                return Err(endless("a page's NextToken leads to itself"));
            }
            match shards.first() {
                Some(first) if !begun.insert(first.shard_id.clone()) => {
                    return Err(endless(&format!("two pages begin with {}", first.shard_id)));
                }
                Some(_) => empty_in_a_row = 0,
                None => empty_in_a_row += 1,
            }
            if pages.len() >= MAX_PAGES || empty_in_a_row >= MAX_CONSECUTIVE_EMPTY_PAGES {
                return Err(endless(&format!(
                    "{} with shards, {empty_in_a_row} empty",
                    pages.len()
                )));
            }
        }
        pages.push(shards);
        match next {
            Some(next) => token = Some(next),
            None => return Ok(pages),
        }
    }
}

/// A follow-up page carries the token alone: AWS refuses the stream's name or a filter beside it.
async fn page(
    client: &Client,
    context: &StreamContext,
    query: &Query,
    token: Option<String>,
) -> Result<ListShardsOutput, PageError> {
    let stream = &context.id;
    let mut request = client.list_shards();
    if token.is_some() {
        request = request.set_next_token(token);
    } else {
        let (name, arn) = stream.name_or_arn();
        request = request.set_stream_name(name).set_stream_arn(arn);
        request = match query {
            Query::Everything => request,
            Query::After(id) => request.exclusive_start_shard_id(id),
            Query::FromTimestamp(timestamp) => {
                let filter = ShardFilter::builder()
                    .r#type(ShardFilterType::FromTimestamp)
                    .timestamp(*timestamp);
                let filter = filter.build().map_err(|missing| {
                    PageError::Other(ListError::list_shards(stream, missing.into()))
                })?;
                request.shard_filter(filter)
            }
        };
    }
    let request = request.customize().interceptor(context.clock.clone());
    let response = match request_timeout(request.send()).await {
        Ok(response) => response,
        Err(no_response) => Err(no_response.into()),
    };
    response.map_err(|error| {
        let expired =
            error.as_service_error().is_some_and(ListShardsError::is_expired_next_token_exception);
        let error = ListError::list_shards(stream, error);
        if expired { PageError::TokenExpired(error) } else { PageError::Other(error) }
    })
}
