//! The CBOR of Kinesis.
//!
//! `requests.txt` and `responses.txt` are made by the SDK for Java (`java/make.sh`): its requests,
//! and responses with what it reads in them.

mod canned;
mod fallback;
mod requests;
mod responses;
mod shards;

/// Parses hexadecimal bytes.
fn bytes_of(hex: &str) -> Vec<u8> {
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits");
    (0..hex.len()).step_by(2).map(byte).collect()
}

fn hex_of(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::new(), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}
