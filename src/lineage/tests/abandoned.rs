//! Shards that are abandoned and re-offered.

use super::*;

use tokio::time::{Duration, Instant, advance};

/// Waits for the next shard. The clock is paused, so that no time passes.
async fn next(driven: &mut Driven) -> ShardHandle {
    driven.lineage.next().await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_shard_is_reoffered_and_its_children_wait() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let first = driven.one();
    let start = first.start().clone();
    first.abandon();
    driven.nothing();
    let again = next(&mut driven).await;
    assert_eq!((again.id(), again.start()), (id(0).as_str(), &start));
    driven.nothing();
    again.complete();
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed]);
}

#[tokio::test(start_paused = true)]
async fn the_delay_grows_from_100_ms_to_the_limit_and_starts_again_after_a_long_hold() {
    let mut driven = Driven::new(|lineage| lineage.max_reoffer_delay(Duration::from_secs(1)));
    driven.list(vec![shard(0, &[])]);
    let mut handle = driven.one();
    let mut delays = Vec::new();
    for held in [0, 0, 0, 0, 0, 0, 1_000, 1_001, 0] {
        advance(Duration::from_millis(held)).await;
        handle.abandon();
        let before = Instant::now();
        handle = next(&mut driven).await;
        delays.push(before.elapsed().as_millis());
    }
    assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000, 1_000, 100, 200]);
}

#[tokio::test(start_paused = true)]
async fn the_limit_may_be_infinite() {
    let mut driven = Driven::new(|lineage| lineage.max_reoffer_delay(Duration::MAX));
    driven.list(vec![shard(0, &[])]);
    let mut handle = driven.one();
    for _ in 0..30 {
        handle.abandon();
        handle = next(&mut driven).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_a_panic_or_an_abort_closes_or_reoffers_the_shard_as_on_drop_says() {
    for on_drop in [OnDrop::Close, OnDrop::Reoffer] {
        for way in ["drop", "panic", "abort", "abandon"] {
            let mut driven = Driven::new(|lineage| lineage.on_drop(on_drop));
            driven.list(vec![shard(0, &[]), shard(1, &[0])]);
            let handle = driven.one();
            match way {
                "drop" => drop(handle),
                "abandon" => handle.abandon(),
                "panic" => {
                    let task = tokio::spawn(async move {
                        let _handle = handle;
                        std::panic::panic_any("a consumer's bug");
                    });
                    assert!(task.await.unwrap_err().is_panic());
                }
                _ => {
                    let task = tokio::spawn(async move {
                        let _handle = handle;
                        std::future::pending::<()>().await;
                    });
                    tokio::task::yield_now().await;
                    task.abort();
                    assert!(task.await.unwrap_err().is_cancelled());
                }
            }
            let next = next(&mut driven).await;
            match on_drop {
                OnDrop::Close if way != "abandon" => {
                    assert_eq!(outcomes(&next), [ParentOutcome::Dropped], "{way}");
                }
                OnDrop::Close | OnDrop::Reoffer => {
                    assert_eq!(next.id(), id(0), "{way}");
                    driven.nothing();
                    next.complete();
                    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Completed], "{way}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shard_of_a_deleted_stream_is_not_reoffered() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111")]);
    driven.one().abandon();
    driven.list(vec![shard_from(0, &[], "211")]);
    let new = driven.one();
    assert_eq!(new.shard().sequence_number_range().unwrap().starting_sequence_number(), "211");
    advance(Duration::from_mins(1)).await;
    driven.nothing();
    assert_eq!(driven.lineage.tracked(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_delay_of_a_shard_is_forgotten_when_the_shard_ends() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[])]);
    for handle in driven.ready() {
        handle.abandon();
    }
    let (completed, expired) = (next(&mut driven).await, next(&mut driven).await);
    assert_eq!(driven.lineage.abandoned(), 2);
    completed.complete();
    driven.nothing();
    assert_eq!(driven.lineage.abandoned(), 1);
    expired.expire();
    driven.nothing();
    driven.take_list_request();
    driven.list(vec![shard(2, &[])]);
    driven.one().abandon();
    assert_eq!(driven.lineage.abandoned(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_delays_of_a_deleted_stream_are_forgotten() {
    let mut driven = Driven::with(vec![shard_from(0, &[], "111"), shard_from(1, &[], "111")]);
    for handle in driven.ready() {
        handle.abandon();
    }
    let expired = next(&mut driven).await;
    next(&mut driven).await.abandon();
    driven.list(vec![shard_from(0, &[], "211")]);
    let _new = driven.one();
    expired.expire();
    advance(Duration::from_mins(1)).await;
    driven.nothing();
    assert_eq!(driven.lineage.abandoned(), 0);
}
