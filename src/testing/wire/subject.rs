//! The stream and the shard that a request refers to, however it names them.

use serde_json::Value;

use crate::testing::model::shard::shard_id;
use crate::testing::model::token::{Cursor, ListToken};
use crate::testing::wire::input::unseal;

fn text<'a>(body: &'a Value, member: &str) -> Option<&'a str> {
    body.get(member).and_then(Value::as_str)
}

fn cursor(body: &Value) -> Option<Cursor> {
    unseal(text(body, "ShardIterator")?).parse().ok()
}

/// Returns the stream's name, taken from the name, the ARN, the iterator or the token.
pub(crate) fn stream_of(body: &Value) -> Option<String> {
    let arn = || {
        let arn = text(body, "StreamARN").or_else(|| text(body, "ConsumerARN"))?;
        let (_, name) = arn.split_once(":stream/")?;
        Some(name.split('/').next().unwrap_or(name).to_owned())
    };
    let token =
        || unseal(text(body, "NextToken")?).parse().ok().map(|token: ListToken| token.stream);
    let name = text(body, "StreamName").map(str::to_owned);
    name.or_else(arn).or_else(|| cursor(body).map(|cursor| cursor.stream)).or_else(token)
}

/// Returns the shard's id, taken from the request or from its iterator.
pub(crate) fn shard_of(body: &Value) -> Option<String> {
    let id = text(body, "ShardId").map(str::to_owned);
    id.or_else(|| cursor(body).map(|cursor| shard_id(cursor.shard)))
}
