//! Which fault applies to the next request: a script per operation, a hook, and chance.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::testing::fake::FakeKinesis;
use crate::testing::fault::Fault;
use crate::testing::log::Request;
use crate::testing::random::RandomFaults;
use crate::testing::wire::operations::OPERATIONS;

pub(crate) type Hook = Arc<dyn Fn(&Request) -> Option<Fault> + Send + Sync>;

/// The faults to come.
#[derive(Default)]
pub(crate) struct Script {
    hook: Option<Hook>,
    operations: BTreeMap<String, Lines>,
    random: Option<RandomFaults>,
}

/// The faults to come of one operation.
#[derive(Default)]
struct Lines {
    /// How many requests came since the first line was written.
    seen: u64,
    /// By the number of the request.
    once: BTreeMap<u64, Fault>,
    always: Option<Fault>,
}

impl fmt::Debug for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").finish_non_exhaustive()
    }
}

impl Script {
    pub(crate) fn hook(&self) -> Option<Hook> {
        self.hook.clone()
    }

    /// What applies to this request. Every request counts, also one the hook has dealt with.
    pub(crate) fn next(&mut self, operation: &str, hooked: Option<Fault>) -> Option<Fault> {
        let scripted = self.operations.get_mut(operation).and_then(|lines| {
            lines.seen += 1;
            lines.once.remove(&lines.seen).or_else(|| lines.always.clone())
        });
        let random = self.random.as_mut().and_then(|random| random.draw(operation));
        hooked.or(scripted).or(random)
    }

    fn lines(&mut self, operation: &str) -> &mut Lines {
        self.operations.entry(operation.to_owned()).or_default()
    }
}

impl Lines {
    /// Writes the fault for the nth request from now, or for the first one after it that has none.
    fn write(&mut self, nth: u64, fault: Fault) {
        let mut at = self.seen + nth;
        while self.once.contains_key(&at) {
            at += 1;
        }
        self.once.insert(at, fault);
    }
}

/// # Faults
impl FakeKinesis {
    /// The next request of `operation` meets `fault`. Calls add up: two of them are the next two
    /// requests.
    ///
    /// ```
    /// use kinesis_shards::testing::{FakeKinesis, Fault};
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fake = FakeKinesis::new();
    /// fake.create_stream("orders", 1);
    /// fake.fail_next("ListShards", Fault::Throttled);
    ///
    /// // The SDK tries again, and the second attempt succeeds.
    /// fake.client().list_shards().stream_name("orders").send().await?;
    /// assert_eq!(fake.requests()[0].error(), Some("LimitExceededException"));
    /// assert_eq!(fake.count("ListShards"), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// If there is no such operation, or the fault cannot befall it.
    #[track_caller]
    pub fn fail_next(&self, operation: &str, fault: Fault) {
        self.fail_nth(operation, 1, fault);
    }

    /// The nth request of `operation` from now on meets `fault`; the next one is the first. If that
    /// one has a fault already, the one after it does.
    ///
    /// # Panics
    ///
    /// If there is no such operation, the fault cannot befall it, or `nth` is zero.
    #[track_caller]
    pub fn fail_nth(&self, operation: &str, nth: u64, fault: Fault) {
        assert!(nth > 0, "the next request is the first");
        fault.must_befall(operation);
        self.server().state().script.lines(operation).write(nth, fault);
    }

    /// The next `times` requests of `operation` meet `fault`. The SDK's standard retries are three
    /// requests a call.
    ///
    /// # Panics
    ///
    /// If there is no such operation, or the fault cannot befall it.
    #[track_caller]
    pub fn fail_times(&self, operation: &str, times: usize, fault: Fault) {
        fault.must_befall(operation);
        let mut state = self.server().state();
        let lines = state.script.lines(operation);
        for fault in std::iter::repeat_n(fault, times) {
            lines.write(1, fault);
        }
    }

    /// Every request of `operation` meets `fault`, until [`clear_faults`](Self::clear_faults). What
    /// [`fail_next`](Self::fail_next) and its kin say comes first.
    ///
    /// # Panics
    ///
    /// If there is no such operation, or the fault cannot befall it.
    #[track_caller]
    pub fn fail_always(&self, operation: &str, fault: Fault) {
        fault.must_befall(operation);
        self.server().state().script.lines(operation).always = Some(fault);
    }

    /// Calls `hook` with every request before it is carried out; what it returns applies to the
    /// request, before all else. There is one hook: the last.
    ///
    /// The hook may call the fake, as to split a shard between two pages of a listing. One that
    /// keeps a clone of the fake keeps it alive until [`clear_faults`](Self::clear_faults).
    ///
    /// # Panics
    ///
    /// The request panics if the hook returns a fault that cannot befall its operation.
    ///
    /// ```
    /// use kinesis_shards::testing::{FakeKinesis, Fault};
    ///
    /// let fake = FakeKinesis::new();
    /// fake.on_request(|request| {
    ///     let mine = request.stream_name() == Some("orders");
    ///     (mine && request.operation() == "GetRecords").then_some(Fault::AccessDenied)
    /// });
    /// ```
    pub fn on_request(&self, hook: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        let old = self.server().state().script.hook.replace(Arc::new(hook));
        // Dropped only now that the state is free: it may hold something that calls the fake when
        // it goes.
        drop(old);
    }

    /// Requests meet faults by chance, when nothing else is said for them.
    pub fn fail_at_random(&self, faults: RandomFaults) {
        self.server().state().script.random = Some(faults);
    }

    /// No more faults from the script for `operation`; the hook and chance stay, and so does the
    /// script for others.
    ///
    /// # Panics
    ///
    /// If there is no such operation.
    #[track_caller]
    pub fn clear_faults_of(&self, operation: &str) {
        assert!(OPERATIONS.contains(&operation), "{operation} is not an operation of FakeKinesis");
        self.server().state().script.operations.remove(operation);
    }

    /// No more faults: the script, the hook and chance are all gone.
    pub fn clear_faults(&self) {
        let old = std::mem::take(&mut self.server().state().script);
        // As above.
        drop(old);
    }
}
