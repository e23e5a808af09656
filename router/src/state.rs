//! The states of a task and the only steps between them.
//!
//! ```text
//! submitted ──► assigned ──► running ──► succeeded
//!    │  │         ▲  ▲ ▲       │  │ └──► failed ──► submitted (a person's retry)
//!    │  └► rejected │ │ └──────┘  └────► waiting-for-human ──► running
//!    └──► deferred ─┘ └── backing-off ◄── running
//! cancelled: from every state that is not final
//! ```
//!
//! Every change of a state in this repository goes through [`State::after`].

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a task is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// Taken in, not routed yet.
    Submitted,
    /// Nobody can take it now: it waits for a desktop.
    Deferred,
    /// An agent holds its lease and will run it.
    Assigned,
    /// A try is under way.
    Running,
    /// The last try failed; the next begins later.
    BackingOff,
    /// A try waits for a person's answer.
    WaitingForHuman,
    /// Done; its result is stored.
    Succeeded,
    /// Failed for good, or its tries are used up: a dead letter.
    Failed,
    /// Stopped by a person.
    Cancelled,
    /// Its input can never work.
    Rejected,
}

/// What can happen to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Event {
    /// Its input was refused.
    Reject,
    /// No agent can take it now.
    Defer,
    /// An agent was given its lease: the first one, or another after the holder fell silent or handed it back.
    Assign,
    /// A try begins.
    Start,
    /// The try failed and will be repeated.
    BackOff,
    /// The try asks a person.
    Ask,
    /// The person answered, or the question's time is over.
    Answer,
    /// The holder gives it back: a drain, a long wait, a type it does not have.
    HandBack,
    /// The try is over and did not fail by itself: its host stopped or ended, it found no memory, or it kept what it had
    /// done and goes on from there.
    Interrupt,
    /// The try succeeded.
    Succeed,
    /// A success was applied by the coordinator, which is not told of starts and may adopt a late one.
    Apply,
    /// The try failed for good.
    Fail,
    /// A person cancels it.
    Cancel,
    /// A person tries a dead letter or a cancelled task again.
    Retry,
}

/// A step that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {from} cannot {event}")]
pub struct IllegalTransition {
    /// The present state.
    pub from: State,
    /// What was to happen.
    pub event: Event,
}

impl State {
    /// Every state, in the order of the life above.
    pub const ALL: [Self; 10] = [
        Self::Submitted,
        Self::Deferred,
        Self::Assigned,
        Self::Running,
        Self::BackingOff,
        Self::WaitingForHuman,
        Self::Succeeded,
        Self::Failed,
        Self::Cancelled,
        Self::Rejected,
    ];

    /// The state after `event`: the one table of allowed steps.
    pub fn after(self, event: Event) -> Result<Self, IllegalTransition> {
        use State as S;
        let illegal = IllegalTransition { from: self, event };
        let held = matches!(self, S::Assigned | S::Running | S::BackingOff | S::WaitingForHuman);
        match event {
            Event::Reject if self == S::Submitted => Ok(S::Rejected),
            Event::Defer if self == S::Submitted || held => Ok(S::Deferred),
            Event::Assign if matches!(self, S::Submitted | S::Deferred) || held => Ok(S::Assigned),
            Event::Start if matches!(self, S::Assigned | S::BackingOff) => Ok(S::Running),
            Event::BackOff if self == S::Running => Ok(S::BackingOff),
            Event::Ask if self == S::Running => Ok(S::WaitingForHuman),
            Event::Answer if self == S::WaitingForHuman => Ok(S::Running),
            Event::HandBack if held => Ok(S::Submitted),
            Event::Interrupt if matches!(self, S::Running | S::WaitingForHuman) => Ok(S::Assigned),
            Event::Succeed if self == S::Running => Ok(S::Succeeded),
            Event::Apply if !self.is_final() => Ok(S::Succeeded),
            // A task whose tries are used up fails without another start.
            Event::Fail if matches!(self, S::Assigned | S::Running | S::BackingOff) => Ok(S::Failed),
            Event::Cancel if !self.is_final() => Ok(S::Cancelled),
            Event::Retry if matches!(self, S::Failed | S::Cancelled) => Ok(S::Submitted),
            _ => Err(illegal),
        }
    }

    /// Whether nothing more happens by itself.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled | Self::Rejected)
    }

    /// Whether an agent holds the task's lease.
    pub fn is_held(self) -> bool {
        matches!(self, Self::Assigned | Self::Running | Self::BackingOff | Self::WaitingForHuman)
    }

    /// The word that is stored and shown.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Submitted => "submitted",
            Self::Deferred => "deferred",
            Self::Assigned => "assigned",
            Self::Running => "running",
            Self::BackingOff => "backing-off",
            Self::WaitingForHuman => "waiting-for-human",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Rejected => "rejected",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reject => "be rejected",
            Self::Defer => "be deferred",
            Self::Assign => "be assigned",
            Self::Start => "start",
            Self::BackOff => "back off",
            Self::Ask => "ask a person",
            Self::Answer => "be answered",
            Self::HandBack => "be handed back",
            Self::Interrupt => "be interrupted",
            Self::Succeed => "succeed",
            Self::Apply => "take a result",
            Self::Fail => "fail",
            Self::Cancel => "be cancelled",
            Self::Retry => "be retried",
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const EVENTS: [Event; 14] = [
        Event::Reject,
        Event::Defer,
        Event::Assign,
        Event::Start,
        Event::BackOff,
        Event::Ask,
        Event::Answer,
        Event::HandBack,
        Event::Interrupt,
        Event::Succeed,
        Event::Apply,
        Event::Fail,
        Event::Cancel,
        Event::Retry,
    ];

    #[test]
    fn every_allowed_step_is_the_documented_one() {
        let table: Vec<String> = State::ALL
            .into_iter()
            .flat_map(|from| EVENTS.into_iter().map(move |event| (from, event)))
            .filter_map(|(from, event)| Some(format!("{from} --{event:?}--> {}", from.after(event).ok()?)))
            .collect();
        insta::assert_snapshot!(table.join("\n"));
    }

    #[test]
    fn nothing_leaves_a_final_state_but_a_persons_retry() {
        for from in State::ALL.into_iter().filter(|state| state.is_final()) {
            for event in EVENTS {
                let retried = event == Event::Retry && matches!(from, State::Failed | State::Cancelled);
                assert_eq!(from.after(event).is_ok(), retried, "{from} {event:?}");
            }
        }
    }

    #[test]
    fn an_illegal_step_says_what_was_tried_on_what() {
        let error = State::Succeeded.after(Event::Cancel).unwrap_err();
        assert_eq!(error.to_string(), "a task that is succeeded cannot be cancelled");
    }

    proptest! {
        #[test]
        fn every_walk_that_is_not_final_can_still_be_cancelled_and_can_still_succeed(steps in proptest::collection::vec(0..EVENTS.len(), 0..60)) {
            let mut state = State::Submitted;
            for step in steps {
                if let Ok(next) = state.after(EVENTS[step]) { state = next; }
            }
            if !state.is_final() {
                prop_assert_eq!(state.after(Event::Cancel), Ok(State::Cancelled));
                // Some road leads from here to a success.
                let road: &[Event] = match state {
                    State::Submitted | State::Deferred => &[Event::Assign, Event::Start, Event::Succeed],
                    State::Assigned | State::BackingOff => &[Event::Start, Event::Succeed],
                    State::WaitingForHuman => &[Event::Answer, Event::Succeed],
                    _ => &[Event::Succeed],
                };
                let end = road.iter().try_fold(state, |state, event| state.after(*event));
                prop_assert_eq!(end, Ok(State::Succeeded));
            }
        }
    }
}
