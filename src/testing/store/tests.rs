//! Tests of the checks: each store here breaks one promise, and a check must find it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, FutureExt};

use super::*;
use crate::checkpoint::memory::MemoryStore;
use crate::checkpoint::store::{Save, StoreError};
use crate::checkpoint::value::Checkpoint;
use crate::shard::stream_id::StreamId;

type Rows = BTreeMap<(String, String), Checkpoint>;

/// A store that keeps its rows in a map, and breaks one promise.
#[derive(Clone)]
struct Broken {
    rows: Arc<Mutex<Rows>>,
    how: How,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Correct,
    ForgetsNothing,
    ForgetsTheStream,
    MixesStreamsByPrefix,
    KeysByName,
    KeepsABareNameBesideAnArn,
    KeepsTheFirstSave,
    ConfirmsInvalidCheckpoints,
    TruncatesNumbersToU128,
    LosesSubSequenceNumbers,
    RoundsTimestamps,
    LoadsOnlyAThousand,
    IgnoresCaseOfShardIds,
    FailsForAnUnknownStream,
    FailsToForgetTwice,
    KeepsNothingOnDisk,
    /// A dropped save takes effect later.
    SavesLate,
    ForgetsLate,
    /// A save reads all rows, and later writes all rows.
    LosesConcurrentSaves,
    RestartsChildren,
    RefusesToStartOver,
}

const ALL: [How; 20] = [
    How::ForgetsNothing,
    How::ForgetsTheStream,
    How::MixesStreamsByPrefix,
    How::KeysByName,
    How::KeepsABareNameBesideAnArn,
    How::KeepsTheFirstSave,
    How::ConfirmsInvalidCheckpoints,
    How::TruncatesNumbersToU128,
    How::LosesSubSequenceNumbers,
    How::RoundsTimestamps,
    How::LoadsOnlyAThousand,
    How::IgnoresCaseOfShardIds,
    How::FailsForAnUnknownStream,
    How::FailsToForgetTwice,
    How::KeepsNothingOnDisk,
    How::SavesLate,
    How::ForgetsLate,
    How::LosesConcurrentSaves,
    How::RestartsChildren,
    How::RefusesToStartOver,
];

impl Broken {
    fn new(how: How) -> Self {
        Self { rows: Arc::default(), how }
    }

    fn key(&self, stream: &StreamId, shard_id: &str) -> (String, String) {
        let stream = if self.how == How::KeysByName { stream.name() } else { stream.as_str() };
        let stream = stream.to_owned();
        let is_blind = self.how == How::IgnoresCaseOfShardIds;
        (stream, if is_blind { shard_id.to_lowercase() } else { shard_id.to_owned() })
    }

    fn spoil(&self, checkpoint: &Checkpoint) -> Checkpoint {
        let mut checkpoint = checkpoint.clone();
        match (&mut checkpoint, self.how) {
            (Checkpoint::After { sequence_number, .. }, How::TruncatesNumbersToU128) => {
                let number = sequence_number.parse::<u128>().unwrap_or(u128::MAX);
                *sequence_number = number.to_string();
            }
            (Checkpoint::After { sub_sequence_number, .. }, How::LosesSubSequenceNumbers) => {
                *sub_sequence_number = None;
            }
            (
                Checkpoint::Start(crate::shard::position::StartPosition::Timestamp(at)),
                How::RoundsTimestamps,
            ) => {
                *at = aws_sdk_kinesis::primitives::DateTime::from_secs(at.secs());
            }
            _ => {}
        }
        checkpoint
    }
}

impl CheckpointStore for Broken {
    fn load<'a>(
        &'a self,
        stream: &'a StreamId,
    ) -> BoxFuture<'a, Result<Vec<(String, Checkpoint)>, StoreError>> {
        let (asked, _) = self.key(stream, "");
        let rows = self.rows.lock().unwrap().clone();
        let is_of = |of: &str| match self.how {
            How::MixesStreamsByPrefix => of.starts_with(&asked),
            _ => of == asked,
        };
        let most = if self.how == How::LoadsOnlyAThousand { 1_000 } else { usize::MAX };
        let rows: Vec<_> = rows
            .into_iter()
            .filter(|((of, _), _)| is_of(of))
            .map(|((_, id), row)| (id, row))
            .take(most)
            .collect();
        async move {
            if self.how != How::KeepsABareNameBesideAnArn {
                let kept: Vec<_> =
                    self.rows.lock().unwrap().keys().map(|(of, _)| of.clone()).collect();
                stream.check_unambiguous(kept.iter().map(String::as_str))?;
            }
            if rows.is_empty() && self.how == How::FailsForAnUnknownStream {
                return Err("unknown stream".into());
            }
            Ok(rows)
        }
        .boxed()
    }

    fn save<'a>(&'a self, save: Save<'a>) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            if self.how != How::ConfirmsInvalidCheckpoints {
                save.checkpoint.validate()?;
            }
            let (key, checkpoint) =
                (self.key(save.stream, save.shard_id()), self.spoil(save.checkpoint));
            let late = Late::new(self, How::SavesLate, &key, Some(&checkpoint));
            tokio::task::yield_now().await;
            late.cancel();
            let mut read = self.rows.lock().unwrap().clone();
            if self.how == How::LosesConcurrentSaves {
                tokio::task::yield_now().await;
            } else {
                read.clone_from(&self.rows.lock().unwrap());
            }
            match (self.how, read.get(&key)) {
                (How::KeepsTheFirstSave, Some(_)) => return Ok(()),
                (How::RefusesToStartOver, Some(Checkpoint::After { .. } | Checkpoint::End))
                    if matches!(checkpoint, Checkpoint::Start(_)) =>
                {
                    return Err("the checkpoint moves back".into());
                }
                _ => {}
            }
            if self.how == How::RestartsChildren {
                for child in save.children {
                    let begin =
                        Checkpoint::Start(crate::shard::position::StartPosition::TrimHorizon);
                    read.insert(self.key(save.stream, child.shard_id()), begin);
                }
            }
            read.insert(key, checkpoint);
            *self.rows.lock().unwrap() = read;
            Ok(())
        }
        .boxed()
    }

    fn forget<'a>(
        &'a self,
        stream: &'a StreamId,
        shard_id: &'a str,
    ) -> BoxFuture<'a, Result<(), StoreError>> {
        async move {
            let key = self.key(stream, shard_id);
            let late = Late::new(self, How::ForgetsLate, &key, None);
            tokio::task::yield_now().await;
            late.cancel();
            let mut rows = self.rows.lock().unwrap();
            match self.how {
                How::ForgetsNothing => {}
                How::ForgetsTheStream => rows.retain(|(of, _), _| *of != key.0),
                How::FailsToForgetTwice if !rows.contains_key(&key) => {
                    return Err("not found".into());
                }
                _ => {
                    rows.remove(&key);
                }
            }
            Ok(())
        }
        .boxed()
    }
}

/// The change that a call makes later if it is dropped.
struct Late(Option<(Arc<Mutex<Rows>>, Key, Option<Checkpoint>)>);

type Key = (String, String);

impl Late {
    fn new(store: &Broken, how: How, key: &Key, to: Option<&Checkpoint>) -> Self {
        let is_late = store.how == how;
        Self(is_late.then(|| (Arc::clone(&store.rows), key.clone(), to.cloned())))
    }

    fn cancel(mut self) {
        self.0 = None;
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        let Some((rows, key, to)) = self.0.take() else { return };
        tokio::spawn(async move {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
            let mut rows = rows.lock().unwrap();
            match to {
                Some(checkpoint) => rows.insert(key, checkpoint),
                None => rows.remove(&key),
            };
        });
    }
}

async fn fails_the_check(how: How) -> bool {
    let store = Broken::new(how);
    let check = check_store_reopened(async || match how {
        How::KeepsNothingOnDisk => Broken::new(how),
        _ => store.clone(),
    });
    AssertUnwindSafe(check).catch_unwind().await.is_err()
}

#[tokio::test(start_paused = true)]
async fn broken_store_fails_the_check() {
    for how in ALL {
        assert!(fails_the_check(how).await, "the check passes {how:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn correct_store_passes_the_check() {
    assert!(!fails_the_check(How::Correct).await);
    check_store(&MemoryStore::new()).await;
    let store: Box<dyn CheckpointStore> = Box::new(MemoryStore::new());
    check_store(&*store).await;
    check_store(&store).await;
}

#[tokio::test(start_paused = true)]
async fn check_leaves_no_rows_behind() {
    let store = Broken::new(How::Correct);
    check_store(&store).await;
    assert_eq!(*store.rows.lock().unwrap(), Rows::new());
}
