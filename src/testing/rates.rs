//! What a test may assert of the log: rates, and the order of shards.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::fake::FakeKinesis;
use super::log::Request;

/// How many there were within the last second, and at most within any.
#[derive(Default)]
struct Peak {
    within: VecDeque<Instant>,
    most: usize,
}

impl Peak {
    /// One more, no earlier than the one before.
    fn count(&mut self, at: Instant) {
        self.within.push_back(at);
        while self.within.front().is_some_and(|&first| at.duration_since(first) >= Duration::from_secs(1)) {
            self.within.pop_front();
        }
        self.most = self.most.max(self.within.len());
    }
}

fn peak(times: impl IntoIterator<Item = Instant>) -> usize {
    let mut peak = Peak::default();
    times.into_iter().for_each(|time| peak.count(time));
    peak.most
}

/// # Rates and order
///
/// A rate is of any second, and of all requests: those that were refused, and those that met a fault, are among them, as
/// AWS counts them among its own when it is asked too often.
impl FakeKinesis {
    /// The most requests within any second for which `of` holds.
    ///
    /// ```
    /// # let kinesis = kinesis_shards::testing::FakeKinesis::new();
    /// let refused = kinesis.peak_rate(|request| request.error().is_some());
    /// let listings = kinesis.peak_rate(|request| request.operation() == "ListShards");
    /// # assert_eq!((refused, listings), (0, 0));
    /// ```
    #[must_use]
    pub fn peak_rate(&self, of: impl Fn(&Request) -> bool) -> usize {
        peak(self.requests().iter().filter(|request| of(request)).map(Request::at))
    }

    /// The most requests of each operation within any second.
    #[must_use]
    pub fn peak_rates(&self) -> BTreeMap<String, usize> {
        let mut peaks = BTreeMap::<_, Peak>::new();
        for request in self.requests() {
            peaks.entry(request.operation().to_owned()).or_default().count(request.at());
        }
        peaks.into_iter().map(|(operation, peak)| (operation, peak.most)).collect()
    }

    /// The most `GetRecords` of one shard within any second.
    #[must_use]
    pub fn reads_per_second(&self, stream: &str, shard_id: &str) -> usize {
        let requests = self.requests_of_shard(stream, shard_id);
        peak(requests.iter().filter(|request| request.operation() == "GetRecords").map(Request::at))
    }

    /// The bytes of data and partition keys that were read of one shard: those read twice count twice.
    #[must_use]
    pub fn bytes_read(&self, stream: &str, shard_id: &str) -> usize {
        self.requests_of_shard(stream, shard_id).iter().map(Request::bytes_read).sum()
    }

    /// Asserts that no shard of any stream was read more than `most` times within any second. AWS's limit is 5.
    ///
    /// # Panics
    ///
    /// If one was, with its name. Also if no `GetRecords` is in the log, for then nothing is shown: there was none, or the
    /// log was cleared, or it is not kept.
    #[track_caller]
    pub fn assert_read_rate_at_most(&self, most: usize) {
        self.assert_rate_at_most("GetRecords", "read", most);
    }

    /// Asserts that no shard of any stream was asked for an iterator more than `most` times within any second. AWS's limit
    /// is 5.
    ///
    /// # Panics
    ///
    /// If one was, with its name; also if no `GetShardIterator` is in the log.
    #[track_caller]
    pub fn assert_iterator_rate_at_most(&self, most: usize) {
        self.assert_rate_at_most("GetShardIterator", "asked for an iterator", most);
    }

    /// Asserts that no stream was listed more than `most` times within any second. AWS's limit is 1,000 `ListShards`.
    ///
    /// # Panics
    ///
    /// If one was, with its name; also if no `ListShards` is in the log.
    #[track_caller]
    pub fn assert_listing_rate_at_most(&self, most: usize) {
        self.assert_rate_at_most("ListShards", "listed", most);
    }

    /// In one pass, by shard or, for what is of no shard, by stream.
    #[track_caller]
    fn assert_rate_at_most(&self, operation: &str, done: &str, most: usize) {
        let requests = self.shown(operation);
        let mut peaks = BTreeMap::<_, Peak>::new();
        for request in requests.iter().filter(|request| request.operation() == operation) {
            peaks.entry((request.stream_name(), request.shard_id())).or_default().count(request.at());
        }
        for ((stream, shard), Peak { most: rate, .. }) in peaks {
            let stream = format!("stream {}", stream.unwrap_or("of no name"));
            let what = shard.map_or(stream.clone(), |shard| format!("{shard} of {stream}"));
            assert!(rate <= most, "{what} was {done} {rate} times within a second, not {most}");
        }
    }

    /// Asserts that no shard was read before its parents had been read to their ends. A parent of which nothing was read
    /// at all is not waited for: it may have expired, or reading began at the latest record.
    ///
    /// What counts is what came back whole: a `GetRecords` that was refused, or whose answer was lost, has read nothing.
    ///
    /// # Panics
    ///
    /// If one was, with its name. Also if no shard was read of which a parent was read as well, for then nothing is shown.
    #[track_caller]
    pub fn assert_parents_read_first(&self) {
        let requests = self.shown("GetRecords");
        let reads = || {
            requests.iter().filter_map(|request| {
                let read = request.read.as_ref()?;
                Some((read.stream_id, request.shard_id()?, read, request.stream_name().unwrap_or_default()))
            })
        };
        let read_at_all: HashSet<_> = reads().map(|(stream, shard, ..)| (stream, shard)).collect();
        let (mut ended, mut begun) = (HashSet::new(), HashMap::new());
        for (stream, shard, read, name) in reads() {
            let first = begun.insert((stream, shard), ()).is_none();
            let parents = read.parents.iter().map(String::as_str);
            for parent in parents.filter(|parent| first && read_at_all.contains(&(stream, *parent))) {
                let in_time = ended.contains(&(stream, parent));
                assert!(in_time, "{shard} of stream {name} was read before the end of its parent {parent}");
            }
            if read.ended {
                ended.insert((stream, shard));
            }
        }
        let families = reads().any(|(stream, _, read, _)| {
            read.parents.iter().any(|parent| read_at_all.contains(&(stream, parent.as_str())))
        });
        assert!(families, "no shard was read of which a parent was read as well: this shows nothing");
    }

    /// The log, in which there is something of `operation`.
    #[track_caller]
    fn shown(&self, operation: &str) -> Vec<Request> {
        assert!(self.server().settings.keeps_log, "the fake keeps no log of requests: this shows nothing");
        let requests = self.requests();
        let any = requests.iter().any(|request| request.operation() == operation);
        assert!(any, "there is no {operation} in the log of requests: this shows nothing");
        requests
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_of_any_second() {
        let start = Instant::now();
        let at = |millis: &u64| start + Duration::from_millis(*millis);
        assert_eq!(peak([]), 0);
        assert_eq!(peak([0, 200, 400, 600, 800, 1000].iter().map(at)), 5);
        assert_eq!(peak([0, 900, 950, 1850, 1899, 1949].iter().map(at)), 4);
    }
}
