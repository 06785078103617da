//! The CBOR wire format of Kinesis: records as bytes instead of base64.
//!
//! Kinesis accepts and sends two formats: JSON, which the SDK for Rust uses, and CBOR, which the
//! SDK for Java uses, and with it the Kinesis Client Library. The data of a record is bytes in
//! CBOR, and base64 in JSON: a page of large records is a quarter smaller.
//!
//! With the feature `cbor`, this crate sends its own requests in CBOR: `ListShards`,
//! `GetShardIterator` and `GetRecords`. Nothing needs to be set. A client whose configuration names
//! a protocol keeps it: [`CborProtocol::disabled`] switches CBOR off.
//!
//! The records of a page are then slices of the body of its response, where the SDK allocates the
//! data, the partition key and the sequence number of each record. So a [`Record`](crate::Record)
//! that is kept keeps the body of its page in memory, up to 10 MiB; its
//! [`into_data`](crate::Record::into_data) and [`into_sdk`](crate::Record::into_sdk) copy.
//!
//! The shards of a list are slices, too. So a [`ShardHandle`](crate::ShardHandle) keeps the page that
//! listed its shard in memory, about 300 kB for 1,000 shards; its
//! [`shard`](crate::ShardHandle::shard) copies the shard once. An interceptor of the client sees the
//! `GetRecordsOutput` and the `ListShardsOutput` of such pages without their records and shards.
//!
//! # Other requests
//!
//! A client sends its other requests in CBOR if its configuration names [`CborProtocol`]:
//!
//! ```
//! use aws_sdk_kinesis::Client;
//! use aws_sdk_kinesis::primitives::Blob;
//! use kinesis_shards::cbor::CborProtocol;
//! # use kinesis_shards::testing::FakeKinesis;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let kinesis = FakeKinesis::new();
//! # kinesis.create_stream("orders", 1);
//! # let client = kinesis.client();
//! let config = client.config().to_builder().protocol(CborProtocol::new());
//! let client = Client::from_conf(config.build());
//! let data = Blob::new("an order"); // sent as it is, not as base64
//! client.put_record().stream_name("orders").partition_key("7").data(data).send().await?;
//! # assert!(kinesis.requests()[0].is_cbor());
//! # Ok(())
//! # }
//! ```
//!
//! # Servers without CBOR
//!
//! A response may be JSON although the request was CBOR: the protocol reads either. Some servers
//! that stand in for Kinesis know no CBOR. Such a server shows it by a response in JSON, by status
//! 415 (unsupported media type), or by a `SerializationException` in JSON. Others send invalid
//! CBOR, as kinesalite does after 16 KiB. Such a server then gets JSON from this protocol and its
//! clones, and the change is logged at level `DEBUG`.
//!
//! This crate sends its own request again in JSON at once, and does not count the first one as a
//! failure. It does the same for any other error that is not CBOR, until the server has sent CBOR
//! once. Invalid CBOR is a failure, as any unreadable response is. The other requests of a client
//! fail with the error that shows it, and succeed from then on.
//!
//! # The format
//!
//! The body of a request or a response is a map with the names of the JSON members (RFC 8949).
//! Blobs are byte strings. A timestamp is tag 1 with the *milliseconds* since the epoch as an
//! integer, where the RFC has seconds. An error is a map with `__type` and `message`. The protocol
//! accepts definite and indefinite lengths, integers in floats, `null` for a missing member, and a
//! base64 text for a blob. It reads a timestamp below 10¹¹ as seconds, as kinesalite sends them:
//! milliseconds would be a time before 1973. It skips unknown members. It rejects more than 64
//! levels of nesting, and allocates nothing for a length that the response declares but does not
//! contain.

pub(crate) mod decoder;
pub(crate) mod deserializer;
pub(crate) mod knowledge;
pub(crate) mod protocol;
mod records;
pub(crate) mod serializer;
mod shards;
pub(crate) mod taker;

pub use protocol::CborProtocol;
