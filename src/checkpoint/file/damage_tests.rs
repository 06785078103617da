//! Files that are damaged while closed, or removed or replaced while open; and panics of redb.

use fastrand::Rng;

use super::*;
use crate::checkpoint::file::database::LockedFile;
use crate::checkpoint::file::tests::{Dir, open_on, save};

type Rows = Vec<(String, Checkpoint)>;

fn after(number: u64) -> Checkpoint {
    let sequence_number = format!("4959033827149025660855969253836157109592157598913{number:07}");
    Checkpoint::After { sequence_number, sub_sequence_number: None }
}

async fn load(store: &FileStore) -> Result<Rows, StoreError> {
    store.load(&"orders".into()).await
}

/// Saves all shards three times. Returns the bytes of the file before the last save, as if the
/// process were killed then, and after the file is closed.
async fn make(dir: &Dir) -> [Vec<u8>; 2] {
    let store = FileStore::open(dir.file()).unwrap();
    let mut killed = Vec::new();
    for round in 0..3 {
        for shard in 0..120 {
            killed = std::fs::read(dir.file()).unwrap();
            save(&store, &format!("shardId-{shard:012}"), after(round * 1_000 + shard))
                .await
                .unwrap();
        }
    }
    drop(store);
    // The thread of the last commit may still hold the file for a moment.
    drop(FileStore::open(dir.file()).unwrap());
    [killed, std::fs::read(dir.file()).unwrap()]
}

#[derive(Debug, Default)]
struct Outcomes {
    refused: u32,
    read: u32,
}

/// Opens a store whose file is not synced, which costs most of the time here.
fn open_unsynced(path: &Path) -> Result<FileStore, FileStoreError> {
    let open = || {
        let file = LockedFile::new(path)?;
        file.disk.disable_sync();
        Ok(FileStore::of(path.into(), Database::open_file(file, path)?))
    };
    open().map_err(|kind| FileStoreError::new(path, kind))
}

/// The number of pages in redb's header. Opening the file of a killed process corrects it.
const COUNTS: std::ops::Range<usize> = 24..32;

/// Opens a file with these bytes: either it is refused with a clear error and left unchanged, or
/// its content is one of `may_be`.
async fn open_damaged(
    path: &Path,
    bytes: &[u8],
    may_be: &[&Rows],
    outcomes: &mut Outcomes,
    damage: &str,
) {
    // A new file each time: the thread of the last commit may still hold the old one for a moment.
    let _ = std::fs::remove_file(path);
    std::fs::write(path, bytes).unwrap();
    match open_unsynced(path) {
        Err(error) => {
            assert!(error.is_damaged() && !error.is_in_use(), "{damage}: {error}");
            assert!(error.to_string().contains("is damaged: restore it"), "{damage}: {error}");
            let mut now = std::fs::read(path).unwrap();
            if now.get(COUNTS).is_some() {
                now[COUNTS].copy_from_slice(&bytes[COUNTS]);
            }
            assert!(now == bytes, "{damage}: the file was changed");
            outcomes.refused += 1;
        }
        Ok(store) => {
            let rows = load(&store).await.unwrap_or_else(|error| panic!("{damage}: {error}"));
            assert!(may_be.contains(&&rows), "{damage}: wrong rows: {rows:?}");
            if outcomes.read.is_multiple_of(20) {
                save(&store, "shardId-000000000000", Checkpoint::End).await.unwrap();
            }
            outcomes.read += 1;
        }
    }
}

/// Returns bits to flip: in the header, and in random bytes, most of which are in use.
fn flips(file: &[u8], rng: &mut Rng) -> Vec<(usize, u8)> {
    let used: Vec<usize> = (0..file.len()).filter(|at| file[*at] != 0).collect();
    let mut flips: Vec<_> = (0..320).map(|at| (at, rng.u8(..8))).collect();
    // This byte says which commit counts, and how the file was closed.
    flips.extend((0..8).map(|bit| (9, bit)));
    flips.extend((0..250).map(|_| (*rng.choice(&used).unwrap(), rng.u8(..8))));
    flips.extend((0..100).map(|_| (rng.usize(..file.len()), rng.u8(..8))));
    flips
}

#[tokio::test]
async fn a_flipped_bit_is_refused_or_harms_nothing() {
    let dir = Dir::new("flipped");
    let [killed, closed] = make(&dir).await;
    let expected = load(&FileStore::open(dir.file()).unwrap()).await.unwrap();
    std::fs::write(dir.file(), &killed).unwrap();
    let before = load(&FileStore::open(dir.file()).unwrap()).await.unwrap();
    let before_that: Rows = before
        .iter()
        .map(|(id, checkpoint)| match id.as_str() {
            "shardId-000000000118" => (id.clone(), after(1_118)),
            _ => (id.clone(), checkpoint.clone()),
        })
        .collect();
    assert_eq!(expected.last().unwrap().1, after(2_119));
    assert_eq!(before.last().unwrap().1, after(1_119));
    assert_eq!(before[118].1, after(2_118));

    let mut rng = Rng::with_seed(13);
    let path = dir.0.join("damaged");
    let (mut of_closed, mut of_killed) = (Outcomes::default(), Outcomes::default());
    for (at, bit) in flips(&closed, &mut rng) {
        let mut bytes = closed.clone();
        bytes[at] ^= 1 << bit;
        open_damaged(
            &path,
            &bytes,
            &[&expected],
            &mut of_closed,
            &format!("bit {bit} of byte {at}"),
        )
        .await;
    }
    // The last commit of a killed process may look as if it were cut short.
    for (at, bit) in flips(&killed, &mut rng) {
        let mut bytes = killed.clone();
        bytes[at] ^= 1 << bit;
        let damage = format!("killed, bit {bit} of byte {at}");
        open_damaged(&path, &bytes, &[&before, &before_that], &mut of_killed, &damage).await;
    }
    assert!(of_closed.refused > 200 && of_closed.read > 100, "{of_closed:?}");
    assert!(of_killed.refused > 50 && of_killed.read > 100, "{of_killed:?}");
}

#[tokio::test]
async fn a_truncated_or_padded_file_is_refused() {
    let dir = Dir::new("cut");
    let [killed, closed] = make(&dir).await;
    let expected = load(&FileStore::open(dir.file()).unwrap()).await.unwrap();
    let mut rng = Rng::with_seed(13);
    let path = dir.0.join("damaged");
    let mut outcomes = Outcomes::default();
    let pages = (1..closed.len() / 4_096).map(|page| page * 4_096);
    let ends = [1, 8, 9, 10, 63, 64, 319, 320, 321, closed.len() - 1];
    for len in ends.into_iter().chain(pages).chain((0..150).map(|_| rng.usize(1..closed.len()))) {
        open_damaged(&path, &closed[..len], &[&expected], &mut outcomes, &format!("cut to {len}"))
            .await;
        let killed = &killed[..len.min(killed.len() - 1)];
        open_damaged(&path, killed, &[], &mut outcomes, &format!("killed, cut to {len}")).await;
    }
    assert!(outcomes.refused > 300 && outcomes.read == 0, "{outcomes:?}");
    for more in [1, 100, 4_095, 4_096, 10_000, 1 << 20] {
        let bytes = [&closed[..], &vec![0; more]].concat();
        open_damaged(&path, &bytes, &[&expected], &mut outcomes, &format!("padded by {more}"))
            .await;
    }
}

/// Checksums do not find all damage: redb has assertions, too.
#[tokio::test]
async fn a_panic_of_the_database_is_an_error_and_the_next_call_works() {
    let dir = Dir::new("panics");
    let store = open_on(&dir.file(), usize::MAX).unwrap();
    let mut panics = 0;
    for changes in 0..40 {
        save(&store, "shardId-000000000000", after(2 * changes)).await.unwrap();
        store.database.file().disk.panic_when_full();
        store.database.file().disk.fill_after(usize::try_from(changes).unwrap() / 2);
        if let Err(error) = save(&store, "shardId-000000000000", after(2 * changes + 1)).await {
            let cause = error.source().unwrap().to_string();
            assert!(cause.contains("redb panicked: the disk panics"), "{cause}");
            assert!(FileStore::open(dir.file()).unwrap_err().is_in_use(), "the file stays locked");
            panics += 1;
        }
        store.database.file().disk.fill_after(usize::MAX);
        let loaded = load(&store).await.unwrap();
        assert!(
            [after(2 * changes), after(2 * changes + 1)].contains(&loaded[0].1),
            "{changes}: {loaded:?}"
        );
    }
    assert!(panics > 3, "{panics}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_not_at_its_path_confirms_nothing_until_it_is_back() {
    let dir = Dir::new("replaced");
    let away = dir.0.join("away");
    let store = FileStore::open(dir.file()).unwrap();
    save(&store, "shardId-000000000000", after(1)).await.unwrap();
    let another = || drop(FileStore::open(dir.file()).unwrap());
    let empty = || std::fs::write(dir.file(), "").unwrap();
    let copy = || {
        std::fs::copy(&away, dir.file()).unwrap();
    };
    let folder = || std::fs::create_dir(dir.file()).unwrap();
    let nothing = || ();
    let instead: [(&dyn Fn(), &str); 5] = [
        (&nothing, "was removed"),
        (&another, "was replaced"),
        (&empty, "was replaced"),
        (&copy, "was replaced"),
        (&folder, "was replaced"),
    ];
    for (number, (put, why)) in (2..).zip(instead) {
        std::fs::rename(dir.file(), &away).unwrap();
        put();
        for error in [
            save(&store, "shardId-000000000000", after(number)).await.unwrap_err(),
            store.forget(&"orders".into(), "shardId-000000000001").await.unwrap_err(),
            load(&store).await.unwrap_err(),
        ] {
            let error = error.downcast_ref::<FileStoreError>().unwrap();
            assert!(
                error.is_lost() && !error.is_damaged() && error.to_string().contains(why),
                "{error}"
            );
        }
        let _ = std::fs::remove_file(dir.file());
        let _ = std::fs::remove_dir(dir.file());
        std::fs::rename(&away, dir.file()).unwrap();
        save(&store, "shardId-000000000000", after(10 * number)).await.unwrap();
        assert_eq!(
            load(&store).await.unwrap(),
            [("shardId-000000000000".to_owned(), after(10 * number))]
        );
    }
}

/// An editor, or a tool that restores a backup, renames a file over the open one.
#[cfg(unix)]
#[tokio::test]
async fn a_file_that_is_replaced_by_its_backup_is_noticed() {
    let dir = Dir::new("restored");
    let backup = dir.0.join("backup");
    let store = FileStore::open(dir.file()).unwrap();
    std::fs::copy(dir.file(), &backup).unwrap();
    std::fs::rename(&backup, dir.file()).unwrap();
    let error = save(&store, "shardId-000000000000", after(1)).await.unwrap_err();
    assert!(error.to_string().contains("was replaced"), "{error}");
    drop(store);
    let store = FileStore::open(dir.file()).unwrap();
    assert_eq!(load(&store).await.unwrap(), []);
    save(&store, "shardId-000000000000", after(1)).await.unwrap();
}

/// A second hard link does no harm, nor does a symbolic link as the path.
#[cfg(unix)]
#[tokio::test]
async fn a_file_with_a_second_name_is_the_same_file() {
    let dir = Dir::new("linked");
    std::os::unix::fs::symlink(dir.0.join("real"), dir.file()).unwrap();
    let store = FileStore::open(dir.file()).unwrap();
    std::fs::hard_link(dir.0.join("real"), dir.0.join("other")).unwrap();
    save(&store, "shardId-000000000000", after(1)).await.unwrap();
    std::fs::remove_file(dir.0.join("other")).unwrap();
    save(&store, "shardId-000000000000", after(2)).await.unwrap();
}

#[tokio::test]
async fn a_sequence_number_that_is_not_a_number_is_refused() {
    let dir = Dir::new("no number");
    let store = FileStore::open(dir.file()).unwrap();
    save(&store, "shardId-000000000000", after(1)).await.unwrap();
    let bad =
        Checkpoint::After { sequence_number: "record-7".to_owned(), sub_sequence_number: None };
    let error = save(&store, "shardId-000000000000", bad).await.unwrap_err();
    assert!(error.to_string().contains("record-7"), "{error}");
    assert_eq!(load(&store).await.unwrap(), [("shardId-000000000000".to_owned(), after(1))]);
}

#[tokio::test]
async fn the_file_store_passes_the_checks_of_stores() {
    let dir = Dir::new("promises");
    crate::testing::store::check_store_reopened(async || FileStore::open(dir.file()).unwrap())
        .await;
}
