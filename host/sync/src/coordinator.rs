//! The contract between a host and the place where hosts meet.

use std::time::Duration;

use async_trait::async_trait;
use buddy_router::{
    Agent, AgentName, BootId, PrefixError, SessionId, State, Submission, SubmitConflict, Task, TaskId, TaskResult,
    UnixMs,
};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// The version of a document: what a fenced write is conditional on. Rises with every write of the document.
///
/// The embedded coordinator counts; Firestore's is the document's `update_time` in nanoseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Version(pub u64);

/// A document and the version it was read at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The document.
    pub value: T,
    /// Its version.
    pub version: Version,
}

/// Why the coordinator did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum CoordinatorError {
    /// It cannot be reached, or did not answer; whether a write landed is unknown.
    #[error("the coordinator did not answer: {0}")]
    Unreachable(String),
    /// It refuses, and will refuse again: permissions, a wrong project, an invalid document.
    #[error("the coordinator refuses: {0}")]
    Refused(String),
    /// A stored document cannot be read.
    #[error("the document {key} cannot be read ({reason}): it was written by another version, or is damaged")]
    Damaged {
        /// Which.
        key: String,
        /// What the decoder says.
        reason: String,
    },
    /// The same idempotency key with another payload.
    #[error(transparent)]
    Conflict(#[from] SubmitConflict),
    /// What a person typed names no task.
    #[error(transparent)]
    Prefix(#[from] PrefixError),
    /// The local store under the embedded coordinator failed.
    #[error(transparent)]
    Store(#[from] buddy_buffer::BufferError),
}

/// Why a fenced write did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The document changed since it was read, or is gone: read again and decide again.
    #[error("the document changed meanwhile")]
    Changed,
    /// Everything else.
    #[error(transparent)]
    Other(#[from] CoordinatorError),
}

/// Why a beat did not happen.
#[derive(Debug, thiserror::Error)]
pub enum BeatError {
    /// The document is not as this process left it: read it back (`buddy_router::heartbeat::on_read_back`).
    #[error("another process wrote the heartbeat of this agent")]
    Changed,
    /// Everything else; the beat may have landed.
    #[error(transparent)]
    Other(#[from] CoordinatorError),
}

/// A finished task on its way, with the version of the task document that its agent knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushItem {
    /// The result.
    pub result: TaskResult,
    /// The precondition of the task document.
    pub expected: Version,
}

/// Why a batch was not applied. It is applied whole or not at all.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The task document of this item changed: only this item needs to be read again.
    #[error("the task of item {index} changed meanwhile")]
    Changed {
        /// Its place in the batch.
        index: usize,
    },
    /// Some precondition failed, and the service does not say which.
    #[error("a task of the batch changed meanwhile")]
    SomeChanged,
    /// The service refuses the batch for good; some item is at fault.
    #[error("the batch was refused: {reason}")]
    Refused {
        /// In the service's words.
        reason: String,
    },
    /// No answer: it may have landed or not.
    #[error("no answer to a batch: {reason}")]
    Unknown {
        /// In the client's words.
        reason: String,
    },
    /// It surely did not land, and may later.
    #[error("the batch could not be sent: {reason}")]
    Later {
        /// In the client's words.
        reason: String,
    },
}

/// An applied batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The new versions of the task documents, in the batch's order.
    pub versions: Vec<Version>,
}

/// An agent as the coordinator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its heartbeat document.
    pub agent: Agent,
    /// The document's version.
    pub version: Version,
    /// When it last beat, by the coordinator's clock.
    pub updated: UnixMs,
    /// When it was read, by the same clock.
    pub read: UnixMs,
}

impl Seen {
    /// How long it has been silent.
    pub fn silent(&self) -> Duration {
        Duration::from_millis(self.read.saturating_sub(self.updated))
    }
}

/// What an agent hears of its assignments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AssignmentEvent {
    /// Everything it holds now: after start, a gap, a new listener. What is not in it is no longer its.
    Snapshot(Vec<Versioned<Task>>),
    /// One task was assigned to it, or changed while it holds it.
    Held(Box<Versioned<Task>>),
    /// It no longer holds this task: it was cancelled, ended or given to another.
    Lost(TaskId),
}

/// The stream of an agent's assignments. It ends when the coordinator closes; a new one begins with a snapshot.
pub type Assignments = mpsc::Receiver<AssignmentEvent>;

/// Which tasks to list, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskQuery {
    /// In this state only.
    pub state: Option<State>,
    /// Of this type only.
    pub task_type: Option<String>,
    /// In rising time of creation, so that with more tasks than `limit` those that wait longest come; else newest
    /// first.
    pub oldest_first: bool,
    /// At most so many.
    pub limit: usize,
}

/// A question of a task to a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// Whose.
    pub task: TaskId,
    /// Its name within the task.
    pub key: String,
    /// The words.
    pub text: String,
    /// Choices, when it is a choice.
    pub choices: Vec<String>,
    /// A picture beside it.
    pub picture: Option<String>,
    /// No answer counts after this moment, by the coordinator's clock.
    pub deadline: UnixMs,
    /// The answer.
    pub answer: Option<String>,
}

/// Progress and the last log lines of a run that somebody watches.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Live {
    /// Steps done.
    pub done: u64,
    /// Steps in all, when known.
    pub total: Option<u64>,
    /// What it is doing.
    pub message: String,
    /// The tail of its log.
    pub log: Vec<String>,
}

/// Something that a person is to be told. Written with the state that it tells of; delivered at least once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Of which task.
    pub task: TaskId,
    /// Under which lease.
    pub lease: buddy_router::Lease,
    /// For example `deferred`.
    pub event: String,
    /// The words.
    pub text: String,
    /// Somebody delivers it.
    pub claimed: bool,
}

impl Notice {
    /// Its document's name, and the idempotency header of its delivery.
    pub fn id(&self) -> String {
        format!("{}-{}-{}", self.task, self.lease.0, self.event)
    }
}

/// The place where hosts meet. All times it tells are its own clock's.
#[async_trait]
pub trait Coordinator: Send + Sync + 'static {
    /// Stores a task that is not there yet, routed or not, with the notice that its state calls for. Already there
    /// with the same payload: that one is the answer.
    async fn create(&self, task: Task, notice: Option<Notice>) -> Result<Submission, CoordinatorError>;

    /// One task.
    async fn task(&self, id: &TaskId) -> Result<Option<Versioned<Task>>, CoordinatorError>;

    /// The task whose id begins with this.
    async fn find(&self, prefix: &str) -> Result<TaskId, CoordinatorError>;

    /// Tasks, in the order that the query asks for.
    async fn list(&self, query: &TaskQuery) -> Result<Vec<Task>, CoordinatorError>;

    /// How many tasks succeeded at `moment` or later, by the coordinator's clock. One that was forgotten since is not
    /// counted.
    async fn succeeded_since(&self, moment: UnixMs) -> Result<u64, CoordinatorError>;

    /// The applied result of a task.
    async fn result(&self, id: &TaskId) -> Result<Option<TaskResult>, CoordinatorError>;

    /// One fenced write of a task (assign, defer, hand back, cancel, retry), with the notice that the new state
    /// calls for in the same commit.
    async fn write(&self, task: Task, expected: Version, notice: Option<Notice>) -> Result<Version, WriteError>;

    /// The agents that have a heartbeat document, alive or not.
    async fn fleet(&self) -> Result<Vec<Seen>, CoordinatorError>;

    /// A fresh read of one agent's document.
    async fn agent(&self, name: &AgentName) -> Result<Option<Seen>, CoordinatorError>;

    /// One heartbeat. `expected` is the version of this process's last beat, or of what it takes over; nothing: there
    /// must be no document yet.
    async fn beat(&self, agent: Agent, expected: Option<Version>) -> Result<Version, BeatError>;

    /// Removes the document of an agent that ends, if it is still this process's.
    async fn retire(&self, name: &AgentName, boot: BootId) -> Result<(), CoordinatorError>;

    /// What this agent holds: a snapshot, then changes.
    async fn assignments(&self, agent: &AgentName, session: &SessionId) -> Result<Assignments, CoordinatorError>;

    /// Applies results, each with its task's final state: all of the batch or nothing.
    async fn push(&self, batch: &[PushItem]) -> Result<Applied, PushError>;

    /// Whether a push costs nothing, so that results need not be collected into batches.
    fn pushes_are_free(&self) -> bool;

    /// Stores a question, or answers with the one that is there under its key.
    async fn ask(&self, question: Question) -> Result<Question, CoordinatorError>;

    /// One question.
    async fn question(&self, task: &TaskId, key: &str) -> Result<Option<Question>, CoordinatorError>;

    /// The questions of a task that have no answer yet.
    async fn open_questions(&self, task: &TaskId) -> Result<Vec<Question>, CoordinatorError>;

    /// Answers an open question; the first answer counts.
    async fn answer(&self, task: &TaskId, key: &str, answer: &str) -> Result<(), WriteError>;

    /// Somebody looks at this task until so long from now.
    async fn watch(&self, task: &TaskId, time: Duration) -> Result<(), CoordinatorError>;

    /// Whether somebody looks at it.
    async fn is_watched(&self, task: &TaskId) -> Result<bool, CoordinatorError>;

    /// Progress for those who watch.
    async fn report(&self, task: &TaskId, live: Live) -> Result<(), CoordinatorError>;

    /// The last report.
    async fn live(&self, task: &TaskId) -> Result<Option<Live>, CoordinatorError>;

    /// Notices that nobody delivers yet.
    async fn notices(&self, limit: usize) -> Result<Vec<Notice>, CoordinatorError>;

    /// Takes a notice for delivery: one of many hosts succeeds.
    async fn claim_notice(&self, id: &str) -> Result<bool, CoordinatorError>;

    /// Its clock now.
    async fn now(&self) -> Result<UnixMs, CoordinatorError>;
}
