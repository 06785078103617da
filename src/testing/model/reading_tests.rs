//! Tests of [`super::reading`].

use crate::testing::model::api_error::Code;
use crate::testing::model::reading::{IteratorStart, ReadBatch, ReadFaults};
use crate::testing::model::service::{Service, StreamRef};
use crate::testing::model::shard::shard_id;
use crate::testing::model::stream::Mode;
use crate::testing::model::time::Millis;
use crate::testing::model::writing::{NewRecord, Written};

const NOTHING: [u8; 0] = [];

const NOW: Millis = Millis(1_700_000_000_000);
const ORDERS: StreamRef<'static> = StreamRef { name: Some("orders"), arn: None };

fn after(millis: u64) -> Millis {
    Millis(NOW.0 + millis)
}

fn service(shards: u32) -> Service {
    let mut service = Service::default();
    service.create_stream("orders", Mode::Provisioned, shards, NOW).expect("a stream");
    service
}

/// Writes `data` to the open shard that takes hash key `key`.
fn put(service: &mut Service, key: u128, data: &[u8], now: Millis) -> String {
    let record =
        NewRecord { partition_key: "k".into(), explicit_hash_key: Some(key), data: data.into() };
    match service.put_records(ORDERS, vec![record], now, false).expect("written").remove(0) {
        Written::Stored { sequence, .. } => sequence.to_string(),
        other => panic!("not written: {other:?}"),
    }
}

fn iterator(service: &mut Service, shard: u32, start: IteratorStart<'_>, now: Millis) -> String {
    service.shard_iterator(ORDERS, &shard_id(shard), start, now).expect("an iterator")
}

fn data(batch: &ReadBatch<'_>) -> Vec<u8> {
    batch.records.iter().map(|record| record.data[0]).collect()
}

fn read_from(service: &mut Service, start: IteratorStart<'_>, now: Millis) -> Vec<u8> {
    let iterator = iterator(service, 0, start, now);
    data(&service.read(&iterator, None, ReadFaults::default(), now).expect("a batch"))
}

#[test]
fn every_kind_of_iterator_starts_at_its_position() {
    let service = &mut service(1);
    let numbers: Vec<_> =
        (0..4_u8).map(|n| put(service, 0, &[n], after(u64::from(n) * 1000))).collect();
    let now = after(5000);
    assert_eq!(read_from(service, IteratorStart::TrimHorizon, now), [0, 1, 2, 3]);
    assert_eq!(read_from(service, IteratorStart::Latest, now), NOTHING);
    assert_eq!(read_from(service, IteratorStart::AtSequence(&numbers[2]), now), [2, 3]);
    assert_eq!(read_from(service, IteratorStart::AfterSequence(&numbers[2]), now), [3]);
    assert_eq!(read_from(service, IteratorStart::AfterSequence(&numbers[3]), now), NOTHING);
    assert_eq!(read_from(service, IteratorStart::AtTimestamp(after(2000)), now), [2, 3]);
    assert_eq!(read_from(service, IteratorStart::AtTimestamp(after(2001)), now), [3]);
    assert_eq!(read_from(service, IteratorStart::AtTimestamp(Millis(0)), now), [0, 1, 2, 3]);
    assert_eq!(read_from(service, IteratorStart::AtTimestamp(now), now), NOTHING);
    let start = service
        .stream(ORDERS, now)
        .expect("the stream")
        .shards()
        .next()
        .expect("a shard")
        .start
        .to_string();
    assert_eq!(read_from(service, IteratorStart::AtSequence(&start), now), [0, 1, 2, 3]);
    assert_eq!(read_from(service, IteratorStart::AfterSequence(&start), now), [0, 1, 2, 3]);
}

#[test]
fn iterator_for_an_invalid_position_is_rejected() {
    let service = &mut service(2);
    let other = put(service, u128::MAX, b"x", NOW);
    let mut code = |shard: &str, start| {
        service.shard_iterator(ORDERS, shard, start, NOW).expect_err("rejected").code
    };
    let first = "shardId-000000000000";
    assert_eq!(code("shardId-000000000009", IteratorStart::Latest), Code::ResourceNotFound);
    assert_eq!(code(first, IteratorStart::AtSequence("12")), Code::InvalidArgument);
    assert_eq!(code(first, IteratorStart::AtSequence(&other)), Code::InvalidArgument);
    assert_eq!(code(first, IteratorStart::AtTimestamp(after(1))), Code::InvalidArgument);
    service.delete_stream(ORDERS, NOW).expect("deleted");
    service.create_stream("orders", Mode::Provisioned, 2, NOW).expect("again");
    let rejected = service.shard_iterator(
        ORDERS,
        "shardId-000000000001",
        IteratorStart::AtSequence(&other),
        NOW,
    );
    assert!(rejected.expect_err("rejected").message.contains("did not come from this stream"));
}

#[test]
fn iterator_is_valid_for_five_minutes() {
    let service = &mut service(1);
    let iterator = iterator(service, 0, IteratorStart::TrimHorizon, NOW);
    service.read(&iterator, None, ReadFaults::default(), after(300_000)).expect("not expired");
    let mut code = |iterator: &str, limit, now| {
        service.read(iterator, limit, ReadFaults::default(), now).expect_err("rejected").code
    };
    assert_eq!(code(&iterator, None, after(300_001)), Code::ExpiredIterator);
    assert_eq!(code("garbage", None, NOW), Code::InvalidArgument);
    assert_eq!(code(&iterator, Some(10_001), NOW), Code::InvalidArgument);
    assert_eq!(code(&iterator, Some(0), NOW), Code::Validation);
}

#[test]
fn iterator_is_invalid_after_its_stream_is_deleted() {
    let service = &mut service(1);
    let iterator = iterator(service, 0, IteratorStart::TrimHorizon, NOW);
    service.delete_stream(ORDERS, NOW).expect("deleted");
    assert_eq!(
        service.read(&iterator, None, ReadFaults::default(), NOW).expect_err("rejected").code,
        Code::ResourceNotFound
    );
    service.create_stream("orders", Mode::Provisioned, 1, NOW).expect("again");
    assert_eq!(
        service.read(&iterator, None, ReadFaults::default(), NOW).expect_err("rejected").code,
        Code::ResourceNotFound
    );
}

#[test]
fn every_record_is_read_once_across_a_split_and_a_merge() {
    for end_with_last_records in [true, false] {
        let service = &mut service(1);
        service.end_rules.with_last_records = end_with_last_records;
        let keys = |service: &mut Service, from: u8| {
            for n in 0..8_u8 {
                put(service, u128::from(n) << 125, &[from + n], NOW);
            }
        };
        keys(service, 0);
        service.split_shard(ORDERS, "shardId-000000000000", 1 << 127, NOW).expect("a split");
        keys(service, 8);
        service
            .merge_shards(ORDERS, "shardId-000000000001", "shardId-000000000002", NOW)
            .expect("a merge");
        keys(service, 16);

        let (mut read, mut todo) = (Vec::new(), vec![0]);
        while let Some(shard) = todo.pop() {
            let mut next = Some(iterator(service, shard, IteratorStart::TrimHorizon, NOW));
            while let Some(iterator) = next.take() {
                let batch =
                    service.read(&iterator, Some(3), ReadFaults::default(), NOW).expect("a batch");
                read.extend(data(&batch));
                assert_eq!(batch.next_iterator.is_none(), !batch.children.is_empty());
                for child in &batch.children {
                    // A merged shard has two parents. Only the lower one leads to it here.
                    if child.parent == Some(shard) {
                        todo.push(child.index);
                    }
                }
                next = batch.next_iterator.filter(|_| shard != 3 || !batch.records.is_empty());
            }
        }
        read.sort_unstable();
        assert_eq!(read, (0..24).collect::<Vec<u8>>());
    }
}

#[test]
fn end_of_a_closed_shard_names_its_children() {
    let service = &mut service(2);
    put(service, 0, b"x", NOW);
    let open = iterator(service, 0, IteratorStart::TrimHorizon, NOW);
    service
        .merge_shards(ORDERS, "shardId-000000000000", "shardId-000000000001", NOW)
        .expect("a merge");
    let batch = service.read(&open, None, ReadFaults::default(), NOW).expect("a batch");
    assert_eq!((batch.records.len(), batch.next_iterator), (1, None));
    let child = batch.children[0];
    assert_eq!((child.index, child.parents().collect::<Vec<_>>()), (2, vec![0, 1]));
}

#[test]
fn batch_holds_ten_mebibytes_and_reports_how_far_it_is_behind() {
    let service = &mut service(1);
    for n in 0..12_u64 {
        put(service, 0, &vec![0; (1 << 20) - 1], after(n * 1000));
    }
    let now = after(20_000);
    let first = iterator(service, 0, IteratorStart::TrimHorizon, now);
    let batch = service.read(&first, None, ReadFaults::default(), now).expect("a batch");
    assert_eq!((batch.records.len(), batch.behind.as_secs()), (10, 11));
    let next = batch.next_iterator.expect("more");
    let batch = service.read(&next, None, ReadFaults::default(), now).expect("a batch");
    assert_eq!((batch.records.len(), batch.behind.as_secs()), (2, 0));
}

#[test]
fn records_expire_by_age() {
    let service = &mut service(1);
    let day = 24 * 3_600_000;
    put(service, 0, &[1], NOW);
    put(service, 0, &[2], after(1000));
    let early = iterator(service, 0, IteratorStart::TrimHorizon, after(day - 1));
    assert_eq!(
        data(&service.read(&early, None, ReadFaults::default(), after(day - 1)).expect("a batch")),
        [1, 2]
    );
    assert_eq!(
        data(&service.read(&early, None, ReadFaults::default(), after(day)).expect("a batch")),
        [2]
    );
    assert_eq!(
        data(
            &service.read(&early, None, ReadFaults::default(), after(day + 2000)).expect("a batch")
        ),
        NOTHING
    );
    put(service, 0, &[3], after(day + 3000));
    assert_eq!(
        data(
            &service.read(&early, None, ReadFaults::default(), after(day + 4000)).expect("a batch")
        ),
        [3]
    );
}

#[test]
fn iterator_at_an_expired_record_continues_with_the_oldest_record() {
    let service = &mut service(1);
    let day = 24 * 3_600_000;
    for n in 0..4_u8 {
        put(service, 0, &[n], after(u64::from(n) * 1000));
    }
    let now = after(day + 1000);
    let mut next = Some(iterator(service, 0, IteratorStart::TrimHorizon, after(day - 1)));
    let mut read = Vec::new();
    for _ in 0..4 {
        let batch = service
            .read(&next.take().expect("an open shard"), Some(1), ReadFaults::default(), now)
            .expect("a batch");
        read.extend(data(&batch));
        next = batch.next_iterator;
    }
    assert_eq!(read, [2, 3]);
}
