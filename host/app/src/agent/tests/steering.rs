//! What commands do to tasks, and what they are told.

use buddy_router::State;

use super::{rig, task, until};
use crate::control::{ErrorCode, HostApi as _};

#[tokio::test]
async fn a_cancelled_task_keeps_its_count_of_tries_and_cancelling_it_again_changes_nothing() {
    let rig = rig(&["testing"]).await;
    let sleeper = task(1, "sleep_at_once", r#"{"count":1,"ms":50000}"#, None);
    rig.give(&sleeper).await;
    rig.work();
    rig.reaches(&sleeper, State::Running).await;
    let id = sleeper.id.as_str();
    assert_eq!(rig.api.task(id).await.unwrap().attempt, 1);
    let cancelled = rig.api.cancel(id).await.unwrap();
    assert_eq!((cancelled.state, cancelled.attempt), (State::Cancelled, 1));
    until("its run is over", || rig.agent.running() == 0).await;
    assert_eq!(rig.api.cancel(id).await.unwrap(), cancelled);
}

#[tokio::test]
async fn a_task_that_is_over_cannot_be_cancelled_and_the_refusal_says_how_it_ended() {
    let rig = rig(&["testing"]).await;
    let (good, bad) = (task(1, "noop", "null", None), task(2, "no_such_type", "null", None));
    for task in [&good, &bad] {
        rig.give(task).await;
    }
    rig.work();
    for (task, state) in [(&good, State::Succeeded), (&bad, State::Failed)] {
        rig.ends(task, state).await;
        let refused = rig.api.cancel(task.id.as_str()).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
        assert_eq!(refused.message, format!("task {} cannot be cancelled: it is {state}", task.id.short()));
        assert_eq!(rig.read(task).await.value.state, state);
    }
}

#[tokio::test]
async fn a_task_that_goes_on_after_a_stop_does_not_say_any_more_that_it_waits_for_a_start() {
    let rig = rig(&["testing"]).await;
    let sleeper = task(1, "sleep_at_once", r#"{"count":1,"ms":50000}"#, None);
    rig.give(&sleeper).await;
    rig.work();
    rig.reaches(&sleeper, State::Running).await;
    rig.agent.interrupt();
    rig.agent.idle().await;
    let waits = rig.api.task(sleeper.id.as_str()).await.unwrap();
    assert_eq!(waits.reason.as_deref(), Some("the host stopped; it goes on at the next start"));

    super::work(&super::agent(rig.agent.parts().clone(), &rig.coordinator));
    rig.reaches(&sleeper, State::Running).await;
    assert_eq!(rig.api.task(sleeper.id.as_str()).await.unwrap().reason, None);
}
