//! What people watch: the last progress of a task, and its log.
//!
//! Nobody waits for these. They go in with the next group and are synced with it, or within about a second; a crash
//! can lose that second. When the writer is far behind they are dropped, and the caller is told so.

use buddy_router::{TaskId, UnixMs};
use serde::{Deserialize, Serialize};

use crate::{
    Buffer,
    error::Result,
    key::{self, Space},
    read::Read,
    tx::Tx,
    value::{self, corrupt},
};

/// How far a task is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps done.
    pub done: u64,
    /// Steps in all, when known.
    pub total: Option<u64>,
    /// What it is doing.
    pub message: String,
    /// When it said so.
    pub at: UnixMs,
}

/// How loud a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// For following every step.
    Trace,
    /// For finding faults.
    Debug,
    /// What happens.
    Info,
    /// What may be wrong.
    Warn,
    /// What went wrong.
    Error,
}

/// A line of a task's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// When.
    pub at: UnixMs,
    /// How loud.
    pub level: LogLevel,
    /// The text.
    pub message: String,
    /// Named values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<(String, String)>,
}

/// A part of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPage {
    /// Lines with their numbers, oldest first.
    pub lines: Vec<(u64, LogLine)>,
    /// Lines that made room for newer ones, since the task began.
    pub dropped: u64,
}

#[derive(Default, Serialize, Deserialize)]
struct Use {
    /// Number of the next line.
    next: u64,
    /// Lines that are there; they are the last ones.
    kept: u64,
}

const PROGRESS: &str = "progress record";
const LINE: &str = "log line";

fn line_key(task: &TaskId, number: u64) -> Vec<u8> {
    key::of(Space::Logs, &[task.as_str().as_bytes(), &number.to_be_bytes()])
}

fn log_use(from: &dyn Read, task: &TaskId) -> Result<Use> {
    from.value(&key::of_task(Space::LogUse, task))?
        .map_or_else(|| Ok(Use::default()), |bytes| value::from_json(LINE, &bytes))
}

impl Tx<'_> {
    /// Replaces a task's progress.
    pub fn set_progress(&mut self, task: &TaskId, progress: &Progress) -> Result<()> {
        let bytes = value::to_json(PROGRESS, progress)?;
        self.put(PROGRESS, key::of_task(Space::Progress, task), &bytes)
    }

    /// Appends lines; the oldest ones make room.
    pub fn append_log(&mut self, task: &TaskId, lines: &[LogLine]) -> Result<()> {
        let mut used = log_use(self, task)?;
        for line in lines {
            let bytes = value::to_json(LINE, line)?;
            self.put(LINE, line_key(task, used.next), &bytes)?;
            used.next += 1;
            used.kept += 1;
            if used.kept > self.limits.log_lines_per_task {
                self.remove(&line_key(task, used.next - used.kept))?;
                used.kept -= 1;
            }
        }
        let bytes = value::to_json(LINE, &used)?;
        self.put(LINE, key::of_task(Space::LogUse, task), &bytes)
    }

    /// Drops a task's log.
    pub fn clear_log(&mut self, task: &TaskId) -> Result<()> {
        if self.remove(&key::of_task(Space::LogUse, task))? {
            self.remove_all(&key::of_task(Space::Logs, task))?;
        }
        Ok(())
    }
}

impl Buffer {
    /// A task's last progress.
    pub fn progress(&self, task: &TaskId) -> Result<Option<Progress>> {
        let bytes = self.store().value(&key::of_task(Space::Progress, task))?;
        bytes.map(|bytes| value::from_json(PROGRESS, &bytes)).transpose()
    }

    /// Replaces a task's progress, soon. `false`: dropped.
    pub fn set_progress(&self, task: &TaskId, progress: Progress) -> bool {
        let task = task.clone();
        self.transact_soon(move |tx| tx.set_progress(&task, &progress))
    }

    /// Appends lines, soon. `false`: dropped.
    pub fn append_log(&self, task: &TaskId, lines: Vec<LogLine>) -> bool {
        let task = task.clone();
        self.transact_soon(move |tx| tx.append_log(&task, &lines))
    }

    /// Lines from number `from` on, at most `limit`.
    pub fn log(&self, task: &TaskId, from: u64, limit: usize) -> Result<LogPage> {
        // A screen of the longest lines; more is read from the next number on.
        const BYTES: usize = 4 * 1024 * 1024;
        let prefix = key::of_task(Space::Logs, task);
        let end = key::after_prefix(&prefix);
        let (records, _) = self.store().page(&line_key(task, from), end.as_deref(), limit, BYTES)?;
        let numbered = |(key, bytes): &(Vec<u8>, Vec<u8>)| {
            let number = key::trailing_number(key).ok_or_else(|| corrupt(LINE, "its key has no number"))?;
            Ok((number, value::from_json(LINE, bytes)?))
        };
        let lines = records.iter().map(numbered).collect::<Result<_>>()?;
        let used = log_use(self.store(), task)?;
        Ok(LogPage { lines, dropped: used.next - used.kept.min(used.next) })
    }

    /// The last lines, at most `limit`.
    pub fn log_tail(&self, task: &TaskId, limit: usize) -> Result<LogPage> {
        let used = log_use(self.store(), task)?;
        self.log(task, used.next.saturating_sub(limit as u64), limit)
    }
}
