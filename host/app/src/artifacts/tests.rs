#![allow(clippy::unwrap_used)]
use super::*;

fn task() -> TaskId {
    TaskId::from_random(7)
}

#[tokio::test]
async fn an_artifact_is_read_back_in_pieces_and_described() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 1_000_000).await.unwrap();
    let mut file = store.create(task(), "shot.png", "image/png").await.unwrap();
    file.write(b"hello ").await.unwrap();
    file.write(b"world").await.unwrap();
    let id = file.finish().await.unwrap().id;
    assert_eq!(store.read(&id, 6, 100).await.unwrap(), b"world");
    assert_eq!(store.read(&id, 11, 100).await.unwrap(), b"");
    let known = store.describe(&id).await.unwrap();
    assert_eq!((known.size, &*known.media_type, &*known.name), (11, "image/png", "shot.png"));
    assert_eq!(known.sha256, hex::encode(Sha256::digest(b"hello world")));
}

#[tokio::test]
async fn an_unfinished_one_leaves_nothing_and_gives_its_bytes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10).await.unwrap();
    let mut file = store.create(task(), "a", "text/plain").await.unwrap();
    file.write(b"0123456789").await.unwrap();
    assert!(matches!(file.write(b"x").await, Err(ArtifactError::Full { allowed: 10, wanted: 11 })));
    drop(file);
    assert_eq!(store.used(), 0);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[tokio::test]
async fn what_a_killed_process_left_half_written_is_removed_and_the_rest_counted() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 1_000).await.unwrap();
    let id = store.put(task(), "a", "text/plain", b"kept").await.unwrap();
    std::fs::write(folder.path().join("new-0"), b"half").unwrap();
    std::fs::write(folder.path().join("0".repeat(32)), b"no description").unwrap();
    let again = ArtifactStore::open(folder.path().to_owned(), 1_000).await.unwrap();
    assert_eq!(again.read(&id, 0, 10).await.unwrap(), b"kept");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    assert!(again.used() >= 4);
}

#[tokio::test]
async fn an_id_that_is_a_path_is_no_id() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 1_000).await.unwrap();
    for bad in ["../secret", "", "a/b", "..", &"A".repeat(32)] {
        assert!(matches!(store.read(bad, 0, 1).await, Err(ArtifactError::NotFound(_))), "{bad}");
    }
}

/// The folder's names, sorted.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn on_disk(folder: &Path) -> u64 {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum()
}

#[tokio::test]
async fn what_counts_is_what_lies_on_the_disk_descriptions_included() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    store.put(task(), "a", "text/plain", b"0123456789").await.unwrap();
    assert!(store.used() > 10);
    assert_eq!(store.used(), on_disk(folder.path()));
    let again = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    assert_eq!(again.used(), store.used());
}

#[tokio::test]
async fn a_removed_artifact_is_gone_and_its_bytes_are_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    let kept = store.put(task(), "a", "text/plain", b"kept").await.unwrap();
    let before = store.used();
    let id = store.put(task(), "b", "text/plain", b"removed").await.unwrap();
    let bytes = store.used() - before;
    assert_eq!(store.remove(&id).await.unwrap(), bytes);
    assert_eq!(store.used(), before);
    assert_eq!(names(folder.path()), [kept.clone(), format!("{kept}.json")]);
    for gone in [id.as_str(), "../secret"] {
        assert!(matches!(store.remove(gone).await, Err(ArtifactError::NotFound(_))), "{gone}");
    }
    assert!(matches!(store.read(&id, 0, 1).await, Err(ArtifactError::NotFound(_))));
    assert_eq!(store.read(&kept, 0, 10).await.unwrap(), b"kept");
}

#[tokio::test]
async fn all_artifacts_of_a_task_go_with_it_and_those_of_others_stay() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    let (gone, stays) = (TaskId::from_random(1), TaskId::from_random(2));
    let kept = store.put(stays.clone(), "a", "text/plain", b"kept").await.unwrap();
    let before = store.used();
    store.put(gone.clone(), "b", "text/plain", b"one").await.unwrap();
    store.put(gone.clone(), "c", "text/plain", b"two").await.unwrap();
    // By another instance, which knows the tasks only from the files.
    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    let bytes = store.used() - before;
    assert_eq!(store.remove_of(&gone).await.unwrap(), bytes);
    assert_eq!(store.remove_of(&gone).await.unwrap(), 0);
    assert_eq!(store.used(), before);
    assert_eq!(names(folder.path()), [kept.clone(), format!("{kept}.json")]);
}

#[tokio::test]
async fn the_tasks_that_have_artifacts_are_known_through_writing_removing_and_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    let (one, two) = (TaskId::from_random(1), TaskId::from_random(2));
    let of = |tasks: &[&TaskId]| tasks.iter().map(|task| (*task).clone()).collect::<BTreeSet<_>>();
    store.put(one.clone(), "a", "text/plain", b"1").await.unwrap();
    assert_eq!(store.tasks().await.unwrap(), of(&[&one]));
    let id = store.put(two.clone(), "b", "text/plain", b"2").await.unwrap();
    let unfinished = store.create(TaskId::from_random(3), "c", "text/plain").await.unwrap();
    assert_eq!(store.tasks().await.unwrap(), of(&[&one, &two]));
    drop(unfinished);
    store.remove(&id).await.unwrap();
    assert_eq!(store.tasks().await.unwrap(), of(&[&one]));
    let again = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    assert_eq!(again.tasks().await.unwrap(), of(&[&one]));
    again.remove_of(&one).await.unwrap();
    assert_eq!(again.tasks().await.unwrap(), of(&[]));
}

#[tokio::test]
async fn a_damaged_description_hides_no_other_task_and_is_not_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    let id = store.put(TaskId::from_random(1), "a", "text/plain", b"1").await.unwrap();
    store.put(task(), "b", "text/plain", b"2").await.unwrap();
    fs::write(folder.path().join(format!("{id}.json")), b"{").unwrap();
    assert_eq!(store.tasks().await.unwrap(), BTreeSet::from([task()]));
    assert_eq!(store.read(&id, 0, 1).await.unwrap(), b"1");
    store.remove(&id).await.unwrap();
    assert!(matches!(store.read(&id, 0, 1).await, Err(ArtifactError::NotFound(_))));
}

#[tokio::test]
async fn half_a_pair_from_a_power_cut_is_removed_at_the_next_start() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("0".repeat(32)), b"no description").unwrap();
    fs::write(folder.path().join(format!("{}.json", "1".repeat(32))), b"no body").unwrap();
    fs::write(folder.path().join(format!("new-{}.json", "2".repeat(32))), b"half").unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    assert_eq!(names(folder.path()), [""; 0]);
    assert_eq!(store.used(), 0);
}

#[tokio::test]
async fn a_description_that_passes_the_bound_or_cannot_be_placed_leaves_nothing_of_the_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10).await.unwrap();
    let full = store.put(task(), "a", "text/plain", b"0123456789").await;
    assert!(matches!(full, Err(ArtifactError::Full { allowed: 10, .. })), "{full:?}");
    assert_eq!((store.used(), names(folder.path())), (0, vec![]));

    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    let mut file = store.create(task(), "a", "text/plain").await.unwrap();
    file.write(b"0123456789").await.unwrap();
    let in_the_way = format!("{}.json", file.description.id);
    fs::create_dir(folder.path().join(&in_the_way)).unwrap();
    let failed = file.finish().await;
    assert!(matches!(failed, Err(ArtifactError::Io { .. })), "{failed:?}");
    assert_eq!((store.used(), names(folder.path())), (0, vec![in_the_way]));
}

#[tokio::test]
async fn a_body_with_fewer_bytes_than_were_given_is_no_artifact() {
    let folder = tempfile::tempdir().unwrap();
    let store = ArtifactStore::open(folder.path().to_owned(), 10_000).await.unwrap();
    let mut file = store.create(task(), "a", "text/plain").await.unwrap();
    file.write(b"0123456789").await.unwrap();
    file.file.flush().await.unwrap();
    file.file.set_len(4).await.unwrap();
    let failed = file.finish().await.unwrap_err().to_string();
    assert!(failed.contains("4 of 10 bytes were written"), "{failed}");
    assert_eq!((store.used(), names(folder.path())), (0, vec![]));
}

#[cfg(unix)]
#[tokio::test]
async fn folder_and_files_are_private_to_the_user() {
    use std::os::unix::fs::PermissionsExt as _;
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("artifacts");
    let store = ArtifactStore::open(folder.clone(), 10_000).await.unwrap();
    let id = store.put(task(), "a", "text/plain", b"secret").await.unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    assert_eq!(mode(&folder.join(&id)), 0o600);
    assert_eq!(mode(&folder.join(format!("{id}.json"))), 0o600);
}
