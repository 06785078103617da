//! The end of the stream, and the shards that still come before it.

use super::*;

use futures::stream::FusedStream;
use tokio::time::{Duration, advance};

#[test]
fn the_stream_ends_when_its_lists_and_handles_have_ended() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    driven.lists = None;
    let Poll::Ready(Some(Ok(parent))) = driven.poll() else { panic!("no shard") };
    assert!(driven.poll().is_pending(), "a child waits");
    parent.complete();
    let Poll::Ready(Some(Ok(child))) = driven.poll() else { panic!("no child") };
    assert!(driven.poll().is_pending(), "the child may be abandoned");
    assert!(!driven.lineage.is_terminated());
    driven.wakes();
    drop(child);
    assert_eq!(driven.wakes(), 1);
    for _ in 0..2 {
        assert!(matches!(driven.poll(), Poll::Ready(None)));
        assert!(driven.lineage.is_terminated());
    }
}

#[test]
fn the_stream_ends_at_once_if_the_lists_name_no_shard() {
    let mut driven = Driven::with(vec![]);
    driven.lists = None;
    assert!(matches!(driven.poll(), Poll::Ready(None)));
}

#[test]
fn children_that_are_named_after_the_lists_have_ended_are_offered() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    driven.lists = None;
    let Poll::Ready(Some(Ok(parent))) = driven.poll() else { panic!("no shard") };
    assert!(driven.poll().is_pending());
    parent.complete_with([child_shard(1, &[0]), child_shard(2, &[0])]);
    let children = driven.ready();
    assert_eq!(ids(&children), [1, 2]);
    drop(children);
    assert!(matches!(driven.poll(), Poll::Ready(None)));
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_shard_is_reoffered_under_for_each_concurrent_before_the_end() {
    let Driven { lists, lineage, .. } = Driven::with(vec![shard(0, &[])]);
    drop(lists);
    let opened = std::sync::Mutex::new(Vec::new());
    lineage
        .for_each_concurrent(None, |shard| {
            let shard = shard.unwrap();
            opened.lock().unwrap().push(shard.id().to_owned());
            let fails = opened.lock().unwrap().len() < 3;
            async move {
                tokio::task::yield_now().await;
                if fails { shard.abandon() } else { shard.complete() }
            }
        })
        .await;
    assert_eq!(*opened.lock().unwrap(), [id(0), id(0), id(0)]);
}

#[tokio::test(start_paused = true)]
async fn the_stream_is_fused_as_select_requires() {
    let Driven { lists, mut lineage, .. } = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    drop(lists);
    let mut ticks = stream::repeat(()).take(1_000).fuse();
    let mut opened = Vec::new();
    loop {
        futures::select_biased! {
            shard = lineage.select_next_some() => {
                let shard = shard.unwrap();
                opened.push(shard.id().to_owned());
                shard.complete();
            }
            () = ticks.select_next_some() => {}
            complete => break,
        }
    }
    assert_eq!(opened, [id(0), id(1)]);
    assert!(lineage.is_terminated() && lineage.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_stream_does_not_end_before_an_abandoned_shard_is_reoffered() {
    let mut driven = Driven::with(vec![shard(0, &[])]);
    driven.lists = None;
    let Poll::Ready(Some(Ok(handle))) = driven.poll() else { panic!("no shard") };
    handle.abandon();
    assert!(driven.poll().is_pending());
    advance(Duration::from_millis(101)).await;
    let Poll::Ready(Some(Ok(again))) = driven.poll() else { panic!("no re-offer") };
    again.complete();
    assert!(matches!(driven.poll(), Poll::Ready(None)));
}
