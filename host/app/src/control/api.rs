//! What a running host can be asked for.

use std::fmt;

use async_trait::async_trait;
use futures::stream::BoxStream;
use serde::{Deserialize, Serialize};

use super::views::{
    AnswerRequest, LogLine, PluginView, ResultView, StatusView, SubmitReply, SubmitRequest, TaskFilter, TaskView,
};

/// The host behind the control API.
///
/// Wherever a task is named, `id` may be any unambiguous prefix: [`ErrorCode::NotFound`] when no task begins with it,
/// [`ErrorCode::Ambiguous`] when several do. A call may be dropped half-way (the caller went away), so each must be
/// safe to cancel.
#[async_trait]
pub trait HostApi: Send + Sync + 'static {
    /// The state of the host, at this moment.
    async fn status(&self) -> Result<StatusView, ApiError>;

    /// Takes a task in. It is durable when this returns.
    async fn submit(&self, request: SubmitRequest) -> Result<SubmitReply, ApiError>;

    /// Tasks, the latest first.
    async fn tasks(&self, filter: TaskFilter) -> Result<Vec<TaskView>, ApiError>;

    /// One task.
    async fn task(&self, id: &str) -> Result<TaskView, ApiError>;

    /// The log lines of a task whose number is at least `from`, oldest first, at most a bounded number of them.
    async fn logs(&self, id: &str, from: u64) -> Result<Vec<LogLine>, ApiError>;

    /// The same, and then each new line as it comes; ends when the task is final and all its lines were given.
    async fn follow(&self, id: &str, from: u64) -> Result<BoxStream<'static, LogLine>, ApiError>;

    /// The task now and after each change; ends after a final state. A slow reader may miss states in between, never
    /// the last one.
    async fn watch(&self, id: &str) -> Result<BoxStream<'static, TaskView>, ApiError>;

    /// What a finished task gave. [`ErrorCode::Conflict`] while it is not final.
    async fn result(&self, id: &str) -> Result<ResultView, ApiError>;

    /// Ends a task that is not final. Already final: that state is the answer.
    async fn cancel(&self, id: &str) -> Result<TaskView, ApiError>;

    /// Gives a failed or cancelled task new tries.
    async fn retry(&self, id: &str) -> Result<TaskView, ApiError>;

    /// Answers an open question of a task.
    async fn answer(&self, id: &str, answer: AnswerRequest) -> Result<TaskView, ApiError>;

    /// Every plugin file that was found, broken ones too.
    async fn plugins(&self) -> Result<Vec<PluginView>, ApiError>;

    /// One plugin by its name.
    async fn plugin(&self, name: &str) -> Result<PluginView, ApiError>;

    /// Begins to stop; returns at once. With `now`, running tasks are interrupted and go on at the next start; without,
    /// they are given time to finish.
    async fn stop(&self, now: bool) -> Result<(), ApiError>;
}

/// The kinds of refusal. The list grows; a client takes an unknown word as [`ErrorCode::Failed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorCode {
    /// The request or the task's input is wrong.
    Invalid,
    /// No token, or a wrong one.
    Unauthorized,
    /// Not from this computer, or from a web page.
    Forbidden,
    /// No such thing.
    NotFound,
    /// A prefix fits several tasks.
    Ambiguous,
    /// Not in this state.
    Conflict,
    /// More bytes than are accepted.
    TooLarge,
    /// Not now; later perhaps.
    Busy,
    /// Something that is needed is not there.
    Unavailable,
    /// The host could not do it.
    #[serde(other)]
    Failed,
}

/// Why the host did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApiError {
    /// The kind.
    pub code: ErrorCode,
    /// One sentence: what was wrong and where.
    pub message: String,
    /// What to do next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
}

impl ApiError {
    /// A refusal without a next step.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// The same with a next step.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// How an [`ApiError`] travels.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ErrorBody {
    pub(super) error: ApiError,
}
