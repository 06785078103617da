//! A Kinesis on a port of this machine, for the costs of real connections.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::{Client, Config};

use super::canned::has_member;

/// Starts a server whose shards are open and have no records. It ends with the process.
pub(crate) fn serve_idle_shards() -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            thread::spawn(move || serve(connection));
        }
    });
    let config = Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("x", "x", None, None, "bench"))
        .endpoint_url(format!("http://{address}"));
    Client::from_conf(config.build())
}

/// Answers the requests of one connection.
fn serve(connection: TcpStream) {
    let _ = connection.set_nodelay(true);
    let mut output = connection.try_clone().expect("a second handle");
    let mut input = BufReader::new(connection);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while line != "\r\n" {
            line.clear();
            if input.read_line(&mut line).is_ok_and(|read| read > 0) {
                let header = line.to_ascii_lowercase();
                let value = header.strip_prefix("content-length:").map(str::trim);
                length = value.map_or(length, |value| value.parse().expect("a length"));
            } else {
                return;
            }
        }
        let mut body = vec![0; length];
        if input.read_exact(&mut body).is_err() {
            return;
        }
        let body = if has_member(&body, "ShardIteratorType") {
            r#"{"ShardIterator":"0"}"#
        } else {
            r#"{"Records":[],"NextShardIterator":"0","MillisBehindLatest":0}"#
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.1\r\n";
        let response = format!("{head}content-length: {}\r\n\r\n{body}", body.len());
        if output.write_all(response.as_bytes()).is_err() {
            return;
        }
    }
}
