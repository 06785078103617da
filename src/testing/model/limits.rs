//! AWS's limits on reads, iterators, listings and writes.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use crate::testing::model::api_error::{ApiError, Code};
use crate::testing::model::time::Millis;

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;
const READS: u64 = 5;
const READ_BYTES: u64 = 2 * MIB;
const ITERATORS: u64 = 5;
const LISTINGS: u64 = 1000;
const CONSUMER_CHANGES: u64 = 5;
const CONSUMER_DESCRIPTIONS: u64 = 20;
const CONSUMER_LISTINGS: u64 = 5;
const SUBSCRIPTIONS: u64 = 1;
const WRITES: u64 = 1000;
const WRITE_BYTES: u64 = MIB;

/// The AWS limits that the fake enforces.
///
/// Each limit covers a sliding window of one second: a request counts for one second after it was
/// admitted. A rejected request does not count.
///
/// # Limits that the fake does not enforce
///
/// A pipeline under test rarely reaches AWS's other limits:
///
/// * 5 `CreateStream`, `DeleteStream`, `ListStreams`, `SplitShard` and `MergeShards` a second per
///   account, 10 `DescribeStream` and 20 `DescribeStreamSummary`
/// * 10 `UpdateShardCount` per stream in any 24 hours
/// * the account's quotas of shards, of on-demand streams, and of streams that are `CREATING` or
///   `DELETING`
///
/// [`fail_next`](crate::testing::FakeKinesis::fail_next) with
/// [`Fault::LimitExceeded`](crate::testing::Fault::LimitExceeded) shows how the pipeline handles
/// one of them. The bounds of `UpdateShardCount` itself always apply: from half to double the
/// current number of shards, and at most 10,000.
///
/// ```
/// use kinesis_shards::testing::{FakeKinesis, Limits};
///
/// let unlimited = FakeKinesis::builder().limits(Limits::none()).build();
/// let no_byte_limit = FakeKinesis::builder().limits(Limits::aws().read_bytes(false)).build();
/// # drop((unlimited, no_byte_limit));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "seven switches")]
pub struct Limits {
    reads: bool,
    pub(crate) read_bytes: bool,
    iterators: bool,
    listings: bool,
    writes: bool,
    pub(crate) consumers: bool,
    pub(crate) subscriptions: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self::aws()
    }
}

impl Limits {
    /// Returns the limits with each of them enabled, which is the default.
    #[must_use]
    pub fn aws() -> Self {
        Self {
            reads: true,
            read_bytes: true,
            iterators: true,
            listings: true,
            writes: true,
            consumers: true,
            subscriptions: true,
        }
    }

    /// Returns the limits with each of them disabled.
    #[must_use]
    pub fn none() -> Self {
        Self {
            reads: false,
            read_bytes: false,
            iterators: false,
            listings: false,
            writes: false,
            consumers: false,
            subscriptions: false,
        }
    }

    /// Enables or disables the limit of 5 `GetRecords` a second per shard. A request beyond it is
    /// rejected with `ProvisionedThroughputExceededException`.
    #[must_use]
    pub fn reads(mut self, on: bool) -> Self {
        self.reads = on;
        self
    }

    /// Enables or disables the limit of 2 MiB read a second per shard. A request beyond it is
    /// rejected with `ProvisionedThroughputExceededException`.
    ///
    /// One response may hold up to 10 MiB. The shard then rejects reads for as long as its bytes
    /// take at 2 MiB a second.
    ///
    /// It also enables or disables the limit of 2 MiB a second of each subscription: the next
    /// records wait for as long as the bytes of an event take.
    #[must_use]
    pub fn read_bytes(mut self, on: bool) -> Self {
        self.read_bytes = on;
        self
    }

    /// Enables or disables the limit of 5 `GetShardIterator` a second per shard. A request beyond
    /// it is rejected with `ProvisionedThroughputExceededException`.
    #[must_use]
    pub fn iterators(mut self, on: bool) -> Self {
        self.iterators = on;
        self
    }

    /// Enables or disables the limit of 1,000 `ListShards` a second per stream. A request beyond it
    /// is rejected with `LimitExceededException`.
    #[must_use]
    pub fn listings(mut self, on: bool) -> Self {
        self.listings = on;
        self
    }

    /// Enables or disables the limit of 1,000 records and 1 MiB written a second per shard. A
    /// record beyond it fails with `ProvisionedThroughputExceededException`: the whole of a
    /// `PutRecord`, or one entry of a `PutRecords`.
    ///
    /// A stream may allow records of up to 10 MiB. A shard takes one larger than 1 MiB only if
    /// nothing was written to the shard within the last second, and then rejects writes for as long
    /// as its bytes take at 1 MiB a second.
    #[must_use]
    pub fn writes(mut self, on: bool) -> Self {
        self.writes = on;
        self
    }

    /// Enables or disables the limits on the consumers of a stream. A request beyond one of them is
    /// rejected with `LimitExceededException`:
    ///
    /// * 20 consumers, of which 5 may be `CREATING`
    /// * 5 `RegisterStreamConsumer`, 5 `DeregisterStreamConsumer`, 5 `ListStreamConsumers` and 20
    ///   `DescribeStreamConsumer` a second
    #[must_use]
    pub fn consumers(mut self, on: bool) -> Self {
        self.consumers = on;
        self
    }

    /// Enables or disables the limits on the `SubscribeToShard` of one consumer and shard:
    ///
    /// * One a second. A request beyond it is rejected with `LimitExceededException`. A request
    ///   that a subscription rejects counts too.
    /// * None in the first 5 seconds of a subscription: the request is rejected with
    ///   `ResourceInUseException`. After them, or without this limit, the new subscription takes
    ///   over, and the old one ends with a `ResourceInUseException` in its stream. A subscription
    ///   whose response the client has dropped has ended and rejects nothing.
    #[must_use]
    pub fn subscriptions(mut self, on: bool) -> Self {
        self.subscriptions = on;
        self
    }
}

/// The amounts spent within the last second.
#[derive(Clone, Debug, Default)]
struct Window {
    spent: VecDeque<(Millis, u64)>,
    total: u64,
}

impl Window {
    fn total(&mut self, now: Millis) -> u64 {
        while let Some(&(then, amount)) = self.spent.front()
            && now.since(then) >= SECOND
        {
            self.spent.pop_front();
            self.total -= amount;
        }
        self.total
    }

    fn spend(&mut self, now: Millis, amount: u64) {
        self.total += amount;
        match self.spent.back_mut() {
            Some((then, sum)) if *then == now => *sum += amount,
            _ => self.spent.push_back((now, amount)),
        }
    }
}

#[derive(Clone, Debug, Default)]
struct ShardMeter {
    reads: Window,
    read_bytes: Window,
    reads_blocked_until: Millis,
    iterators: Window,
    writes: Window,
    write_bytes: Window,
    writes_blocked_until: Millis,
}

/// A stream's id and the index of a shard in it.
type ShardKey = (u64, u32);

/// An operation on the consumers of a stream, with its own limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum ConsumerCall {
    Register,
    Deregister,
    Describe,
    List,
}

impl ConsumerCall {
    fn limit(self) -> (&'static str, u64) {
        match self {
            Self::Register => ("RegisterStreamConsumer", CONSUMER_CHANGES),
            Self::Deregister => ("DeregisterStreamConsumer", CONSUMER_CHANGES),
            Self::Describe => ("DescribeStreamConsumer", CONSUMER_DESCRIPTIONS),
            Self::List => ("ListStreamConsumers", CONSUMER_LISTINGS),
        }
    }
}

/// The amounts that every stream and shard has spent.
#[derive(Clone, Debug)]
pub(crate) struct Meters {
    pub(crate) limits: Limits,
    shards: HashMap<ShardKey, ShardMeter>,
    listings: HashMap<u64, Window>,
    /// By the stream's id.
    consumer_calls: HashMap<(u64, ConsumerCall), Window>,
    /// By the consumer's id and the index of the shard.
    subscriptions: HashMap<(u64, u32), Window>,
}

impl Default for Meters {
    /// Returns meters without limits, for tests of the model itself.
    fn default() -> Self {
        Self {
            limits: Limits::none(),
            shards: HashMap::new(),
            listings: HashMap::new(),
            consumer_calls: HashMap::new(),
            subscriptions: HashMap::new(),
        }
    }
}

fn throttled(what: &str, shard: u32) -> ApiError {
    let id = crate::testing::model::shard::shard_id(shard);
    ApiError::new(Code::ThroughputExceeded, format!("Rate exceeded for {what} of shard {id}."))
}

impl Meters {
    pub(crate) fn admit_read(&mut self, key: ShardKey, now: Millis) -> Result<(), ApiError> {
        if !self.limits.reads && !self.limits.read_bytes {
            return Ok(());
        }
        let meter = self.shards.entry(key).or_default();
        if self.limits.reads && meter.reads.total(now) >= READS {
            return Err(throttled("GetRecords", key.1));
        }
        if self.limits.read_bytes
            && (now < meter.reads_blocked_until || meter.read_bytes.total(now) >= READ_BYTES)
        {
            return Err(throttled("read bytes", key.1));
        }
        // Only an enforced limit removes old entries from its window, so nothing else is counted.
        if self.limits.reads {
            meter.reads.spend(now, 1);
        }
        Ok(())
    }

    pub(crate) fn have_read(&mut self, key: ShardKey, bytes: usize, now: Millis) {
        if self.limits.read_bytes && bytes > 0 {
            let bytes = bytes as u64;
            let meter = self.shards.entry(key).or_default();
            meter.read_bytes.spend(now, bytes);
            if bytes > READ_BYTES {
                meter.reads_blocked_until =
                    now.plus(Duration::from_millis(bytes * 1000 / READ_BYTES));
            }
        }
    }

    pub(crate) fn admit_iterator(&mut self, key: ShardKey, now: Millis) -> Result<(), ApiError> {
        if !self.limits.iterators {
            return Ok(());
        }
        let window = &mut self.shards.entry(key).or_default().iterators;
        if window.total(now) >= ITERATORS {
            return Err(throttled("GetShardIterator", key.1));
        }
        window.spend(now, 1);
        Ok(())
    }

    pub(crate) fn admit_listing(&mut self, stream: u64, now: Millis) -> Result<(), ApiError> {
        if !self.limits.listings {
            return Ok(());
        }
        let window = self.listings.entry(stream).or_default();
        if window.total(now) >= LISTINGS {
            return Err(ApiError::new(
                Code::LimitExceeded,
                "Rate exceeded for ListShards of the stream.",
            ));
        }
        window.spend(now, 1);
        Ok(())
    }

    pub(crate) fn admit_consumer_call(
        &mut self,
        stream: u64,
        call: ConsumerCall,
        now: Millis,
    ) -> Result<(), ApiError> {
        if !self.limits.consumers {
            return Ok(());
        }
        let (operation, max) = call.limit();
        let window = self.consumer_calls.entry((stream, call)).or_default();
        if window.total(now) >= max {
            let message = format!("Rate exceeded for {operation} of the stream.");
            return Err(ApiError::new(Code::LimitExceeded, message));
        }
        window.spend(now, 1);
        Ok(())
    }

    pub(crate) fn admit_subscription(
        &mut self,
        consumer: u64,
        shard: u32,
        now: Millis,
    ) -> Result<(), ApiError> {
        if !self.limits.subscriptions {
            return Ok(());
        }
        let window = self.subscriptions.entry((consumer, shard)).or_default();
        if window.total(now) >= SUBSCRIPTIONS {
            return Err(ApiError::new(
                Code::LimitExceeded,
                "Rate exceeded for SubscribeToShard of the consumer and the shard.",
            ));
        }
        window.spend(now, 1);
        Ok(())
    }

    pub(crate) fn admit_write(&mut self, key: ShardKey, bytes: usize, now: Millis) -> bool {
        if !self.limits.writes {
            return true;
        }
        let (meter, bytes) = (self.shards.entry(key).or_default(), bytes as u64);
        let spent = meter.write_bytes.total(now);
        // A record larger than a second's allowance needs an idle shard.
        let fits = spent + bytes <= WRITE_BYTES || spent == 0;
        let room = meter.writes.total(now) < WRITES && fits && now >= meter.writes_blocked_until;
        if room {
            meter.writes.spend(now, 1);
            meter.write_bytes.spend(now, bytes);
            if bytes > WRITE_BYTES {
                meter.writes_blocked_until =
                    now.plus(Duration::from_millis(bytes * 1000 / WRITE_BYTES));
            }
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: ShardKey = (1, 0);

    fn meters() -> Meters {
        Meters { limits: Limits::aws(), ..Meters::default() }
    }

    #[test]
    fn any_second_admits_five_reads() {
        let mut meters = meters();
        let mut admitted = |now| meters.admit_read(KEY, Millis(now)).is_ok();
        assert!([0, 200, 400, 600, 800].into_iter().all(&mut admitted));
        assert!(!admitted(999));
        assert!(admitted(1000) && !admitted(1199) && admitted(1200));
    }

    #[test]
    fn large_read_blocks_the_shard_in_proportion() {
        let mut meters = meters();
        meters.admit_read(KEY, Millis(0)).expect("the first");
        meters.have_read(KEY, 10 << 20, Millis(0));
        assert!(meters.admit_read(KEY, Millis(4999)).is_err());
        assert!(meters.admit_read((1, 1), Millis(4999)).is_ok());
        assert!(meters.admit_read(KEY, Millis(5000)).is_ok());
    }

    #[test]
    fn any_second_admits_two_mebibytes_of_reads() {
        let mut meters = meters();
        for now in [0, 100] {
            meters.admit_read(KEY, Millis(now)).expect("room");
            meters.have_read(KEY, 1 << 20, Millis(now));
        }
        assert!(meters.admit_read(KEY, Millis(200)).is_err());
        assert!(meters.admit_read(KEY, Millis(1000)).is_ok());
    }

    #[test]
    fn any_second_admits_a_thousand_records_or_a_mebibyte() {
        let mut meters = meters();
        assert!((0..1000).all(|_| meters.admit_write(KEY, 1, Millis(0))));
        assert!(!meters.admit_write(KEY, 1, Millis(999)));
        assert!(meters.admit_write(KEY, 1 << 20, Millis(1000)));
        assert!(!meters.admit_write(KEY, 1, Millis(1000)));
    }

    #[test]
    fn large_record_needs_an_idle_shard_and_blocks_it() {
        let mut meters = meters();
        assert!(meters.admit_write(KEY, 1, Millis(0)));
        assert!(!meters.admit_write(KEY, 3 << 20, Millis(999)));
        assert!(meters.admit_write(KEY, 3 << 20, Millis(1000)));
        assert!(!meters.admit_write(KEY, 1, Millis(3999)));
        assert!(meters.admit_write(KEY, 1, Millis(4000)));
    }

    #[test]
    fn window_without_a_limit_stays_empty() {
        let mut meters = Meters { limits: Limits::aws().reads(false), ..Meters::default() };
        for now in 0..100 {
            meters.admit_read(KEY, Millis(now)).expect("no limit");
        }
        assert!(meters.shards[&KEY].reads.spent.is_empty());
    }

    #[test]
    fn every_limit_can_be_switched_off() {
        let mut meters = Meters::default();
        for _ in 0..2000 {
            meters.admit_read(KEY, Millis(0)).expect("no limit");
            meters.have_read(KEY, 10 << 20, Millis(0));
            meters.admit_iterator(KEY, Millis(0)).expect("no limit");
            meters.admit_listing(1, Millis(0)).expect("no limit");
            assert!(meters.admit_write(KEY, 1 << 20, Millis(0)));
        }
    }

    #[test]
    fn iterators_and_listings_have_limits_of_their_own() {
        let mut meters = meters();
        assert_eq!((0..9).filter(|_| meters.admit_iterator(KEY, Millis(0)).is_ok()).count(), 5);
        assert_eq!((0..1500).filter(|_| meters.admit_listing(1, Millis(0)).is_ok()).count(), 1000);
        let rejected = meters.admit_listing(1, Millis(999)).expect_err("rejected");
        assert_eq!(rejected.code, Code::LimitExceeded);
    }
}
