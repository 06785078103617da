//! How often each shard was asked, whatever came of it: faults and refusals count.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use kinesis_shards::testing::Request;
use tokio::time::Instant;

use crate::id::number;
use crate::script::{ITERATOR, READING};

/// AWS's limit for either operation, a second and shard.
const MOST: usize = 5;
const SECOND: Duration = Duration::from_secs(1);

/// What was violated: within any second, a shard is read and asked for iterators five times at most
/// by those who read it one after the other. Another reader, from another offer of the shard, knows
/// nothing of the one before, and may begin within its second. So may the reader of a stream that
/// was created again, beside that of the stream before.
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
    for request in
        requests.iter().filter(|request| [ITERATOR, READING].contains(&request.operation()))
    {
        let Some(shard) = request.shard_id().and_then(number) else { continue };
        let second = seconds.entry((request.operation(), shard)).or_default();
        second.push_back(request);
        let now = request.at();
        while second.front().is_some_and(|first| now - first.at() >= SECOND) {
            second.pop_front();
        }
        if second.len() <= MOST {
            continue;
        }
        let again = offers.get(&shard).into_iter().flatten().skip(1);
        let again = again.filter(|at| **at <= now && now - **at < SECOND).count();
        let streams = 1 + recreated.iter().filter(|at| **at <= now).count();
        let most = MOST * streams + again;
        if second.len() > most {
            let times: Vec<_> = second
                .iter()
                .map(|request| (request.at() - begun, request.fault(), request.error()))
                .collect();
            let what = request.operation();
            return Some(format!(
                "{what} of shard {shard} was asked too often in one second, {again} times by another reader: {times:?}"
            ));
        }
    }
    None
}
