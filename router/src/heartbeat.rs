//! One heartbeat document per agent keeps all its leases alive. What to do at start and after a beat that failed.
//!
//! Each beat is written with the precondition of the last one. The agent document carries `session` (born with the
//! buffer folder), `boot` (random per process start) and `seq`.

use std::time::Duration;

use crate::{BootId, SessionId};

/// Time between two beats, unless configured: 2,880 writes a day.
pub const INTERVAL: Duration = Duration::from_secs(30);

/// Beats that may be missed before an agent counts as dead.
pub const MISSED_BEATS: u32 = 3;

/// What stands in the agent document, with its age by the coordinator's clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Whose buffer.
    pub session: SessionId,
    /// Which process.
    pub boot: BootId,
    /// Read time − update time, both the coordinator's.
    pub age: Duration,
}

/// What a starting process may do under its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StartDecision {
    /// Write the first beat: the name is free, ours, or its owner is silent.
    TakeOver,
    /// Another session lives under this name.
    Refuse {
        /// How long ago it was last seen.
        seen: Duration,
    },
}

/// Decides at start.
pub fn on_start(own: &SessionId, standing: Option<&Standing>, interval: Duration) -> StartDecision {
    match standing {
        Some(other) if other.session != *own && other.age < interval * MISSED_BEATS => {
            StartDecision::Refuse { seen: other.age }
        }
        _ => StartDecision::TakeOver,
    }
}

/// What a process does when its beat failed or the answer was lost and the document was read back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BeatDecision {
    /// The beat had landed: take the document's update time and go on.
    GoOn,
    /// Another process of this session is younger: this one stops.
    StopOlder,
    /// Another session took the name over while this one was silent.
    StopReplaced,
    /// The document is gone: write a new one.
    WriteAnew,
}

/// Decides after a read back.
pub fn on_read_back(own_session: &SessionId, own_boot: BootId, standing: Option<&Standing>) -> BeatDecision {
    match standing {
        None => BeatDecision::WriteAnew,
        Some(there) if there.session != *own_session => BeatDecision::StopReplaced,
        Some(there) if there.boot != own_boot => BeatDecision::StopOlder,
        Some(_) => BeatDecision::GoOn,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(session: u128, boot: u64, age: u64) -> Standing {
        Standing { session: SessionId::from_random(session), boot: BootId(boot), age: Duration::from_secs(age) }
    }

    #[test]
    fn a_name_is_taken_over_when_free_own_or_silent_and_refused_otherwise() {
        let own = SessionId::from_random(1);
        let cases = [
            (None, true),
            (Some(standing(1, 5, 0)), true),
            (Some(standing(2, 5, 89)), false),
            (Some(standing(2, 5, 90)), true),
        ];
        for (there, taken) in cases {
            let decision = on_start(&own, there.as_ref(), INTERVAL);
            assert_eq!(decision == StartDecision::TakeOver, taken, "{there:?}");
        }
    }

    #[test]
    fn a_lost_answer_goes_on_and_a_younger_process_wins() {
        let own = SessionId::from_random(1);
        assert_eq!(on_read_back(&own, BootId(5), Some(&standing(1, 5, 0))), BeatDecision::GoOn);
        assert_eq!(on_read_back(&own, BootId(5), Some(&standing(1, 6, 0))), BeatDecision::StopOlder);
        assert_eq!(on_read_back(&own, BootId(5), Some(&standing(2, 6, 0))), BeatDecision::StopReplaced);
        assert_eq!(on_read_back(&own, BootId(5), None), BeatDecision::WriteAnew);
    }
}
