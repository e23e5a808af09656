//! Names of tasks, agents, sessions and process starts.
//!
//! A task's id is 32 lower-case hexadecimal digits: the first half of a SHA-256 of (client, idempotency key) when the
//! submitter gave a key, so that the same submission is the same document wherever it is created; else 128 random
//! bits. People may type any prefix of at least [`MIN_PREFIX`] digits that fits one task only.

use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Hexadecimal digits of a task id: 128 bits, so that a billion random ids collide with a chance below 1e-20.
pub const TASK_ID_LEN: usize = 32;

/// The shortest prefix that is looked up: fewer digits fit too many tasks to be meant.
pub const MIN_PREFIX: usize = 4;

/// Digits that are shown to people.
pub const SHORT_LEN: usize = 8;

/// Longest name of an agent, in bytes: it is part of document paths and of file names.
pub const MAX_AGENT_NAME: usize = 128;

/// Why a text is no id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not 32 lower-case hexadecimal digits.
    #[error("`{0}` is not a task id: an id has {TASK_ID_LEN} hexadecimal digits")]
    NotATaskId(String),
    /// Empty, too long, or with a character that document paths do not take.
    #[error(
        "`{0}` is not an agent name: use 1 to {MAX_AGENT_NAME} letters, digits, `-`, `_`, `.` or a space, and at most one `/`"
    )]
    NotAnAgentName(String),
    /// Not 32 lower-case hexadecimal digits.
    #[error("`{0}` is not a session: a session has {TASK_ID_LEN} hexadecimal digits")]
    NotASession(String),
}

fn is_hex_128(text: &str) -> bool {
    text.len() == TASK_ID_LEN && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The name of a task.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TaskId(String);

impl TaskId {
    /// The id of the task that `client` submits under the idempotency key `key`: always the same.
    ///
    /// The client's length goes into the hash, so that ("ab", "c") and ("a", "bc") differ.
    pub fn from_key(client: &str, key: &str) -> Self {
        let mut hash = Sha256::new();
        hash.update((client.len() as u64).to_be_bytes());
        hash.update(client.as_bytes());
        hash.update(key.as_bytes());
        Self(hex::encode(&hash.finalize()[..TASK_ID_LEN / 2]))
    }

    /// An id of 128 random bits.
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..SHORT_LEN]
    }
}

impl TryFrom<String> for TaskId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        if is_hex_128(&text) { Ok(Self(text)) } else { Err(IdError::NotATaskId(text)) }
    }
}

impl std::str::FromStr for TaskId {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<TaskId> for String {
    fn from(id: TaskId) -> Self {
        id.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a prefix names no task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PrefixError {
    /// Too short, or not hexadecimal.
    #[error("`{0}` is not a task id or the beginning of one: give at least {MIN_PREFIX} hexadecimal digits")]
    Malformed(String),
    /// Nothing fits.
    #[error("no task has an id that begins with `{0}`: `buddy-host task list` shows the tasks")]
    NotFound(String),
    /// More than one fits.
    #[error("`{prefix}` fits {} tasks ({}): give more digits", candidates.len(), list(candidates))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// The first few that fit.
        candidates: Vec<TaskId>,
    },
}

fn list(candidates: &[TaskId]) -> String {
    let mut shown: Vec<&str> = candidates.iter().take(3).map(TaskId::as_str).collect();
    if candidates.len() > shown.len() {
        shown.push("…");
    }
    shown.join(", ")
}

/// Checks what a person typed for a task, before anything is looked up.
pub fn check_prefix(prefix: &str) -> Result<(), PrefixError> {
    let fits = (MIN_PREFIX..=TASK_ID_LEN).contains(&prefix.len())
        && prefix.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if fits { Ok(()) } else { Err(PrefixError::Malformed(prefix.to_owned())) }
}

/// The one task whose id begins with `prefix`, among ids in any order.
pub fn resolve_prefix<'a>(prefix: &str, ids: impl IntoIterator<Item = &'a TaskId>) -> Result<TaskId, PrefixError> {
    check_prefix(prefix)?;
    let mut candidates: Vec<TaskId> = ids.into_iter().filter(|id| id.as_str().starts_with(prefix)).cloned().collect();
    candidates.sort();
    candidates.dedup();
    match candidates.len() {
        0 => Err(PrefixError::NotFound(prefix.to_owned())),
        1 => Ok(candidates.remove(0)),
        _ => Err(PrefixError::Ambiguous { prefix: prefix.to_owned(), candidates }),
    }
}

/// The name of an agent: of a desktop, or `NAME/INSTANCE` of a cloud instance.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AgentName(String);

impl AgentName {
    /// The whole name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for AgentName {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        let character = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | ' ');
        let part = |part: &str| {
            !part.is_empty()
                && part.chars().all(character)
                && part.trim() == part
                && part != "."
                && part != ".."
                // Firestore keeps names that begin and end with two underscores for itself.
                && !(part.starts_with("__") && part.ends_with("__"))
        };
        let fits = text.len() <= MAX_AGENT_NAME && text.split('/').count() <= 2 && text.split('/').all(part);
        if fits { Ok(Self(text)) } else { Err(IdError::NotAnAgentName(text)) }
    }
}

impl std::str::FromStr for AgentName {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        Self::try_from(text.to_owned())
    }
}

impl From<AgentName> for String {
    fn from(name: AgentName) -> Self {
        name.0
    }
}

impl fmt::Display for AgentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Born with a buffer folder and living as long as it: a process restarted on the same buffer has the same session,
/// and so goes on with its leases and checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionId(String);

impl SessionId {
    /// A session of 128 random bits.
    pub fn from_random(bits: u128) -> Self {
        Self(format!("{bits:032x}"))
    }

    /// The whole session.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for SessionId {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        if is_hex_128(&text) { Ok(Self(text)) } else { Err(IdError::NotASession(text)) }
    }
}

impl From<SessionId> for String {
    fn from(session: SessionId) -> Self {
        session.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Random per process start: tells two processes on one session apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BootId(pub u64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_same_client_and_key_give_the_same_id_and_others_do_not() {
        assert_eq!(TaskId::from_key("web", "order-1"), TaskId::from_key("web", "order-1"));
        assert_ne!(TaskId::from_key("web", "order-1"), TaskId::from_key("web", "order-2"));
        assert_ne!(TaskId::from_key("ab", "c"), TaskId::from_key("a", "bc"));
    }

    #[test]
    fn agent_names_that_would_break_a_document_path_are_refused() {
        for bad in ["", "a//b", "a/b/c", "..", "a/..", "__x__", " a", "a\n", "a\u{0}"] {
            assert!(AgentName::try_from(bad.to_owned()).is_err(), "{bad:?}");
        }
        for good in ["Buddy-Local-Desktop", "cloud/instance-7", "Küche 2"] {
            assert!(AgentName::try_from(good.to_owned()).is_ok(), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn a_prefix_finds_its_task_exactly_when_it_is_unambiguous(bits in proptest::collection::vec(any::<u128>(), 1..40), pick in any::<prop::sample::Index>(), len in MIN_PREFIX..=TASK_ID_LEN) {
            let ids: Vec<TaskId> = bits.iter().map(|bits| TaskId::from_random(*bits)).collect();
            let wanted = pick.get(&ids);
            let prefix = &wanted.as_str()[..len];
            let fits: std::collections::BTreeSet<_> = ids.iter().filter(|id| id.as_str().starts_with(prefix)).collect();
            match resolve_prefix(prefix, &ids) {
                Ok(found) => { prop_assert_eq!(&found, wanted); prop_assert_eq!(fits.len(), 1); }
                Err(PrefixError::Ambiguous { candidates, .. }) => prop_assert_eq!(candidates.len(), fits.len()),
                Err(other) => prop_assert!(false, "{}", other),
            }
        }

        #[test]
        fn any_text_is_an_id_or_an_error_and_never_a_panic(text in ".{0,64}") {
            let _ = text.parse::<TaskId>();
            let _ = text.parse::<AgentName>();
            let _ = check_prefix(&text);
        }

        #[test]
        fn ids_survive_json(bits in any::<u128>()) {
            let id = TaskId::from_random(bits);
            let text = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<TaskId>(&text).unwrap(), id);
        }
    }
}
