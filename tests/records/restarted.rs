//! A server that restarts without its data while its shards are read, such as an emulator in a
//! container. The new stream has the shard ids and the sequence numbers of the old one.

use fastrand::Rng;

use super::*;

/// What the reader observes of the restart.
#[derive(Clone, Copy, Debug)]
enum Symptom {
    /// One connection breaks.
    Reset,
    /// The server refuses connections for some time.
    Refused,
    /// The stream does not exist for some time.
    NoStream,
    /// The iterator has expired.
    Expired,
}

struct Round {
    kinesis: FakeKinesis,
    symptom: Symptom,
    rng: Rng,
    options: ReadOptions,
}

fn round(seed: u64) -> Round {
    let mut rng = Rng::with_seed(seed);
    let symptom =
        [Symptom::Reset, Symptom::Refused, Symptom::NoStream, Symptom::Expired][rng.usize(..4)];
    let mut options = ReadOptions::new();
    if rng.bool() {
        options = options.max_records(rng.u16(1..6));
    }
    if rng.bool() {
        options = options.spawn_on(tokio::runtime::Handle::current());
    }
    let kinesis = FakeKinesis::builder().time_in_sequence_numbers(rng.bool()).build();
    Round { kinesis, symptom, rng, options }
}

impl Round {
    /// Restarts the server, and writes the records of the new stream around it.
    async fn restart(&mut self, records: std::ops::Range<u32>) {
        let Self { kinesis, symptom, rng, .. } = self;
        // Longer than the pause of an idle reader, so that the reader observes it.
        let pause = Duration::from_millis(rng.u64(2_000..10_000));
        let middle = rng.u32(records.start..=records.end);
        match *symptom {
            Symptom::Reset => kinesis.fail_next("GetRecords", Fault::ConnectionReset),
            Symptom::Refused => kinesis.fail_always("GetRecords", Fault::ConnectionRefused),
            Symptom::Expired => kinesis.fail_next("GetRecords", Fault::ExpiredIterator),
            Symptom::NoStream => {}
        }
        kinesis.restart_empty();
        if matches!(symptom, Symptom::NoStream) {
            sleep(pause).await;
        }
        let orders = kinesis.create_stream("orders", 1);
        put(&orders, records.start..middle);
        if matches!(symptom, Symptom::Refused) {
            sleep(pause).await;
            kinesis.clear_faults();
        }
        sleep(Duration::from_millis(rng.u64(..20_000))).await;
        put(&orders, middle..records.end);
    }
}

#[tokio::test(start_paused = true)]
async fn every_record_of_the_new_stream_is_read_once() {
    for seed in 0..120 {
        let mut round = round(seed);
        let (_, orders, client) = fake_with(round.kinesis.clone(), 1);
        let records = all_shards(&client, "orders").records(&client);
        let mut records = records.with_options(round.options.clone()).boxed();
        let old = round.rng.u32(1..30);
        put(&orders, 0..old);
        assert_eq!(take(&mut records, old as usize).await, (0..old).collect::<Vec<_>>());
        // A read at the tip is in flight, or the pause before it.
        let tip = Duration::from_millis(round.rng.u64(..3_000));
        assert!(timeout(tip, records.next()).await.is_err());
        let new = 1_000..1_000 + round.rng.u32(1..30);
        let symptom = round.symptom;
        let restart = round.restart(new.clone());
        let read = take(&mut records, new.len());
        let ((), read) = future::join(restart, read).await;
        assert_eq!(read, new.collect::<Vec<_>>(), "seed {seed}, {symptom:?}");
        let more = timeout(Duration::from_mins(2), records.next()).await;
        assert!(more.is_err(), "seed {seed}, {symptom:?}: {more:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_loses_and_repeats_no_record() {
    for seed in 0..60 {
        let mut round = round(seed);
        let (kinesis, orders, client) = fake_with(round.kinesis.clone(), 1);
        let records = all_shards(&client, "orders").records(&client);
        let mut records = records.with_options(round.options.clone()).boxed();
        let mut written = 0;
        for _ in 0..round.rng.u32(1..8) {
            let next = written + round.rng.u32(..12);
            put(&orders, written..next);
            for _ in 0..round.rng.u32(..6) {
                let fault = match round.rng.u32(..4) {
                    0 => Fault::ConnectionReset,
                    1 => Fault::ExpiredIterator,
                    2 => Fault::EmptyRead,
                    _ => Fault::ConnectionRefused,
                };
                kinesis.fail_next("GetRecords", fault);
            }
            let read = take(&mut records, (next - written) as usize).await;
            assert_eq!(read, (written..next).collect::<Vec<_>>(), "seed {seed}");
            written = next;
            sleep(Duration::from_secs(round.rng.u64(..3))).await;
        }
        assert!(timeout(Duration::from_mins(1), records.next()).await.is_err(), "seed {seed}");
    }
}

/// The last record is already trimmed when the iterator is replaced.
#[tokio::test(start_paused = true)]
async fn a_trimmed_last_record_is_not_mistaken_for_a_restart() {
    let (kinesis, orders, client) = fake(1);
    let mut records = all_shards(&client, "orders").records(&client).boxed();
    put(&orders, 0..3);
    assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
    assert!(timeout(Duration::from_hours(30), records.next()).await.is_err());
    kinesis.fail_next("GetRecords", Fault::ConnectionReset);
    assert!(timeout(Duration::from_mins(1), records.next()).await.is_err());
    put(&orders, 3..5);
    assert_eq!(take(&mut records, 2).await, [3, 4]);
    assert!(timeout(Duration::from_mins(5), records.next()).await.is_err());
}

/// AWS may send empty pages before a record, while the reader is behind.
#[tokio::test(start_paused = true)]
async fn empty_pages_before_the_last_record_begin_no_search() {
    let (kinesis, orders, client) = fake(1);
    let mut records = all_shards(&client, "orders").records(&client).boxed();
    put(&orders, 0..3);
    assert_eq!(take(&mut records, 3).await, [0, 1, 2]);
    put(&orders, 3..4);
    sleep(Duration::from_secs(10)).await;
    kinesis.clear_requests();
    kinesis.fail_next("GetRecords", Fault::ConnectionReset);
    kinesis.fail_times("GetRecords", 9, Fault::EmptyRead);
    assert_eq!(take(&mut records, 1).await, [3]);
    let iterators = kinesis.bodies("GetShardIterator");
    assert_eq!(iterators.len(), 1, "{iterators:?}");
    assert_eq!(iterators[0]["ShardIteratorType"], "AT_SEQUENCE_NUMBER");
}

/// The new shard has fewer records than were read of the old one.
#[tokio::test(start_paused = true)]
async fn the_records_of_a_new_shard_that_is_closed_already_are_read() {
    for end_with_last_records in [false, true] {
        let kinesis = FakeKinesis::builder().time_in_sequence_numbers(false);
        let kinesis = kinesis.end_with_last_records(end_with_last_records).build();
        let (kinesis, orders, client) = fake_with(kinesis, 1);
        let mut records = all_shards(&client, "orders").records(&client).boxed();
        put(&orders, 0..5);
        assert_eq!(take(&mut records, 5).await, [0, 1, 2, 3, 4]);
        kinesis.fail_next("GetRecords", Fault::ConnectionReset);
        kinesis.restart_empty();
        let orders = kinesis.create_stream("orders", 1);
        put(&orders, 10..11);
        orders.split(FIRST);
        assert_eq!(take(&mut records, 1).await, [10]);
    }
}
