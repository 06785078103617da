//! The responses are read as the SDK for Java reads them.

use std::fmt::Display;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::RequestId;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::operation::list_shards::ListShardsOutput;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{ShardIteratorType, StreamDescriptionSummary};

use crate::canned::{Canned, Response};
use crate::{bytes_of, hex_of};

fn or_null(value: Option<impl Display>) -> String {
    value.map_or_else(|| "null".to_owned(), |value| value.to_string())
}

fn millis(time: Option<&DateTime>) -> String {
    or_null(time.map(|time| time.to_millis().unwrap()))
}

fn page(page: &GetRecordsOutput) -> String {
    let records: Vec<_> = page
        .records()
        .iter()
        .map(|record| {
            [
                record.sequence_number().to_owned(),
                record.partition_key().unwrap_or_default().to_owned(),
                millis(record.approximate_arrival_timestamp()),
                hex_of(record.data().as_ref()),
                or_null(record.encryption_type()),
            ]
            .join(",")
        })
        .collect();
    let children = page.child_shards.as_ref().map(|children| {
        let children = children.iter().map(|child| {
            let (range, parents) = (child.hash_key_range().unwrap(), child.parent_shards());
            let (start, end) = (range.starting_hash_key(), range.ending_hash_key());
            format!("{}<{},{start},{end}", child.shard_id(), parents.join("+"))
        });
        children.collect::<Vec<_>>().join(";")
    });
    format!(
        "[{}] {} {} {}",
        records.join(";"),
        or_null(page.next_shard_iterator()),
        or_null(page.millis_behind_latest()),
        or_null(children)
    )
}

fn list(list: &ListShardsOutput) -> String {
    let shards = list.shards().iter().map(|shard| {
        let (keys, numbers) =
            (shard.hash_key_range().unwrap(), shard.sequence_number_range().unwrap());
        [
            shard.shard_id(),
            shard.parent_shard_id().unwrap_or("null"),
            shard.adjacent_parent_shard_id().unwrap_or("null"),
            keys.starting_hash_key(),
            keys.ending_hash_key(),
            numbers.starting_sequence_number(),
            numbers.ending_sequence_number().unwrap_or("null"),
        ]
        .join(",")
    });
    format!("[{}] {}", shards.collect::<Vec<_>>().join(";"), or_null(list.next_token()))
}

fn summary(stream: &StreamDescriptionSummary) -> String {
    [
        stream.stream_name().to_owned(),
        stream.stream_status().to_string(),
        millis(Some(stream.stream_creation_timestamp())),
        stream.open_shard_count().to_string(),
        stream.retention_period_hours().to_string(),
    ]
    .join(" ")
}

fn outcome<T, E>(
    response: Result<T, SdkError<E, HttpResponse>>,
    read: impl Fn(&T) -> String,
) -> String
where
    E: ProvideErrorMetadata + RequestId,
{
    match response {
        Ok(output) => read(&output),
        Err(SdkError::ServiceError(error)) => {
            let error = error.err();
            format!(
                "error {} {} {}",
                or_null(error.code()),
                or_null(error.message()),
                or_null(error.meta().request_id())
            )
        }
        Err(_) => "unreadable".to_owned(),
    }
}

async fn read(client: &Client, operation: &str) -> String {
    match operation {
        "GetRecords" => outcome(client.get_records().shard_iterator("A").send().await, page),
        "GetShardIterator" => {
            let kind = ShardIteratorType::Latest;
            let request = client.get_shard_iterator().shard_id("a").shard_iterator_type(kind);
            let iterator = request.stream_name("orders").send().await;
            outcome(iterator, |output| or_null(output.shard_iterator()))
        }
        "ListShards" => outcome(client.list_shards().stream_name("orders").send().await, list),
        "DescribeStreamSummary" => {
            let request = client.describe_stream_summary().stream_name("orders");
            outcome(request.send().await, |output| {
                summary(output.stream_description_summary().unwrap())
            })
        }
        other => panic!("{other} is not known"),
    }
}

/// Responses that the SDK for Java reads in another way, with what this crate reads. A time of so
/// few digits is in seconds, as kinesalite and ministack send it. Java reads a day of 1970.
const OTHER_THAN_JAVA: [(&str, &str); 1] =
    [("time_of_32_bits", "[1,k,1764095904000,64,null] AAAB null null")];

#[tokio::test]
async fn responses_are_read_as_the_sdk_for_java_reads_them() {
    let lines = include_str!("responses.txt").lines().filter(|line| !line.starts_with('#'));
    let (mut count, mut others) = (0, 0);
    for line in lines {
        let [name, operation, status, error, body, expected] =
            line.split('\t').collect::<Vec<_>>()[..]
        else {
            panic!("{line}")
        };
        let mut headers = vec![
            ("content-type", "application/x-amz-cbor-1.1".to_owned()),
            ("x-amzn-requestid", "request-1".to_owned()),
        ];
        if error != "-" {
            headers.push(("x-amzn-errortype", error.to_owned()));
        }
        let (status, body) = (status.parse().unwrap(), bytes_of(body));
        let canned = Canned::new(Response { status, headers, body });
        let other = OTHER_THAN_JAVA.iter().find(|(other, _)| *other == name);
        let expected = other.map_or(expected, |(_, expected)| {
            others += 1;
            expected
        });
        assert_eq!(read(&canned.client(), operation).await, expected, "{name}");
        count += 1;
    }
    assert!(count > 20, "{count} responses");
    assert_eq!(others, OTHER_THAN_JAVA.len());
}
