//! `ListShards`: filters, pages, and the tokens between pages.

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::listing_faults::{ListedShard, ListingFault, View};
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::shard::shard_index;
use crate::testing::model::status::Status;
use crate::testing::model::stream::Stream;
use crate::testing::model::time::Millis;
use crate::testing::model::token::{LIFETIME, ListToken, Selection};

/// Which shards of a stream to list.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ShardFilter<'a> {
    AfterShardId(&'a str),
    AtLatest,
    AtTimestamp(Millis),
    AtTrimHorizon,
    FromTimestamp(Millis),
    FromTrimHorizon,
}

/// The parameters of a `ListShards` request.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListRequest<'a> {
    pub(crate) stream: StreamRef<'a>,
    pub(crate) created: Option<Millis>,
    pub(crate) next_token: Option<&'a str>,
    pub(crate) after: Option<&'a str>,
    pub(crate) filter: Option<ShardFilter<'a>>,
    pub(crate) max_results: Option<i64>,
    /// A fault of the response. It is not part of the request.
    pub(crate) fault: ListingFault,
}

/// One page of a listing.
#[derive(Debug)]
pub(crate) struct ListedShards<'a> {
    pub(crate) shards: Vec<ListedShard<'a>>,
    pub(crate) next_token: Option<String>,
}

impl Service {
    pub(crate) fn list_shards(
        &mut self,
        request: ListRequest<'_>,
        now: Millis,
    ) -> Result<ListedShards<'_>, ApiError> {
        let page = page_length(request.max_results, self.page_size)?;
        let (name, from, selection, stream_id) = if let Some(text) = request.next_token {
            reject_beside_token(&request)?;
            let token: ListToken =
                text.parse().map_err(|()| ApiError::invalid("Invalid NextToken."))?;
            if now.since(token.issued) > LIFETIME {
                return Err(ApiError::new(
                    Code::ExpiredNextToken,
                    "The pagination token has expired.",
                ));
            }
            (token.stream, token.from, token.selection, Some(token.stream_id))
        } else {
            let stream = self.stream(request.stream, now)?;
            let (from, selection) = resolve(stream, &request, now)?;
            (stream.name.clone(), from, selection, None)
        };
        let stream = self.stream(StreamRef::named(&name), now)?;
        if !is_same_stream(stream, stream_id, request.created) {
            return Err(ApiError::not_found(format!("Stream {name} has been created again.")));
        }
        if matches!(stream.status(now), Status::Creating | Status::Deleting) {
            let message = format!("Stream {name} is {}.", stream.status(now).as_str());
            return Err(ApiError::new(Code::ResourceInUse, message));
        }
        let stream_id = stream.id;
        self.meters.admit_listing(stream_id, now)?;
        let stream = self.stream(StreamRef::named(&name), now)?;
        let fault = match request.fault {
            ListingFault::NoShards if request.next_token.is_some() => ListingFault::None,
            fault => fault,
        };
        let view = View::new(fault, stream);
        let mut rest = view.shards(stream, from).filter(|shard| selection.selects(shard));
        let shards: Vec<_> = rest.by_ref().take(page).collect();
        let next =
            if view.is_empty() { Some(from) } else { rest.next().map(|next| next.shard.index) };
        let next_token = next.map(|from| {
            ListToken { issued: now, stream_id, from, selection, stream: name }.to_string()
        });
        Ok(ListedShards { shards, next_token })
    }
}

pub(crate) fn page_length(max_results: Option<i64>, page_size: usize) -> Result<usize, ApiError> {
    match max_results {
        None => Ok(page_size),
        Some(max @ 1..=10_000) => Ok(usize::try_from(max).unwrap_or(page_size).min(page_size)),
        Some(max @ ..=0) => {
            Err(ApiError::constraint(max, "maxResults", "have value greater than or equal to 1"))
        }
        Some(max) => {
            Err(ApiError::constraint(max, "maxResults", "have value less than or equal to 10000"))
        }
    }
}

/// Rejects every parameter that names a stream or selects shards: a token carries all of them.
fn reject_beside_token(request: &ListRequest<'_>) -> Result<(), ApiError> {
    let beside = [
        (request.stream.name.is_some(), "StreamName"),
        (request.stream.arn.is_some(), "StreamARN"),
        (request.created.is_some(), "StreamCreationTimestamp"),
        (request.after.is_some(), "ExclusiveStartShardId"),
        (request.filter.is_some(), "ShardFilter"),
    ];
    match beside.iter().find(|(given, _)| *given) {
        Some((_, name)) => {
            Err(ApiError::invalid(format!("NextToken and {name} cannot be provided together.")))
        }
        None => Ok(()),
    }
}

/// Returns the index at which a listing starts, and its selection. Later pages keep the selection.
fn resolve(
    stream: &Stream,
    request: &ListRequest<'_>,
    now: Millis,
) -> Result<(u32, Selection), ApiError> {
    let mut after = request.after;
    let selection = match request.filter {
        None | Some(ShardFilter::FromTrimHorizon) => Selection::All,
        Some(ShardFilter::AfterShardId(id)) => {
            if after.is_some() {
                let message = "ExclusiveStartShardId and ShardFilter of type AFTER_SHARD_ID \
                               cannot be provided together.";
                return Err(ApiError::invalid(message));
            }
            after = Some(id);
            Selection::All
        }
        Some(ShardFilter::AtLatest) => Selection::OpenOf(stream.next_index),
        Some(ShardFilter::AtTrimHorizon) => Selection::OpenAt(stream.trim_horizon(now)),
        Some(ShardFilter::AtTimestamp(time)) => Selection::OpenAt(time),
        // A time before the trim horizon needs no correction: expired shards are gone.
        Some(ShardFilter::FromTimestamp(time)) => Selection::OpenSince(time),
    };
    let after = after
        .map(|id| {
            shard_index(id).ok_or_else(|| ApiError::invalid(format!("ShardId {id} is invalid.")))
        })
        .transpose()?;
    Ok((after.map_or(0, |after| after.saturating_add(1)), selection))
}

/// Returns whether `stream` is the one that a token or a creation time names, and not one that was
/// created again under its name. A client knows the creation time to the second.
fn is_same_stream(stream: &Stream, id: Option<u64>, created: Option<Millis>) -> bool {
    id.is_none_or(|id| id == stream.id)
        && created.is_none_or(|created| created.0 / 1000 == stream.created.0 / 1000)
}

impl Selection {
    fn selects(self, shard: &ListedShard<'_>) -> bool {
        match self {
            Self::All => true,
            Self::OpenOf(shards) => {
                // A shard that has closed since has newer children.
                let open = shard.closed.is_none()
                    || shard.shard.children.iter().all(|child| *child >= shards);
                shard.shard.index < shards && open
            }
            Self::OpenAt(time) => {
                shard.shard.opened <= time && shard.closed.is_none_or(|closed| closed >= time)
            }
            Self::OpenSince(time) => shard.closed.is_none_or(|closed| closed >= time),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::model::stream::Mode;

    const START: Millis = Millis(1_700_000_000_000);
    const HOUR: u64 = 3_600_000;
    const ORDERS: StreamRef<'static> = StreamRef { name: Some("orders"), arn: None };

    /// Returns a service with shards 0 and 1. At hour 1, shard 0 is split into 2 and 3. At hour 2,
    /// shards 3 and 1 are merged into 4.
    fn service() -> Service {
        let mut service = Service::default();
        service.create_stream("orders", Mode::Provisioned, 2, START).expect("a stream");
        service.split_shard(ORDERS, "shardId-000000000000", 1 << 126, at(1)).expect("a split");
        service
            .merge_shards(ORDERS, "shardId-000000000003", "shardId-000000000001", at(2))
            .expect("a merge");
        service
    }

    fn at(hours: u64) -> Millis {
        Millis(START.0 + hours * HOUR)
    }

    fn listed(service: &mut Service, filter: Option<ShardFilter<'_>>, now: Millis) -> Vec<u32> {
        let request = ListRequest { stream: ORDERS, filter, ..ListRequest::default() };
        indices(&service.list_shards(request, now).expect("a listing"))
    }

    fn indices(page: &ListedShards<'_>) -> Vec<u32> {
        page.shards.iter().map(|listed| listed.shard.index).collect()
    }

    #[test]
    fn every_filter_selects_its_shards() {
        let service = &mut service();
        let now = at(3);
        assert_eq!(listed(service, None, now), [0, 1, 2, 3, 4]);
        assert_eq!(listed(service, Some(ShardFilter::FromTrimHorizon), now), [0, 1, 2, 3, 4]);
        assert_eq!(listed(service, Some(ShardFilter::AtLatest), now), [2, 4]);
        assert_eq!(listed(service, Some(ShardFilter::AtTrimHorizon), now), [0, 1]);
        assert_eq!(
            listed(service, Some(ShardFilter::AfterShardId("shardId-000000000002")), now),
            [3, 4]
        );
        let half_past_one = Millis(at(1).0 + HOUR / 2);
        assert_eq!(listed(service, Some(ShardFilter::AtTimestamp(half_past_one)), now), [1, 2, 3]);
        assert_eq!(listed(service, Some(ShardFilter::AtTimestamp(at(1))), now), [0, 1, 2, 3]);
        assert_eq!(
            listed(service, Some(ShardFilter::FromTimestamp(half_past_one)), now),
            [1, 2, 3, 4]
        );
        assert_eq!(
            listed(service, Some(ShardFilter::FromTimestamp(Millis(0))), now),
            [0, 1, 2, 3, 4]
        );
    }

    #[test]
    fn trim_horizon_moves_and_closed_shards_expire() {
        let service = &mut service();
        let half_past_one_next_day = Millis(at(25).0 + HOUR / 2);
        assert_eq!(
            listed(service, Some(ShardFilter::AtTrimHorizon), half_past_one_next_day),
            [1, 2, 3]
        );
        assert_eq!(listed(service, None, half_past_one_next_day), [1, 2, 3, 4]);
        assert_eq!(listed(service, None, at(26)), [2, 4]);
    }

    #[test]
    fn longer_retention_keeps_shards_and_restores_none() {
        let service = &mut service();
        service.increase_retention(ORDERS, 48, Millis(at(25).0 + HOUR / 2)).expect("increased");
        assert_eq!(listed(service, None, at(27)), [1, 2, 3, 4]);
        assert_eq!(listed(service, None, at(50)), [2, 4]);
        assert!(service.increase_retention(ORDERS, 24, at(50)).is_err());
        assert!(service.decrease_retention(ORDERS, 72, at(50)).is_err());
        assert!(service.decrease_retention(ORDERS, 23, at(50)).is_err());
        assert!(service.increase_retention(ORDERS, 8761, at(50)).is_err());
    }

    #[test]
    fn pages_keep_the_filter() {
        let service = &mut service();
        let between = Millis(at(1).0 + 1);
        for filter in [
            ShardFilter::AfterShardId("shardId-000000000001"),
            ShardFilter::AtLatest,
            ShardFilter::AtTimestamp(between),
            ShardFilter::AtTrimHorizon,
            ShardFilter::FromTimestamp(between),
            ShardFilter::FromTrimHorizon,
        ] {
            let first = ListRequest {
                stream: ORDERS,
                filter: Some(filter),
                max_results: Some(1),
                ..ListRequest::default()
            };
            let mut page = service.list_shards(first, at(3)).expect("the first page");
            let mut all = indices(&page);
            while let Some(token) = page.next_token.take() {
                let next = ListRequest {
                    next_token: Some(&token),
                    max_results: Some(1),
                    ..ListRequest::default()
                };
                page = service.list_shards(next, at(3)).expect("a page");
                all.extend(indices(&page));
            }
            assert_eq!(all, listed(service, Some(filter), at(3)), "{filter:?}");
        }
    }

    #[test]
    fn later_pages_list_shards_that_closed_after_the_first_page() {
        let service = &mut service();
        let latest = |service: &mut Service, token: Option<&str>| {
            let (stream, filter) = match token {
                Some(_) => (StreamRef::default(), None),
                None => (ORDERS, Some(ShardFilter::AtLatest)),
            };
            let request = ListRequest {
                stream,
                filter,
                next_token: token,
                max_results: Some(1),
                ..ListRequest::default()
            };
            let page = service.list_shards(request, at(3)).expect("a page");
            (indices(&page), page.next_token)
        };
        let (first, token) = latest(service, None);
        // Within the same millisecond.
        service.split_shard(ORDERS, "shardId-000000000004", 1 << 127, at(3)).expect("a split");
        let (rest, end) = latest(service, token.as_deref());
        assert_eq!((first, rest, end), (vec![2], vec![4], None));
        assert_eq!(listed(service, Some(ShardFilter::AtLatest), at(3)), [2, 5, 6]);
    }

    #[test]
    fn early_expiry_moves_the_trim_horizon() {
        let service = &mut service();
        let stream = service.stream_mut(ORDERS, at(3)).expect("the stream");
        stream.expire_shard("shardId-000000000000", at(3)).expect("closed");
        assert_eq!(listed(service, Some(ShardFilter::AtTrimHorizon), at(3)), [1, 2, 3]);
        // A longer retention does not move the horizon back.
        service.increase_retention(ORDERS, 48, at(35)).expect("increased");
        assert_eq!(listed(service, Some(ShardFilter::AtTrimHorizon), at(36)), [2, 4]);
    }

    #[test]
    fn shards_older_than_an_early_expired_one_stay_listed() {
        let service = &mut service();
        let stream = service.stream_mut(ORDERS, at(3)).expect("the stream");
        stream.expire_shard("shardId-000000000003", at(3)).expect("closed");
        assert_eq!(listed(service, Some(ShardFilter::AtTrimHorizon), at(3)), [1, 2, 4]);
        assert_eq!(listed(service, Some(ShardFilter::FromTimestamp(at(0))), at(3)), [0, 1, 2, 4]);
        assert_eq!(listed(service, Some(ShardFilter::FromTrimHorizon), at(3)), [0, 1, 2, 4]);
    }

    #[test]
    fn token_is_valid_for_five_minutes_and_excludes_other_parameters() {
        let service = &mut service();
        let first = ListRequest { stream: ORDERS, max_results: Some(2), ..ListRequest::default() };
        let token =
            service.list_shards(first, at(3)).expect("a page").next_token.expect("more pages");
        let next = ListRequest { next_token: Some(&token), ..ListRequest::default() };
        let mut code = |request, now| {
            service.list_shards(request, now).map(|page| indices(&page)).map_err(|e| e.code)
        };
        assert_eq!(code(next.clone(), Millis(at(3).0 + 300_000)), Ok(vec![2, 3, 4]));
        assert_eq!(code(next.clone(), Millis(at(3).0 + 300_001)), Err(Code::ExpiredNextToken));
        for beside in [
            ListRequest { stream: ORDERS, ..next.clone() },
            ListRequest { stream: StreamRef { name: None, arn: Some("any") }, ..next.clone() },
            ListRequest { created: Some(START), ..next.clone() },
            ListRequest { after: Some("shardId-000000000000"), ..next.clone() },
            ListRequest { filter: Some(ShardFilter::AtLatest), ..next.clone() },
            ListRequest { next_token: Some("garbage"), ..next.clone() },
        ] {
            let request = format!("{beside:?}");
            assert_eq!(code(beside, at(3)), Err(Code::InvalidArgument), "{request}");
        }
    }

    #[test]
    fn token_is_invalid_after_the_stream_is_created_again() {
        let service = &mut service();
        let first = ListRequest { stream: ORDERS, max_results: Some(2), ..ListRequest::default() };
        let token =
            service.list_shards(first, at(3)).expect("a page").next_token.expect("more pages");
        service.delete_stream(ORDERS, at(3)).expect("deleted");
        service.create_stream("orders", Mode::Provisioned, 4, at(3)).expect("created again");
        let next = ListRequest { next_token: Some(&token), ..ListRequest::default() };
        assert_eq!(
            service.list_shards(next, at(3)).expect_err("rejected").code,
            Code::ResourceNotFound
        );
        let old = ListRequest { stream: ORDERS, created: Some(START), ..ListRequest::default() };
        assert_eq!(
            service.list_shards(old, at(3)).expect_err("rejected").code,
            Code::ResourceNotFound
        );
        let new = ListRequest { stream: ORDERS, created: Some(at(3)), ..ListRequest::default() };
        assert_eq!(service.list_shards(new, at(3)).expect("a page").shards.len(), 4);
    }

    #[test]
    fn page_length_is_bounded() {
        let service = &mut service();
        let mut pages = |max| {
            let request =
                ListRequest { stream: ORDERS, max_results: Some(max), ..ListRequest::default() };
            service
                .list_shards(request, at(3))
                .map(|page| page.shards.len())
                .map_err(|api_error| api_error.code)
        };
        assert_eq!((pages(1), pages(10_000)), (Ok(1), Ok(5)));
        assert_eq!((pages(0), pages(10_001)), (Err(Code::Validation), Err(Code::Validation)));
    }

    #[test]
    fn request_names_its_stream_by_name_or_arn_or_both() {
        let service = &mut service();
        let mut code = |name, arn| {
            let request = ListRequest { stream: StreamRef { name, arn }, ..ListRequest::default() };
            service
                .list_shards(request, at(3))
                .map(|page| page.shards.len())
                .map_err(|api_error| api_error.code)
        };
        let arn = Some("arn:aws:kinesis:us-east-1:123456789012:stream/orders");
        let elsewhere = Some("arn:aws:kinesis:eu-west-1:123456789012:stream/orders");
        assert_eq!(code(None, arn), Ok(5));
        assert_eq!(code(Some("orders"), arn), Ok(5));
        assert_eq!(code(Some("others"), arn), Err(Code::InvalidArgument));
        assert_eq!(code(None, None), Err(Code::InvalidArgument));
        assert_eq!(code(None, elsewhere), Err(Code::ResourceNotFound));
        assert_eq!(code(Some("missing"), None), Err(Code::ResourceNotFound));
        assert_eq!(code(Some("no spaces"), None), Err(Code::Validation));
        assert_eq!(code(None, Some("orders")), Err(Code::Validation));
    }
}
