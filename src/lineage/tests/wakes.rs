//! Polls and wake-ups, and the ways in which handles and the stream end.

use super::*;

#[test]
fn the_public_types_are_send_static_and_unpin() {
    fn check<T: Send + Unpin + 'static>() {}
    fn sync<T: Sync>() {}
    check::<ParentsFirst<Lists>>();
    check::<ShardHandle>();
    check::<crate::listing::shard_lists::ShardLists>();
    check::<crate::listing::shard_list::ShardList>();
    check::<ListError>();
    sync::<ShardHandle>();
    sync::<ListError>();
}

#[test]
fn the_last_parent_wakes_the_stream_and_its_child_is_in_the_very_next_poll() {
    let mut driven =
        Driven::with(vec![shard(0, &[]), shard(1, &[]), shard(2, &[0, 1]), shard(3, &[])]);
    let mut out = driven.ready();
    driven.nothing();
    driven.wakes();
    out.remove(0).complete();
    assert_eq!(driven.wakes(), 1);
    driven.nothing();
    driven.wakes();
    out.remove(0).complete();
    assert_eq!(driven.wakes(), 1);
    assert!(matches!(driven.poll(), Poll::Ready(Some(Ok(child))) if child.id() == id(2)));
}

#[test]
fn a_handle_that_ends_in_another_thread_wakes_the_stream() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let parent = driven.one();
    driven.wakes();
    std::thread::spawn(move || parent.complete()).join().unwrap();
    assert_eq!(driven.wakes(), 1);
    assert_eq!(driven.one().id(), id(1));
}

/// Runs in one poll of a tokio task: with tokio's cooperative budget, its own oneshot is quadratic.
#[tokio::test]
async fn ten_thousand_waits_that_are_ready_together_are_polled_once_each() {
    const N: u64 = 10_000;
    let mut shards: Vec<Shard> = (0..N).map(|n| shard(n, &[])).collect();
    shards.extend((0..N).map(|n| shard(N + n, &[n])));
    let mut driven = Driven::with(shards);
    let parents = driven.ready();
    assert_eq!(parents.len(), 10_000);
    driven.nothing();
    wait::tests::POLLS.set(0);
    drop(parents);
    let children = driven.ready();
    assert_eq!(children.len(), 10_000);
    // One poll for each parent, and at most one for each offered child.
    let polls = wait::tests::POLLS.get();
    assert!((N..=2 * N).contains(&polls), "{polls} polls for {N} releases");
}

/// Runs in one poll of a tokio task too.
#[tokio::test(start_paused = true)]
async fn ten_thousand_shards_that_are_reoffered_together_are_polled_once_each() {
    const N: u64 = 10_000;
    let mut driven = Driven::new(|lineage| lineage.on_drop(OnDrop::Reoffer));
    driven.list((0..N).map(|n| shard(n, &[])).collect());
    drop(driven.ready());
    driven.nothing();
    tokio::time::advance(Duration::from_millis(101)).await;
    wait::tests::POLLS.set(0);
    let again = driven.ready();
    assert_eq!(again.len(), 10_000);
    // One poll for each delay, and at most one for each offered shard.
    let polls = wait::tests::POLLS.get();
    assert!((N..=2 * N).contains(&polls), "{polls} polls for {N} re-offers");
}

#[test]
fn ten_thousand_children_of_one_parent_cost_one_wait() {
    const N: u64 = 10_000;
    let mut shards = vec![shard(0, &[])];
    shards.extend((1..=N).map(|n| shard(n, &[0])));
    let mut driven = Driven::with(shards);
    let parent = driven.one();
    wait::tests::POLLS.set(0);
    parent.complete();
    let Poll::Ready(Some(Ok(first))) = driven.poll() else { panic!("no child") };
    assert_eq!(wait::tests::POLLS.get(), 1);
    drop(first);
    assert_eq!(driven.ready().len(), 9_999);
}

#[test]
fn ending_a_handle_after_the_stream_was_dropped_has_no_effect() {
    for end in [ShardHandle::complete, ShardHandle::abandon, drop as fn(ShardHandle)] {
        let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
        let handle = driven.one();
        drop(driven);
        end(handle);
    }
}

#[test]
fn dropping_the_stream_while_a_thousand_shards_wait_frees_all() {
    let mut shards = vec![shard(0, &[])];
    shards.extend((1..=1_000).map(|n| shard(n, &[0])));
    let list = full(shards).unwrap();
    let context = Arc::downgrade(&list.context);
    let (lists, receiver) = mpsc::unbounded::<Result<_, ListError>>();
    lists.unbounded_send(Ok(list)).unwrap();
    let mut lineage = parents_first(receiver);
    let handle = lineage.next().now_or_never().unwrap().unwrap().unwrap();
    assert!(lineage.next().now_or_never().is_none());
    assert_eq!(lineage.tracked(), 1_001);
    drop(lineage);
    assert!(lists.is_closed());
    assert_eq!(context.strong_count(), 1, "only the handle holds it");
    handle.complete();
    assert_eq!(context.strong_count(), 0);
}

#[test]
fn a_failed_listing_is_one_err_and_does_not_affect_handles() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let parent = driven.one();
    driven.send(full(vec![shard(5, &[5])]));
    assert!(matches!(driven.poll(), Poll::Ready(Some(Err(ListError::MalformedList { .. })))));
    driven.nothing();
    parent.complete();
    assert_eq!(driven.one().id(), id(1));
}

#[test]
fn a_source_that_is_always_ready_does_not_block_the_task() {
    let lists = stream::repeat_with(|| full(vec![shard(0, &[])]));
    let mut lineage = parents_first(lists);
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let cx = &mut Context::from_waker(&waker);
    assert!(lineage.poll_next_unpin(cx).is_ready());
    assert!(lineage.poll_next_unpin(cx).is_pending());
    assert_eq!(woken.0.load(Ordering::SeqCst), 1, "the stream wakes its task");
}

#[test]
fn a_panic_that_drops_a_handle_closes_its_shard() {
    let mut driven = Driven::with(vec![shard(0, &[]), shard(1, &[0])]);
    let parent = driven.one();
    let consumer = std::thread::spawn(move || {
        let _parent = parent;
        std::panic::panic_any("a consumer's bug");
    });
    assert!(consumer.join().is_err());
    assert_eq!(outcomes(&driven.one()), [ParentOutcome::Dropped]);
}

#[test]
#[should_panic(expected = "the longest delay before a re-offer must be at least 1 ns")]
fn a_zero_reoffer_delay_panics() {
    let _ = Driven::new(|lineage| lineage.max_reoffer_delay(Duration::ZERO));
}

#[test]
#[should_panic(expected = "start_at must be called before the stream of shards is polled")]
fn a_setter_after_the_first_poll_panics() {
    let mut driven = Driven::with(vec![]);
    driven.nothing();
    let _ = driven.lineage.start_at(StartAt::Latest);
}
