//! As much of HTTP/1.1 as the clients use.

use std::io::{self, BufRead};

use crate::format::Format;

pub(crate) struct Request {
    /// The operation, such as `GetRecords`.
    pub(crate) operation: String,
    pub(crate) format: Format,
    pub(crate) body: Vec<u8>,
}

/// Reads the next request of a connection, or returns `None` once the client has closed it.
pub(crate) fn read_request(reader: &mut impl BufRead) -> io::Result<Option<Request>> {
    let mut request = Request { operation: String::new(), format: Format::Json, body: Vec::new() };
    let mut line = String::new();
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        // The first line of a request has no colon.
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => {
                request.body.resize(value.parse().map_err(io::Error::other)?, 0);
            }
            "content-type" => request.format = Format::of_content_type(value),
            "x-amz-target" => {
                let operation = value.rsplit_once('.').map_or(value, |(_, operation)| operation);
                operation.clone_into(&mut request.operation);
            }
            _ => {}
        }
    }
    reader.read_exact(&mut request.body)?;
    Ok(Some(request))
}

/// Returns the head of a successful response.
pub(crate) fn head(format: Format, body_length: usize) -> String {
    head_with("200 OK", "", format, body_length)
}

/// Returns the head of the response of an error of this type.
pub(crate) fn error_head(error: &str, format: Format, body_length: usize) -> String {
    let header = format!("x-amzn-ErrorType: {error}\r\n");
    head_with("400 Bad Request", &header, format, body_length)
}

fn head_with(status: &str, header: &str, format: Format, body_length: usize) -> String {
    format!(
        "HTTP/1.1 {status}\r\n\
         x-amzn-RequestId: 00000000-0000-0000-0000-000000000000\r\n\
         {header}\
         Content-Type: {}\r\n\
         Content-Length: {body_length}\r\n\
         \r\n",
        format.content_type()
    )
}
