//! The methods of a [`FakeKinesis`] that set and clear faults.

use std::sync::Arc;

use crate::testing::fake::FakeKinesis;
use crate::testing::fault::{Fault, assert_is_operation};
use crate::testing::random::RandomFaults;
use crate::testing::request::Request;

/// # Faults
impl FakeKinesis {
    /// Makes the next request of `operation` meet `fault`. Calls add up: two of them script the
    /// next two requests.
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
    /// // The SDK retries, and the second attempt succeeds.
    /// fake.client().list_shards().stream_name("orders").send().await?;
    /// assert_eq!(fake.requests()[0].error(), Some("LimitExceededException"));
    /// assert_eq!(fake.count("ListShards"), 2);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if there is no such operation, or if the fault cannot apply to it.
    #[track_caller]
    pub fn fail_next(&self, operation: &str, fault: Fault) {
        self.fail_nth(operation, 1, fault);
    }

    /// Makes the nth request of `operation` from now on meet `fault`; the next request is the
    /// first. If that request has a fault already, the first one after it that has none meets
    /// `fault`.
    ///
    /// # Panics
    ///
    /// Panics if there is no such operation, if the fault cannot apply to it, or if `nth` is zero.
    #[track_caller]
    pub fn fail_nth(&self, operation: &str, nth: u64, fault: Fault) {
        assert!(nth > 0, "requests count from 1");
        fault.assert_applies_to(operation);
        self.server().state().script.operation(operation).insert(nth, fault);
    }

    /// Makes the next `times` requests of `operation` meet `fault`. With its standard retries, the
    /// SDK sends up to three requests for a call.
    ///
    /// # Panics
    ///
    /// Panics if there is no such operation, or if the fault cannot apply to it.
    #[track_caller]
    pub fn fail_times(&self, operation: &str, times: usize, fault: Fault) {
        fault.assert_applies_to(operation);
        let mut state = self.server().state();
        let script = state.script.operation(operation);
        for fault in std::iter::repeat_n(fault, times) {
            script.insert(1, fault);
        }
    }

    /// Makes every request of `operation` meet `fault`, until [`clear_faults`](Self::clear_faults).
    /// The faults of [`fail_next`](Self::fail_next), [`fail_nth`](Self::fail_nth) and
    /// [`fail_times`](Self::fail_times) take precedence.
    ///
    /// # Panics
    ///
    /// Panics if there is no such operation, or if the fault cannot apply to it.
    #[track_caller]
    pub fn fail_always(&self, operation: &str, fault: Fault) {
        fault.assert_applies_to(operation);
        self.server().state().script.operation(operation).always = Some(fault);
    }

    /// Calls `hook` with every request before it is carried out. The fault that it returns takes
    /// precedence over all others. A second hook replaces the first.
    ///
    /// The hook may call the fake, for example to split a shard between two pages of a listing. A
    /// hook that holds a clone of the fake keeps it alive until
    /// [`clear_faults`](Self::clear_faults).
    ///
    /// # Panics
    ///
    /// The request panics if the hook returns a fault that cannot apply to its operation.
    ///
    /// ```
    /// use kinesis_shards::testing::{FakeKinesis, Fault};
    ///
    /// let fake = FakeKinesis::new();
    /// fake.on_request(|request| {
    ///     let is_orders = request.stream_name() == Some("orders");
    ///     (is_orders && request.operation() == "GetRecords").then_some(Fault::AccessDenied)
    /// });
    /// ```
    pub fn on_request(&self, hook: impl Fn(&Request) -> Option<Fault> + Send + Sync + 'static) {
        let old = self.server().state().script.hook.replace(Arc::new(hook));
        // Dropped after the lock is released: its captures may call the fake when they drop.
        drop(old);
    }

    /// Makes requests meet random faults. The hook and the script take precedence.
    pub fn fail_at_random(&self, faults: RandomFaults) {
        self.server().state().script.random = Some(faults);
    }

    /// Clears the scripted faults of `operation`. The hook, the random faults and the scripts of
    /// other operations stay.
    ///
    /// # Panics
    ///
    /// Panics if there is no such operation.
    #[track_caller]
    pub fn clear_faults_of(&self, operation: &str) {
        assert_is_operation(operation);
        self.server().state().script.clear_operation(operation);
    }

    /// Clears every fault: the scripts, the hook and the random faults.
    pub fn clear_faults(&self) {
        let old = std::mem::take(&mut self.server().state().script);
        // Dropped after the lock is released, as in `on_request`.
        drop(old);
    }
}
