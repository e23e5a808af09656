//! What came of a run.

use crate::wit::types;
use std::fmt;
use std::time::Duration;

/// One fault of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// JSON Pointer to the value at fault; empty for the whole input.
    pub path: String,
    /// What is wrong, as a sentence or half of one.
    pub message: String,
}

impl From<types::Invalid> for Fault {
    fn from(fault: types::Invalid) -> Self {
        Self { path: fault.path, message: fault.message }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.is_empty() { f.write_str(&self.message) } else { write!(f, "{}: {}", self.path, self.message) }
    }
}

/// Why a run has no result. Each message is one sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The input can never work, by the schema or by the plugin's own word.
    #[error("The input is invalid: {}", Faults(.0))]
    InvalidInput(Vec<Fault>),
    /// The plugin says that it may work later.
    #[error("{message}")]
    Retryable {
        /// The plugin's own words.
        message: String,
        /// Earliest moment for the next try, from now.
        after: Option<Duration>,
    },
    /// The plugin says that it will not work.
    #[error("{0}")]
    Permanent(String),
    /// It was stopped at its deadline.
    #[error("The task was stopped at its deadline, after {}.", Seconds(*.0))]
    Deadline(Duration),
    /// It computed for too long.
    #[error("The task was stopped because it computed for more than {}.", Seconds(*.0))]
    CpuBudget(Duration),
    /// Somebody cancelled it.
    #[error("The task was cancelled.")]
    Cancelled,
    /// The host stops.
    #[error("The host is shutting down.")]
    Shutdown,
    /// The plugin crashed or broke a bound; the sentence says how.
    #[error("{0}")]
    Trapped(String),
    /// All plugins together hold what they may, and this one needed more: the host's own sentence. The try failed for what
    /// others hold, so it should not be counted against the task.
    #[error("{0}")]
    NoMemory(String),
    /// The plugin returned what is no result.
    #[error("{0}")]
    BadOutput(String),
    /// The plugin does no such tasks.
    #[error("plugin {plugin} has no task type `{task_type}`{}", Instead(task_type, .known))]
    UnknownTaskType {
        /// What was asked for.
        task_type: String,
        /// Who was asked.
        plugin: String,
        /// What it has.
        known: Vec<String>,
    },
    /// The host could not make an instance.
    #[error("The host could not start the plugin: {0}.")]
    Host(String),
}

impl Failure {
    /// Whether another try may succeed. Crashes and broken bounds come from the plugin and its input, which stay the
    /// same; a deadline may have been the network's fault, and memory that others hold comes back. `Cancelled` and
    /// `Shutdown` are no failures of the task: the caller decides what they mean.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Retryable { .. } | Self::Deadline(_) | Self::NoMemory(_) | Self::Host(_))
    }

    /// A short word for machines.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidInput(_) => "invalid-input",
            Self::Retryable { .. } => "retryable",
            Self::Permanent(_) => "permanent",
            Self::Deadline(_) => "deadline",
            Self::CpuBudget(_) => "cpu-budget",
            Self::Cancelled => "cancelled",
            Self::Shutdown => "shutdown",
            Self::Trapped(_) => "trapped",
            Self::NoMemory(_) => "no-memory",
            Self::BadOutput(_) => "bad-output",
            Self::UnknownTaskType { .. } => "unknown-task-type",
            Self::Host(_) => "host",
        }
    }
}

/// Bytes of a plugin's own failure message that are kept.
const MAX_MESSAGE: usize = 4_000;

/// Faults of a plugin's own refusal that are kept.
const MAX_FAULTS: usize = 100;

impl From<types::Failure> for Failure {
    fn from(failure: types::Failure) -> Self {
        let short = |text: String| crate::text::shorten(&text, MAX_MESSAGE);
        match failure {
            types::Failure::InvalidInput(faults) => Self::InvalidInput(
                faults
                    .into_iter()
                    .take(MAX_FAULTS)
                    .map(|fault| Fault { path: short(fault.path), message: short(fault.message) })
                    .collect(),
            ),
            types::Failure::Retryable(retry) => {
                Self::Retryable { message: short(retry.message), after: retry.after_ms.map(Duration::from_millis) }
            }
            types::Failure::Permanent(message) => Self::Permanent(short(message)),
        }
    }
}

/// What a run used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Usage {
    /// From start to end.
    pub wall: Duration,
    /// Time computed, by the plugin and by the host on its behalf.
    pub cpu: Duration,
    /// Linear memory at its peak, in bytes.
    pub peak_memory: usize,
    /// Calls of the host.
    pub host_calls: u64,
    /// Log lines over the bound.
    pub log_lines_dropped: u64,
}

/// What came of a run.
#[derive(Debug, Clone)]
pub struct RunOutcome {
    /// The result as JSON, or why there is none.
    pub result: Result<String, Failure>,
    /// What it used.
    pub usage: Usage,
    /// The end of what the plugin wrote to standard output and error.
    pub output: String,
    /// The plugin saw that it was to stop, before it returned: a wait of it was cut short, or it asked. A result that
    /// it returned all the same may be a part of what the task asks for.
    pub told_to_stop: bool,
}

impl RunOutcome {
    /// The outcome of a run that did not start.
    pub(crate) fn refused(failure: Failure) -> Self {
        Self { result: Err(failure), usage: Usage::default(), output: String::new(), told_to_stop: false }
    }
}

struct Faults<'f>(&'f [Fault]);

impl fmt::Display for Faults<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, fault) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            fault.fmt(f)?;
        }
        Ok(())
    }
}

struct Instead<'f>(&'f str, &'f [String]);

impl fmt::Display for Instead<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<&str> = self.1.iter().map(String::as_str).collect();
        f.write_str(&crate::text::instead(self.0, &known))
    }
}

struct Seconds(Duration);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis.is_multiple_of(1000) { write!(f, "{} s", millis / 1000) } else { write!(f, "{millis} ms") }
    }
}
