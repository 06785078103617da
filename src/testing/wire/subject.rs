//! What a request is about, whatever way it says so.

use serde_json::Value;

use super::input::unseal;
use crate::testing::model::{Cursor, ListToken, shard_id};

fn text<'a>(body: &'a Value, member: &str) -> Option<&'a str> {
    body.get(member).and_then(Value::as_str)
}

fn cursor(body: &Value) -> Option<Cursor> {
    unseal(text(body, "ShardIterator")?).parse().ok()
}

/// The stream's name, from the name, the ARN, the iterator, or the token.
pub(crate) fn stream_of(body: &Value) -> Option<String> {
    let arn = || {
        text(body, "StreamARN").and_then(|arn| arn.rsplit_once("stream/")).map(|(_, name)| name.to_owned())
    };
    let token = || unseal(text(body, "NextToken")?).parse().ok().map(|token: ListToken| token.stream);
    let name = text(body, "StreamName").map(str::to_owned);
    name.or_else(arn).or_else(|| cursor(body).map(|cursor| cursor.stream)).or_else(token)
}

/// The shard's id, from itself or the iterator.
pub(crate) fn shard_of(body: &Value) -> Option<String> {
    let id = text(body, "ShardId").map(str::to_owned);
    id.or_else(|| cursor(body).map(|cursor| shard_id(cursor.shard)))
}
