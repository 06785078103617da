//! The example `top`: the tests within its modules, and what it prints of its own stream.

#[path = "../../examples/top/args.rs"]
mod args;
#[path = "../../examples/common/mod.rs"]
#[allow(dead_code, reason = "other examples use the rest")]
mod common;
#[path = "../../examples/top/demo.rs"]
mod demo;
#[path = "../../examples/top/feed.rs"]
mod feed;
#[path = "../../examples/top/lease_table.rs"]
mod lease_table;
#[path = "../../examples/top/model.rs"]
mod model;
#[path = "../../examples/top/program.rs"]
#[expect(dead_code, reason = "a stream of AWS needs the rest")]
mod program;
#[path = "../../examples/top/screen.rs"]
mod screen;
#[path = "../../examples/common/stop_signal.rs"]
mod stop_signal;
#[path = "../../examples/common/units.rs"]
#[expect(dead_code, reason = "the example `tail` uses the rest")]
mod units;
#[path = "../../examples/top/view.rs"]
mod view;

use std::future::pending;

use kinesis_shards::testing::FakeKinesis;
use kinesis_shards::{ReadOptions, StartAt, try_all_shards};
use tokio::time::Duration;

use crate::demo::Demo;
use crate::feed::Feed;

/// Returns the row of a shard, as words.
fn row(frame: &str, shard: u32) -> Vec<&str> {
    let id = format!("shardId-{shard:012}");
    let row = frame.lines().find(|line| line.starts_with(&id));
    row.unwrap_or_else(|| panic!("no {id} in:\n{frame}")).split_whitespace().collect()
}

#[tokio::test(start_paused = true)]
async fn a_frame_of_the_demonstration_shows_every_shard_and_marks_the_hot_one() {
    let demo = Demo::new().await;
    let frame = program::show(demo.feed(), demo.run(), true).await.unwrap();
    let ids = frame.lines().filter_map(|line| line.split_whitespace().next());
    let ids: Vec<_> = ids.filter(|id| id.starts_with("shardId")).collect();
    // 0 is split into 4 and 5, 3 into 6 and 7, and 5 and 1 are merged into 8.
    let expected: Vec<_> = (0..9).map(|number| format!("shardId-{number:012}")).collect();
    assert_eq!(ids, expected, "parents come before their children:\n{frame}");
    for ended in [0, 1, 5] {
        assert_eq!(row(&frame, ended)[1], "ended", "{frame}");
    }
    for waiting in [6, 7] {
        assert_eq!(row(&frame, waiting)[1], "waiting", "{frame}");
    }
    let hot: Vec<_> = frame.lines().filter(|line| line.contains(" hot ")).collect();
    assert!(hot.len() == 1 && hot[0].starts_with("shardId-000000000002"), "{frame}");
    // The shard with the backlog has a lag that shrinks.
    let behind = row(&frame, 3).join(" ");
    assert!(behind.contains("reading worker-") && !behind.contains("never"), "{frame}");
    assert!(frame.starts_with("orders: ") && frame.contains("2 waiting for parents"), "{frame}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_records_and_without_leases_is_caught_up() {
    let kinesis = FakeKinesis::new();
    kinesis.create_stream("orders", 1);
    let client = kinesis.client();
    let interval = Duration::from_secs(1);
    let feed = Feed {
        shards: try_all_shards(&client, "orders").start_at(StartAt::Latest),
        client,
        stream: "orders".into(),
        options: ReadOptions::new(),
        leases: None,
        list_interval: interval,
        lease_interval: interval,
    };
    let frame = program::show(feed, pending(), true).await.unwrap();
    assert_eq!(
        row(&frame, 0)[1..],
        ["caught", "up", "0", "0", "B", "0%", "0ms", "-", "-"],
        "{frame}"
    );
    assert!(!frame.contains("HELD BY"), "{frame}");
}
