//! What a host that starts may run, before and after it has heard what it holds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use buddy_router::{Lease, State};

use super::{rig, task, until};

#[tokio::test]
async fn no_task_starts_before_the_first_snapshot_and_one_that_it_lacks_never_does() {
    let rig = rig(&["testing"]).await;
    let (kept, lost) = (task(1, "noop", "null", None), task(2, "noop", "null", None));
    for task in [&kept, &lost] {
        let given = rig.give(task).await;
        rig.buffer.take_task(given.value).await.unwrap();
    }
    // While this host was away.
    rig.give_away(&lost).await;
    rig.coordinator.streams.forget_permits(usize::MAX);
    rig.work();
    // Both loops are as far as they get: many turns of theirs, and of the buffer's writer.
    for turn in 0..50u8 {
        rig.buffer.kv_set("test", "turn", vec![turn], None).await.unwrap();
        tokio::task::yield_now().await;
    }
    assert_eq!((rig.state(&kept), rig.state(&lost)), (Some(State::Assigned), Some(State::Assigned)));
    assert_eq!(rig.agent.running(), 0);

    rig.coordinator.streams.add_permits(1);
    rig.reaches(&kept, State::Succeeded).await;
    let lost = rig.buffer.task(&lost.id).unwrap().unwrap();
    assert_eq!((lost.task.state, lost.task.tries), (State::Cancelled, 0));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_cannot_hear_the_coordinator_goes_on_with_what_it_holds_after_ten_seconds() {
    let rig = rig(&["testing"]).await;
    let held = task(1, "noop", "null", None);
    let given = rig.give(&held).await;
    rig.buffer.take_task(given.value).await.unwrap();
    rig.coordinator.offline.store(true, Ordering::SeqCst);
    let began = tokio::time::Instant::now();
    rig.work();
    let agent = rig.agent.clone();
    tokio::spawn(async move { agent.leases_known().await }).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(10));
    rig.reaches(&held, State::Succeeded).await;
    until("its result waits for the coordinator", || rig.buffer.pending() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_answers_with_silence_is_not_waited_for_without_end() {
    let rig = rig(&[]).await;
    rig.coordinator.streams.forget_permits(usize::MAX);
    rig.work();
    rig.agent.leases_known().await;
}

#[tokio::test]
async fn a_host_without_a_network_starts_and_takes_its_name_when_there_is_one() {
    let rig = rig(&[]).await;
    rig.coordinator.offline.store(true, Ordering::SeqCst);
    assert!(rig.agent.first_beat().await.unwrap().is_none());
    rig.coordinator.offline.store(false, Ordering::SeqCst);
    assert!(rig.agent.first_beat().await.unwrap().is_some());
}

#[tokio::test]
async fn a_new_lease_stops_the_run_of_the_old_one_and_runs_anew() {
    let rig = rig(&["testing"]).await;
    let long = task(1, "sleep_at_once", r#"{"count":1,"ms":50000}"#, None);
    rig.give(&long).await;
    rig.work();
    rig.reaches(&long, State::Running).await;
    // Back to the same host in one write, so that no loss is ever told.
    let again = rig.alter(&long, |present| rig.assigned(present)).await;
    assert_eq!(again.value.lease, Lease(2));
    until("it runs under the new lease", || {
        let local = rig.buffer.task(&long.id).unwrap().unwrap();
        (local.task.lease, local.task.state) == (Lease(2), State::Running)
    })
    .await;
    assert_eq!(rig.agent.running(), 1);
    rig.agent.interrupt();
    rig.agent.idle().await;
}
