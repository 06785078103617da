//! Compares the responses of one server in CBOR with its responses in JSON, field by field.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::config::retry::RetryConfig;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::primitives::{Blob, DateTime};
use aws_sdk_kinesis::types::{
    ChildShard, Record, Shard, ShardFilter, ShardFilterType, ShardIteratorType, StreamStatus,
};
use kinesis_shards::cbor::CborProtocol;
use libtest_mimic::Failed;

use crate::client::{unthrottled, unwrap_response};
use crate::kind::Kind;
use crate::server::Running;

/// Returns whether a server knows CBOR.
const fn knows_cbor(kind: Kind) -> bool {
    !matches!(kind, Kind::Moto)
}

/// A response in CBOR that differs from that in JSON.
struct Known {
    kind: Kind,
    /// The beginning of the name of the response.
    response: &'static str,
    #[allow(dead_code, reason = "for the reader")]
    what: &'static str,
}

const fn known(kind: Kind, response: &'static str, what: &'static str) -> Known {
    Known { kind, response, what }
}

const KNOWN: &[Known] = &[
    known(Kind::Moto, "", "knows no CBOR: it fails with status 500 and a page of HTML"),
    known(
        Kind::Kinesalite,
        "GetRecords shardId-000000000001 AT_TIMESTAMP From { sequence: None, time: Some",
        "refuses every timestamp in CBOR; in JSON it does not read one in the past",
    ),
    known(Kind::Ministack, "ListShards from", "expects seconds, and refuses milliseconds"),
    known(Kind::Ministack, "GetRecords shardId-000000000001", "the same"),
    known(Kind::KinesisLocal, "GetRecords shardId-000000000001 SIDEWAYS", WORDS),
    known(Kind::KinesisLocal, "GetRecords nothing", WORDS),
    known(Kind::KinesisLocal, "PutRecord without a key", WORDS),
];
const WORDS: &str = "describes a request that it cannot decode in other words";

const FIRST: &str = "shardId-000000000000";
const SECOND: &str = "shardId-000000000001";
const STREAM: &str = "formats";
const RECORDS: u8 = 12;

/// The responses of a server, each with a name.
type Responses = Vec<(String, String)>;

pub(crate) async fn run(kind: Kind, running: Arc<Running>) -> Result<(), Failed> {
    // Each request has a protocol of its own, which knows nothing from earlier responses.
    let client = |protocol: CborProtocol| {
        let config = running.client().config().to_builder();
        Client::from_conf(config.retry_config(RetryConfig::disabled()).protocol(protocol).build())
    };
    let json = || client(CborProtocol::disabled());
    let cbor = || client(CborProtocol::new());
    let middle = prepare(&json(), &if knows_cbor(kind) { cbor() } else { json() }).await;

    let (in_json, in_cbor) = (responses(json, middle).await, responses(cbor, middle).await);
    assert_eq!(in_json.len(), in_cbor.len());
    let errors = in_json.iter().filter(|(_, response)| response.starts_with("error")).count();
    assert!(errors >= 8, "{errors} errors");
    let mut failures = String::new();
    let describing = cbor();
    let described = describing.describe_stream_summary().stream_name(STREAM).send().await;
    if described.is_ok_and(|_| sends_cbor(&describing)) != knows_cbor(kind) {
        let _ = writeln!(failures, "knows CBOR: {}", !knows_cbor(kind));
    }
    let mut met = vec![false; KNOWN.len()];
    for ((name, json), (_, cbor)) in in_json.iter().zip(&in_cbor) {
        if json == cbor {
            continue;
        }
        let is_known = |known: &Known| known.kind == kind && name.starts_with(known.response);
        match KNOWN.iter().position(is_known) {
            Some(index) => met[index] = true,
            None => {
                let _ = writeln!(failures, "{name}\n    JSON: {json}\n    CBOR: {cbor}");
            }
        }
    }
    for (known, _) in KNOWN.iter().zip(met).filter(|(known, met)| known.kind == kind && !met) {
        let _ = writeln!(failures, "known, but not met: {}", known.response);
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.into()) }
}

/// Returns whether no response has shown that the server knows no CBOR.
fn sends_cbor(client: &Client) -> bool {
    let protocol = client.config().protocol();
    protocol.is_some_and(|protocol| protocol.protocol_id().as_str().ends_with("awsCbor1_1"))
}

async fn active(client: &Client) {
    loop {
        let described = client.describe_stream_summary().stream_name(STREAM).send().await;
        let summary = unwrap_response(described).stream_description_summary;
        if summary.is_some_and(|summary| summary.stream_status == StreamStatus::Active) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Creates a stream with records, written in both formats, and splits its first shard. Returns a
/// time between two records.
async fn prepare(json: &Client, cbor: &Client) -> DateTime {
    unwrap_response(json.create_stream().stream_name(STREAM).shard_count(2).send().await);
    active(json).await;
    let mut middle = None;
    for number in 0..RECORDS {
        // A server that rounds times to seconds must put the time between the same records.
        if number == RECORDS / 2 {
            super::side::next_second().await;
            middle = Some(DateTime::from_secs(DateTime::from(SystemTime::now()).secs()));
        }
        let client = if number % 2 == 0 { json } else { cbor };
        let data: Vec<u8> = (0..usize::from(number) * 40).map(|at| at.to_le_bytes()[0]).collect();
        let data = if data.is_empty() { vec![0xff, 0, b'"'] } else { data };
        let put =
            client.put_record().stream_name(STREAM).partition_key(format!("clé \"{number}\""));
        unwrap_response(put.data(Blob::new(data)).send().await);
    }
    let split = json.split_shard().stream_name(STREAM).shard_to_split(FIRST);
    unwrap_response(split.new_starting_hash_key("17").send().await);
    active(json).await;
    middle.unwrap_or(DateTime::from_secs(0))
}

fn or_null(value: Option<impl Display>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

/// Returns a time in milliseconds. The SDK reads a number of seconds in JSON as a float, which may
/// be a few nanoseconds less.
fn millis(time: Option<&DateTime>) -> String {
    or_null(time.map(|time| (time.as_nanos() + 500_000).div_euclid(1_000_000)))
}

fn shard(shard: &Shard) -> String {
    format!(
        "{} {:?} {:?} {:?} {:?}",
        shard.shard_id,
        shard.parent_shard_id,
        shard.adjacent_parent_shard_id,
        shard.hash_key_range,
        shard.sequence_number_range
    )
}

fn child(child: &ChildShard) -> String {
    format!("{} {:?} {:?}", child.shard_id, child.parent_shards, child.hash_key_range)
}

fn record(record: &Record) -> String {
    format!(
        "{} {:?} {} {:?} {:?}",
        record.sequence_number,
        record.partition_key,
        millis(record.approximate_arrival_timestamp.as_ref()),
        record.data,
        record.encryption_type
    )
}

fn list<T>(items: &[T], write: impl Fn(&T) -> String) -> String {
    items.iter().map(write).collect::<Vec<_>>().join("; ")
}

/// Leaves out how far the page is behind: the time passes.
fn page(page: &GetRecordsOutput) -> String {
    format!(
        "[{}], next {}, behind {}, children {}",
        list(&page.records, record),
        page.next_shard_iterator.is_some(),
        page.millis_behind_latest.is_some(),
        or_null(page.child_shards.as_deref().map(|children| list(children, child)))
    )
}

fn outcome<T, E: ProvideErrorMetadata>(
    response: Result<T, SdkError<E, HttpResponse>>,
    write: impl Fn(&T) -> String,
) -> String {
    match response {
        Ok(output) => write(&output),
        Err(SdkError::ServiceError(error)) => {
            let (status, error) = (error.raw().status().as_u16(), error.err());
            format!("error {status} {} {}", or_null(error.code()), or_null(error.message()))
        }
        Err(SdkError::ResponseError(error)) => {
            format!("error {} unreadable", error.raw().status().as_u16())
        }
        Err(_) => "error without a response".to_owned(),
    }
}

async fn read(
    client: impl Fn() -> Client + Send + Sync,
    shard: &str,
    kind: &ShardIteratorType,
    from: &From,
) -> String {
    let request = || {
        let request = client().get_shard_iterator().stream_name(STREAM).shard_id(shard);
        let request = request.shard_iterator_type(kind.clone());
        let request = request.set_starting_sequence_number(from.sequence.clone());
        request.set_timestamp(from.time).send()
    };
    let response = unthrottled(request).await;
    let mut iterator = match response {
        Ok(output) => output.shard_iterator,
        Err(error) => return outcome::<(), _>(Err(error), |()| String::new()),
    };
    let mut pages = String::new();
    for _ in 0..3 {
        let Some(token) = iterator.take() else { break };
        let request = || client().get_records().shard_iterator(&token).limit(5).send();
        let response = unthrottled(request).await;
        iterator = response.as_ref().ok().and_then(|page| page.next_shard_iterator.clone());
        let _ = write!(pages, "{} | ", outcome(response, page));
    }
    pages
}

/// The start of a read.
#[derive(Debug, Default)]
struct From {
    sequence: Option<String>,
    time: Option<DateTime>,
}

#[expect(clippy::too_many_lines, reason = "a list of requests")]
async fn responses(client: impl Fn() -> Client + Send + Sync, middle: DateTime) -> Responses {
    let mut all = Responses::new();
    let mut add = |name: &str, response: String| all.push((name.to_owned(), response));
    let described = client().describe_stream().stream_name(STREAM).send().await;
    let arn = described.as_ref().ok().and_then(|output| output.stream_description.as_ref());
    let arn = arn.map(|stream| stream.stream_arn.clone()).unwrap_or_default();
    add(
        "DescribeStream",
        outcome(described, |output| {
            let stream = output.stream_description.as_ref().expect("a description");
            format!(
                "{} {} {} {} {} {} [{}]",
                stream.stream_name,
                stream.stream_arn,
                stream.stream_status,
                stream.has_more_shards,
                stream.retention_period_hours,
                millis(Some(&stream.stream_creation_timestamp)),
                list(&stream.shards, shard)
            )
        }),
    );
    let summary = client().describe_stream_summary().stream_name(STREAM).send().await;
    add(
        "DescribeStreamSummary",
        outcome(summary, |output| {
            let stream = output.stream_description_summary.as_ref().expect("a summary");
            format!(
                "{} {} {} {} {:?} {:?} {}",
                stream.stream_name,
                stream.stream_status,
                stream.open_shard_count,
                stream.retention_period_hours,
                stream.consumer_count,
                stream.encryption_type,
                millis(Some(&stream.stream_creation_timestamp))
            )
        }),
    );
    let filter = |kind: ShardFilterType, time| {
        ShardFilter::builder().r#type(kind).set_timestamp(time).build().expect("a filter")
    };
    let lists = [
        ("by name", client().list_shards().stream_name(STREAM)),
        ("by ARN", client().list_shards().stream_arn(arn)),
        ("one", client().list_shards().stream_name(STREAM).max_results(1)),
        ("after", client().list_shards().stream_name(STREAM).exclusive_start_shard_id(FIRST)),
        (
            "from",
            client()
                .list_shards()
                .stream_name(STREAM)
                .shard_filter(filter(ShardFilterType::FromTimestamp, Some(middle))),
        ),
        (
            "latest",
            client()
                .list_shards()
                .stream_name(STREAM)
                .shard_filter(filter(ShardFilterType::AtLatest, None)),
        ),
        ("unknown", client().list_shards().stream_name("unknown")),
        ("invalid", client().list_shards().stream_name("no spaces")),
        ("nothing", client().list_shards()),
        ("too many", client().list_shards().stream_name(STREAM).max_results(20_000)),
    ];
    for (name, request) in lists {
        let response = request.send().await;
        let response = outcome(response, |output| {
            format!("[{}], next {}", list(output.shards(), shard), output.next_token.is_some())
        });
        add(&format!("ListShards {name}"), response);
    }
    let sequence = first_sequence(&client, SECOND).await;
    let at = |sequence: &Option<String>| From { sequence: sequence.clone(), time: None };
    let time = |time| From { sequence: None, time: Some(time) };
    let nowhere = || Some("1".to_owned());
    for (shard, kind, from) in [
        (FIRST, ShardIteratorType::TrimHorizon, From::default()),
        (SECOND, ShardIteratorType::TrimHorizon, From::default()),
        (SECOND, ShardIteratorType::Latest, From::default()),
        (SECOND, ShardIteratorType::AtSequenceNumber, at(&sequence)),
        (SECOND, ShardIteratorType::AfterSequenceNumber, at(&sequence)),
        (SECOND, ShardIteratorType::AtTimestamp, time(middle)),
        (SECOND, ShardIteratorType::AtTimestamp, From::default()),
        (SECOND, ShardIteratorType::AfterSequenceNumber, From::default()),
        (SECOND, ShardIteratorType::AtSequenceNumber, at(&nowhere())),
        ("shardId-000000000099", ShardIteratorType::Latest, From::default()),
        ("no shard", ShardIteratorType::Latest, From::default()),
        (SECOND, ShardIteratorType::from("SIDEWAYS"), From::default()),
    ] {
        let name = format!("GetRecords {shard} {kind} {from:?}");
        add(&name, read(&client, shard, &kind, &from).await);
    }
    for (name, request) in [
        ("nothing", client().get_records()),
        ("empty", client().get_records().shard_iterator("")),
        ("garbage", client().get_records().shard_iterator("AAAAAAAAAAGarbage")),
        ("zero", client().get_records().shard_iterator("AAAAAAAAAAGarbage").limit(0)),
    ] {
        add(&format!("GetRecords {name}"), outcome(request.send().await, page));
    }
    let put = client().put_record().stream_name("unknown").partition_key("k").data(Blob::new("d"));
    add("PutRecord unknown", outcome(put.send().await, |output| output.shard_id.clone()));
    let put = client().put_record().stream_name(STREAM).data(Blob::new("d"));
    add("PutRecord without a key", outcome(put.send().await, |output| output.shard_id.clone()));
    let split = client().split_shard().stream_name(STREAM).shard_to_split(FIRST);
    let split = split.new_starting_hash_key("1").send().await;
    add("SplitShard closed", outcome(split, |_| String::new()));
    let create = client().create_stream().stream_name(STREAM).shard_count(1).send().await;
    add("CreateStream existing", outcome(create, |_| String::new()));
    all
}

async fn first_sequence(client: impl Fn() -> Client + Send + Sync, shard: &str) -> Option<String> {
    let request = || {
        let request = client().get_shard_iterator().stream_name(STREAM).shard_id(shard);
        request.shard_iterator_type(ShardIteratorType::TrimHorizon).send()
    };
    let iterator = unthrottled(request).await.ok()?.shard_iterator?;
    let request = || client().get_records().shard_iterator(&iterator).send();
    let page = unthrottled(request).await.ok()?;
    page.records.first().map(|record| record.sequence_number.clone())
}
