//! Writes the bodies of responses.
//!
//! The JSON is written by hand, so that a listing of a thousand shards costs little more than a
//! copy of its text.

use std::fmt::{Display, Write};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;

use crate::testing::model::hash_range::HashRange;
use crate::testing::model::records::Record;
use crate::testing::model::sequence::SequenceNumber;
use crate::testing::model::shard::{Shard, shard_id};
use crate::testing::model::time::Millis;

/// A writer of one JSON object.
pub(crate) struct Object<'a> {
    out: &'a mut String,
    separator: char,
}

/// Returns the text of an object whose members `write` adds.
pub(crate) fn object(write: impl FnOnce(&mut Object<'_>)) -> String {
    let mut out = String::new();
    object_into(&mut out, write);
    out
}

fn object_into(out: &mut String, write: impl FnOnce(&mut Object<'_>)) {
    let mut object = Object { out, separator: '{' };
    write(&mut object);
    if object.separator == '{' {
        object.out.push('{');
    }
    out.push('}');
}

impl Object<'_> {
    fn key(&mut self, name: &str) -> &mut String {
        self.out.push(self.separator);
        self.separator = ',';
        self.out.push('"');
        self.out.push_str(name);
        self.out.push_str("\":");
        self.out
    }

    /// Adds a number, `true` or `false`.
    pub(crate) fn plain(&mut self, name: &str, value: impl Display) {
        put(self.key(name), value);
    }

    /// Adds a text that needs no escapes: an id, a number, a name or a token.
    pub(crate) fn text(&mut self, name: &str, value: impl Display) {
        let out = self.key(name);
        out.push('"');
        put(out, value);
        out.push('"');
    }

    /// Adds any text, with escapes.
    pub(crate) fn escaped(&mut self, name: &str, value: &str) {
        put(self.key(name), Value::from(value));
    }

    pub(crate) fn time(&mut self, name: &str, value: Millis) {
        put(self.key(name), format_args!("{}.{:03}", value.0 / 1000, value.0 % 1000));
    }

    pub(crate) fn object(&mut self, name: &str, write: impl FnOnce(&mut Object<'_>)) {
        object_into(self.key(name), write);
    }

    pub(crate) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Object<'_>, T),
    ) {
        self.array(name, items, |out, item| object_into(out, |object| write(object, item)));
    }

    pub(crate) fn texts<T: Display>(&mut self, name: &str, items: impl IntoIterator<Item = T>) {
        self.array(name, items, |out, item| put(out, format_args!("\"{item}\"")));
    }

    fn array<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut String, T),
    ) {
        let out = self.key(name);
        out.push('[');
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            write(out, item);
        }
        out.push(']');
    }
}

fn put(out: &mut String, value: impl Display) {
    // Writing to a String does not fail.
    let _ = write!(out, "{value}");
}

fn hash_range(object: &mut Object<'_>, range: HashRange) {
    object.object("HashKeyRange", |object| {
        object.text("StartingHashKey", range.start);
        object.text("EndingHashKey", range.end);
    });
}

/// Writes the shards of a listing, each with the end to show. A shard caches its text until it
/// closes. A listing that shows another end than the shard's own does not use the cache.
pub(crate) fn shards<'a>(
    object: &mut Object<'_>,
    shards: impl IntoIterator<Item = (&'a Shard, Option<SequenceNumber>)>,
) {
    object.array("Shards", shards, |out, (shard, end)| {
        if end == shard.end {
            out.push_str(shard.text.get_or_init(|| shard_text(shard, end).into()));
        } else {
            out.push_str(&shard_text(shard, end));
        }
    });
}

fn shard_text(shard: &Shard, end: Option<SequenceNumber>) -> String {
    object(|object| {
        object.text("ShardId", &shard.id);
        if let Some(parent) = shard.parent {
            object.text("ParentShardId", shard_id(parent));
        }
        if let Some(parent) = shard.adjacent_parent {
            object.text("AdjacentParentShardId", shard_id(parent));
        }
        hash_range(object, shard.range);
        object.object("SequenceNumberRange", |object| {
            object.text("StartingSequenceNumber", shard.start);
            if let Some(end) = end {
                object.text("EndingSequenceNumber", end);
            }
        });
    })
}

pub(crate) fn child_shard(object: &mut Object<'_>, shard: &Shard) {
    object.text("ShardId", &shard.id);
    object.texts("ParentShards", shard.parents().map(shard_id));
    hash_range(object, shard.range);
}

pub(crate) fn record(object: &mut Object<'_>, record: &Record) {
    object.text("SequenceNumber", record.sequence);
    object.time("ApproximateArrivalTimestamp", record.arrived);
    object.text("Data", BASE64.encode(&record.data));
    object.escaped("PartitionKey", &record.partition_key);
}
