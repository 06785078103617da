use std::path::PathBuf;
use std::process::Command;

use aws_sdk_kinesis::types::Shard;

use super::*;

/// A folder of its own.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("kinesis-shards-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        Self(dir)
    }

    fn file(&self) -> PathBuf {
        self.0.join("checkpoints")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn save(store: &FileStore, shard_id: &str, checkpoint: Checkpoint) -> Result<(), StoreError> {
    let stream = StreamId::from("orders");
    let shard = Shard::builder().shard_id(shard_id).build().unwrap();
    store.save(Save::new(&stream, &shard, &checkpoint)).await
}

#[tokio::test]
async fn saves_that_wait_share_a_commit_and_all_are_there_afterwards() {
    let dir = Dir::new("commits");
    let store = FileStore::open(dir.file()).unwrap();
    let ids: Vec<String> = (0..500).map(|number| format!("shardId-{number:012}")).collect();
    let saves = ids.iter().map(|id| save(&store, id, Checkpoint::End));
    for saved in futures::future::join_all(saves).await {
        saved.unwrap();
    }
    let commits = store.writer.commits();
    assert!(commits <= 50, "{commits} commits for 500 saves");
    drop(store);
    let store = FileStore::open(dir.file()).unwrap();
    assert_eq!(store.load(&"orders".into()).await.unwrap().len(), 500);
}

#[tokio::test]
async fn a_file_that_is_open_is_refused_in_this_process_and_in_another() {
    let dir = Dir::new("lock");
    if let Ok(path) = std::env::var("FILE_STORE_TO_OPEN") {
        // This is the other process.
        let error = FileStore::open(path).unwrap_err();
        assert!(error.is_in_use(), "{error}");
        return;
    }
    let store = FileStore::open(dir.file()).unwrap();
    let error = FileStore::open(dir.file()).unwrap_err();
    assert!(error.is_in_use() && error.to_string().contains("another process"), "{error}");
    let this_test = "checkpoint::file::tests::a_file_that_is_open_is_refused_in_this_process_and_in_another";
    let other = Command::new(std::env::current_exe().unwrap())
        .args([this_test, "--exact"])
        .env("FILE_STORE_TO_OPEN", dir.file())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&other.stdout);
    assert!(other.status.success() && said.contains("1 passed"), "{said}");
    drop(store);
    FileStore::open(dir.file()).unwrap();
}

#[tokio::test]
async fn what_is_no_database_is_an_error_and_stays_as_it_is() {
    let dir = Dir::new("damaged");
    let text = "not a database, though it is long enough to be one. ".repeat(100);
    std::fs::write(dir.file(), &text).unwrap();
    let error = FileStore::open(dir.file()).unwrap_err();
    assert!(!error.is_in_use() && error.to_string().contains("checkpoints"), "{error}");
    assert_eq!(std::fs::read_to_string(dir.file()).unwrap(), text);
    let error = FileStore::open(dir.0.join("no folder").join("checkpoints")).unwrap_err();
    assert!(error.to_string().contains("no folder"), "{error}");
}

#[tokio::test]
async fn a_save_that_is_dropped_harms_no_other() {
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
