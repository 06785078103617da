//! The file of one shard: a line for each record, and one for the end of the shard.
//!
//! The last line says where to continue, so a record is in a file once, whenever a run is killed.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use kinesis_shards::records::Batch;
use kinesis_shards::shard::{Progress, StartPosition};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

const EXTENSION: &str = "jsonl";
/// How much of a file is read at first to find its last line.
const TAIL: u64 = 64 << 10;

pub(crate) struct ShardFile {
    file: tokio::fs::File,
    /// The sequence number of the last record.
    last: Option<String>,
}

/// The last line of a file.
#[derive(Debug, PartialEq)]
enum LastLine {
    Record(String),
    End,
}

/// Returns the progress of each shard that has a file with a line.
pub(crate) fn resume(dir: &Path) -> io::Result<Vec<(String, Progress)>> {
    let mut shards = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let path = entry?.path();
        if path.extension().is_none_or(|extension| extension != EXTENSION) {
            continue;
        }
        let (_, last) = last_line(&mut File::open(&path)?)?;
        let progress = match last {
            Some(LastLine::Record(number)) => Progress::At(StartPosition::After(number)),
            Some(LastLine::End) => Progress::Finished,
            None => continue,
        };
        let shard = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        shards.push((shard, progress));
    }
    Ok(shards)
}

impl ShardFile {
    /// Opens the file of a shard, and removes the part of a line with which a killed run left it.
    pub(crate) fn open(dir: &Path, shard_id: &str) -> io::Result<Self> {
        let path = dir.join(shard_id).with_extension(EXTENSION);
        let mut options = OpenOptions::new();
        let mut file = options.read(true).write(true).create(true).truncate(false).open(path)?;
        let (len, last) = last_line(&mut file)?;
        file.set_len(len)?;
        file.seek(SeekFrom::End(0))?;
        let last = match last {
            Some(LastLine::Record(number)) => Some(number),
            Some(LastLine::End) | None => None,
        };
        Ok(Self { file: tokio::fs::File::from_std(file), last })
    }

    /// Writes the records that the file does not have. Returns their number.
    ///
    /// A shard whose reader has failed is offered again from its start, so records may come again.
    pub(crate) async fn write(&mut self, batch: Batch) -> io::Result<usize> {
        let (mut lines, mut written) = (String::new(), 0);
        for record in batch {
            let number = record.sequence_number();
            if self.last.as_deref().is_some_and(|last| order(number) <= order(last)) {
                continue;
            }
            let line = json!({
                "sequenceNumber": number,
                "partitionKey": record.partition_key(),
                "data": String::from_utf8_lossy(record.data()),
            });
            lines += &line.to_string();
            lines.push('\n');
            self.last = Some(number.to_owned());
            written += 1;
        }
        self.append(&lines).await?;
        Ok(written)
    }

    /// Writes that the shard has ended.
    pub(crate) async fn end(&mut self) -> io::Result<()> {
        self.append(&format!("{}\n", json!({ "end": true }))).await
    }

    async fn append(&mut self, lines: &str) -> io::Result<()> {
        self.file.write_all(lines.as_bytes()).await?;
        self.file.flush().await
    }
}

/// Returns the length of the file up to its last complete line, and that line.
fn last_line(file: &mut File) -> io::Result<(u64, Option<LastLine>)> {
    let len = file.metadata()?.len();
    let mut size = TAIL;
    loop {
        size = size.min(len);
        file.seek(SeekFrom::Start(len - size))?;
        let mut tail = Vec::new();
        file.by_ref().take(size).read_to_end(&mut tail)?;
        let is_newline = |byte: &u8| *byte == b'\n';
        if let Some(end) = tail.iter().rposition(is_newline) {
            let start = tail[..end].iter().rposition(is_newline).map(|newline| newline + 1);
            if let Some(start) = start.or_else(|| (size == len).then_some(0)) {
                let complete = len - size + end as u64 + 1;
                return Ok((complete, Some(parse(&tail[start..end])?)));
            }
        } else if size == len {
            return Ok((0, None));
        }
        size *= 2;
    }
}

fn parse(line: &[u8]) -> io::Result<LastLine> {
    let line: Value = serde_json::from_slice(line)?;
    match line["sequenceNumber"].as_str() {
        Some(number) => Ok(LastLine::Record(number.to_owned())),
        None if line["end"] == true => Ok(LastLine::End),
        None => Err(io::Error::other(format!("the last line is no record: {line}"))),
    }
}

/// Returns a sort key: sequence numbers are decimal numbers too long for any integer type.
fn order(sequence_number: &str) -> (usize, &str) {
    (sequence_number.len(), sequence_number)
}
