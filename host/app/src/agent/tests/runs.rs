//! Ends of runs: stopped, cancelled, broken; and the slot that each gives back.

use std::sync::atomic::Ordering;

use buddy_router::State;
use buddy_sync::{Coordinator, change};

use super::{Rig, agent, rig, task, until, work};

/// A task that sleeps for longer than its test lasts.
fn sleeper(number: u128) -> buddy_router::Task {
    task(number, "sleep_at_once", r#"{"count":1,"ms":50000}"#, None)
}

async fn idle(rig: &Rig) {
    until("nothing runs", || rig.agent.running() == 0).await;
}

#[tokio::test]
async fn a_run_that_returns_a_result_because_it_was_cancelled_brings_none() {
    let rig = rig(&["testing"]).await;
    let cancelled = sleeper(1);
    rig.give(&cancelled).await;
    rig.work();
    rig.reaches(&cancelled, State::Running).await;
    rig.alter(&cancelled, |task| change::cancel(task, "a person said so".into()).unwrap()).await;
    rig.reaches(&cancelled, State::Cancelled).await;
    idle(&rig).await;
    assert_eq!((rig.state(&cancelled), rig.buffer.pending()), (Some(State::Cancelled), 0));
    assert!(rig.coordinator.result(&cancelled.id).await.unwrap().is_none());
    assert_eq!(rig.read(&cancelled).await.value.state, State::Cancelled);
}

#[tokio::test]
async fn a_run_that_returns_a_result_because_the_host_stops_goes_on_at_the_next_start() {
    let rig = rig(&["testing"]).await;
    // Told by a wait that ends early, and by asking.
    let told = [sleeper(1), task(2, "wait_for_cancel", "null", None)];
    for task in &told {
        rig.give(task).await;
    }
    let mut process = rig.agent.clone();
    for _ in 0..2 {
        work(&process);
        until("one of them runs", || rig.buffer.count_tasks(State::Running) == 1).await;
        process.interrupt();
        process.idle().await;
        for task in &told {
            let local = rig.buffer.task(&task.id).unwrap().unwrap();
            assert_eq!((local.task.state, local.task.tries), (State::Assigned, 0), "a stop is no try");
        }
        assert_eq!(rig.buffer.pending(), 0);
        process = agent(rig.agent.parts().clone(), &rig.coordinator);
    }

    // The other one too, alone.
    rig.alter(&told[0], |task| change::cancel(task, "enough".into()).unwrap()).await;
    work(&process);
    rig.reaches(&told[1], State::Running).await;
    process.interrupt();
    process.idle().await;
    assert_eq!((rig.state(&told[1]), rig.buffer.pending()), (Some(State::Assigned), 0));
}

#[tokio::test]
async fn a_task_that_cannot_start_gives_its_slot_back() {
    let rig = rig(&["testing"]).await;
    // A task that ended its host in each of its tries, and is looked at first.
    let mut used_up = task(1, "noop", "null", None);
    (used_up.tries, used_up.priority) = (used_up.max_attempts, 1);
    let next = task(2, "noop", "null", None);
    for task in [&used_up, &next] {
        rig.give(task).await;
    }
    rig.work();
    rig.reaches(&next, State::Succeeded).await;
    rig.reaches(&used_up, State::Failed).await;
    idle(&rig).await;
}

#[tokio::test]
async fn a_run_in_which_the_host_panics_gives_its_slot_back_and_is_tried_again() {
    let rig = rig(&["testing", "digest"]).await;
    let source = task(9, "noop", "null", None);
    rig.coordinator.create(source.clone(), None).await.unwrap();
    rig.coordinator.unreadable.lock().unwrap().insert(source.id.clone());
    rig.coordinator.panics.store(true, Ordering::SeqCst);
    let mut broken = task(1, "data_processing", &format!(r#"{{"from":{{"result_of":"{}"}}}}"#, source.id), None);
    broken.priority = 1;
    let next = task(2, "noop", "null", None);
    for task in [&broken, &next] {
        rig.give(task).await;
    }
    rig.work();
    rig.reaches(&next, State::Succeeded).await;
    idle(&rig).await;
    let broken = rig.buffer.task(&broken.id).unwrap().unwrap().task;
    assert!(broken.tries >= 1 && broken.reason.contains("a fault of its own"), "{}", broken.reason);
}
