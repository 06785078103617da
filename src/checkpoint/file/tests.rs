use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use aws_sdk_kinesis::types::Shard;

use super::*;
use crate::checkpoint::file::database::LockedFile;

/// A temporary folder.
pub(crate) struct Dir(pub(crate) PathBuf);

impl Dir {
    pub(crate) fn new(name: &str) -> Self {
        let dir =
            std::env::temp_dir().join(format!("kinesis-shards-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.0.join("checkpoints")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub(crate) async fn save(
    store: &FileStore,
    shard_id: &str,
    checkpoint: Checkpoint,
) -> Result<(), StoreError> {
    let stream = StreamId::from("orders");
    let shard = Shard::builder().shard_id(shard_id).build().unwrap();
    store.save(Save::new(&stream, &shard, &checkpoint)).await
}

#[tokio::test]
async fn waiting_saves_share_a_commit_and_all_are_kept() {
    let dir = Dir::new("commits");
    let store = FileStore::open(dir.file()).unwrap();
    let ids: Vec<String> = (0..500).map(|number| format!("shardId-{number:012}")).collect();
    let saves = ids.iter().map(|id| save(&store, id, Checkpoint::End));
    let mut saves = Box::pin(futures::future::join_all(saves));
    // The first commit waits for the database until all the saves are queued.
    let all_queued = store.database.with(|_| Ok(saves.as_mut().now_or_never().is_none()));
    assert!(all_queued.unwrap());
    for saved in saves.await {
        saved.unwrap();
    }
    let commits = store.writer.commits();
    assert!((1..=2).contains(&commits), "{commits} commits for 500 saves");
    drop(store);
    let store = FileStore::open(dir.file()).unwrap();
    assert_eq!(store.load(&"orders".into()).await.unwrap().len(), 500);
}

#[tokio::test]
async fn an_open_file_is_refused_in_this_process_and_in_another() {
    let dir = Dir::new("lock");
    if let Ok(path) = std::env::var("FILE_STORE_TO_OPEN") {
        // The other process runs this branch.
        let error = FileStore::open(path).unwrap_err();
        assert!(error.is_in_use(), "{error}");
        return;
    }
    let store = FileStore::open(dir.file()).unwrap();
    let error = FileStore::open(dir.file()).unwrap_err();
    assert!(error.is_in_use() && error.to_string().contains("another process"), "{error}");
    let this_test =
        "checkpoint::file::tests::an_open_file_is_refused_in_this_process_and_in_another";
    let other = Command::new(std::env::current_exe().unwrap())
        .args([this_test, "--exact"])
        .env("FILE_STORE_TO_OPEN", dir.file())
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&other.stdout);
    assert!(other.status.success() && stdout.contains("1 passed"), "{stdout}");
    drop(store);
    FileStore::open(dir.file()).unwrap();
}

#[tokio::test]
async fn a_file_that_is_not_a_database_is_refused_and_left_unchanged() {
    let dir = Dir::new("damaged");
    let text = "not a database, though it is long enough to be one. ".repeat(100);
    std::fs::write(dir.file(), &text).unwrap();
    let error = FileStore::open(dir.file()).unwrap_err();
    assert!(!error.is_in_use() && error.to_string().contains("checkpoints"), "{error}");
    assert_eq!(std::fs::read_to_string(dir.file()).unwrap(), text);
    let error = FileStore::open(dir.0.join("no folder").join("checkpoints")).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("cannot open or read") && text.contains("no folder"), "{text}");
}

#[tokio::test]
async fn a_dropped_save_does_not_undo_a_later_one() {
    let dir = Dir::new("dropped");
    let store = FileStore::open(dir.file()).unwrap();
    for number in 0..50 {
        let after = |number: u32| Checkpoint::After {
            sequence_number: number.to_string(),
            sub_sequence_number: None,
        };
        let dropped = save(&store, "shardId-000000000000", after(2 * number));
        let _ = futures::poll!(std::pin::pin!(dropped));
        save(&store, "shardId-000000000000", after(2 * number + 1)).await.unwrap();
    }
    drop(store);
    let store = FileStore::open(dir.file()).unwrap();
    let loaded = store.load(&"orders".into()).await.unwrap();
    assert_eq!(loaded[0].1.to_string(), "99");
}

#[tokio::test]
async fn nothing_but_the_store_holds_the_file_after_a_confirmed_save() {
    let dir = Dir::new("held");
    let store = FileStore::open(dir.file()).unwrap();
    let holders = Arc::strong_count(&store.database);
    for _ in 0..200 {
        save(&store, "shardId-000000000000", Checkpoint::End).await.unwrap();
        assert_eq!(Arc::strong_count(&store.database), holders);
    }
}

/// No thread begins the commit. The next save begins one.
#[test]
fn a_save_in_a_runtime_that_was_shut_down_fails_and_the_next_is_made() {
    let dir = Dir::new("runtimes");
    let store = FileStore::open(dir.file()).unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let other = runtime();
    let handle = other.handle().clone();
    drop(other);
    {
        let _entered = handle.enter();
        let saved = save(&store, "shardId-000000000000", Checkpoint::End).now_or_never();
        let error = saved.expect("a response").unwrap_err();
        assert!(error.source().unwrap().to_string().contains("was shut down"), "{error}");
    }
    runtime().block_on(async {
        let next = save(&store, "shardId-000000000001", Checkpoint::End);
        tokio::time::timeout(Duration::from_mins(1), next).await.expect("a response").unwrap();
        let loaded = store.load(&"orders".into()).await.unwrap();
        assert_eq!(loaded, [("shardId-000000000001".to_owned(), Checkpoint::End)]);
    });
}

/// Opens a store on a disk that takes this many changes.
pub(crate) fn open_on(path: &Path, changes: usize) -> Result<FileStore, FileErrorKind> {
    let file = LockedFile::new(path)?;
    file.disk.fill_after(changes);
    Ok(FileStore::of(path.into(), Database::open_file(file, path)?))
}

/// The process is killed after each change to the file in turn.
#[tokio::test]
async fn a_file_whose_creation_was_interrupted_is_created_again() {
    let dir = Dir::new("creation");
    let mut interrupted = 0;
    for changes in 0.. {
        let path = dir.0.join(changes.to_string());
        let created = open_on(&path, changes);
        let is_created = created.is_ok();
        drop(created);
        let store = FileStore::open(&path)
            .unwrap_or_else(|error| panic!("after {changes} changes: {error}"));
        assert_eq!(store.load(&"orders".into()).await.unwrap(), []);
        save(&store, "shardId-000000000000", Checkpoint::End).await.unwrap();
        drop(store);
        assert_eq!(FileStore::open(&path).unwrap().load(&"orders".into()).await.unwrap().len(), 1);
        if is_created {
            break;
        }
        interrupted += 1;
    }
    assert!(interrupted > 3, "{interrupted}");
    // The header without the magic number, which is written last, and parts of it.
    let whole = std::fs::read(dir.0.join("0")).unwrap();
    for len in [1, 8, 9, 10, 320, 4096, whole.len()] {
        for written in [9, 20, 64, 320] {
            let mut file = vec![0; len];
            let header = 9.min(len)..written.min(len);
            file[header.clone()].copy_from_slice(&whole[header.clone()]);
            let path = dir.0.join(format!("partial {len} {written}"));
            std::fs::write(&path, file).unwrap();
            let store = FileStore::open(&path).unwrap();
            save(&store, "shardId-000000000000", Checkpoint::End).await.unwrap();
        }
    }
}

/// The file is not a new one: it has a checkpoint.
#[tokio::test]
async fn a_database_whose_magic_number_is_lost_is_left_unchanged() {
    let dir = Dir::new("zeroed");
    let store = FileStore::open(dir.file()).unwrap();
    save(&store, "shardId-000000000000", Checkpoint::End).await.unwrap();
    drop(store);
    // The thread of the last commit may still hold the file for a moment, and closes it then.
    drop(FileStore::open(dir.file()).unwrap());
    let mut file = std::fs::read(dir.file()).unwrap();
    file[..9].fill(0);
    std::fs::write(dir.file(), &file).unwrap();
    FileStore::open(dir.file()).unwrap_err();
    assert_eq!(std::fs::read(dir.file()).unwrap(), file);
}

#[tokio::test]
async fn a_disk_that_was_full_is_written_again_and_the_file_stays_locked() {
    let dir = Dir::new("full");
    let path: Arc<Path> = dir.file().into();
    let store = open_on(&path, usize::MAX).unwrap();
    let after = |number: u32| Checkpoint::After {
        sequence_number: number.to_string(),
        sub_sequence_number: None,
    };
    let (mut was_locked, mut failures) = (false, 0);
    for round in 1..40 {
        save(&store, "shardId-000000000000", after(2 * round)).await.unwrap();
        // The disk is full at each point of a commit in turn, and of opening the database again.
        store.database.file().disk.fill_after(usize::try_from(round).unwrap() / 2);
        let failed = save(&store, "shardId-000000000000", after(2 * round + 1)).await;
        if failed.is_err() {
            failures += 1;
            save(&store, "shardId-000000000001", after(round)).await.unwrap_err();
            was_locked |= !was_locked && FileStore::open(&path).unwrap_err().is_in_use();
        }
        store.database.file().disk.fill_after(usize::MAX);
        let loaded = store.load(&"orders".into()).await.unwrap();
        let may_be = [after(2 * round), after(2 * round + 1)];
        assert!(may_be.contains(&loaded[0].1), "{round}: {loaded:?}");
    }
    assert!(was_locked && failures > 3, "{failures}");
}

/// The file may still be there: no one can tell.
#[cfg(unix)]
#[tokio::test]
async fn a_path_that_cannot_be_followed_is_not_a_lost_file() {
    let dir = Dir::new("followed");
    let folder = dir.0.join("folder");
    std::fs::create_dir_all(&folder).unwrap();
    let store = FileStore::open(folder.join("checkpoints")).unwrap();
    save(&store, "shardId-000000000000", Checkpoint::End).await.unwrap();
    std::fs::rename(&folder, dir.0.join("moved")).unwrap();
    let error = save(&store, "shardId-000000000000", Checkpoint::End).await.unwrap_err();
    let error = error.downcast_ref::<FileStoreError>().unwrap();
    assert!(error.is_lost() && error.to_string().contains("was removed"), "{error}");
    std::fs::write(&folder, "a file where the folder was").unwrap();
    let error = save(&store, "shardId-000000000000", Checkpoint::End).await.unwrap_err();
    let error = error.downcast_ref::<FileStoreError>().unwrap();
    assert!(!error.is_lost() && error.to_string().contains("cannot check whether"), "{error}");
}
