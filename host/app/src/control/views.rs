//! The types that travel over the control API, and nothing of how the host keeps them.
//!
//! They are also what `--json` prints, so a field is never renamed, only added.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Where a task stands; it travels by its word, such as `waiting-for-human`.
pub use buddy_router::State as TaskState;

use crate::render::units;

/// The state of the host: exactly the fields of the status dashboard.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StatusView {
    /// The agent's name.
    pub agent: String,
    /// `ONLINE`, `DRAINING`, `DISK FULL`, `PAUSED`, …, and after a colon what there is to say of it.
    pub status: String,
    /// For example `14 hours, 32 minutes`.
    pub uptime: String,
    /// Tasks that succeeded since midnight, by the computer's clock.
    pub tasks_completed_today: u64,
    /// Browser pages in use.
    pub active_browsers: u64,
    /// Results not pushed yet.
    pub pending_sync: u64,
    /// For example `6.2 GB / 16 GB`: the host with its browsers, and the computer's memory.
    pub memory_usage: String,
    /// For example `2.1 GB / 50 GB temp`: the data folder, and what it may hold.
    pub disk_usage: String,
    /// For example `32 seconds ago`, or `never`.
    pub last_sync: String,
    /// For example `45ms`; nothing without Firebase.
    pub firebase_latency: Option<String>,
}

impl StatusView {
    /// Whether tasks go on: the host neither waits for something nor is broken.
    pub fn is_working(&self) -> bool {
        let word = self.status.split(':').next().unwrap_or_default();
        matches!(word, "ONLINE" | "DRAINING")
    }
}

/// The measured facts behind a [`StatusView`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusFacts {
    /// The agent's name.
    pub agent: String,
    /// One word in capitals.
    pub status: String,
    /// Since the host started.
    pub uptime: std::time::Duration,
    /// Tasks that succeeded since midnight.
    pub tasks_completed_today: u64,
    /// Browser pages in use.
    pub active_browsers: u64,
    /// Results not pushed yet.
    pub pending_sync: u64,
    /// Bytes of memory of the host and its browsers, and of the computer.
    pub memory: (u64, u64),
    /// Bytes in the data folder, and what it may hold.
    pub disk: (u64, u64),
    /// Since the last push that succeeded.
    pub last_sync: Option<std::time::Duration>,
    /// Of the last answer of Firebase.
    pub firebase_latency: Option<std::time::Duration>,
}

impl From<StatusFacts> for StatusView {
    fn from(facts: StatusFacts) -> Self {
        Self {
            agent: facts.agent,
            status: facts.status,
            uptime: units::long_duration(facts.uptime),
            tasks_completed_today: facts.tasks_completed_today,
            active_browsers: facts.active_browsers,
            pending_sync: facts.pending_sync,
            memory_usage: format!("{} / {}", units::gigabytes(facts.memory.0), units::gigabytes(facts.memory.1)),
            disk_usage: format!("{} / {} temp", units::gigabytes(facts.disk.0), units::gigabytes(facts.disk.1)),
            last_sync: facts.last_sync.map_or_else(|| "never".to_owned(), units::ago),
            firebase_latency: facts.firebase_latency.map(|latency| format!("{}ms", latency.as_millis())),
        }
    }
}

/// How far a run is, by its own account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgressView {
    /// Steps done.
    pub done: u64,
    /// Steps in all, when known.
    pub total: Option<u64>,
    /// What it is doing.
    pub message: Option<String>,
}

/// A question that waits for a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QuestionView {
    /// Its name within the task.
    pub key: String,
    /// The question.
    pub text: String,
    /// The answers to choose from; empty when any text is one.
    pub choices: Vec<String>,
}

/// One task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskView {
    /// Its full id.
    pub id: String,
    /// Its type.
    pub r#type: String,
    /// Where it stands.
    pub state: TaskState,
    /// Why it stands there, in one sentence.
    pub reason: Option<String>,
    /// The try that runs or ran last, counted from 1; 0 before the first.
    pub attempt: u32,
    /// Tries before it is given up.
    pub max_attempts: u32,
    /// Higher goes first.
    pub priority: i32,
    /// The agent that holds it.
    pub agent: Option<String>,
    /// When it was taken in.
    pub created: Timestamp,
    /// When it last changed.
    pub updated: Timestamp,
    /// When its last try started.
    pub started: Option<Timestamp>,
    /// When it became final.
    pub finished: Option<Timestamp>,
    /// How far it is.
    pub progress: Option<ProgressView>,
    /// What went wrong last, in the plugin's or the host's words.
    pub error: Option<String>,
    /// The question it waits for.
    pub question: Option<QuestionView>,
    /// The task type that digests its result, when it has one.
    pub digest: Option<String>,
    /// Where the full result lies on this computer; of a task whose digest failed, the raw one.
    pub result_location: Option<String>,
}

/// Which tasks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskFilter {
    /// In this state only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<TaskState>,
    /// Of this type only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#type: Option<String>,
    /// At most so many; the server's default is 50, its bound 1000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u32>,
}

/// A step that shrinks the result before it is pushed.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DigestRequest {
    /// The task type that does it.
    pub r#type: String,
    /// Its input.
    pub input: Box<RawValue>,
}

/// A task to take in. Inputs travel as the JSON text they were given, so that no number changes on the way.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    /// The task type.
    pub r#type: String,
    /// Its input.
    pub input: Box<RawValue>,
    /// The step that shrinks its result.
    #[serde(default)]
    pub digest: Option<DigestRequest>,
    /// Submitted again under the same key, the first task is the answer.
    #[serde(default)]
    pub key: Option<String>,
    /// Higher goes first.
    #[serde(default)]
    pub priority: Option<i32>,
    /// Tries before it is given up.
    #[serde(default)]
    pub max_attempts: Option<u32>,
    /// Somebody waits: its result is pushed at once, not with the next batch.
    #[serde(default)]
    pub waits: bool,
}

/// What became of a submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitReply {
    /// The task.
    pub id: String,
    /// Where it stands.
    pub state: TaskState,
    /// `false` when a task of the same key and payload was there already.
    pub created: bool,
}

/// One line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Its number within the task, rising.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// `error`, `warn`, `info`, `debug` or `trace`.
    pub level: String,
    /// What.
    pub message: String,
}

/// What a finished task gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ResultView {
    /// The task.
    pub id: String,
    /// How it ended.
    pub state: TaskState,
    /// The result, or its digest when it has one; nothing when it failed or the result is too large to travel.
    pub data: Option<Box<RawValue>>,
    /// Whether `data` is the digest.
    pub digested: bool,
    /// Where the full result lies on this computer; of a task whose digest failed, the raw one.
    pub location: Option<String>,
    /// Bytes of the full result.
    pub bytes: Option<u64>,
    /// Why there is none.
    pub error: Option<String>,
}

/// One kind of task that a plugin does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskTypeView {
    /// Its name.
    pub name: String,
    /// What it does.
    pub summary: String,
    /// An input that works, as JSON text.
    pub example: String,
}

/// A capability that a plugin asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedView {
    /// Its name.
    pub capability: String,
    /// What exactly.
    pub scopes: Vec<String>,
    /// Why, in the plugin's words.
    pub reason: String,
    /// Whether the owner granted it, all or in part.
    pub granted: bool,
}

/// One plugin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginView {
    /// Its name; the file's name while it cannot be loaded.
    pub name: String,
    /// Its version.
    pub version: String,
    /// `ready`; `refused`, when another file has its name; or `broken`.
    pub state: String,
    /// Why it is not ready, or may not run what it can.
    pub reason: Option<String>,
    /// What it does.
    pub summary: String,
    /// Its file.
    pub file: String,
    /// The file's SHA-256 in hexadecimal.
    pub sha256: String,
    /// What it can do.
    pub task_types: Vec<TaskTypeView>,
    /// What it asks for.
    pub asked: Vec<AskedView>,
    /// What the owner granted: capability → scopes, `*` meaning all of it.
    pub grants: BTreeMap<String, Vec<String>>,
}

/// How to stop.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StopRequest {
    /// Interrupt what runs.
    #[serde(default)]
    pub now: bool,
}

/// An answer to a question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnswerRequest {
    /// The question's name within the task.
    pub key: String,
    /// The answer.
    pub answer: String,
}
