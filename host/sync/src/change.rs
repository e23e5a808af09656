//! The next document of a task, for each thing that is done to it. Pure: who writes it fences it.

use buddy_router::{AgentName, Assignment, Event, IllegalTransition, Outcome, SessionId, Task, TaskResult, UnixMs};

/// Longest reason that a task document carries, in bytes: a result's own document has the whole text.
pub const MAX_REASON: usize = 2_000;

/// Gives the task to an agent under the next lease. `reason` says why it.
pub fn assign(task: &Task, agent: AgentName, session: SessionId, reason: String) -> Result<Task, IllegalTransition> {
    let lease = task.lease.next();
    let mut next = moved(task, Event::Assign, reason)?;
    next.lease = lease;
    next.assigned = Some(Assignment { agent, session, lease });
    Ok(next)
}

/// Nobody can take it now.
pub fn defer(task: &Task, reason: String) -> Result<Task, IllegalTransition> {
    let mut next = moved(task, Event::Defer, reason)?;
    next.assigned = None;
    Ok(next)
}

/// Its input can never work.
pub fn reject(task: &Task, reason: String) -> Result<Task, IllegalTransition> {
    moved(task, Event::Reject, reason)
}

/// Its holder gives it back, with the tries it has begun.
pub fn hand_back(
    task: &Task,
    tries: u32,
    not_before: Option<UnixMs>,
    reason: String,
) -> Result<Task, IllegalTransition> {
    let mut next = moved(task, Event::HandBack, reason)?;
    next.assigned = None;
    next.tries = tries;
    next.not_before = not_before;
    Ok(next)
}

/// A person stops it. Its holder sees that it ended.
pub fn cancel(task: &Task, reason: String) -> Result<Task, IllegalTransition> {
    moved(task, Event::Cancel, reason)
}

/// A person tries a dead letter or a cancelled task again, with fresh tries.
pub fn retry(task: &Task) -> Result<Task, IllegalTransition> {
    let mut next = moved(task, Event::Retry, "a person asked for another try".to_owned())?;
    next.assigned = None;
    next.tries = 0;
    next.not_before = None;
    next.result_hash = None;
    Ok(next)
}

/// A result is applied: by the holder, or adopted from an earlier one.
pub fn finish(task: &Task, result: &TaskResult) -> Result<Task, IllegalTransition> {
    let (event, reason) = match &result.outcome {
        Outcome::Succeeded { .. } => (Event::Apply, format!("succeeded on `{}`", result.agent)),
        Outcome::Failed { reason } => (Event::Fail, reason.clone()),
    };
    let mut next = moved(task, event, reason)?;
    next.tries = result.tries;
    next.result_hash = Some(result.hash());
    // Whose result it is: reconciling compares it, also when it was adopted over another holder's head.
    next.assigned =
        Some(Assignment { agent: result.agent.clone(), session: result.session.clone(), lease: result.lease });
    Ok(next)
}

fn moved(task: &Task, event: Event, mut reason: String) -> Result<Task, IllegalTransition> {
    let state = task.state.after(event)?;
    if reason.len() > MAX_REASON {
        let cut = (0..=MAX_REASON).rev().find(|at| reason.is_char_boundary(*at)).unwrap_or(0);
        reason.truncate(cut);
        reason.push('…');
    }
    let mut next = task.clone();
    next.state = state;
    next.reason = reason;
    Ok(next)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use buddy_router::submit::{NewTask, prepare};
    use buddy_router::{Body, Lease, State};

    use super::*;

    fn task() -> Task {
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
        prepare(new, 1, 1).unwrap()
    }

    fn assigned(task: &Task) -> Task {
        assign(task, "desk".parse().unwrap(), SessionId::from_random(1), "why".into()).unwrap()
    }

    #[test]
    fn every_assignment_raises_the_lease_and_nothing_else_does() {
        let first = assigned(&task());
        assert_eq!(first.lease, Lease(1));
        let back = hand_back(&first, 1, Some(9), "draining".into()).unwrap();
        assert_eq!((back.lease, back.tries, back.not_before), (Lease(1), 1, Some(9)));
        let second = assigned(&back);
        assert_eq!(second.lease, Lease(2));
        assert_eq!(second.assigned.unwrap().lease, Lease(2));
    }

    #[test]
    fn a_retry_by_a_person_begins_with_fresh_tries_and_a_higher_lease() {
        let mut failed = assigned(&task());
        failed.state = State::Failed;
        failed.tries = 3;
        let again = retry(&failed).unwrap();
        assert_eq!((again.state, again.tries), (State::Submitted, 0));
        assert_eq!(assigned(&again).lease, Lease(2));
    }

    #[test]
    fn a_result_ends_the_task_and_says_whose_it_is() {
        let held = assigned(&task());
        let result = TaskResult {
            task: held.id.clone(),
            payload_hash: held.payload_hash.clone(),
            outcome: Outcome::Succeeded { body: Body::Inline("{}".into()) },
            lease: Lease(1),
            agent: "desk".parse().unwrap(),
            session: SessionId::from_random(1),
            tries: 2,
            started: 1,
            finished: 2,
            raw_artifact: None,
        };
        let done = finish(&held, &result).unwrap();
        assert_eq!((done.state, done.tries), (State::Succeeded, 2));
        assert_eq!(done.result_hash, Some(result.hash()));
        assert!(finish(&done, &result).is_err());
    }

    #[test]
    fn a_reason_is_cut_at_a_character() {
        let long = "ä".repeat(MAX_REASON);
        let cut = cancel(&task(), long).unwrap().reason;
        assert!(cut.len() <= MAX_REASON + '…'.len_utf8() && cut.ends_with('…'));
    }
}
