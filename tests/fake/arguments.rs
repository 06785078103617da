//! The errors for invalid arguments.
//!
//! The constraints of AWS's API model on each member come first, whatever else is wrong with the
//! request. The rules of the operation itself follow.

use std::fmt;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    PutRecordsRequestEntry, ScalingType, ShardFilter, ShardFilterType, ShardIteratorType,
    StreamMode, StreamModeDetails,
};
use kinesis_shards::testing::FakeKinesis;

use crate::{FIRST, iterator, without_retries};

const ACCEPTED: &str = "accepted";
const IN_USE: &str = "ResourceInUseException";
pub(crate) const INVALID: &str = "InvalidArgumentException";
const LIMIT: &str = "LimitExceededException";
pub(crate) const NOT_FOUND: &str = "ResourceNotFoundException";
pub(crate) const VALIDATION: &str = "ValidationException";

/// The responses so far: the request, the error code it got, and the one expected.
#[derive(Default)]
pub(crate) struct Table(Vec<(String, String, &'static str)>);

impl Table {
    pub(crate) fn row<T, E, R>(
        &mut self,
        request: impl fmt::Display,
        response: Result<T, SdkError<E, R>>,
        expected: &'static str,
    ) where
        E: ProvideErrorMetadata,
    {
        let got = match response {
            Ok(_) => ACCEPTED.to_owned(),
            Err(error) => error.code().unwrap_or("no code").to_owned(),
        };
        self.0.push((request.to_string(), got, expected));
    }

    pub(crate) fn check(self) {
        let wrong: Vec<_> = self
            .0
            .iter()
            .filter(|(_, got, expected)| got != expected)
            .map(|row| format!("{row:?}"))
            .collect();
        assert!(wrong.is_empty(), "request, response, expected:\n{}", wrong.join("\n"));
    }
}

fn setup() -> (FakeKinesis, Client) {
    let fake = FakeKinesis::new();
    fake.create_stream("orders", 2);
    let client = without_retries(&fake);
    (fake, client)
}

/// Returns names and the error that each gets. They are the same for the name of a stream and the
/// id of a shard, in every member that holds one.
fn names() -> [(String, &'static str); 6] {
    [
        (String::new(), VALIDATION),
        ("no spaces".to_owned(), VALIDATION),
        ("Schürze".to_owned(), VALIDATION),
        ("n".repeat(129), VALIDATION),
        ("n".repeat(128), NOT_FOUND),
        ("A_z.9-".to_owned(), NOT_FOUND),
    ]
}

#[tokio::test(start_paused = true)]
async fn stream_names_are_validated() {
    let (_fake, client) = setup();
    let table = &mut Table::default();
    for (name, code) in names() {
        let put = client.put_record().partition_key("k").data(Blob::new("d"));
        let get = client
            .get_shard_iterator()
            .shard_id(FIRST)
            .shard_iterator_type(ShardIteratorType::Latest);
        let split = client.split_shard().shard_to_split(FIRST).new_starting_hash_key("5");
        let merge = client.merge_shards().shard_to_merge(FIRST).adjacent_shard_to_merge(FIRST);
        let update = client
            .update_shard_count()
            .target_shard_count(4)
            .scaling_type(ScalingType::UniformScaling);
        let increase = client.increase_stream_retention_period().retention_period_hours(48);
        let decrease = client.decrease_stream_retention_period().retention_period_hours(24);
        table.row(format!("PutRecord {name}"), put.stream_name(&name).send().await, code);
        table.row(format!("GetShardIterator {name}"), get.stream_name(&name).send().await, code);
        table.row(format!("SplitShard {name}"), split.stream_name(&name).send().await, code);
        table.row(format!("MergeShards {name}"), merge.stream_name(&name).send().await, code);
        table.row(format!("UpdateShardCount {name}"), update.stream_name(&name).send().await, code);
        table.row(
            format!("IncreaseRetention {name}"),
            increase.stream_name(&name).send().await,
            code,
        );
        table.row(
            format!("DecreaseRetention {name}"),
            decrease.stream_name(&name).send().await,
            code,
        );
        table.row(
            format!("ListShards {name}"),
            client.list_shards().stream_name(&name).send().await,
            code,
        );
        table.row(
            format!("DeleteStream {name}"),
            client.delete_stream().stream_name(&name).send().await,
            code,
        );
        table.row(
            format!("DescribeStream {name}"),
            client.describe_stream().stream_name(&name).send().await,
            code,
        );
        table.row(
            format!("DescribeStreamSummary {name}"),
            client.describe_stream_summary().stream_name(&name).send().await,
            code,
        );
        let code = if code == NOT_FOUND { ACCEPTED } else { code };
        let after = client.list_streams().exclusive_start_stream_name(&name).send().await;
        table.row(format!("ListStreams after {name}"), after, code);
        let create = client.create_stream().stream_name(&name).shard_count(1);
        table.row(format!("CreateStream {name}"), create.send().await, code);
    }
    let again = client.create_stream().stream_name("orders").shard_count(1).send().await;
    table.row("CreateStream again", again, IN_USE);
    table.row("ListShards without a stream", client.list_shards().send().await, INVALID);
    let arn =
        client.list_shards().stream_arn("arn:aws:kinesis:us-east-1:1:stream/orders").send().await;
    table.row("ListShards by an invalid ARN", arn, VALIDATION);
    std::mem::take(table).check();
}

#[tokio::test(start_paused = true)]
async fn shard_ids_are_validated() {
    let (_fake, client) = setup();
    let table = &mut Table::default();
    let filter = |id: &str| {
        ShardFilter::builder()
            .r#type(ShardFilterType::AfterShardId)
            .shard_id(id)
            .build()
            .expect("a type")
    };
    for (id, code) in names() {
        let get = client.get_shard_iterator().stream_name("orders").shard_id(&id);
        let get = get.shard_iterator_type(ShardIteratorType::Latest).send().await;
        table.row(format!("GetShardIterator {id}"), get, code);
        let split = client.split_shard().stream_name("orders").shard_to_split(&id);
        table.row(format!("SplitShard {id}"), split.new_starting_hash_key("5").send().await, code);
        let merge = client.merge_shards().stream_name("orders");
        let first = merge.clone().shard_to_merge(&id).adjacent_shard_to_merge(FIRST).send().await;
        table.row(format!("ShardToMerge {id}"), first, code);
        let second = merge.shard_to_merge(FIRST).adjacent_shard_to_merge(&id).send().await;
        table.row(format!("AdjacentShardToMerge {id}"), second, code);
        // DescribeStream accepts a well-formed id that no shard can have as a start.
        let describe = client.describe_stream().stream_name("orders").exclusive_start_shard_id(&id);
        let described = if code == NOT_FOUND { ACCEPTED } else { code };
        table.row(format!("DescribeStream after {id}"), describe.send().await, described);
        let listed = if code == NOT_FOUND { INVALID } else { code };
        let list = client.list_shards().stream_name("orders");
        let after = list.clone().exclusive_start_shard_id(&id).send().await;
        table.row(format!("ListShards after {id}"), after, listed);
        let after = list.shard_filter(filter(&id)).send().await;
        table.row(format!("AFTER_SHARD_ID {id}"), after, listed);
    }
    std::mem::take(table).check();
}

#[tokio::test(start_paused = true)]
async fn sequence_numbers_and_timestamps_are_validated() {
    let (fake, client) = setup();
    let (_, sequence) = fake.stream("orders").put("a", "one");
    let table = &mut Table::default();
    let request = |kind| {
        client.get_shard_iterator().stream_name("orders").shard_id("1").shard_iterator_type(kind)
    };
    for kind in [ShardIteratorType::AtSequenceNumber, ShardIteratorType::AfterSequenceNumber] {
        for (text, code) in [
            ("", VALIDATION),
            ("not a number", VALIDATION),
            ("-1", VALIDATION),
            ("007", VALIDATION),
            ("00", VALIDATION),
            (&"9".repeat(130), VALIDATION),
            // Valid numbers, but not of this stream.
            (&"9".repeat(129), INVALID),
            ("0", INVALID),
            ("1", INVALID),
        ] {
            let response = request(kind.clone()).starting_sequence_number(text).send().await;
            table.row(format!("{kind} {text}"), response, code);
        }
        table.row(format!("{kind} without one"), request(kind).send().await, INVALID);
    }
    // The constraints of the API model come before the rules of the operation.
    let stray = request(ShardIteratorType::Latest).starting_sequence_number("").send().await;
    table.row("LATEST, and an empty number", stray, VALIDATION);
    let stray = request(ShardIteratorType::Latest).starting_sequence_number(&sequence).send().await;
    table.row("LATEST, and a number", stray, INVALID);
    let unknown = request(ShardIteratorType::from("SOMEWHERE"))
        .starting_sequence_number(&sequence)
        .send()
        .await;
    table.row("an unknown type, and a number", unknown, VALIDATION);
    table.row(
        "AT_TIMESTAMP without one",
        request(ShardIteratorType::AtTimestamp).send().await,
        INVALID,
    );
    let stream = request(ShardIteratorType::AtTimestamp).stream_name("no spaces").send().await;
    table.row("AT_TIMESTAMP without one, and no stream's name", stream, VALIDATION);
    let none = client.get_shard_iterator().stream_name("orders").shard_id("1").send().await;
    table.row("GetShardIterator without a type", none, VALIDATION);
    let none = client.get_shard_iterator().stream_name("orders");
    let none = none.shard_iterator_type(ShardIteratorType::Latest).send().await;
    table.row("GetShardIterator without a shard", none, VALIDATION);
    std::mem::take(table).check();
}

#[tokio::test(start_paused = true)]
async fn iterators_tokens_and_limits_are_validated() {
    let (_fake, client) = setup();
    let table = &mut Table::default();
    table.row("GetRecords without an iterator", client.get_records().send().await, VALIDATION);
    for (iterator, code) in [
        ("", VALIDATION),
        (&"A".repeat(513), VALIDATION),
        (&"A".repeat(512), INVALID),
        ("garbage", INVALID),
    ] {
        let read = client.get_records().shard_iterator(iterator).send().await;
        table.row(format!("GetRecords from {iterator}"), read, code);
    }
    for (token, code) in [("", VALIDATION), ("garbage", INVALID)] {
        let list = client.list_shards().next_token(token).send().await;
        table.row(format!("ListShards, NextToken {token}"), list, code);
        let list = client.list_shards().stream_name("orders").next_token(token).send().await;
        table.row(format!("ListShards of orders, NextToken {token}"), list, code);
    }
    table.row(
        "ListStreams, empty NextToken",
        client.list_streams().next_token("").send().await,
        VALIDATION,
    );
    let iterator = iterator(&client, FIRST, ShardIteratorType::Latest).await;
    for (limit, code) in
        [(0, VALIDATION), (-1, VALIDATION), (1, ACCEPTED), (10_000, ACCEPTED), (10_001, VALIDATION)]
    {
        let list = client.list_shards().stream_name("orders").max_results(limit).send().await;
        table.row(format!("ListShards, {limit}"), list, code);
        let describe = client.describe_stream().stream_name("orders").limit(limit).send().await;
        table.row(format!("DescribeStream, {limit}"), describe, code);
        table.row(
            format!("ListStreams, {limit}"),
            client.list_streams().limit(limit).send().await,
            code,
        );
        // "If you specify a value that is greater than 10,000, GetRecords throws
        // InvalidArgumentException."
        let code = if limit > 10_000 { INVALID } else { code };
        let read = client.get_records().shard_iterator(&iterator).limit(limit);
        table.row(format!("GetRecords, {limit}"), read.send().await, code);
    }
    std::mem::take(table).check();
}

#[tokio::test(start_paused = true)]
async fn shard_filters_are_validated() {
    let (_fake, client) = setup();
    let table = &mut Table::default();
    for (kind, shard, time, code) in [
        ("AFTER_SHARD_ID", true, false, ACCEPTED),
        ("AFTER_SHARD_ID", false, false, INVALID),
        ("AFTER_SHARD_ID", true, true, INVALID),
        ("AT_LATEST", false, false, ACCEPTED),
        ("AT_LATEST", true, false, INVALID),
        ("AT_LATEST", false, true, INVALID),
        ("AT_TRIM_HORIZON", false, false, ACCEPTED),
        ("AT_TRIM_HORIZON", false, true, INVALID),
        ("FROM_TRIM_HORIZON", false, false, ACCEPTED),
        ("FROM_TRIM_HORIZON", true, false, INVALID),
        ("AT_TIMESTAMP", false, true, ACCEPTED),
        ("AT_TIMESTAMP", false, false, INVALID),
        ("FROM_TIMESTAMP", false, true, ACCEPTED),
        ("FROM_TIMESTAMP", true, true, INVALID),
        ("SOMETIME", false, false, VALIDATION),
        ("SOMETIME", true, true, VALIDATION),
        ("SOME_TIMESTAMP", false, false, VALIDATION),
    ] {
        let filter = ShardFilter::builder().r#type(ShardFilterType::from(kind));
        let filter = filter.set_shard_id(shard.then(|| FIRST.to_owned()));
        let filter = filter.set_timestamp(time.then(|| DateTime::from_secs(1_000_000_000)));
        let list = client
            .list_shards()
            .stream_name("orders")
            .shard_filter(filter.build().expect("a type"));
        table.row(format!("{kind}, shard {shard}, time {time}"), list.send().await, code);
    }
    std::mem::take(table).check();
}

#[tokio::test(start_paused = true)]
async fn counts_keys_and_modes_are_validated() {
    let (_fake, client) = setup();
    let table = &mut Table::default();
    for (n, (count, code)) in
        [(0, VALIDATION), (-1, VALIDATION), (1, ACCEPTED)].into_iter().enumerate()
    {
        let create =
            client.create_stream().stream_name(format!("new-{n}")).shard_count(count).send().await;
        table.row(format!("CreateStream, {count}"), create, code);
    }
    let none = client.create_stream().stream_name("none").send().await;
    table.row("CreateStream without a count", none, VALIDATION);
    let mode =
        StreamModeDetails::builder().stream_mode(StreamMode::from("SOME")).build().expect("a mode");
    let mode = client.create_stream().stream_name("none").shard_count(1).stream_mode_details(mode);
    table.row("CreateStream in an unknown mode", mode.send().await, VALIDATION);
    // An invalid count is rejected before the stream is looked up.
    for (stream, target, code) in [
        ("orders", 0, VALIDATION),
        ("orders", -1, VALIDATION),
        ("nowhere", 0, VALIDATION),
        ("nowhere", 1, NOT_FOUND),
        ("orders", 2, INVALID),
        ("orders", 5, LIMIT),
        ("orders", 4, ACCEPTED),
        ("orders", 1, LIMIT),
    ] {
        let update = client.update_shard_count().stream_name(stream).target_shard_count(target);
        let update = update.scaling_type(ScalingType::UniformScaling).send().await;
        table.row(format!("UpdateShardCount of {stream}, {target}"), update, code);
    }
    for (hours, code) in
        [(0, INVALID), (-1, INVALID), (23, INVALID), (8761, INVALID), (8760, ACCEPTED)]
    {
        let longer = client.increase_stream_retention_period().stream_name("orders");
        table.row(
            format!("{hours} hours"),
            longer.retention_period_hours(hours).send().await,
            code,
        );
    }
    for (key, code) in [(0, VALIDATION), (1, ACCEPTED), (256, ACCEPTED), (257, VALIDATION)] {
        // The bound is in characters, not in bytes.
        let text = "ü".repeat(key);
        let put =
            client.put_record().stream_name("orders").partition_key(&text).data(Blob::new("d"));
        table.row(format!("PutRecord, a key of {key}"), put.send().await, code);
        let entry = PutRecordsRequestEntry::builder().partition_key(&text).data(Blob::new("d"));
        let put =
            client.put_records().stream_name("orders").records(entry.build().expect("a record"));
        table.row(format!("PutRecords, a key of {key}"), put.send().await, code);
    }
    for (key, code) in [
        ("", VALIDATION),
        ("007", VALIDATION),
        ("-1", VALIDATION),
        ("key", VALIDATION),
        ("340282366920938463463374607431768211456", INVALID),
        ("340282366920938463463374607431768211455", ACCEPTED),
    ] {
        let put = client.put_record().stream_name("orders").partition_key("k").data(Blob::new("d"));
        table.row(format!("PutRecord, {key}"), put.explicit_hash_key(key).send().await, code);
        let code = if code == ACCEPTED { INVALID } else { code };
        let split = client
            .split_shard()
            .stream_name("orders")
            .shard_to_split("2")
            .new_starting_hash_key(key);
        table.row(format!("SplitShard, {key}"), split.send().await, code);
    }
    std::mem::take(table).check();
}
