//! What a server throttles is asked again: the suite is tried on a fake that throttles.

use std::time::SystemTime;

use kinesis_shards::testing::{FakeKinesis, Fault, Limits, RandomFaults};
use libtest_mimic::Failed;

use crate::client::unthrottled;
use crate::differential;
use crate::stream::done;

pub(crate) async fn requests_are_sent_again() -> Result<(), Failed> {
    let server =
        FakeKinesis::builder().starting_at(SystemTime::now()).limits(Limits::none()).build();
    server.fail_at_random(RandomFaults::seeded(1).rate(Fault::Throttled, 0.2));
    let differences = differential::from_itself(&server, 0..6).await;
    if !differences.is_empty() {
        return Err(differences.into());
    }
    let throttled = server.requests().into_iter().filter(|request| request.error().is_some());
    assert!(throttled.count() > 50, "the server has throttled");

    // More often than the SDK tries.
    server.fail_times("CreateStream", 8, Fault::Throttled);
    let create = server.client().create_stream().stream_name("orders").shard_count(1);
    done(unthrottled(|| create.clone().send()).await);
    Ok(())
}
