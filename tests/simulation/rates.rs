//! The request rates of each shard. Failed requests count too.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kinesis_shards::testing::Request;
use tokio::time::Instant;

use crate::id::number;
use crate::script::{ITERATOR, READING};
use crate::subscriptions::{SUBSCRIBING, is_takeover};

/// AWS's limit for reads and iterators, per second and shard.
const MAX_RATE: usize = 5;
/// AWS's limit for subscriptions, per second, shard and consumer.
const MAX_SUBSCRIPTIONS: usize = 1;
const SECOND: Duration = Duration::from_secs(1);

/// Returns a violation of the rates: within any second, a shard gets at most five reads, five
/// iterators and one subscription. The reader of another offer of the shard does not know the one
/// before it, and may begin within its second. So may the reader of a stream that was created
/// again.
pub(crate) fn check(
    requests: &[Request],
    offered: &[(Instant, u64)],
    recreated: &[Instant],
    begun: Instant,
) -> Option<String> {
    let mut offers: BTreeMap<u64, Vec<Instant>> = BTreeMap::new();
    for (at, shard) in offered {
        offers.entry(*shard).or_default().push(*at);
    }
    let mut seconds: BTreeMap<(&str, u64), VecDeque<&Request>> = BTreeMap::new();
    for request in requests {
        let max_rate = match request.operation() {
            ITERATOR | READING => MAX_RATE,
            SUBSCRIBING if !is_takeover(request) => MAX_SUBSCRIPTIONS,
            _ => continue,
        };
        let Some(shard) = request.shard_id().and_then(number) else { continue };
        let second = seconds.entry((request.operation(), shard)).or_default();
        second.push_back(request);
        let now = request.at();
        while second.front().is_some_and(|first| now - first.at() >= SECOND) {
            second.pop_front();
        }
        if second.len() <= max_rate {
            continue;
        }
        let again = offers.get(&shard).into_iter().flatten().skip(1);
        let again = again.filter(|at| **at <= now && now - **at < SECOND).count();
        let streams = 1 + recreated.iter().filter(|at| **at <= now).count();
        let max = max_rate * streams + again;
        if second.len() > max {
            let times: Vec<_> = second
                .iter()
                .map(|request| (request.at() - begun, request.fault(), request.error()))
                .collect();
            let operation = request.operation();
            return Some(format!(
                "more than {max} {operation} of shard {shard} within a second, with {again} other \
                 readers: {times:?}"
            ));
        }
    }
    None
}
