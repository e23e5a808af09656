//! Taking tasks from an agent that fell silent.
//!
//! A listener's silence only raises suspicion. An agent is dead only after a *fresh* read of its document, with both
//! times the coordinator's: clocks of agents are never compared. And a dead agent's task is rewritten only when
//! another executor takes it in that same write; with no taker the document stays as it is, so that a desktop which
//! comes back just goes on.

use std::time::Duration;

use crate::heartbeat::MISSED_BEATS;
use crate::{Assignment, State, UnixMs};

/// A fresh read of an agent's document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreshRead {
    /// When it was read, by the coordinator's clock.
    pub read: UnixMs,
    /// When it was last written, by the same clock; nothing: there is no such document.
    pub updated: Option<UnixMs>,
}

/// Whether the agent is dead by this read.
pub fn is_dead(read: FreshRead, interval: Duration) -> bool {
    match read.updated {
        None => true,
        Some(updated) => {
            let silent = Duration::from_millis(read.read.saturating_sub(updated));
            silent >= interval * MISSED_BEATS
        }
    }
}

/// What happens to one task of a silent agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReapDecision {
    /// Leave the document as it is.
    Leave,
    /// One fenced write assigns it to the taker under the next lease.
    Reassign(Assignment),
}

/// Decides it. `taker` is who the router found, already carrying the next lease.
pub fn on_suspect(state: State, holder: FreshRead, interval: Duration, taker: Option<Assignment>) -> ReapDecision {
    match taker {
        Some(taker) if state.is_held() && is_dead(holder, interval) => ReapDecision::Reassign(taker),
        _ => ReapDecision::Leave,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{Lease, SessionId};

    fn taker() -> Assignment {
        Assignment { agent: "cloud/1".parse().unwrap(), session: SessionId::from_random(9), lease: Lease(2) }
    }

    const INTERVAL: Duration = Duration::from_secs(30);

    #[test]
    fn without_a_taker_a_dead_agents_task_stays_as_it_is() {
        let dead = FreshRead { read: 1_000_000, updated: Some(0) };
        assert_eq!(on_suspect(State::Assigned, dead, INTERVAL, None), ReapDecision::Leave);
        assert_eq!(on_suspect(State::Assigned, dead, INTERVAL, Some(taker())), ReapDecision::Reassign(taker()));
    }

    #[test]
    fn a_task_that_ended_meanwhile_is_left() {
        let dead = FreshRead { read: 1_000_000, updated: None };
        assert_eq!(on_suspect(State::Succeeded, dead, INTERVAL, Some(taker())), ReapDecision::Leave);
    }

    proptest! {
        #[test]
        fn q8_only_the_difference_of_the_coordinators_own_times_counts(updated in 0u64..1_000_000_000_000, silent in 0u64..1_000_000) {
            let read = FreshRead { read: updated + silent, updated: Some(updated) };
            prop_assert_eq!(is_dead(read, INTERVAL), silent >= 90_000);
        }

        #[test]
        fn a_read_time_before_the_update_is_life_not_death(read in 0u64..1000, ahead in 1u64..1000) {
            let read = FreshRead { read, updated: Some(read + ahead) };
            prop_assert!(!is_dead(read, INTERVAL));
        }
    }
}
