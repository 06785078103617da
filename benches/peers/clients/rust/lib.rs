//! Reads the stream with the SDK's bare loop or with this crate: `client CASE FORMAT`, such as
//! `client records cbor`.

mod bare;
mod meter;
mod shards;

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::{Client, Config};
use kinesis_shards::cbor::CborProtocol;
use tokio::runtime::Builder;

use crate::meter::Meter;

const STREAM: &str = "orders";

/// Runs the client that the arguments name. Its meter ends the process.
///
/// # Panics
///
/// Panics if the arguments name no client, or a request fails.
pub fn run() {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [case, format] = &args[..] else { panic!("usage: client CASE FORMAT") };
    let protocol = match (case.as_str(), format.as_str()) {
        (_, "cbor") => Some(CborProtocol::new()),
        // This crate prefers CBOR; the SDK sends JSON by itself.
        ("bare", "json") => None,
        (_, "json") => Some(CborProtocol::disabled()),
        _ => panic!("no such format: {format}"),
    };
    // In such a runtime, all responses come in the thread that waits for them.
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = client(protocol);
        let meter = Meter::from_env();
        match case.as_str() {
            "bare" => bare::read(&client, meter).await,
            "batches" => shards::read_batches(&client, meter).await,
            "records" => shards::read_records(&client, meter).await,
            "auto_ack" => shards::read_auto_ack(&client, meter).await,
            _ => panic!("no such case: {case}"),
        }
    });
}

fn client(protocol: Option<CborProtocol>) -> Client {
    let endpoint = std::env::var("AWS_ENDPOINT_URL_KINESIS").expect("AWS_ENDPOINT_URL_KINESIS");
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "bench"))
        .endpoint_url(endpoint);
    match protocol {
        Some(protocol) => Client::from_conf(config.protocol(protocol).build()),
        None => Client::from_conf(config.build()),
    }
}
