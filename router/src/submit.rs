//! Taking a task in: checks, its id, and what a second submission under the same id means.

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::task::{DEFAULT_MAX_ATTEMPTS, MAX_MAX_ATTEMPTS, MAX_PAYLOAD};
use crate::{DigestSpec, Lease, State, Task, TaskId, UnixMs};

/// Longest name of a task type, in bytes (the contract's bound).
pub const MAX_TYPE_NAME: usize = 64;

/// Longest idempotency key and client name, in bytes.
pub const MAX_KEY: usize = 256;

/// What a submitter says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewTask {
    /// Which plugin is meant.
    #[serde(rename = "type")]
    pub task_type: String,
    /// The input: a JSON text.
    pub payload: String,
    /// Who submits.
    pub client: String,
    /// The same key from the same client is the same task.
    pub idempotency_key: Option<String>,
    /// Tries at most; absent: [`DEFAULT_MAX_ATTEMPTS`].
    pub max_attempts: Option<u32>,
    /// Higher first.
    pub priority: i32,
    /// Not to be started before.
    pub not_before: Option<UnixMs>,
    /// The mission it is part of.
    pub mission: Option<String>,
    /// Its second step.
    pub digest: Option<DigestSpec>,
    /// Somebody waits for it.
    pub urgent: bool,
}

/// Why a task is not taken in. Nothing was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The type's name cannot be one.
    #[error("`{0}` is not a task type: use 1 to {MAX_TYPE_NAME} letters, digits, `_`, `-` or `.`")]
    TypeName(String),
    /// Input or digest is no JSON.
    #[error("the {what} is not JSON: {reason}")]
    NotJson {
        /// `input` or `digest input`.
        what: &'static str,
        /// What the parser says, with line and column.
        reason: String,
    },
    /// The input is too large.
    #[error(
        "the input has {size} bytes and a task takes at most {MAX_PAYLOAD}: put the data in a file or an artifact and refer to it"
    )]
    TooLarge {
        /// Its size.
        size: usize,
    },
    /// The number of tries is out of range.
    #[error("{0} attempts cannot be asked for: use 1 to {MAX_MAX_ATTEMPTS}")]
    Attempts(u32),
    /// A key or a client name is empty or too long.
    #[error("the {what} must have 1 to {MAX_KEY} bytes")]
    Key {
        /// `idempotency key` or `client name`.
        what: &'static str,
    },
}

/// The same idempotency key with another payload.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the idempotency key belongs to task {existing}, which has another type, input or digest: use a new key, or submit exactly the same task"
)]
pub struct SubmitConflict {
    /// The task that has the key.
    pub existing: TaskId,
}

/// What a submission led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The task, as it is stored now.
    pub task: Task,
    /// It was there already.
    pub existed: bool,
}

/// Whether `name` can name a task type.
pub fn is_type_name(name: &str) -> bool {
    (1..=MAX_TYPE_NAME).contains(&name.len())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
}

/// Checks a submission and makes the task of it, not routed yet. `random` is used when there is no key.
pub fn prepare(new: NewTask, now: UnixMs, random: u128) -> Result<Task, SubmitError> {
    if !is_type_name(&new.task_type) {
        return Err(SubmitError::TypeName(new.task_type));
    }
    if new.payload.len() > MAX_PAYLOAD {
        return Err(SubmitError::TooLarge { size: new.payload.len() });
    }
    check_json("input", &new.payload)?;
    if let Some(digest) = &new.digest {
        if !is_type_name(&digest.task_type) {
            return Err(SubmitError::TypeName(digest.task_type.clone()));
        }
        let size = new.payload.len() + digest.input.len();
        if size > MAX_PAYLOAD {
            return Err(SubmitError::TooLarge { size });
        }
        check_json("digest input", &digest.input)?;
    }
    let max_attempts = new.max_attempts.unwrap_or(DEFAULT_MAX_ATTEMPTS);
    if !(1..=MAX_MAX_ATTEMPTS).contains(&max_attempts) {
        return Err(SubmitError::Attempts(max_attempts));
    }
    if !(1..=MAX_KEY).contains(&new.client.len()) {
        return Err(SubmitError::Key { what: "client name" });
    }
    let id = match &new.idempotency_key {
        Some(key) if (1..=MAX_KEY).contains(&key.len()) => TaskId::from_key(&new.client, key),
        Some(_) => {
            return Err(SubmitError::Key { what: "idempotency key" });
        }
        None => TaskId::from_random(random),
    };
    Ok(Task {
        id,
        payload_hash: payload_hash(&new.task_type, &new.payload, new.digest.as_ref()),
        task_type: new.task_type,
        payload: new.payload,
        state: State::Submitted,
        reason: "taken in".to_owned(),
        assigned: None,
        lease: Lease(0),
        tries: 0,
        max_attempts,
        priority: new.priority,
        not_before: new.not_before,
        mission: new.mission,
        digest: new.digest,
        demand: None,
        urgent: new.urgent,
        client: new.client,
        result_hash: None,
        created: now,
        updated: now,
    })
}

fn check_json(what: &'static str, text: &str) -> Result<(), SubmitError> {
    // IgnoredAny: the text travels as it is, so nothing is built from it here. The parser bounds the nesting.
    serde_json::from_str::<serde::de::IgnoredAny>(text)
        .map(|_| ())
        .map_err(|error| SubmitError::NotJson { what, reason: error.to_string() })
}

/// SHA-256 over what makes two submissions the same work.
fn payload_hash(task_type: &str, payload: &str, digest: Option<&DigestSpec>) -> String {
    let mut hash = Sha256::new();
    let parts =
        [Some(task_type), Some(payload), digest.map(|digest| &*digest.task_type), digest.map(|digest| &*digest.input)];
    for part in parts {
        match part {
            Some(text) => {
                hash.update([1]);
                hash.update((text.len() as u64).to_be_bytes());
                hash.update(text.as_bytes());
            }
            None => hash.update([0]),
        }
    }
    hex::encode(hash.finalize())
}

/// What to do when a task of the new one's id is stored already: it is the answer if it is the same work.
pub fn on_existing(new: &Task, existing: Task) -> Result<Submission, SubmitConflict> {
    if existing.payload_hash == new.payload_hash {
        Ok(Submission { task: existing, existed: true })
    } else {
        Err(SubmitConflict { existing: existing.id })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn new_task(payload: &str) -> NewTask {
        NewTask {
            task_type: "web_navigate".into(),
            payload: payload.into(),
            client: "cli".into(),
            idempotency_key: Some("k".into()),
            max_attempts: None,
            priority: 0,
            not_before: None,
            mission: None,
            digest: None,
            urgent: false,
        }
    }

    #[test]
    fn the_same_key_and_payload_is_the_same_task_and_another_payload_is_a_conflict() {
        let first = prepare(new_task("{}"), 1, 7).unwrap();
        let again = prepare(new_task("{}"), 2, 8).unwrap();
        assert_eq!(first.id, again.id);
        assert!(on_existing(&again, first.clone()).unwrap().existed);
        let other = prepare(new_task("[]"), 3, 9).unwrap();
        assert_eq!(on_existing(&other, first.clone()), Err(SubmitConflict { existing: first.id }));
    }

    #[test]
    fn the_digest_is_part_of_what_is_compared() {
        let plain = prepare(new_task("{}"), 1, 7).unwrap();
        let digest = DigestSpec { task_type: "data_processing".into(), input: "{}".into() };
        let digested = prepare(NewTask { digest: Some(digest), ..new_task("{}") }, 1, 7).unwrap();
        assert_ne!(plain.payload_hash, digested.payload_hash);
    }

    #[test]
    fn what_cannot_be_a_task_is_refused_with_one_sentence() {
        let bad = [
            NewTask { task_type: "web navigate".into(), ..new_task("{}") },
            new_task("{\"urls\": [}"),
            NewTask { digest: Some(DigestSpec { task_type: "d".into(), input: "nope".into() }), ..new_task("{}") },
            NewTask { max_attempts: Some(0), ..new_task("{}") },
            NewTask { idempotency_key: Some(String::new()), ..new_task("{}") },
            new_task(&format!("\"{}\"", "x".repeat(MAX_PAYLOAD))),
        ];
        let texts: Vec<String> = bad.into_iter().map(|new| prepare(new, 1, 1).unwrap_err().to_string()).collect();
        insta::assert_snapshot!(texts.join("\n"));
    }

    proptest! {
        #[test]
        fn any_text_is_taken_in_exactly_when_it_is_json(payload in ".{0,200}") {
            let taken = prepare(new_task(&payload), 1, 1).is_ok();
            prop_assert_eq!(taken, serde_json::from_str::<serde_json::Value>(&payload).is_ok());
        }
    }
}
