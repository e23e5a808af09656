//! How a task ended, and the document that says so.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::{AgentName, Lease, SessionId, State, TaskId, UnixMs};

/// The end of a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// It has a result.
    Succeeded {
        /// The result.
        body: Body,
    },
    /// It failed for good; the reason is for people.
    Failed {
        /// What went wrong and what to do next.
        reason: String,
    },
}

/// A result: in place, or an artifact's name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Body {
    /// A JSON text.
    Inline(String),
    /// The id of an artifact that holds the JSON text.
    Artifact {
        /// Its id.
        id: String,
        /// Its size in bytes.
        size: u64,
    },
}

/// What is pushed for one finished task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskResult {
    /// Of which task.
    pub task: TaskId,
    /// SHA-256 of the task's type, payload and digest: a result is adopted only for the same work.
    pub payload_hash: String,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// The lease under which it ran.
    pub lease: Lease,
    /// The agent that ran it.
    pub agent: AgentName,
    /// That agent's session.
    pub session: SessionId,
    /// Tries begun, this one included.
    pub tries: u32,
    /// When the last try began, by the agent's clock: for people, never compared.
    pub started: UnixMs,
    /// When it ended, by the agent's clock: for people, never compared.
    pub finished: UnixMs,
    /// The raw result before the digest, kept on the agent, also when the digest failed.
    pub raw_artifact: Option<String>,
}

impl TaskResult {
    /// The state that this result puts its task in.
    pub fn state(&self) -> State {
        match self.outcome {
            Outcome::Succeeded { .. } => State::Succeeded,
            Outcome::Failed { .. } => State::Failed,
        }
    }

    /// Whether it is a success.
    pub fn is_success(&self) -> bool {
        matches!(self.outcome, Outcome::Succeeded { .. })
    }

    /// SHA-256 of the outcome in hexadecimal: two pushes of the same result have the same hash, whoever applied it.
    pub fn hash(&self) -> String {
        let mut hash = Sha256::new();
        let (tag, text) = match &self.outcome {
            Outcome::Succeeded { body: Body::Inline(text) } => ("inline", text),
            Outcome::Succeeded { body: Body::Artifact { id, .. } } => ("artifact", id),
            Outcome::Failed { reason } => ("failed", reason),
        };
        hash.update(tag.as_bytes());
        hash.update([0]);
        hash.update(text.as_bytes());
        hex::encode(hash.finalize())
    }

    /// Bytes that it takes in a request, a little more rather than less.
    pub fn encoded_len(&self) -> usize {
        // Names, numbers and hashes beside the text; measured below 700 bytes with the longest agent name.
        const AROUND: usize = 1024;
        AROUND
            + match &self.outcome {
                Outcome::Succeeded { body: Body::Inline(text) } => text.len(),
                Outcome::Succeeded { body: Body::Artifact { id, .. } } => id.len(),
                Outcome::Failed { reason } => reason.len(),
            }
    }
}
