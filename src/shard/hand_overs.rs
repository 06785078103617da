//! The time from the end of a parent to the first page of a child.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use aws_sdk_kinesis::types::ChildShard;
use tokio::time::{Duration, Instant};

/// Children that nobody reads, such as those of another worker, are forgotten at this number.
const MAX_CHILDREN: usize = 10_000;

/// When the readers of parents have reached their ends, by the children that wait.
#[derive(Debug, Default)]
pub(crate) struct HandOvers(Mutex<HashMap<String, Instant>>);

impl HandOvers {
    /// Notes the end of a parent. Of the two parents of a merge, the later end counts.
    pub(crate) fn end(&self, children: &[ChildShard]) {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ends.len() + children.len() > MAX_CHILDREN {
            ends.clear();
        }
        ends.extend(children.iter().map(|child| (child.shard_id().to_owned(), Instant::now())));
    }

    /// Returns the time since the end of the parent, when a child has received its first page.
    pub(crate) fn first_page(&self, child: &str) -> Option<Duration> {
        let mut ends = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ends.remove(child).map(|end| end.elapsed())
    }
}
