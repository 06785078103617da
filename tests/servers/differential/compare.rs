//! The field-by-field comparison of two responses to one call.

use std::collections::BTreeMap;
use std::fmt;

use super::response::{ERROR, Response};

/// The value of the error field of a response that is not an error.
pub(crate) const DONE: &str = "no error";

/// A field that differs between the responses. `None` means that it is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// The name, such as `NextToken` or `Shards[].ParentShardId`.
    pub(crate) field: String,
    /// The key of the item in its list.
    pub(crate) item: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) fake: Option<String>,
}

/// Displays the difference without its item, so that equal differences of several items are one.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, server, fake, .. } = self;
        let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_owned());
        write!(f, "{field}: the server has {:?}, the fake {:?}", text(server), text(fake))
    }
}

/// Returns all differences. An error and a success differ only in the error.
pub(crate) fn differences(server: &Response, fake: &Response) -> Vec<Difference> {
    if server.error().is_some() || fake.error().is_some() {
        let [server, fake] =
            [server, fake].map(|response| Some(response.error().unwrap_or(DONE).to_owned()));
        let error = Difference { field: ERROR.to_owned(), item: None, server, fake };
        return if error.server == error.fake { vec![] } else { vec![error] };
    }
    let mut found = Vec::new();
    fields(&server.fields, &fake.fields, |field, server, fake| {
        found.push(Difference { field: field.to_owned(), item: None, server, fake });
    });
    for ((list, key), item) in &server.items {
        // The list itself differs if only one side has the item.
        if let Some(other) = fake.items.get(&(list.clone(), key.clone())) {
            fields(item, other, |field, server, fake| {
                found.push(Difference {
                    field: format!("{list}[].{field}"),
                    item: Some(key.clone()),
                    server,
                    fake,
                });
            });
        }
    }
    found
}

type Fields = BTreeMap<String, String>;

fn fields(
    server: &Fields,
    fake: &Fields,
    mut found: impl FnMut(&str, Option<String>, Option<String>),
) {
    for (field, value) in server {
        if fake.get(field) != Some(value) {
            found(field, Some(value.clone()), fake.get(field).cloned());
        }
    }
    for (field, value) in fake {
        if !server.contains_key(field) {
            found(field, None, Some(value.clone()));
        }
    }
}
