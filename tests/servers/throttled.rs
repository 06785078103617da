//! The suite retries throttled requests: this runs it on a fake that throttles.

use std::time::SystemTime;

use kinesis_shards::testing::{FakeKinesis, Fault, Limits, RandomFaults};
use libtest_mimic::Failed;

use crate::client::{unthrottled, unwrap_response};
use crate::differential;

pub(crate) async fn requests_are_retried() -> Result<(), Failed> {
    let server =
        FakeKinesis::builder().starting_at(SystemTime::now()).limits(Limits::none()).build();
    server.fail_at_random(RandomFaults::seeded(1).rate(Fault::Throttled, 0.2));
    let differences = differential::from_itself(&server, 0..6).await;
    if !differences.is_empty() {
        return Err(differences.into());
    }
    let throttled = server.requests().into_iter().filter(|request| request.error().is_some());
    assert!(throttled.count() > 50, "the server throttled requests");

    // More often than the SDK retries.
    server.fail_times("CreateStream", 8, Fault::Throttled);
    let create = server.client().create_stream().stream_name("orders").shard_count(1);
    unwrap_response(unthrottled(|| create.clone().send()).await);
    Ok(())
}
