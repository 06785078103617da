//! The spans of reads, for a subscriber of `tracing`. They are tested in a program of their own:
//! another test, without a subscriber, would have them switched off for all.
#![cfg(feature = "testing")]

use std::fmt::{Debug, Write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ShardStreamExt, all_shards};
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::{Context, SubscriberExt};

/// Collects the fields of each span of this name.
#[derive(Clone, Default)]
struct Spans(Arc<Mutex<Vec<String>>>);

impl<S: tracing::Subscriber> Layer<S> for Spans {
    fn on_new_span(&self, attributes: &Attributes<'_>, _: &Id, _: Context<'_, S>) {
        if attributes.metadata().name() == "read_shard" {
            let mut fields = Fields::default();
            attributes.record(&mut fields);
            self.0.lock().unwrap().push(fields.0);
        }
    }
}

#[derive(Default)]
struct Fields(String);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _ = write!(self.0, "{field}={value:?} ");
    }
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_each_shard_have_a_span_with_its_name() {
    let spans = Spans::default();
    let subscriber = tracing_subscriber::registry().with(spans.clone());
    let _until = tracing::subscriber::set_default(subscriber);
    let kinesis = FakeKinesis::new();
    kinesis.create_stream("orders", 2);
    let client = kinesis.client();
    let mut records = all_shards(&client, "orders").records(&client);
    assert!(timeout(Duration::from_millis(10), records.next()).await.is_err());
    let mut seen = spans.0.lock().unwrap().clone();
    seen.sort_unstable();
    let expected = ["shardId-000000000000", "shardId-000000000001"];
    let expected = expected.map(|shard| format!("stream=\"orders\" shard=\"{shard}\" "));
    assert_eq!(seen, expected);
}
