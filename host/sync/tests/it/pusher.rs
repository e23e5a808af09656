//! The pusher over a real buffer and the embedded coordinator.

use std::sync::Arc;
use std::time::Duration;

use buddy_buffer::StepNotes;
use buddy_router::batch::BatchPolicy;
use buddy_router::{Event, State};
use buddy_sync::push::{Pusher, Versions};
use buddy_sync::{Coordinator, change};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::support::{Bench, assigned, bench, session, success, until};

/// Takes the task in, runs it, and leaves its result in the outbox.
async fn finish(bench: &Bench, number: u128) -> buddy_router::Task {
    let task = assigned(number, "desk", 1);
    bench.coordinator.create(task.clone(), None).await.unwrap();
    bench.buffer.take_task(task.clone()).await.unwrap();
    bench.buffer.start_try(&task.id, task.lease).await.unwrap();
    bench.buffer.finish_task(success(&task, "{\"ok\":true}")).await.unwrap();
    task
}

fn pusher(bench: &Bench) -> Pusher {
    let coordinator = Arc::new(bench.coordinator.clone());
    Pusher::new(bench.buffer.clone(), coordinator, BatchPolicy::default(), true, Versions::default())
}

#[tokio::test]
async fn results_land_and_leave_the_outbox_whether_their_version_is_known_or_not() {
    let bench = bench();
    let mut tasks = Vec::new();
    for number in 1..=120 {
        tasks.push(finish(&bench, number).await);
    }
    let pusher = pusher(&bench);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (pusher, stop) = (pusher.clone(), stop.clone());
        async move { pusher.run(stop).await }
    });
    until("the outbox is empty", async || bench.buffer.pending() == 0).await;
    for task in &tasks {
        assert_eq!(bench.read(task).await.value.state, State::Succeeded);
        assert!(bench.coordinator.result(&task.id).await.unwrap().is_some());
    }
    assert!(pusher.status().last_success.is_some());
    stop.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test]
async fn who_waits_for_a_result_is_told_once_it_can_be_read() {
    let bench = bench();
    let task = finish(&bench, 1).await;
    let landed = Arc::new(Notify::new());
    let pusher = pusher(&bench).telling(Arc::clone(&landed));
    let (told, reader) = (landed.notified(), bench.coordinator.clone());
    let looks = async {
        told.await;
        reader.task(&task.id).await.unwrap().unwrap().value.state
    };
    let both = async { tokio::join!(looks, pusher.flush()) };
    let (state, flushed) = tokio::time::timeout(Duration::from_secs(10), both).await.expect("nobody was told");
    flushed.unwrap();
    assert_eq!(state, State::Succeeded);
}

#[tokio::test]
async fn q6_a_success_whose_task_went_to_another_is_adopted_and_the_other_is_told() {
    let bench = bench();
    let task = finish(&bench, 1).await;
    let mut other = bench.coordinator.assignments(&"cloud/1".parse().unwrap(), &session(2)).await.unwrap();
    other.recv().await.unwrap();
    let read = bench.read(&task).await;
    let moved = change::assign(&read.value, "cloud/1".parse().unwrap(), session(2), "silent".into()).unwrap();
    bench.coordinator.write(moved, read.version, None).await.unwrap();
    pusher(&bench).flush().await.unwrap();
    assert_eq!(bench.read(&task).await.value.state, State::Succeeded);
    let held = other.recv().await.unwrap();
    assert!(matches!(held, buddy_sync::AssignmentEvent::Held(_)));
    assert_eq!(other.recv().await.unwrap(), buddy_sync::AssignmentEvent::Lost(task.id));
}

#[tokio::test]
async fn a_result_whose_task_was_cancelled_meanwhile_is_kept_apart() {
    let bench = bench();
    let task = finish(&bench, 1).await;
    let read = bench.read(&task).await;
    bench.coordinator.write(change::cancel(&read.value, "stop".into()).unwrap(), read.version, None).await.unwrap();
    pusher(&bench).flush().await.unwrap();
    assert_eq!(bench.read(&task).await.value.state, State::Cancelled);
    assert_eq!(bench.buffer.pending(), 0);
    let aside = bench.buffer.aside(None, 10).unwrap();
    assert!(aside.len() == 1 && aside[0].superseded, "{aside:?}");
}

#[tokio::test]
async fn nothing_is_pushed_twice_after_a_restart_between_commit_and_clearing() {
    let bench = bench();
    let task = finish(&bench, 1).await;
    // The commit landed, the process died before it cleared its outbox.
    let entry = bench.buffer.peek_outbox(None, 1, usize::MAX).unwrap().remove(0);
    let expected = bench.read(&task).await.version;
    bench.coordinator.push(&[buddy_sync::PushItem { result: entry.result, expected }]).await.unwrap();
    let version = bench.read(&task).await.version;
    pusher(&bench).flush().await.unwrap();
    assert_eq!(bench.read(&task).await.version, version);
    assert_eq!(bench.buffer.pending(), 0);
    assert!(bench.buffer.aside(None, 10).unwrap().is_empty());
    let local = bench.buffer.task(&task.id).unwrap().unwrap();
    assert!(bench.buffer.step_task(&task.id, local.task.lease, Event::Cancel, StepNotes::default()).await.is_err());
}
