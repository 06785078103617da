//! The time filters of `ListShards`, tested against the words of AWS's API reference. None of the
//! independent servers in this repository's tests implements all three correctly.

use crate::testing::model::listing::{ListRequest, ShardFilter};
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::stream::Mode;
use crate::testing::model::time::Millis;

const HOUR: u64 = 3_600_000;
const CREATED: u64 = 1_700_000_000_123;
const SPLIT: u64 = CREATED + HOUR;
const MERGED: u64 = CREATED + 2 * HOUR;
const NOW: u64 = CREATED + 3 * HOUR;
const ORDERS: StreamRef<'static> = StreamRef { name: Some("orders"), arn: None };

/// Returns a service with shards 0 and 1. Shard 0 is split into 2 and 3, and then 3 and 1 are
/// merged into 4.
fn service() -> Service {
    let mut service = Service::default();
    service.create_stream("orders", Mode::Provisioned, 2, Millis(CREATED)).expect("a stream");
    service.split_shard(ORDERS, "shardId-000000000000", 1 << 126, Millis(SPLIT)).expect("a split");
    let (low, high) = ("shardId-000000000003", "shardId-000000000001");
    service.merge_shards(ORDERS, low, high, Millis(MERGED)).expect("a merge");
    service
}

fn listed(service: &mut Service, filter: ShardFilter<'_>, now: u64) -> Vec<u32> {
    let request = ListRequest { stream: ORDERS, filter: Some(filter), ..ListRequest::default() };
    let page = service.list_shards(request, Millis(now)).expect("a listing");
    page.shards.iter().map(|listed| listed.shard.index).collect()
}

/// "All shards whose start timestamp is less than or equal to the given timestamp and end timestamp
/// is greater than or equal to the given timestamp or still open."
#[test]
fn at_timestamp() {
    let service = &mut service();
    let mut at = |time| listed(service, ShardFilter::AtTimestamp(Millis(time)), NOW);
    let nothing: [u32; 0] = [];
    assert_eq!(at(0), nothing);
    assert_eq!(at(CREATED - 1), nothing);
    assert_eq!(at(CREATED), [0, 1]);
    assert_eq!(at(SPLIT - 1), [0, 1]);
    assert_eq!(at(SPLIT), [0, 1, 2, 3]);
    assert_eq!(at(SPLIT + 1), [1, 2, 3]);
    assert_eq!(at(MERGED - 1), [1, 2, 3]);
    assert_eq!(at(MERGED), [1, 2, 3, 4]);
    assert_eq!(at(MERGED + 1), [2, 4]);
    assert_eq!(at(NOW + HOUR), [2, 4]);
}

/// "All closed shards whose end timestamp is greater than or equal to the given timestamp and also
/// all open shards. Corrected to `TRIM_HORIZON` of the data stream if `FROM_TIMESTAMP` is less than
/// the `TRIM_HORIZON` value."
#[test]
fn from_timestamp() {
    let service = &mut service();
    let mut from = |time, now| listed(service, ShardFilter::FromTimestamp(Millis(time)), now);
    assert_eq!(from(0, NOW), [0, 1, 2, 3, 4]);
    assert_eq!(from(CREATED, NOW), [0, 1, 2, 3, 4]);
    assert_eq!(from(SPLIT, NOW), [0, 1, 2, 3, 4]);
    assert_eq!(from(SPLIT + 1, NOW), [1, 2, 3, 4]);
    assert_eq!(from(MERGED, NOW), [1, 2, 3, 4]);
    assert_eq!(from(MERGED + 1, NOW), [2, 4]);
    assert_eq!(from(NOW + HOUR, NOW), [2, 4]);
    // A day later the trim horizon lies between the split and the merge.
    let later = SPLIT + HOUR / 2 + 24 * HOUR;
    assert_eq!(from(0, later), [1, 2, 3, 4]);
    assert_eq!(from(0, later + HOUR), [2, 4]);
}

/// "All the shards that were open at `TRIM_HORIZON`": at the creation of the stream until its
/// retention period has passed once, and then at the oldest time from which anything is kept.
#[test]
fn at_trim_horizon() {
    let service = &mut service();
    let day = 24 * HOUR;
    assert_eq!(listed(service, ShardFilter::AtTrimHorizon, NOW), [0, 1]);
    assert_eq!(listed(service, ShardFilter::AtTrimHorizon, CREATED + day), [0, 1]);
    assert_eq!(listed(service, ShardFilter::AtTrimHorizon, SPLIT + day - 1), [0, 1]);
    assert_eq!(listed(service, ShardFilter::AtTrimHorizon, SPLIT + day + 1), [1, 2, 3]);
    assert_eq!(listed(service, ShardFilter::AtTrimHorizon, MERGED + day - 1), [1, 2, 3]);
    assert_eq!(listed(service, ShardFilter::AtTrimHorizon, MERGED + day + 1), [2, 4]);
    // A retention of two days does not move the horizon back: expired records do not return.
    service.increase_retention(ORDERS, 48, Millis(MERGED + day + 1)).expect("increased");
    assert_eq!(listed(service, ShardFilter::AtTrimHorizon, MERGED + 2 * day - 1), [2, 4]);
}

/// Every page of a filtered listing holds only shards that the filter selects, as of the time of
/// the first page.
#[test]
fn pages_share_the_time_of_the_first() {
    let service = &mut service();
    let first = ListRequest {
        stream: ORDERS,
        filter: Some(ShardFilter::AtTrimHorizon),
        max_results: Some(1),
        ..ListRequest::default()
    };
    let first_time = SPLIT + 24 * HOUR - 1;
    let page = service.list_shards(first, Millis(first_time)).expect("the first page");
    assert_eq!(page.shards.len(), 1);
    let token = page.next_token.expect("a second page");
    let next = ListRequest { next_token: Some(&token), ..ListRequest::default() };
    let page = service.list_shards(next, Millis(first_time + 60_000)).expect("the second page");
    // The horizon has passed the split by now. Shards 2 and 3 were open at the new horizon, but not
    // at that of the first page.
    assert_eq!(page.shards.iter().map(|listed| listed.shard.index).collect::<Vec<_>>(), [1]);
}
