//! Properties of every stream, however it was resharded.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use crate::testing::model::listing::{ListRequest, ShardFilter};
use crate::testing::model::listing_faults::ListingFault;
use crate::testing::model::reading::{IteratorStart, ReadFaults};
use crate::testing::model::records::Record;
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::shard::{Shard, shard_id};
use crate::testing::model::stream::Mode;
use crate::testing::model::time::Millis;
use crate::testing::model::writing::NewRecord;

const START: Millis = Millis(1_767_225_600_000);
const ORDERS: StreamRef<'static> = StreamRef { name: Some("orders"), arn: None };

#[derive(Clone, Debug)]
enum Step {
    /// Splits one of the open shards at some key.
    Split(usize, u128),
    /// Merges one of the open shards with the next.
    Merge(usize),
    Scale(u32),
    Put(u128),
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (any::<usize>(), any::<u128>()).prop_map(|(shard, key)| Step::Split(shard, key)),
        2 => any::<usize>().prop_map(Step::Merge),
        1 => (1..12_u32).prop_map(Step::Scale),
        6 => any::<u128>().prop_map(Step::Put),
        1 => (0..5000_u64).prop_map(Step::Wait),
    ]
}

/// Takes the steps. Returns the time at the end and the number of records written.
fn take(service: &mut Service, steps: &[Step]) -> (Millis, usize) {
    let (mut now, mut written) = (START, 0_usize);
    for step in steps {
        let stream = service.stream(ORDERS, now).expect("the stream");
        let mut open: Vec<_> = stream
            .shards()
            .filter(|shard| shard.is_open())
            .map(|s| (s.range, s.id.clone()))
            .collect();
        open.sort_by_key(|(range, _)| range.start);
        match *step {
            Step::Split(shard, key) => {
                let (range, id) = &open[shard % open.len()];
                let width = range.end - range.start;
                if width > 3 {
                    let key = range.start + 2 + key % (width - 2);
                    service.split_shard(ORDERS, id, key, now).expect("a split inside the range");
                }
            }
            Step::Merge(shard) if open.len() > 1 => {
                let at = shard % (open.len() - 1);
                service
                    .merge_shards(ORDERS, &open[at].1, &open[at + 1].1, now)
                    .expect("a merge of neighbours");
            }
            Step::Merge(_) => {}
            // A target outside AWS's bounds is rejected, which is fine too.
            Step::Scale(target) => drop(service.update_shard_count(ORDERS, target, now)),
            Step::Put(key) => {
                let data = written.to_be_bytes().to_vec().into();
                let record =
                    NewRecord { partition_key: "k".into(), explicit_hash_key: Some(key), data };
                service.put_records(ORDERS, vec![record], now, false).expect("written");
                written += 1;
            }
            Step::Wait(millis) => now = now.plus(Duration::from_millis(millis)),
        }
    }
    (now, written)
}

/// A step that ages shards or removes them.
#[derive(Clone, Debug)]
enum Age {
    Split(usize),
    Merge(usize),
    Scale(u32),
    Expire(usize),
    Retention(u32),
    Hours(u64),
}

fn age() -> impl Strategy<Value = Age> {
    prop_oneof![
        2 => any::<usize>().prop_map(Age::Split),
        2 => any::<usize>().prop_map(Age::Merge),
        1 => (1..12_u32).prop_map(Age::Scale),
        3 => any::<usize>().prop_map(Age::Expire),
        1 => (24..80_u32).prop_map(Age::Retention),
        3 => (0..30_u64).prop_map(Age::Hours),
    ]
}

fn grow_older(service: &mut Service, step: &Age, now: Millis) {
    let stream = service.stream(ORDERS, now).expect("the stream");
    let (hours, open): (_, Vec<_>) = (
        stream.retention_hours,
        stream.open_by_hash_key().map(|shard| (shard.id.clone(), shard.range)).collect(),
    );
    let closed: Vec<_> =
        stream.shards().filter(|shard| !shard.is_open()).map(|shard| shard.id.clone()).collect();
    match *step {
        Age::Split(shard) => {
            let (id, range) = &open[shard % open.len()];
            if range.end - range.start > 3 {
                service
                    .split_shard(ORDERS, id, range.middle(), now)
                    .expect("a split in the middle");
            }
        }
        Age::Merge(shard) if open.len() > 1 => {
            let at = shard % (open.len() - 1);
            service
                .merge_shards(ORDERS, &open[at].0, &open[at + 1].0, now)
                .expect("a merge of neighbours");
        }
        // A target outside AWS's bounds is rejected, which is fine too.
        Age::Scale(target) => drop(service.update_shard_count(ORDERS, target, now)),
        Age::Expire(shard) if !closed.is_empty() => {
            let stream = service.stream_mut(ORDERS, now).expect("the stream");
            stream.expire_shard(&closed[shard % closed.len()], now).expect("a closed shard");
        }
        Age::Retention(to) if to < hours => {
            service.decrease_retention(ORDERS, to, now).expect("decreased");
        }
        Age::Retention(to) => service.increase_retention(ORDERS, to, now).expect("increased"),
        Age::Merge(_) | Age::Expire(_) | Age::Hours(_) => {}
    }
}

/// Returns whether the ranges of these shards cover every hash key.
fn cover_everything(shards: &[&Shard]) -> bool {
    let mut ranges: Vec<_> = shards.iter().map(|shard| shard.range).collect();
    ranges.sort_by_key(|range| range.start);
    let mut next = Some(0);
    for range in ranges {
        match next {
            Some(key) if range.start > key => return false,
            Some(key) => next = range.end.checked_add(1).map(|after| after.max(key)),
            None => break,
        }
    }
    next.is_none()
}

fn number(record: &Record) -> usize {
    record.data.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

proptest! {
    #[test]
    fn parents_and_children_are_consistent(
        shards in 1..5_u32,
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let service = &mut Service::default();
        service.create_stream("orders", Mode::Provisioned, shards, START).expect("a stream");
        let (now, _) = take(service, &steps);
        let stream = service.stream(ORDERS, now).expect("the stream");

        let open = stream.shards().filter(|shard| shard.is_open());
        let mut open: Vec<_> = open.map(|shard| shard.range).collect();
        open.sort_by_key(|range| range.start);
        prop_assert_eq!((open[0].start, open[open.len() - 1].end), (0, u128::MAX));
        prop_assert!(open.windows(2).all(|pair| pair[0].is_followed_by(pair[1])));
        for child in stream.shards() {
            for parent in child.parents() {
                let parent = stream.shard(&shard_id(parent)).expect("not expired yet");
                prop_assert!(parent.end.is_some_and(|end| end < child.start));
                prop_assert!(parent.children.contains(&child.index));
                prop_assert!(parent.range.start <= child.range.end);
                prop_assert!(child.range.start <= parent.range.end);
            }
            prop_assert_eq!(child.is_open(), child.children.is_empty());
        }
    }

    #[test]
    fn shards_at_the_trim_horizon_cover_every_key(
        shards in 1..5_u32,
        steps in prop::collection::vec(age(), 0..40),
    ) {
        let service = &mut Service::default();
        service.create_stream("orders", Mode::Provisioned, shards, START).expect("a stream");
        let (mut now, mut horizon) = (START, START);
        for step in &steps {
            if let Age::Hours(hours) = step {
                now = now.plus(Duration::from_hours(*hours));
            }
            grow_older(service, step, now);
            let filter = Some(ShardFilter::AtTrimHorizon);
            let request = ListRequest { stream: ORDERS, filter, ..ListRequest::default() };
            let page = service.list_shards(request, now).expect("a listing");
            let listed: Vec<_> = page.shards.iter().map(|listed| listed.shard).collect();
            prop_assert!(cover_everything(&listed), "{:?} after {:?}", listed, step);
            let before = horizon;
            horizon = service.stream(ORDERS, now).expect("the stream").trim_horizon(now);
            prop_assert!(before <= horizon);
        }
    }

    #[test]
    fn following_the_children_reads_every_record_once(
        steps in prop::collection::vec(step(), 0..60),
        limit in 1..4_i64,
        end_with_last_records: bool,
    ) {
        let service = &mut Service::default();
        service.end_rules.with_last_records = end_with_last_records;
        service.create_stream("orders", Mode::Provisioned, 1, START).expect("a stream");
        let (now, written) = take(service, &steps);
        let (mut seen, mut todo, mut read) = (BTreeSet::new(), vec![0], Vec::new());
        while let Some(shard) = todo.pop() {
            if !seen.insert(shard) {
                continue;
            }
            let start = IteratorStart::TrimHorizon;
            let iterator = service.shard_iterator(ORDERS, &shard_id(shard), start, now);
            let mut next = Some(iterator.expect("an iterator"));
            while let Some(iterator) = next.take() {
                let batch = service.read(&iterator, Some(limit), ReadFaults::default(), now);
                let batch = batch.expect("a batch");
                read.extend(batch.records.iter().map(|record| number(record)));
                todo.extend(batch.children.iter().map(|child| child.index));
                let tip = batch.behind.is_zero() && batch.records.is_empty();
                next = batch.next_iterator.filter(|_| !tip);
            }
        }
        read.sort_unstable();
        prop_assert_eq!(read, (0..written).collect::<Vec<_>>());
    }

    #[test]
    fn pages_list_every_shard_once(
        steps in prop::collection::vec(step(), 0..60),
        page in 1..9_usize,
        empty: bool,
    ) {
        let service = &mut Service::default();
        service.page_size = page;
        service.create_stream("orders", Mode::Provisioned, 1, START).expect("a stream");
        let (now, _) = take(service, &steps);
        let stream = service.stream(ORDERS, now).expect("the stream");
        let all: Vec<_> = stream.shards().map(|shard| shard.index).collect();
        let (mut listed, mut token, mut pages) = (Vec::new(), None::<String>, 0);
        loop {
            // With `empty`, every second page has no shards.
            let is_empty = empty && pages % 2 == 1;
            let fault = if is_empty { ListingFault::Empty } else { ListingFault::None };
            let request = match &token {
                Some(token) => {
                    ListRequest { next_token: Some(token), fault, ..ListRequest::default() }
                }
                None => ListRequest { stream: ORDERS, fault, ..ListRequest::default() },
            };
            let response = service.list_shards(request, now).expect("a page");
            prop_assert!(response.shards.len() <= page);
            listed.extend(response.shards.iter().map(|listed| listed.shard.index));
            pages += 1;
            match response.next_token {
                Some(next) => token = Some(next),
                None => break,
            }
        }
        prop_assert_eq!(listed, all);
    }
}
