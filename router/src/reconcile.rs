//! A pushed result whose outcome is unknown, or whose precondition failed: the task is read once, and this decides.
//!
//! So a result is applied once, whatever the order, and never lost (cases Q3, Q5, Q6).

use crate::{Task, TaskResult};

/// What to do with one finished task after the read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconciled {
    /// It had landed: done.
    Landed,
    /// Push again with the fresh precondition. `adopted`: somebody else holds the task, but has not finished it, and
    /// ours is a success for the same work.
    PushAgain {
        /// Applied over another holder's head, who sees the task end and stops.
        adopted: bool,
    },
    /// Another finish was applied first: kept in the buffer for a while.
    Superseded,
    /// The task is gone: set aside.
    Deleted,
    /// A failure under a lease that is no longer ours: worth nothing while the present holder works.
    Stale,
}

/// Decides it. `present` is the task as just read.
pub fn reconcile(ours: &TaskResult, present: Option<&Task>) -> Reconciled {
    let Some(task) = present else {
        return Reconciled::Deleted;
    };
    let same_holder =
        task.assigned.as_ref().is_some_and(|holder| holder.lease == ours.lease && holder.session == ours.session);
    if task.state.is_final() {
        let landed = same_holder && task.result_hash.as_deref() == Some(&*ours.hash());
        return if landed { Reconciled::Landed } else { Reconciled::Superseded };
    }
    if task.payload_hash != ours.payload_hash {
        return Reconciled::Superseded;
    }
    if same_holder {
        Reconciled::PushAgain { adopted: false }
    } else if ours.is_success() {
        Reconciled::PushAgain { adopted: true }
    } else {
        Reconciled::Stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::{NewTask, prepare};
    use crate::{Assignment, Body, Lease, Outcome, SessionId, State};

    fn task(state: State, session: u128, lease: u64) -> Task {
        let new = NewTask {
            task_type: "t".into(),
            payload: "{}".into(),
            client: "c".into(),
            idempotency_key: None,
            max_attempts: None,
            priority: 0,
            not_before: None,
            mission: None,
            digest: None,
            urgent: false,
        };
        let mut task = prepare(new, 1, 1).unwrap();
        task.state = state;
        task.lease = Lease(lease);
        task.assigned = Some(Assignment {
            agent: "a".parse().unwrap(),
            session: SessionId::from_random(session),
            lease: Lease(lease),
        });
        task
    }

    fn result(session: u128, lease: u64, outcome: Outcome) -> TaskResult {
        let task = task(State::Running, session, lease);
        TaskResult {
            task: task.id,
            payload_hash: task.payload_hash,
            outcome,
            lease: Lease(lease),
            agent: "a".parse().unwrap(),
            session: SessionId::from_random(session),
            tries: 1,
            started: 1,
            finished: 2,
            raw_artifact: None,
        }
    }

    fn success() -> Outcome {
        Outcome::Succeeded { body: Body::Inline("1".into()) }
    }

    fn failure() -> Outcome {
        Outcome::Failed { reason: "no".into() }
    }

    #[test]
    fn q5_a_commit_that_landed_though_its_answer_was_lost_is_a_success() {
        let ours = result(1, 1, success());
        let mut present = task(State::Succeeded, 1, 1);
        present.result_hash = Some(ours.hash());
        assert_eq!(reconcile(&ours, Some(&present)), Reconciled::Landed);
    }

    #[test]
    fn q6_a_late_success_is_adopted_when_nothing_was_applied_and_superseded_otherwise() {
        let ours = result(1, 1, success());
        assert_eq!(reconcile(&ours, Some(&task(State::Assigned, 2, 2))), Reconciled::PushAgain { adopted: true });
        let mut other = task(State::Succeeded, 2, 2);
        other.result_hash = Some("other".into());
        assert_eq!(reconcile(&ours, Some(&other)), Reconciled::Superseded);
        assert_eq!(reconcile(&ours, Some(&task(State::Cancelled, 1, 1))), Reconciled::Superseded);
    }

    #[test]
    fn a_late_failure_never_ends_another_holders_work() {
        let ours = result(1, 1, failure());
        assert_eq!(reconcile(&ours, Some(&task(State::Assigned, 2, 2))), Reconciled::Stale);
        assert_eq!(reconcile(&ours, Some(&task(State::Assigned, 1, 1))), Reconciled::PushAgain { adopted: false });
    }

    #[test]
    fn the_same_lease_number_of_another_session_is_not_ours() {
        let ours = result(1, 1, failure());
        assert_eq!(reconcile(&ours, Some(&task(State::Assigned, 2, 1))), Reconciled::Stale);
    }

    #[test]
    fn a_deleted_task_is_said_so() {
        assert_eq!(reconcile(&result(1, 1, success()), None), Reconciled::Deleted);
    }
}
