//! Ends of runs: stopped, cancelled, broken; and the slot that each gives back.

use std::sync::atomic::Ordering;

use buddy_router::{Lease, State, Task};
use buddy_runtime::SharedMemory as _;
use buddy_sync::{Coordinator, change};

use super::super::attempt::TryEnd;
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

/// Begins a try, in which something is kept under this name.
async fn begun(rig: &Rig, task: &Task, keeps: Option<&str>) -> buddy_buffer::LocalTask {
    let local = rig.buffer.start_try(&task.id, Lease(1)).await.unwrap();
    if let Some(name) = keeps {
        rig.buffer.save_checkpoint(&task.id, name, b"{}".to_vec()).await.unwrap();
    }
    local
}

#[tokio::test]
async fn a_task_that_comes_further_in_each_try_is_never_given_up_and_one_that_does_not_is() {
    let rig = rig(&["testing"]).await;
    let long = task(1, "noop", "null", None);
    rig.buffer.take_task(rig.give(&long).await.value).await.unwrap();
    let unfinished = || TryEnd::Unfinished { reason: "the time is over".into(), after: None };
    for hour in 0..5 {
        let local = begun(&rig, &long, Some(&format!("page-{hour}"))).await;
        rig.agent.follow(&local, unfinished()).await.unwrap();
        let after = rig.buffer.task(&long.id).unwrap().unwrap().task;
        assert_eq!((after.state, after.tries, after.reason.as_str()), (State::Assigned, 0, "the time is over"));
        assert!(after.not_before.is_some());
    }
    for _ in 0..long.max_attempts {
        let local = begun(&rig, &long, None).await;
        rig.agent.follow(&local, unfinished()).await.unwrap();
    }
    let given_up = rig.buffer.task(&long.id).unwrap().unwrap().task;
    assert_eq!((given_up.state, given_up.tries), (State::Failed, 3));
    assert_eq!(given_up.reason, "given up after 3 tries, the last one: the time is over");
    assert_eq!(rig.buffer.checkpoints(&long.id, "").unwrap().len(), 5, "for a person's retry");
}

#[tokio::test]
async fn a_long_wait_after_a_try_that_came_further_gives_the_task_back_without_the_try() {
    let rig = rig(&["testing"]).await;
    let long = task(1, "noop", "null", None);
    rig.buffer.take_task(rig.give(&long).await.value).await.unwrap();
    let local = begun(&rig, &long, Some("page-1")).await;
    let hour = Some(std::time::Duration::from_hours(1));
    rig.agent.follow(&local, TryEnd::Unfinished { reason: "in an hour".into(), after: hour }).await.unwrap();
    let there = rig.read(&long).await.value;
    assert_eq!((there.state, there.tries, there.reason.as_str()), (State::Submitted, 0, "in an hour"));
    assert!(there.not_before.unwrap() >= rig.buffer.now() + 3_000_000);
}

#[tokio::test]
async fn a_try_that_finds_no_memory_is_not_counted_and_comes_again_later() {
    let rig = rig(&["testing"]).await;
    let memory = &rig.agent.parts().memory;
    // As pages would that grow into what the run was promised.
    let held = usize::try_from(memory.room()).unwrap();
    memory.take(held).unwrap();
    let large = task(1, "hold", r#"{"mib":40,"ms":1}"#, None);
    rig.give(&large).await;
    rig.work();
    let noticed =
        || rig.buffer.task(&large.id).unwrap().is_some_and(|local| local.task.reason.contains("max_memory_gb"));
    until("it finds no memory", noticed).await;
    idle(&rig).await;
    let local = rig.buffer.task(&large.id).unwrap().unwrap();
    assert_eq!((local.task.state, local.task.tries), (State::Assigned, 0));
    assert!(local.task.not_before.unwrap() >= local.started.unwrap() + 15_000);

    memory.give_back(held);
    // It is not its turn yet: another one is not held up by it.
    let next = task(2, "noop", "null", None);
    rig.give(&next).await;
    rig.reaches(&next, State::Succeeded).await;
}

#[tokio::test]
async fn a_task_that_waits_for_memory_has_no_try_counted_and_ends_its_wait_with_a_drain() {
    let rig = rig(&["testing"]).await;
    let parts = rig.agent.parts();
    let first = parts.memory.admit(parts.memory.room(), |_| ()).await;
    let waits = task(1, "noop", "null", None);
    rig.give(&waits).await;
    rig.work();
    let told = || rig.buffer.log_tail(&waits.id, 10).unwrap().lines.iter().any(|line| line.1.message.contains("waits"));
    until("it says that it waits", told).await;
    let local = rig.buffer.task(&waits.id).unwrap().unwrap();
    assert_eq!((local.task.state, local.task.tries, local.started), (State::Assigned, 0, None));

    rig.agent.drain();
    idle(&rig).await;
    let local = rig.buffer.task(&waits.id).unwrap().unwrap();
    assert_eq!((local.task.state, local.task.tries), (State::Assigned, 0));

    let next = agent(parts.clone(), &rig.coordinator);
    work(&next);
    until("it waits again", || next.running() == 1).await;
    drop(first);
    rig.reaches(&waits, State::Succeeded).await;
}
