//! What the program does: it watches a stream on the terminal, or prints one frame.

use std::pin::pin;
use std::time::Duration;

use kinesis_shards::{ReadOptions, StreamId, try_all_shards};
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{Instant, interval, sleep};

use crate::args::Args;
use crate::common::error::with_cause;
use crate::common::logs;
use crate::feed::Feed;
use crate::lease_table::LeaseTable;
use crate::model::{Model, Sort};
use crate::screen::{Key, Screen};
use crate::stop_signal::stop_signal;
use crate::view::View;

/// The view is drawn at this interval, and after each key.
const FRAME: Duration = Duration::from_millis(250);
/// How long `--once` watches the stream.
const WATCH: Duration = Duration::from_secs(8);
/// The width of the plain text.
const WIDTH: u16 = 120;
const LIST_INTERVAL: Duration = Duration::from_secs(10);
const LEASE_INTERVAL: Duration = Duration::from_secs(5);

/// Connects to a stream, and to the lease table of its application.
pub(crate) async fn connect(stream: &StreamId, args: &Args) -> Result<Feed, String> {
    let Args { source, leases, dynamodb_endpoint_url, .. } = args;
    let client = source.client(stream).await?;
    let leases = match leases {
        None => None,
        Some(table) => {
            // By default on the same server, as its application.
            let url = dynamodb_endpoint_url.as_ref().or(source.endpoint_url.as_ref());
            let config = source.config(stream, url.map(String::as_str)).await?;
            let client = aws_sdk_dynamodb::Client::new(&config);
            let table = LeaseTable::DynamoDb { client, table: table.clone() };
            table.read().await?;
            Some(table)
        }
    };
    // Failed listings during `ready`. The view shows all other errors itself.
    logs::print_warnings("kinesis_shards::all_shards");
    let shards = try_all_shards(&client, stream).start_at(source.from);
    let shards = shards.ready().await.map_err(|error| with_cause(&error))?;
    Ok(Feed {
        client,
        stream: stream.clone(),
        shards,
        options: ReadOptions::new(),
        leases,
        list_interval: LIST_INTERVAL,
        lease_interval: LEASE_INTERVAL,
    })
}

/// Shows a feed, while `background` runs, until the user quits. With `once`, the feed runs for a
/// short time, and the last frame is returned as text.
pub(crate) async fn show(
    feed: Feed,
    background: impl Future<Output = Result<(), String>>,
    once: bool,
) -> Result<String, String> {
    let stream = feed.stream.name().to_owned();
    let mut screen = if once { None } else { Some(Screen::open()?) };
    let (sender, mut events) = unbounded_channel();
    let (mut feed, mut background) = (pin!(feed.run(sender)), pin!(background));
    let (mut stopped, mut end) = (pin!(stop_signal()), pin!(sleep(WATCH)));
    let mut ticks = interval(FRAME);
    let mut model = Model::default();
    let (mut sort, mut skipped) = (if once { Sort::Id } else { Sort::Lag }, 0_usize);
    loop {
        // The view is first: a busy stream must not keep it from a key.
        let is_due = tokio::select! {
            biased;
            key = next_key(&mut screen) => {
                let page = screen.as_ref().map_or(1, Screen::rows);
                match key {
                    Key::Quit => return Ok(String::new()),
                    Key::Sort(by) => (sort, skipped) = (by, 0),
                    Key::Up => skipped = skipped.saturating_sub(1),
                    Key::Down => skipped += 1,
                    Key::PageUp => skipped = skipped.saturating_sub(page),
                    Key::PageDown => skipped += page,
                    Key::Other => {}
                }
                let rows = model.rows(Instant::now(), sort).len();
                skipped = skipped.min(rows.saturating_sub(page));
                true
            }
            stopped = &mut stopped => {
                return stopped.map(|()| String::new()).map_err(|error| with_cause(&error));
            }
            () = &mut end, if once => {
                let (stream, model, now) = (&stream, &model, Instant::now());
                let view = View { stream, model, now, sort, skipped, with_keys: false };
                return Ok(view.to_text(WIDTH));
            }
            _ = ticks.tick(), if !once => true,
            Some(event) = events.recv() => {
                model.apply(event, Instant::now());
                false
            }
            ended = &mut background => return ended.map(|()| String::new()),
            () = &mut feed => return Err("the stream of shards has ended".to_owned()),
        };
        if let (true, Some(screen)) = (is_due, &mut screen) {
            let (stream, model, now) = (&stream, &model, Instant::now());
            screen.draw(&View { stream, model, now, sort, skipped, with_keys: true })?;
            // A slow terminal must not keep the reader from its turn.
            ticks.reset();
        }
    }
}

/// Waits for a key. There is none without a screen.
async fn next_key(screen: &mut Option<Screen>) -> Key {
    match screen {
        Some(screen) => screen.key().await,
        None => std::future::pending().await,
    }
}
