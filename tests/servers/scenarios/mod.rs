//! What is tried on every server.

mod closing;
mod handing_back;
mod latest;
mod many;
mod order;
mod outages;
mod reading;
mod records;
mod resume;
mod start_at;

use std::time::Duration;

use futures::future::BoxFuture;

use crate::server::Server;

/// Short, so that tests are.
const SOON: Duration = Duration::from_millis(60);
/// No test waits for it.
const NEVER: Duration = Duration::from_hours(1);

pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) server: ScenarioServer,
    pub(crate) run: fn(Server) -> BoxFuture<'static, ()>,
}

/// Which server it runs on.
#[derive(Clone, Copy)]
pub(crate) enum ScenarioServer {
    /// The one that all share.
    Shared,
    /// One of its own, since it kills it.
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
    Shared order::generations_that_nobody_saw;
    Shared order::split_and_merged_again;
    Shared order::update_shard_count_up;
    Shared order::update_shard_count_down;
    Shared many::pages;
    Shared many::closed_shards_at_start;
    Shared many::cheap_polls;
    Shared many::a_burst_of_closings;
    Shared many::next_that_is_dropped;
    Shared start_at::trim_horizon;
    Shared start_at::latest;
    Shared start_at::timestamp;
    Shared start_at::timestamp_before_everything;
    Shared records::records_across_reshards;
    Shared records::records_across_restarts;
    Shared reading::all_records;
    Shared reading::all_records_spread_over_tasks;
    Shared reading::all_records_from_latest;
    Shared closing::complete_lists_at_once;
    Shared closing::complete_with_child_shards;
    Shared closing::complete_with_both_parents_of_a_merge;
    Shared closing::closed_early;
    Shared closing::handles_outlive_the_stream;
    Shared handing_back::abandoned;
    Shared handing_back::dropped_under_reoffer;
    Shared handing_back::dropped_under_close;
    Shared resume::resume_half_way;
    Shared resume::resume_under_latest;
    Shared resume::resume_under_timestamp;
    Shared resume::resume_of_finished_families;
    Shared outages::mistyped_name;
    Shared outages::arn;
    Shared outages::deleted_and_created_again;
    Shared outages::created_again_between_listings;
    Shared latest::latest_before_the_stream_exists;
    Shared latest::abandoned_under_latest;
    Own outages::server_killed_and_back;
}
