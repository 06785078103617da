//! The faults to come: a script per operation, a hook, and random faults.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::testing::fault::Fault;
use crate::testing::random::RandomFaults;
use crate::testing::request::Request;

pub(crate) type Hook = Arc<dyn Fn(&Request) -> Option<Fault> + Send + Sync>;

#[derive(Default)]
pub(crate) struct Script {
    pub(crate) hook: Option<Hook>,
    pub(crate) random: Option<RandomFaults>,
    operations: BTreeMap<String, OperationScript>,
}

/// The faults to come of one operation.
#[derive(Default)]
pub(crate) struct OperationScript {
    /// The requests since the first fault was scripted.
    seen: u64,
    /// Faults of single requests, by the number of the request.
    once: BTreeMap<u64, Fault>,
    /// The fault of every other request.
    pub(crate) always: Option<Fault>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

impl Script {
    /// Returns the fault of this request: that of the hook, of the script, or a random one. Every
    /// request counts for the script, also one that meets the fault of the hook.
    pub(crate) fn next(&mut self, operation: &str, hooked: Option<Fault>) -> Option<Fault> {
        let scripted = self.operations.get_mut(operation).and_then(OperationScript::next);
        let random = self.random.as_mut().and_then(|random| random.draw(operation));
        hooked.or(scripted).or(random)
    }

    pub(crate) fn operation(&mut self, operation: &str) -> &mut OperationScript {
        self.operations.entry(operation.to_owned()).or_default()
    }

    pub(crate) fn clear_operation(&mut self, operation: &str) {
        self.operations.remove(operation);
    }
}

impl OperationScript {
    fn next(&mut self) -> Option<Fault> {
        self.seen += 1;
        self.once.remove(&self.seen).or_else(|| self.always.clone())
    }

    /// Scripts the fault for the nth request from now, or for the first one after it that has no
    /// fault.
    pub(crate) fn insert(&mut self, nth: u64, fault: Fault) {
        let mut at = self.seen + nth;
        while self.once.contains_key(&at) {
            at += 1;
        }
        self.once.insert(at, fault);
    }
}
