//! One complete listing: all the pages of `ListShards`, from the first to the one without a
//! `NextToken`.

use std::collections::HashSet;
#[cfg(feature = "cbor")]
use std::sync::Arc;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::Config;
use aws_sdk_kinesis::operation::list_shards::builders::ListShardsFluentBuilder;
use aws_sdk_kinesis::operation::list_shards::{ListShardsError, ListShardsOutput};
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardFilter, ShardFilterType};

#[cfg(feature = "cbor")]
use crate::cbor::taker::Taker;
use crate::listing::error::ListError;
use crate::listing::shard_list::Pages;
use crate::shard::stream_context::StreamContext;
use crate::util::received_shard::ReceivedShard;
use crate::util::request_timeout::request_timeout;

/// The shards that a listing requests.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Query {
    Everything,
    /// The shards that were open at this time or later.
    FromTimestamp(DateTime),
    /// The shards with ids after this one.
    After(String),
}

/// A page of AWS's holds 1,000 shards, and a stream has far fewer than ten million: a server that
/// sends more pages does not stop.
const MAX_PAGES: usize = 10_000;
const MAX_CONSECUTIVE_EMPTY_PAGES: usize = 1_000;
/// Why a full list without a shard is invalid.
pub(crate) const NO_SHARDS: &str = "it names no shard";
/// How often a listing restarts after its token has expired.
const MAX_RESTARTS: usize = 3;

/// Lists the shards: requests all pages, and starts again if a token expires.
pub(crate) async fn list(
    client: &Client,
    context: &StreamContext,
    query: &Query,
) -> Result<Pages, ListError> {
    let stream = &context.id;
    let mut restarts = 0;
    loop {
        match pages(client, context, query).await {
            // A stream has at least one shard, unless it is being created or deleted.
            Ok(pages) if pages.len() == 0 && !matches!(query, Query::After(_)) => {
                return Err(ListError::malformed(stream, NO_SHARDS));
            }
            Ok(pages) => return Ok(pages),
            Err(PageError::TokenExpired(_)) if restarts < MAX_RESTARTS => {
                restarts += 1;
                tracing::debug!(
                    stream = stream.name(),
                    restarts,
                    "a NextToken expired; listing again from the first page"
                );
            }
            Err(PageError::TokenExpired(error) | PageError::Other(error)) => return Err(error),
        }
    }
}

/// A page of a list.
struct Page {
    shards: Option<Vec<ReceivedShard>>,
    next_token: Option<String>,
}

impl From<ListShardsOutput> for Page {
    fn from(output: ListShardsOutput) -> Self {
        let shards = output.shards.map(|page| page.into_iter().map(ReceivedShard::from).collect());
        Self { shards, next_token: output.next_token }
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
    let mut first_shards = HashSet::new();
    let mut empty_in_a_row = 0;
    let mut token = None;
    loop {
        let page = page(client, context, query, token.clone()).await?;
        // A missing list must not count as an empty one, by which all shards would be unlisted.
        let Some(shards) = page.shards else {
            return Err(PageError::Other(ListError::malformed(stream, "a page has no `Shards`")));
        };
        let next = page.next_token.filter(|token| !token.is_empty());
        if next.is_some() {
            if next == token {
                return Err(endless("a page's NextToken leads to itself"));
            }
            match shards.first() {
                Some(first) if !first_shards.insert(first.shard_id().to_owned()) => {
                    return Err(endless(&format!("two pages begin with {}", first.shard_id())));
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

/// Requests one page. A follow-up page carries the token alone: AWS refuses the stream's name or a
/// filter with it.
async fn page(
    client: &Client,
    context: &StreamContext,
    query: &Query,
    token: Option<String>,
) -> Result<Page, PageError> {
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
    respond(client, request, context).await
}

/// Reads Kinesis's clock into the context, by a request for one shard.
#[cfg(feature = "dynamodb")]
pub(crate) async fn read_clock(client: &Client, context: &StreamContext) -> Result<(), ListError> {
    let stream = &context.id;
    stream.validate_for_kinesis().map_err(|reason| ListError::invalid(stream, reason))?;
    let (name, arn) = stream.name_or_arn();
    let request = client.list_shards().set_stream_name(name).set_stream_arn(arn).max_results(1);
    match respond(client, request, context).await {
        Ok(_) => Ok(()),
        Err(PageError::TokenExpired(error) | PageError::Other(error)) => Err(error),
    }
}

async fn respond(
    client: &Client,
    request: ListShardsFluentBuilder,
    context: &StreamContext,
) -> Result<Page, PageError> {
    let stream = &context.id;
    #[cfg(feature = "cbor")]
    let taker = Arc::new(Taker::default());
    let request = context.wire.send(client, |format| {
        #[cfg(feature = "cbor")]
        let format = format.with_taker(&taker);
        let config = format.configure(Config::builder());
        let request = request.clone().customize().config_override(config);
        request.interceptor(context.clock.clone()).send()
    });
    let figures = context.figures();
    let response = async { figures.observe("ListShards", request_timeout(request)).await? };
    let response = response.await.map_err(|error| {
        let expired =
            error.as_service_error().is_some_and(ListShardsError::is_expired_next_token_exception);
        let error = ListError::list_shards(stream, error);
        if expired { PageError::TokenExpired(error) } else { PageError::Other(error) }
    })?;
    let page = Page::from(response);
    // An interceptor of the client may have set other shards.
    #[cfg(feature = "cbor")]
    if let Some(shards) = taker.taken().filter(|_| page.shards.is_none()) {
        return Ok(Page { shards: Some(shards), ..page });
    }
    Ok(page)
}
