//! `log` and `progress`: what people see of a run. Neither waits: lines and reports are handed to the buffer's writer,
//! and what it cannot take is counted, not waited for.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use buddy_buffer::{Buffer, LogLevel, LogLine, Progress as Report};
use buddy_router::TaskId;
use buddy_runtime::capabilities::log::{Level, Log};
use buddy_runtime::capabilities::progress::Progress;
use tokio::sync::Notify;

/// Shortest time between two reports that are kept: what a person can follow.
const REPORT_EVERY_MS: u64 = 100;

/// The log of one task.
#[derive(Debug)]
pub struct RunLog {
    buffer: Buffer,
    task: TaskId,
    changed: Arc<Notify>,
    lost: AtomicU64,
}

impl RunLog {
    /// For a task; `changed` is told of every line.
    pub fn new(buffer: Buffer, task: TaskId, changed: Arc<Notify>) -> Self {
        Self { buffer, task, changed, lost: AtomicU64::new(0) }
    }

    /// A line of the host's own.
    pub fn host(&self, level: LogLevel, message: String) {
        self.append(LogLine { at: self.buffer.now(), level, message, fields: Vec::new() });
    }

    fn append(&self, line: LogLine) {
        if self.buffer.append_log(&self.task, vec![line]) {
            self.changed.notify_waiters();
        } else {
            let lost = self.lost.fetch_add(1, Ordering::Relaxed) + 1;
            tracing::debug!(task = self.task.short(), lost, "the buffer is too busy for a log line");
        }
    }
}

impl Log for RunLog {
    fn write(&self, level: Level, message: &str, fields: &[(String, String)]) {
        let level = match level {
            Level::Trace => LogLevel::Trace,
            Level::Debug => LogLevel::Debug,
            Level::Info => LogLevel::Info,
            Level::Warn => LogLevel::Warn,
            Level::Error => LogLevel::Error,
        };
        self.append(LogLine { at: self.buffer.now(), level, message: message.to_owned(), fields: fields.to_vec() });
    }
}

/// The progress of one task.
#[derive(Debug)]
pub struct RunProgress {
    buffer: Buffer,
    task: TaskId,
    changed: Arc<Notify>,
    /// Of the digest's run: its steps are other steps than those of the task's own run.
    digest: bool,
    last: Mutex<u64>,
}

impl RunProgress {
    /// For a task; `changed` is told of every report that is kept.
    pub fn new(buffer: Buffer, task: TaskId, changed: Arc<Notify>, digest: bool) -> Self {
        Self { buffer, task, changed, digest, last: Mutex::new(0) }
    }
}

impl Progress for RunProgress {
    fn report(&self, done: u64, total: Option<u64>, message: &str) {
        let now = self.buffer.now();
        {
            let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
            // The last report of all is always kept, so that a finished run does not stand at 99 of 100.
            if now.saturating_sub(*last) < REPORT_EVERY_MS && total != Some(done) {
                return;
            }
            *last = now;
        }
        let message = match (self.digest, message) {
            (false, message) => message.to_owned(),
            (true, "") => "digest".to_owned(),
            (true, message) => format!("digest: {message}"),
        };
        let report = Report { done, total, message, at: now };
        if self.buffer.set_progress(&self.task, report) {
            self.changed.notify_waiters();
        }
    }
}
