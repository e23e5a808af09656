//! A task, as it is stored and as it travels.

use serde::{Deserialize, Serialize};

use crate::{Assignment, Demand, Lease, State, TaskId, UnixMs};

/// Longest payload, in bytes of JSON text: with the fields beside it, it fits the 1 MiB of a Firestore document.
pub const MAX_PAYLOAD: usize = 900 * 1024;

/// Tries before a task becomes a dead letter, unless its submitter says otherwise.
pub const DEFAULT_MAX_ATTEMPTS: u32 = 3;

/// Most tries that a submitter can ask for.
pub const MAX_MAX_ATTEMPTS: u32 = 100;

/// The second step of a task: `task_type` is run with `input` on the raw result, and only its output is pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestSpec {
    /// The task type that digests, for example `data_processing`.
    #[serde(rename = "type")]
    pub task_type: String,
    /// Its input, a JSON text in which the task reference `self` stands for the raw result.
    pub input: String,
}

/// One unit of work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Its name.
    pub id: TaskId,
    /// Which plugin runs it.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The input: a JSON text, never re-encoded, so that it arrives as it was given.
    pub payload: String,
    /// SHA-256 of type, payload and digest, in hexadecimal: tells a repeated submission from a conflicting one.
    pub payload_hash: String,
    /// Where it is in its life.
    pub state: State,
    /// Why it is there, as one sentence for people.
    pub reason: String,
    /// Who holds it.
    pub assigned: Option<Assignment>,
    /// The highest lease ever given, kept when nobody holds the task.
    pub lease: Lease,
    /// Tries begun so far.
    pub tries: u32,
    /// Tries at most.
    pub max_attempts: u32,
    /// Higher first; 0 is usual.
    pub priority: i32,
    /// Not to be started before.
    pub not_before: Option<UnixMs>,
    /// The mission it is part of.
    pub mission: Option<String>,
    /// Its second step.
    pub digest: Option<DigestSpec>,
    /// What it will probably need.
    pub demand: Option<Demand>,
    /// Somebody waits for the result: it is pushed at once, not with the next batch.
    pub urgent: bool,
    /// Who submitted it.
    pub client: String,
    /// SHA-256 of the result that was applied, in hexadecimal.
    pub result_hash: Option<String>,
    /// When it was taken in, by the coordinator's clock.
    pub created: UnixMs,
    /// When it last changed, by the coordinator's clock.
    pub updated: UnixMs,
}

impl Task {
    /// Whether another try may begin.
    pub fn has_tries_left(&self) -> bool {
        self.tries < self.max_attempts
    }
}
