//! Which artifacts are there after tries that read other tasks' results.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use buddy_router::{Body, DigestSpec, Outcome, Task, TaskId, TaskResult};
use buddy_sync::{Coordinator, PushItem};
use tokio_util::sync::CancellationToken;

use super::{Rig, rig, task};
use crate::agent::attempt::{TryEnd, attempt};
use crate::agent::copies;

/// A task that succeeded with these rows.
async fn done(rig: &Rig, number: u128, rows: &str) -> TaskId {
    let given = rig.give(&task(number, "echo", rows, None)).await;
    let holder = given.value.assigned.clone().unwrap();
    let result = TaskResult {
        task: given.value.id.clone(),
        payload_hash: given.value.payload_hash.clone(),
        outcome: Outcome::Succeeded { body: Body::Inline(rows.to_owned()) },
        lease: holder.lease,
        agent: holder.agent,
        session: holder.session,
        tries: 1,
        started: 1,
        finished: 2,
        raw_artifact: None,
    };
    rig.coordinator.push(&[PushItem { result, expected: given.version }]).await.unwrap();
    given.value.id
}

/// A task whose digest joins its own result with those of two others, in this order.
async fn joined(rig: &Rig) -> (Task, TaskId) {
    let names = done(rig, 2, r#"[{"id":1,"name":"Alta"}]"#).await;
    let towns = done(rig, 3, r#"[{"id":1,"town":"Bern"}]"#).await;
    let join = |of: &TaskId| {
        format!(r#"{{"join":{{"with":{{"result_of":"{of}"}},"on":[{{"left":"id","right":"id"}}],"kind":"left"}}}}"#)
    };
    let input = format!(r#"{{"from":{{"result_of":"self"}},"steps":[{},{}]}}"#, join(&names), join(&towns));
    let digest = DigestSpec { task_type: "data_processing".into(), input };
    (task(1, "echo", r#"[{"id":1}]"#, Some(digest)), towns)
}

async fn one_try(rig: &Rig, task: &Task) -> TryEnd {
    let (cancel, shutdown) = (CancellationToken::new(), CancellationToken::new());
    attempt(rig.agent.parts(), &*rig.coordinator, task, &cancel, &shutdown).await
}

/// The ids of all artifacts on the disk.
fn artifacts(rig: &Rig) -> BTreeSet<String> {
    let any = rig.agent.parts().artifacts.path(&"0".repeat(32)).unwrap();
    let files = std::fs::read_dir(any.parent().unwrap()).unwrap();
    files.map(|file| file.unwrap().file_name().to_string_lossy().trim_end_matches(".json").to_owned()).collect()
}

#[tokio::test]
async fn after_three_tries_only_the_raw_result_is_kept() {
    let rig = rig(&["testing", "digest"]).await;
    let (task, towns) = joined(&rig).await;
    // The first reference is copied, the second cannot be read.
    rig.coordinator.unreadable.lock().unwrap().insert(towns);
    let first = one_try(&rig, &task).await;
    assert!(matches!(&first, TryEnd::Retry { reason, .. } if reason.contains("as the test says")), "{first:?}");
    let raw = artifacts(&rig);
    assert_eq!(raw.len(), 1, "{raw:?}");

    // The same with a fault of the host's own.
    rig.coordinator.panics.store(true, Ordering::SeqCst);
    let second = one_try(&rig, &task).await;
    assert!(matches!(&second, TryEnd::Retry { reason, .. } if reason.contains("a fault of its own")), "{second:?}");
    assert_eq!(artifacts(&rig), raw);

    rig.coordinator.unreadable.lock().unwrap().clear();
    let third = one_try(&rig, &task).await;
    let TryEnd::Over { outcome: Outcome::Succeeded { body: Body::Inline(text) }, raw_artifact: Some(id) } = third
    else {
        panic!("{third:?}")
    };
    assert!(text.contains("Alta") && text.contains("Bern"), "{text}");
    assert_eq!(BTreeSet::from([id]), raw, "the raw result is its user's");
    assert_eq!(artifacts(&rig), raw);
}

#[tokio::test]
async fn copies_of_a_try_that_a_kill_cut_off_go_with_the_next_one() {
    let rig = rig(&["testing"]).await;
    let task = task(1, "noop", "null", None);
    for _ in 0..2 {
        copies::make(rig.agent.parts(), &task.id, "{}").await.unwrap();
    }
    assert_eq!(artifacts(&rig).len(), 2);
    // The process ends here; another one begins the next try.
    let end = one_try(&rig, &task).await;
    assert!(matches!(end, TryEnd::Over { .. }), "{end:?}");
    assert_eq!(artifacts(&rig), BTreeSet::new());
    copies::clear(rig.agent.parts(), &task.id).await;
}

#[tokio::test]
async fn copies_of_a_task_that_is_lost_before_its_next_try_go_with_it() {
    let rig = rig(&[]).await;
    let given = rig.give(&task(1, "noop", "null", None)).await;
    rig.buffer.take_task(given.value.clone()).await.unwrap();
    copies::make(rig.agent.parts(), &given.value.id, "{}").await.unwrap();
    rig.agent.lose(&given.value.id).await.unwrap();
    assert_eq!(artifacts(&rig), BTreeSet::new());
}
