//! A Kinesis whose pages come from memory: `server SHARDS RECORDS BYTES`.
//!
//! Its stream has this many shards, and every page this many records of this many bytes. The
//! shards have no end and no tip: a client stops by itself. Requests may be in JSON or in CBOR, and
//! each connection has its own thread. The server prints its port.

mod format;
mod http;
mod kinesis;
mod page;
mod position;

use std::io::{self, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use crate::kinesis::Kinesis;

fn main() -> io::Result<()> {
    let args: Vec<usize> =
        std::env::args().skip(1).map(|arg| arg.parse().expect("a number")).collect();
    let [shards, records, bytes] = args[..] else { panic!("usage: server SHARDS RECORDS BYTES") };
    let kinesis = Arc::new(Kinesis::new(shards, records, bytes));
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    println!("{}", listener.local_addr()?.port());
    for stream in listener.incoming() {
        let (stream, kinesis) = (stream?, Arc::clone(&kinesis));
        thread::spawn(move || {
            if let Err(error) = serve(stream, &kinesis) {
                eprintln!("a connection ended: {error}");
            }
        });
    }
    Ok(())
}

/// Responds to the requests of a connection until the client closes it.
fn serve(mut stream: TcpStream, kinesis: &Kinesis) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut response = Vec::new();
    while let Some(request) = http::read_request(&mut reader)? {
        response.clear();
        kinesis.respond(&request, &mut response);
        stream.write_all(&response)?;
    }
    Ok(())
}
