//! The sweep, with a clock that the test sets.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use buddy_router::Task;
use buddy_sync::change;

use super::*;

/// A task with a number of its own.
fn task(number: u128) -> Task {
    let new = NewTask {
        task_type: "t".to_owned(),
        payload: "{}".to_owned(),
        client: "test".to_owned(),
        idempotency_key: None,
        max_attempts: None,
        priority: 0,
        not_before: None,
        mission: None,
        digest: None,
        urgent: false,
    };
    prepare(new, 1, number).unwrap()
}

#[tokio::test]
async fn artifacts_go_when_their_task_is_forgotten_or_was_lost_and_not_before() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicU64::new(1_000));
    let shown = Arc::clone(&clock);
    let options =
        Options { clock: Arc::new(move || shown.load(Ordering::SeqCst)), ..Options::new(folder.path().join("buffer")) };
    let (buffer, _) = Buffer::open(&options).unwrap();
    let embedded = Embedded::open(buffer.clone()).unwrap();
    let artifacts = ArtifactStore::open(folder.path().join("artifacts"), 1_000_000).await.unwrap();

    let (ended, waits, lost) = (task(1), task(2), task(3));
    embedded.create(ended.clone(), None).await.unwrap();
    embedded.create(waits.clone(), None).await.unwrap();
    // Held here, while the coordinator does not know it: it may be the other side that lost it.
    let held = change::assign(&task(4), "desk".parse().unwrap(), buffer.session().clone(), "why".to_owned()).unwrap();
    buffer.take_task(held.clone()).await.unwrap();
    for owner in [&ended, &waits, &lost, &held] {
        artifacts.put(owner.id.clone(), "a", "text/plain", b"a").await.unwrap();
    }
    let of = |tasks: &[&Task]| tasks.iter().map(|task| task.id.clone()).collect::<BTreeSet<_>>();

    // What a kill between forgetting and removing leaves behind goes in the next round, which is at the next start.
    sweep_once(&buffer, &embedded, &artifacts).await;
    assert_eq!(artifacts.tasks().await.unwrap(), of(&[&ended, &waits, &held]));

    let read = embedded.task(&ended.id).await.unwrap().unwrap();
    embedded.write(change::cancel(&read.value, "enough".to_owned()).unwrap(), read.version, None).await.unwrap();
    clock.fetch_add(KEEP_MS, Ordering::SeqCst);
    sweep_once(&buffer, &embedded, &artifacts).await;
    assert_eq!(artifacts.tasks().await.unwrap(), of(&[&ended, &waits, &held]), "it is kept to the end of its time");

    clock.fetch_add(1, Ordering::SeqCst);
    sweep_once(&buffer, &embedded, &artifacts).await;
    assert_eq!(embedded.task(&ended.id).await.unwrap(), None);
    assert_eq!(artifacts.tasks().await.unwrap(), of(&[&waits, &held]));
    buffer.close().await;
}
