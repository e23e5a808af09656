//! Tasks, their progress and their logs.

use std::fmt::Write as _;

use super::table::{facts, line, printable, table, text};
use super::{Screen, json, units};
use crate::control::views::{LogLine, ProgressView, QuestionView, ResultView, TaskState, TaskView};
use jiff::Timestamp;

/// Characters of an id in a list: enough to be unambiguous among thousands, and any prefix is accepted.
const SHORT_ID: usize = 10;

/// The beginning of an id, for lists.
pub fn short_id(id: &str) -> &str {
    id.char_indices().nth(SHORT_ID).map_or(id, |(end, _)| &id[..end])
}

/// A list of tasks.
pub fn list(tasks: &[TaskView], now: Timestamp, width: u16) -> String {
    if tasks.is_empty() {
        return "no tasks\n".to_owned();
    }
    let mut table = table(width);
    table.set_header(["id", "type", "state", "try", "progress", "created", "note"]);
    for task in tasks {
        let note = task.error.as_ref().or(task.reason.as_ref());
        table.add_row([
            short_id(&task.id).to_owned(),
            printable(&task.r#type),
            task.state.as_str().to_owned(),
            format!("{}/{}", task.attempt, task.max_attempts),
            task.progress.as_ref().map(steps).unwrap_or_default(),
            units::ago(units::since(now, task.created)),
            note.map(|note| line(note, 60)).unwrap_or_default(),
        ]);
    }
    text(&table)
}

fn steps(progress: &ProgressView) -> String {
    match progress.total {
        Some(total) => format!("{}/{total}", progress.done),
        None => progress.done.to_string(),
    }
}

/// Everything about one task.
pub fn show(task: &TaskView, now: Timestamp, width: u16) -> String {
    let when = |moment: Timestamp| {
        format!("{} ({})", moment.strftime("%Y-%m-%d %H:%M:%SZ"), units::ago(units::since(now, moment)))
    };
    let mut rows =
        vec![("id", task.id.clone()), ("type", task.r#type.clone()), ("state", task.state.as_str().to_owned())];
    let mut optional = |name, value: Option<String>| rows.extend(value.map(|value| (name, value)));
    optional("because", task.reason.clone());
    optional("error", task.error.clone());
    optional("question", task.question.as_ref().map(|question| format!("{} ({})", question.text, question.key)));
    optional("try", Some(format!("{} of {}", task.attempt, task.max_attempts)));
    optional("priority", (task.priority != 0).then(|| task.priority.to_string()));
    optional("agent", task.agent.clone());
    optional("created", Some(when(task.created)));
    optional("started", task.started.map(when));
    optional("finished", task.finished.map(when));
    if let (Some(started), Some(finished)) = (task.started, task.finished) {
        optional("took", Some(units::short_duration(units::since(finished, started))));
    }
    optional(
        "progress",
        task.progress.as_ref().map(|progress| match &progress.message {
            Some(message) => format!("{}: {message}", steps(progress)),
            None => steps(progress),
        }),
    );
    optional("digest", task.digest.clone());
    optional("result", task.result_location.clone());
    facts(width, rows)
}

/// One line of a log.
pub fn log_line(line: &LogLine) -> String {
    format!("{} {:<5} {}\n", line.at.strftime("%Y-%m-%d %H:%M:%SZ"), line.level, printable(&line.message))
}

/// A question that a task waits for an answer to, and how to give it. Its words are the plugin's.
pub fn question(task: &str, question: &QuestionView) -> String {
    let (key, text) = (printable(&question.key), printable(&question.text));
    format!("question: {text}\nhelp: `buddy-host task answer {} {key} ANSWER`", short_id(task))
}

/// What a progress bar says beside its figures.
pub fn progress_message(task: &TaskView) -> String {
    let message = task.progress.as_ref().and_then(|progress| progress.message.as_deref());
    match message {
        Some(message) => format!("{}: {}", task.state.as_str(), line(message, 60)),
        None => task.state.as_str().to_owned(),
    }
}

/// What a task gave that succeeded: its data, and where the rest lies.
pub fn result(result: &ResultView, screen: impl Into<Screen>) -> String {
    let mut shown = result.data.as_ref().map(|data| json::data(data, screen)).unwrap_or_default();
    if let Some(location) = result.location.as_ref().filter(|_| result.state == TaskState::Succeeded) {
        let size = result.bytes.map(|bytes| format!(" ({})", units::bytes(bytes))).unwrap_or_default();
        // Writing to a String cannot fail.
        let _ = writeln!(shown, "full result: {}{size}", printable(location));
    }
    shown
}
