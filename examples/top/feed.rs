//! Reads a stream, and reports what happens to its shards.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::types::Shard;
use futures::StreamExt;
use kinesis_shards::listing::shard_lists;
use kinesis_shards::records::{EndReason, ReadEvent, ReadEventKind};
use kinesis_shards::{ReadOptions, ShardStreamExt, StreamId, TryAllShards};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::sleep;

use crate::common::error::with_cause;
use crate::lease_table::LeaseTable;
use crate::model::Event;

pub(crate) struct Feed {
    pub(crate) client: Client,
    pub(crate) stream: StreamId,
    pub(crate) shards: TryAllShards,
    pub(crate) options: ReadOptions,
    pub(crate) leases: Option<LeaseTable>,
    /// How often the shards are listed. A list names the shards that wait for their parents.
    pub(crate) list_interval: Duration,
    /// How often the leases are read.
    pub(crate) lease_interval: Duration,
}

impl Feed {
    /// Reports until it is dropped.
    pub(crate) async fn run(self, events: UnboundedSender<Event>) {
        let Self { client, stream, shards, options, leases, list_interval, lease_interval } = self;
        let send = |event| drop(events.send(event));
        let lists = async {
            let lists = shard_lists(&client, stream, list_interval);
            // The stream of shards lists too, and reports the errors.
            let mut lists = lists.filter_map(async |list| list.ok()).boxed();
            while let Some(list) = lists.next().await {
                list.shards().map(listed).for_each(send);
            }
        };
        let leases = async {
            while let Some(table) = &leases {
                send(table.read().await.map_or_else(Event::Error, Event::Leases));
                sleep(lease_interval).await;
            }
        };
        let records = async {
            let shards = shards.inspect(|shard| match shard {
                Ok(shard) => send(Event::Opened { shard: shard.id().to_owned() }),
                Err(error) => send(Event::Error(with_cause(error))),
            });
            let shards = shards.filter_map(async |shard| shard.ok());
            let sender = events.clone();
            let options = options.on_event(move |event| report(event, &sender));
            let mut batches = shards.boxed().batches(&client).with_options(options);
            // The events tell what is in a page.
            while let Some(batch) = batches.next().await {
                if let Err(error) = batch {
                    let shard = error.shard_id().to_owned();
                    send(Event::Failed { shard, error: with_cause(&error) });
                }
            }
        };
        futures::join!(lists, leases, records);
    }
}

fn listed(shard: &Shard) -> Event {
    let parents = [shard.parent_shard_id(), shard.adjacent_parent_shard_id()];
    let parents = parents.into_iter().flatten().map(str::to_owned).collect();
    Event::Listed { shard: shard.shard_id().to_owned(), parents }
}

/// Reports an event of a reader.
fn report(event: &ReadEvent<'_>, events: &UnboundedSender<Event>) {
    let send = |event| drop(events.send(event));
    let shard = event.shard_id.to_owned();
    match event.kind {
        ReadEventKind::Page { records, bytes, lag, .. } => {
            send(Event::Page { shard, records, bytes, lag });
        }
        ReadEventKind::Retry { error, .. } => {
            let error = match error.code() {
                // The shard and the reason come first: a line may have no room for more.
                Some(code) => format!("{shard}: {code}: {}", error.message().unwrap_or("retrying")),
                None => with_cause(error),
            };
            send(Event::Retry { shard, error });
        }
        ReadEventKind::Ended(EndReason::EndOfShard { children }) => {
            send(Event::Ended { shard });
            // The children may open before a list names them.
            for child in children {
                let parents = child.parent_shards().to_vec();
                send(Event::Listed { shard: child.shard_id().to_owned(), parents });
            }
        }
        ReadEventKind::Ended(EndReason::Expired) => send(Event::Ended { shard }),
        _ => {}
    }
}
