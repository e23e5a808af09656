//! A task that goes back, and the news of it in every order.

use std::sync::atomic::Ordering;
use std::time::Duration;

use buddy_buffer::{BufferError, LocalTask, Taken};
use buddy_router::{Lease, State, Task};
use buddy_sync::{AssignmentEvent, Versioned};

use super::coordinator::{Write, gate};
use super::{Rig, rig, task};

const HOUR: Duration = Duration::from_secs(3_600);

/// A task that runs here and has a checkpoint, and the news of its assignment.
async fn running(rig: &Rig) -> (LocalTask, Versioned<Task>) {
    let old = rig.give(&task(1, "noop", "null", None)).await;
    hear(rig, [AssignmentEvent::Snapshot(vec![old.clone()])]).await;
    let local = rig.buffer.start_try(&old.value.id, old.value.lease).await.unwrap();
    rig.buffer.save_checkpoint(&old.value.id, "page-1", b"{}".to_vec()).await.unwrap();
    (local, old)
}

async fn hear(rig: &Rig, events: impl IntoIterator<Item = AssignmentEvent>) {
    rig.agent.hear(events.into_iter()).await.unwrap();
}

fn held(news: &Versioned<Task>) -> AssignmentEvent {
    AssignmentEvent::Held(Box::new(news.clone()))
}

fn checkpoints(rig: &Rig, task: &Task) -> usize {
    rig.buffer.checkpoints(&task.id, "").unwrap().len()
}

/// It went back, nothing of it runs or waits here, and its checkpoints are kept until it comes again.
async fn went_back_and_comes_again(rig: &Rig, task: &Task) {
    let there = rig.read(task).await.value;
    assert_eq!((there.state, there.tries, there.lease), (State::Submitted, 1, Lease(1)));
    assert!(there.assigned.is_none() && there.not_before.is_some());
    assert_eq!((rig.state(task), checkpoints(rig, task)), (Some(State::Submitted), 1));
    assert!(rig.buffer.next_runnable(u64::MAX - 1, 10).unwrap().is_empty());

    let again = rig.alter(task, |present| rig.assigned(present)).await;
    hear(rig, [held(&again)]).await;
    let local = rig.buffer.task(&task.id).unwrap().unwrap();
    assert_eq!((local.task.state, local.task.lease, local.task.tries), (State::Assigned, Lease(2), 1));
    assert_eq!(checkpoints(rig, task), 1);
    assert_eq!(local.goes_at, None, "a task that is held does not expire");
}

#[tokio::test]
async fn old_news_that_is_heard_before_the_write_lands_does_not_take_the_task_again() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    let (before, keeper) = gate();
    rig.coordinator.script([Write::Before(before)]);
    let handed = rig.agent.hand_back(&local, "a long wait".into(), HOUR);
    let news = async {
        keeper.reached.await.unwrap();
        hear(&rig, [held(&old)]).await;
        hear(&rig, [AssignmentEvent::Snapshot(vec![old.clone()])]).await;
        assert_eq!(rig.state(&old.value), Some(State::Submitted));
        keeper.go.send(()).unwrap();
    };
    tokio::join!(async { handed.await.unwrap() }, news);
    hear(&rig, [AssignmentEvent::Lost(old.value.id.clone())]).await;
    went_back_and_comes_again(&rig, &old.value).await;
}

#[tokio::test]
async fn old_news_that_is_heard_after_the_write_landed_does_not_take_the_task_again() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    rig.agent.hand_back(&local, "a long wait".into(), HOUR).await.unwrap();
    hear(&rig, [held(&old), AssignmentEvent::Snapshot(vec![old.clone()]), held(&old)]).await;
    assert_eq!(rig.state(&old.value), Some(State::Submitted));
    hear(&rig, [AssignmentEvent::Lost(old.value.id.clone())]).await;
    went_back_and_comes_again(&rig, &old.value).await;
}

#[tokio::test]
async fn a_loss_that_is_heard_before_the_writes_own_answer_keeps_the_checkpoints() {
    for by_snapshot in [false, true] {
        let rig = rig(&[]).await;
        let (local, old) = running(&rig).await;
        let (after, keeper) = gate();
        rig.coordinator.script([Write::After(after)]);
        let handed = rig.agent.hand_back(&local, "a long wait".into(), HOUR);
        let news = async {
            keeper.reached.await.unwrap();
            let lost = AssignmentEvent::Lost(old.value.id.clone());
            hear(&rig, [held(&old), if by_snapshot { AssignmentEvent::Snapshot(vec![]) } else { lost }]).await;
            keeper.go.send(()).unwrap();
        };
        tokio::join!(async { handed.await.unwrap() }, news);
        went_back_and_comes_again(&rig, &old.value).await;
    }
}

#[tokio::test]
async fn a_task_that_came_again_before_the_writes_own_answer_is_left_alone() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    let (after, keeper) = gate();
    rig.coordinator.script([Write::After(after)]);
    let handed = rig.agent.hand_back(&local, "a long wait".into(), HOUR);
    let news = async {
        keeper.reached.await.unwrap();
        let again = rig.alter(&old.value, |present| rig.assigned(present)).await;
        // The stream had a gap: no loss, only where it stands now.
        hear(&rig, [AssignmentEvent::Snapshot(vec![again])]).await;
        keeper.go.send(()).unwrap();
    };
    tokio::join!(async { handed.await.unwrap() }, news);
    let here = rig.buffer.task(&old.value.id).unwrap().unwrap();
    assert_eq!((here.task.state, here.task.lease, checkpoints(&rig, &old.value)), (State::Assigned, Lease(2), 1));
}

#[tokio::test]
async fn a_write_whose_answer_was_lost_is_read_back_and_is_not_made_twice() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    rig.coordinator.script([Write::AnswerLost]);
    rig.agent.hand_back(&local, "a long wait".into(), HOUR).await.unwrap();
    assert_eq!(rig.read(&old.value).await.version.0, old.version.0 + 1);
    hear(&rig, [AssignmentEvent::Lost(old.value.id.clone())]).await;
    went_back_and_comes_again(&rig, &old.value).await;
}

#[tokio::test]
async fn a_document_that_changed_while_this_host_still_holds_it_is_handed_back_all_the_same() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    let (before, keeper) = gate();
    rig.coordinator.script([Write::Before(before)]);
    let handed = rig.agent.hand_back(&local, "a long wait".into(), HOUR);
    let other = async {
        keeper.reached.await.unwrap();
        rig.alter(&old.value, |task| Task { priority: 7, ..task.clone() }).await;
        keeper.go.send(()).unwrap();
    };
    tokio::join!(async { handed.await.unwrap() }, other);
    assert_eq!(rig.read(&old.value).await.value.priority, 7);
    hear(&rig, [AssignmentEvent::Lost(old.value.id.clone())]).await;
    went_back_and_comes_again(&rig, &old.value).await;
}

#[tokio::test]
async fn a_task_that_cannot_be_handed_back_waits_here_and_still_can_be_lost() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    rig.coordinator.script((0..5).map(|_| Write::NotSent));
    rig.agent.hand_back(&local, "a long wait".into(), HOUR).await.unwrap();
    let here = rig.buffer.task(&old.value.id).unwrap().unwrap();
    assert_eq!((here.task.state, checkpoints(&rig, &old.value)), (State::Assigned, 1));
    assert_eq!((here.task.reason.as_str(), here.goes_at), ("a long wait", None));
    assert!(here.task.not_before.unwrap() >= rig.buffer.now() + 3_000_000, "not before the wait is over");
    assert_eq!(rig.buffer.take_task(old.value.clone()).await.unwrap(), Taken::Same);

    rig.give_away(&old.value).await;
    hear(&rig, [AssignmentEvent::Lost(old.value.id.clone())]).await;
    assert_eq!((rig.state(&old.value), checkpoints(&rig, &old.value)), (Some(State::Cancelled), 0));
}

#[tokio::test]
async fn a_hand_back_that_landed_unseen_and_was_heard_as_a_loss_does_not_leave_the_task_waiting_here() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    let (after, keeper) = gate();
    rig.coordinator.script([Write::AfterAndLost(after)]);
    let handed = rig.agent.hand_back(&local, "a long wait".into(), HOUR);
    let news = async {
        keeper.reached.await.unwrap();
        hear(&rig, [AssignmentEvent::Lost(old.value.id.clone())]).await;
        // It cannot be read back.
        rig.coordinator.offline.store(true, Ordering::SeqCst);
        keeper.go.send(()).unwrap();
    };
    tokio::join!(async { handed.await.unwrap() }, news);
    rig.coordinator.offline.store(false, Ordering::SeqCst);
    went_back_and_comes_again(&rig, &old.value).await;
}

#[tokio::test]
async fn a_task_that_came_again_while_its_hand_back_failed_can_still_be_lost() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    let (after, keeper) = gate();
    rig.coordinator.script([Write::AfterAndLost(after)]);
    let handed = rig.agent.hand_back(&local, "a long wait".into(), HOUR);
    let news = async {
        keeper.reached.await.unwrap();
        let again = rig.alter(&old.value, |present| rig.assigned(present)).await;
        hear(&rig, [held(&again)]).await;
        // It cannot be read back.
        rig.coordinator.offline.store(true, Ordering::SeqCst);
        keeper.go.send(()).unwrap();
    };
    let (handed, ()) = tokio::join!(handed, news);
    assert!(matches!(handed, Err(BufferError::StaleLease { found: Lease(2), .. })), "{handed:?}");
    assert_eq!(rig.state(&old.value), Some(State::Assigned));
    rig.coordinator.offline.store(false, Ordering::SeqCst);

    rig.give_away(&old.value).await;
    hear(&rig, [AssignmentEvent::Lost(old.value.id.clone())]).await;
    assert_eq!((rig.state(&old.value), checkpoints(&rig, &old.value)), (Some(State::Cancelled), 0));
}

#[tokio::test]
async fn a_task_that_another_took_meanwhile_is_given_up() {
    let rig = rig(&[]).await;
    let (local, old) = running(&rig).await;
    rig.give_away(&old.value).await;
    rig.agent.hand_back(&local, "a long wait".into(), HOUR).await.unwrap();
    assert_eq!((rig.state(&old.value), checkpoints(&rig, &old.value)), (Some(State::Cancelled), 0));
    assert_eq!(rig.read(&old.value).await.value.assigned.unwrap().agent.as_str(), "other");
}
