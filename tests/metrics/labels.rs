//! The labels of what is recorded for each page.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::records::FanOut;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadOptions, ShardStreamExt, all_shards};
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use tokio::time::sleep;

use crate::paused_runtime;

const PAGES: usize = 20;

/// Copies of the keys that were used, with the places of their labels.
#[derive(Clone, Default)]
struct Seen(Arc<Mutex<Vec<(Key, usize)>>>);

impl Seen {
    fn note(&self, key: &Key) {
        let place = key.labels().as_slice().as_ptr() as usize;
        self.0.lock().unwrap().push((key.clone(), place));
    }

    /// Returns the uses of a figure, and in how many places its labels and the text of its first
    /// one were.
    ///
    /// A copy shares the texts of a label that is kept, and holds them in their place. It has texts
    /// of its own if they were made for one use.
    fn of(&self, name: &str, labels: &[(&str, &str)]) -> (usize, usize, usize) {
        let is_same = |key: &Key| {
            let found = key.labels().map(|it| (it.key(), it.value()));
            key.name() == name && found.eq(labels.iter().copied())
        };
        let seen = self.0.lock().unwrap();
        let of: Vec<_> = seen.iter().filter(|(key, _)| is_same(key)).collect();
        let text = |key: &Key| key.labels().next().map(|label| label.value().as_ptr());
        let texts: BTreeSet<_> = of.iter().map(|(key, _)| text(key)).collect();
        let places: BTreeSet<_> = of.iter().map(|(_, place)| place).collect();
        (of.len(), places.len(), texts.len())
    }
}

impl Recorder for Seen {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        self.note(key);
        Counter::noop()
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        self.note(key);
        Gauge::noop()
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        self.note(key);
        Histogram::noop()
    }
}

/// Reads pages of one record each, and returns what was recorded.
fn read(fan_out: bool) -> Seen {
    let seen = Seen::default();
    metrics::with_local_recorder(&seen, || {
        let kinesis = FakeKinesis::new();
        let (orders, client) = (kinesis.create_stream("orders", 1), kinesis.client());
        let options = ReadOptions::new();
        let options = if fan_out {
            options.fan_out(&FanOut::consumer(orders.register_consumer("billing")))
        } else {
            options
        };
        paused_runtime().block_on(async {
            let mut records = all_shards(&client, "orders").records(&client).with_options(options);
            for n in 0..PAGES {
                orders.put("customer 1", format!("order {n}"));
                records.next().await.unwrap().unwrap();
                sleep(Duration::from_secs(3)).await;
            }
        });
    });
    seen
}

#[test]
fn the_labels_of_a_page_are_made_once() {
    let stream = ("stream", "orders");
    let seen = read(false);
    let ok = [stream, ("operation", "GetRecords"), ("outcome", "ok")];
    for (name, labels) in [
        ("kinesis_shards.records", &ok[..1]),
        ("kinesis_shards.bytes", &ok[..1]),
        ("kinesis_shards.requests", &ok[..]),
        ("kinesis_shards.request.duration", &ok[..2]),
    ] {
        let (uses, places, texts) = seen.of(name, labels);
        assert!(uses >= PAGES);
        assert_eq!((places, texts), (1, 1), "{name}");
    }
    let seen = read(true);
    for name in ["kinesis_shards.records", "kinesis_shards.bytes"] {
        let (uses, places, texts) = seen.of(name, &[stream]);
        assert!(uses >= PAGES);
        assert_eq!((places, texts), (1, 1), "{name}");
    }
}
