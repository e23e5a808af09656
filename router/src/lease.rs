//! Who holds a task.
//!
//! An assignment *is* the lease: it names the agent, that agent's session and a number which only assigning writes
//! raise (a fencing token). A holder's heartbeat keeps all its leases alive; there are no renewals per task.

use serde::{Deserialize, Serialize};

use crate::{AgentName, SessionId};

/// The fencing number of an assignment: rises by one with every assignment of a task; 0 before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lease(pub u64);

impl Lease {
    /// The number of the next assignment.
    #[must_use]
    pub fn next(self) -> Self {
        // Saturating: 2^64 assignments of one task do not happen, and a wrapped number would break the fence.
        Self(self.0.saturating_add(1))
    }
}

/// The present holder of a task.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Assignment {
    /// The agent.
    pub agent: AgentName,
    /// The session of that agent that was given the task: a new buffer folder does not inherit old leases.
    pub session: SessionId,
    /// The fencing number.
    pub lease: Lease,
}
