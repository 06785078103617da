//! The row of any table as DynamoDB sends it, and the values of its attributes.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;

/// The attributes of a row by their names: an item, as DynamoDB calls it.
pub(crate) type Item = HashMap<String, AttributeValue>;

/// Returns ids as a table keeps them: each once, in ascending order.
pub(crate) fn sorted<'a>(ids: impl Iterator<Item = &'a str>) -> Vec<String> {
    ids.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect()
}

/// Returns the text of an attribute of type `S`.
pub(crate) fn get<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
    item.get(name)?.as_s().ok().map(String::as_str)
}

/// Returns the elements of an attribute of type `SS`, in ascending order.
pub(crate) fn set_of(item: &Item, name: &str) -> Vec<String> {
    let ids = item.get(name).and_then(|ids| ids.as_ss().ok());
    sorted(ids.into_iter().flatten().map(String::as_str))
}

/// Returns the value of an attribute of type `N`.
pub(crate) fn number_of(value: &AttributeValue) -> Option<u64> {
    value.as_n().ok()?.parse().ok()
}

/// Returns an attribute of type `S`, a string.
pub(crate) fn s(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

/// Returns an attribute of type `N`, a number.
pub(crate) fn n(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Returns an attribute of type `SS`, a set of strings. DynamoDB refuses an empty one, and an
/// element that is named twice.
pub(crate) fn set<'a>(texts: impl IntoIterator<Item = &'a String>) -> Option<AttributeValue> {
    let texts = sorted(texts.into_iter().map(String::as_str));
    (!texts.is_empty()).then_some(AttributeValue::Ss(texts))
}
