//! The documents of the embedded coordinator: keys and encoding.
//!
//! | key | document |
//! | --- | --- |
//! | `t/TASK` | the task |
//! | `r/TASK` | its applied result |
//! | `a/NAME` | an agent with the time of its last beat |
//! | `q/TASK/KEY` | a question |
//! | `n/ID` | a notice |
//!
//! Values are JSON: a person with a rescue tool can read them, and a field that is added needs no migration.

use buddy_buffer::{BufferError, Doc};
use buddy_router::{Agent, AgentName, TaskId, UnixMs};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{CoordinatorError, Seen, Version};

pub(super) const TASKS: &[u8] = b"t/";
pub(super) const AGENTS: &[u8] = b"a/";
pub(super) const NOTICES: &[u8] = b"n/";

pub(super) fn task_key(id: &TaskId) -> Vec<u8> {
    format!("t/{id}").into_bytes()
}

pub(super) fn result_key(id: &TaskId) -> Vec<u8> {
    format!("r/{id}").into_bytes()
}

pub(super) fn agent_key(name: &AgentName) -> Vec<u8> {
    format!("a/{name}").into_bytes()
}

pub(super) fn question_key(task: &TaskId, key: &str) -> Vec<u8> {
    format!("q/{task}/{key}").into_bytes()
}

pub(super) fn notice_key(id: &str) -> Vec<u8> {
    format!("n/{id}").into_bytes()
}

/// What the keys of a task's questions begin with.
pub(super) fn questions_of(task: &TaskId) -> Vec<u8> {
    question_key(task, "")
}

/// What the keys of a task's notices begin with: see [`crate::Notice::id`].
pub(super) fn notices_of(task: &TaskId) -> Vec<u8> {
    notice_key(&format!("{task}-"))
}

/// An agent and when it last beat.
#[derive(Serialize, Deserialize)]
pub(super) struct AgentDocument {
    pub(super) agent: Agent,
    pub(super) updated: UnixMs,
}

impl AgentDocument {
    pub(super) fn seen(self, version: u64, read: UnixMs) -> Seen {
        Seen { agent: self.agent, version: Version(version), updated: self.updated, read }
    }
}

pub(super) fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, BufferError> {
    serde_json::to_vec(value)
        .map_err(|error| BufferError::Corrupt { what: "document to be written", reason: error.to_string().into() })
}

pub(super) fn decode<T: DeserializeOwned>(doc: &Doc) -> Result<T, CoordinatorError> {
    serde_json::from_slice(&doc.value).map_err(|error| CoordinatorError::Damaged {
        key: String::from_utf8_lossy(&doc.key).into_owned(),
        reason: error.to_string(),
    })
}
