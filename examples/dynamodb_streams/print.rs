//! Changes as lines.

use aws_sdk_dynamodbstreams::types::{AttributeValue, Record};

use super::read::Event;

pub(crate) fn print_event(shard: &str, event: &Event) {
    match event {
        Event::Gap(after) => {
            println!("{shard}  GAP: the changes after {after} were trimmed before they were read");
        }
        Event::Changes(changes) => {
            let lines: Vec<_> = changes.iter().map(line).collect();
            println!("{shard}  {}", lines.join(", "));
        }
    }
}

/// Formats a change, such as `MODIFY id=customer 7`.
fn line(record: &Record) -> String {
    let kind = record.event_name.as_ref().map_or("?", |kind| kind.as_str());
    let keys = record.dynamodb.as_ref().and_then(|change| change.keys());
    let mut keys: Vec<_> = keys.into_iter().flatten().collect();
    keys.sort_by_key(|(name, _)| *name);
    let keys = keys.into_iter().map(|(name, value)| match value {
        AttributeValue::S(text) | AttributeValue::N(text) => format!(" {name}={text}"),
        other => format!(" {name}={other:?}"),
    });
    format!("{kind}{}", keys.collect::<String>())
}
