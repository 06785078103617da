//! The scenarios, each of which runs on every server.

mod closing;
mod latest;
mod many;
mod order;
mod outages;
mod reading;
mod records;
mod resume;
mod start_at;
mod subscriptions;
mod unfinished;

use std::time::Duration;

use futures::future::BoxFuture;

use crate::server::Server;
pub(crate) use reading::records_by_fan_out_without_reshards;
pub(crate) use subscriptions::another_subscriber;

/// A short interval, so that tests are short.
const SOON: Duration = Duration::from_millis(60);
/// An interval that no test waits for.
const NEVER: Duration = Duration::from_hours(1);

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) server: ScenarioServer,
    pub(crate) run: fn(Server) -> BoxFuture<'static, ()>,
}

/// The server that a scenario runs on.
#[derive(Clone, Copy)]
pub(crate) enum ScenarioServer {
    /// A server that scenarios share.
    Shared,
    /// A server of its own, because the scenario kills it.
    Own,
}

macro_rules! scenarios {
    ($($server:ident $module:ident::$name:ident;)*) => {
        pub(crate) const ALL: &[Scenario] = &[$(Scenario {
            name: stringify!($name),
            server: ScenarioServer::$server,
            run: |server| Box::pin($module::$name(server)),
        }),*];
    };
}

scenarios! {
    Shared order::split;
    Shared order::merge;
    Shared order::three_generations;
    Shared order::generations_between_two_listings;
    Shared order::split_and_merged_again;
    Shared order::update_shard_count_up;
    Shared order::update_shard_count_down;
    Shared many::pages;
    Shared many::closed_shards_at_start;
    Shared many::cheap_polls;
    Shared many::burst_of_closings;
    Shared many::dropped_next;
    Shared start_at::trim_horizon;
    Shared start_at::latest;
    Shared start_at::timestamp;
    Shared start_at::timestamp_before_everything;
    Shared records::records_across_reshards;
    Shared records::records_across_restarts;
    Shared reading::all_records;
    Shared reading::all_records_spread_over_tasks;
    Shared reading::all_records_from_latest;
    Shared reading::all_records_by_fan_out;
    Shared subscriptions::another_subscriber;
    Shared closing::complete_lists_at_once;
    Shared closing::complete_with_child_shards;
    Shared closing::complete_with_both_parents_of_a_merge;
    Shared closing::closed_early;
    Shared closing::handles_outlive_the_stream;
    Shared unfinished::abandoned;
    Shared unfinished::dropped_under_reoffer;
    Shared unfinished::dropped_under_close;
    Shared resume::resume_half_way;
    Shared resume::resume_under_latest;
    Shared resume::resume_under_timestamp;
    Shared resume::resume_of_finished_parents;
    Shared outages::mistyped_name;
    Shared outages::arn;
    Shared outages::deleted_and_recreated;
    Shared outages::recreated_between_listings;
    Shared latest::latest_before_the_stream_exists;
    Shared latest::abandoned_under_latest;
    Own outages::server_killed_and_restarted;
}
