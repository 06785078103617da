//! Two answers to one call, field by field.

use std::collections::BTreeMap;
use std::fmt;

use super::answer::{Answer, ERROR};

/// What an answer that is no error has for a code.
pub(crate) const DONE: &str = "no error";

/// A field that is not the same in both answers; `None` where it is absent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Such as `NextToken` or `Shards[].ParentShardId`.
    pub(crate) field: String,
    /// Which item of the list.
    pub(crate) item: Option<String>,
    pub(crate) server: Option<String>,
    pub(crate) fake: Option<String>,
}

/// Without the item, so that all that look alike are one.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { field, server, fake, .. } = self;
        let said = |value: &Option<String>| value.clone().unwrap_or_else(|| "(absent)".to_owned());
        write!(f, "{field}: the server has {:?}, the fake {:?}", said(server), said(fake))
    }
}

/// All differences. One that is refused and one that is not differ in nothing else.
pub(crate) fn differences(server: &Answer, fake: &Answer) -> Vec<Difference> {
    if server.error().is_some() || fake.error().is_some() {
        let [server, fake] =
            [server, fake].map(|answer| Some(answer.error().unwrap_or(DONE).to_owned()));
        let error = Difference { field: ERROR.to_owned(), item: None, server, fake };
        return if error.server == error.fake { vec![] } else { vec![error] };
    }
    let mut found = Vec::new();
    fields(&server.fields, &fake.fields, |field, server, fake| {
        found.push(Difference { field: field.to_owned(), item: None, server, fake });
    });
    for ((list, key), item) in &server.items {
        // An item that only one has shows in the list itself.
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
