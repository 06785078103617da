//! Assertions on the request log: rates, and parents read before children.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::testing::fake::FakeKinesis;
use crate::testing::request::Request;

/// The events of the last second, and the largest number of events within any second.
#[derive(Default)]
struct Peak {
    last_second: VecDeque<Instant>,
    max: usize,
}

impl Peak {
    /// Counts an event. Events must arrive in order.
    fn count(&mut self, at: Instant) {
        self.last_second.push_back(at);
        while self
            .last_second
            .front()
            .is_some_and(|&first| at.duration_since(first) >= Duration::from_secs(1))
        {
            self.last_second.pop_front();
        }
        self.max = self.max.max(self.last_second.len());
    }
}

fn peak(times: impl IntoIterator<Item = Instant>) -> usize {
    let mut peak = Peak::default();
    times.into_iter().for_each(|time| peak.count(time));
    peak.max
}

/// # Rates and order
///
/// A rate is the largest number of requests within any second. It includes the rejected requests
/// and those that met a fault, because they reach AWS too when a client sends too many.
impl FakeKinesis {
    /// Returns the largest number of requests within any second for which `filter` returns `true`.
    ///
    /// ```
    /// # let kinesis = kinesis_shards::testing::FakeKinesis::new();
    /// let rejected = kinesis.peak_rate(|request| request.error().is_some());
    /// let listings = kinesis.peak_rate(|request| request.operation() == "ListShards");
    /// # assert_eq!((rejected, listings), (0, 0));
    /// ```
    #[must_use]
    pub fn peak_rate(&self, filter: impl Fn(&Request) -> bool) -> usize {
        peak(self.requests().iter().filter(|request| filter(request)).map(Request::at))
    }

    /// Returns the largest number of requests of each operation within any second.
    #[must_use]
    pub fn peak_rates(&self) -> BTreeMap<String, usize> {
        let mut peaks = BTreeMap::<_, Peak>::new();
        for request in self.requests() {
            peaks.entry(request.operation().to_owned()).or_default().count(request.at());
        }
        peaks.into_iter().map(|(operation, peak)| (operation, peak.max)).collect()
    }

    /// Returns the largest number of `GetRecords` of one shard within any second.
    #[must_use]
    pub fn reads_per_second(&self, stream: &str, shard_id: &str) -> usize {
        let requests = self.requests_of_shard(stream, shard_id);
        peak(requests.iter().filter(|request| request.operation() == "GetRecords").map(Request::at))
    }

    /// Returns the number of bytes of data and partition keys that were read from one shard, by
    /// `GetRecords` or by the events of a `SubscribeToShard`. Bytes that were read twice count
    /// twice.
    #[must_use]
    pub fn bytes_read(&self, stream: &str, shard_id: &str) -> usize {
        self.requests_of_shard(stream, shard_id).iter().map(Request::bytes_read).sum()
    }

    /// Asserts that no shard of any stream was read more than `max` times within any second. AWS's
    /// limit is 5.
    ///
    /// ```
    /// use aws_sdk_kinesis::types::ShardIteratorType;
    /// use kinesis_shards::testing::FakeKinesis;
    ///
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fake = FakeKinesis::new();
    /// fake.create_stream("orders", 1);
    /// let client = fake.client();
    /// let latest = client.get_shard_iterator().shard_iterator_type(ShardIteratorType::Latest);
    /// let latest = latest.stream_name("orders").shard_id("shardId-000000000000");
    /// let iterator = latest.send().await?;
    /// client.get_records().set_shard_iterator(iterator.shard_iterator).send().await?;
    /// fake.assert_read_rate_at_most(1);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Panics
    ///
    /// Panics with the name of a shard that was read more often. Also panics if the log has no
    /// `GetRecords`, because the assertion would then prove nothing: none was sent, the log was
    /// cleared, or the fake keeps no log (see
    /// [`log_requests`](crate::testing::FakeKinesisBuilder::log_requests)).
    #[track_caller]
    pub fn assert_read_rate_at_most(&self, max: usize) {
        self.assert_rate_at_most("GetRecords", max);
    }

    /// Asserts that no shard of any stream got more than `max` `GetShardIterator` within any
    /// second. AWS's limit is 5. See
    /// [`assert_read_rate_at_most`](Self::assert_read_rate_at_most) for an example.
    ///
    /// # Panics
    ///
    /// Panics with the name of a shard that got more. Also panics if the log has no
    /// `GetShardIterator`.
    #[track_caller]
    pub fn assert_iterator_rate_at_most(&self, max: usize) {
        self.assert_rate_at_most("GetShardIterator", max);
    }

    /// Asserts that no stream was listed more than `max` times within any second. AWS's limit is
    /// 1,000 `ListShards`. See [`assert_read_rate_at_most`](Self::assert_read_rate_at_most) for an
    /// example.
    ///
    /// # Panics
    ///
    /// Panics with the name of a stream that was listed more often. Also panics if the log has no
    /// `ListShards`.
    #[track_caller]
    pub fn assert_listing_rate_at_most(&self, max: usize) {
        self.assert_rate_at_most("ListShards", max);
    }

    /// Asserts the rate of `operation` for each shard, or for each stream if its requests name no
    /// shard.
    #[track_caller]
    fn assert_rate_at_most(&self, operation: &str, max: usize) {
        let requests = self.requests_including(&[operation]);
        let mut peaks = BTreeMap::<_, Peak>::new();
        for request in requests.iter().filter(|request| request.operation() == operation) {
            peaks
                .entry((request.stream_name(), request.shard_id()))
                .or_default()
                .count(request.at());
        }
        for ((stream, shard), Peak { max: rate, .. }) in peaks {
            let stream = format!("stream {}", stream.unwrap_or("without a name"));
            let what = shard.map_or(stream.clone(), |shard| format!("{shard} of {stream}"));
            assert!(rate <= max, "{what} got {rate} {operation} within a second, more than {max}");
        }
    }

    /// Asserts that no shard was read before its parents had been read to their ends.
    ///
    /// A parent that was never read does not count: it may have expired, or reading began at the
    /// latest record. A `GetRecords` counts only if its whole response arrived: one that was
    /// rejected, or whose response was lost or damaged, has read nothing. In the same way a
    /// `SubscribeToShard` reads by each event that arrives, empty or not. The
    /// [module](crate::testing#testing-your-pipeline-across-a-reshard) has an example.
    ///
    /// # Panics
    ///
    /// Panics with the name of a shard that was read too early. Also panics if the log has no shard
    /// that was read together with one of its parents, because the assertion would then prove
    /// nothing.
    #[track_caller]
    pub fn assert_parents_read_first(&self) {
        let requests = self.requests_including(&["GetRecords", "SubscribeToShard"]);
        // For each shard, its first read and its first end.
        let mut shards = BTreeMap::new();
        for request in &requests {
            let (Some(shard), Some(reads)) = (request.shard_id(), &request.reads) else { continue };
            let entry = shards.entry((reads.stream_id, shard));
            let (_, first, end) = entry.or_insert((request, reads.first, reads.end));
            *first = reads.first.min(*first);
            *end = end.iter().chain(&reads.end).min().copied();
        }
        let mut read_with_parent = false;
        for ((stream, shard), (request, first, _)) in &shards {
            let parents = request.reads.iter().flat_map(|reads| &reads.parents);
            for parent in parents {
                let Some((.., end)) = shards.get(&(*stream, parent.as_str())) else { continue };
                read_with_parent = true;
                let name = request.stream_name().unwrap_or_default();
                assert!(
                    end.is_some_and(|end| end < *first),
                    "{shard} of stream {name} was read before the end of its parent {parent}"
                );
            }
        }
        assert!(
            read_with_parent,
            "no shard was read together with a parent, so this proves nothing"
        );
    }

    /// Returns the log, which must have a request of one of these operations: an assertion on none
    /// is vacuous.
    #[track_caller]
    fn requests_including(&self, operations: &[&str]) -> Vec<Request> {
        assert!(
            self.server().settings.keeps_log,
            "the fake keeps no request log, so this proves nothing"
        );
        let requests = self.requests();
        let any = requests.iter().any(|request| operations.contains(&request.operation()));
        let operations = operations.join(" and no ");
        assert!(any, "the request log has no {operations}, so this proves nothing");
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peak_is_the_maximum_of_any_second() {
        let start = Instant::now();
        let at = |millis: &u64| start + Duration::from_millis(*millis);
        assert_eq!(peak([]), 0);
        assert_eq!(peak([0, 200, 400, 600, 800, 1000].iter().map(at)), 5);
        assert_eq!(peak([0, 900, 950, 1850, 1899, 1949].iter().map(at)), 4);
    }
}
