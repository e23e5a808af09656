//! Waiting for a task, with progress on standard error.
//!
//! The task belongs to the host: when the wait ends early (Ctrl-C, the host goes away), the task goes on.

use std::path::Path;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::time::Instant;

use super::{CliError, Context, screen, tell};
use crate::control::views::{ResultView, StatusView, TaskState, TaskView};
use crate::control::{Client, ClientError};
use crate::failure::Exit;
use crate::render;

/// Time for a host that went away to come back, as in a restart.
const RETURN_TIME: Duration = Duration::from_secs(20);
/// Pause between two looks for it.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Pause between two looks whether the host is paused.
const ASK_EVERY: Duration = Duration::from_secs(10);

/// Bytes of a full result that is read for its failures: more than a plugin may answer unless configured otherwise.
const MOST_READ: u64 = 64 << 20;

/// Waits until the task is final, prints its result, and ends as the task ended.
pub(super) async fn for_result(context: &Context, client: Client, storage: &Path, id: &str) -> Result<Exit, CliError> {
    let bar = bar();
    // Of a pause that is there already before anything else is waited for.
    let told = match client.status().await {
        Ok(status) => tell_of_pause(&status, &bar),
        Err(_) => false,
    };
    let ended = tokio::select! {
        ended = until_final(client, storage, id, &bar) => Some(ended),
        // It never ends: a pause is told once.
        () = until_paused(storage, &bar, told) => None,
        interrupted = tokio::signal::ctrl_c() => {
            // Without a handler for Ctrl-C the wait simply cannot be interrupted this way.
            if interrupted.is_err() { std::future::pending::<()>().await; }
            None
        }
    };
    bar.finish_and_clear();
    let Some(ended) = ended else {
        tell(&format!("the task goes on; look at it with `buddy-host task show {}`", render::tasks::short_id(id)));
        return Ok(Exit::Interrupted);
    };
    let (client, task) = ended?;
    let result = client.result(id).await?;
    show(context, &result)?;
    outcome(&task)
}

/// Says that the host does not work, and why; `false` when it works.
fn tell_of_pause(status: &StatusView, bar: &ProgressBar) -> bool {
    if status.is_working() {
        return false;
    }
    bar.suspend(|| tell(&format!("the host is {}", status.status)));
    true
}

/// Looks from time to time whether the host pauses, and says so once. Never ends.
async fn until_paused(storage: &Path, bar: &ProgressBar, mut told: bool) {
    while !told {
        tokio::time::sleep(ASK_EVERY).await;
        if let Ok(client) = Client::find(storage)
            && let Ok(status) = client.status().await
        {
            told = tell_of_pause(&status, bar);
        }
    }
    std::future::pending::<()>().await;
}

/// Prints a result.
pub(super) fn show(context: &Context, result: &ResultView) -> Result<(), CliError> {
    context.print(result, || render::tasks::result(result, screen()) + &failures(result).unwrap_or_default())
}

/// What the full result says of failures, where only its digest is shown. It lies on this computer; one that cannot be
/// read from here is named all the same.
fn failures(result: &ResultView) -> Option<String> {
    let location = result.location.as_ref().filter(|_| result.digested && result.state == TaskState::Succeeded)?;
    result.bytes.filter(|bytes| *bytes <= MOST_READ)?;
    render::failures::failures(&std::fs::read(location).ok()?)
}

/// How this program ends because the task ended so.
pub(super) fn outcome(task: &TaskView) -> Result<Exit, CliError> {
    if task.state == TaskState::Succeeded {
        return Ok(Exit::Ok);
    }
    let id = render::tasks::short_id(&task.id);
    let message = match task.error.as_ref().or(task.reason.as_ref()) {
        Some(why) => format!("task {id} {}: {why}", task.state.as_str()),
        None => format!("task {id} {}", task.state.as_str()),
    };
    let logs = format!("`buddy-host task logs {id}` shows what it did");
    Err(CliError::new(Exit::Failed, message).with_help(match &task.result_location {
        Some(raw) => format!("the raw result is {raw}; {logs}"),
        None => logs,
    }))
}

/// Invisible unless standard error is a terminal.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    bar.set_style(ProgressStyle::default_spinner());
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn show_progress(bar: &ProgressBar, task: &TaskView) {
    if let Some(progress) = &task.progress {
        if let Some(total) = progress.total
            && bar.length() != Some(total)
        {
            bar.set_length(total);
            // A template that does not parse leaves the spinner, which shows the same message.
            if let Ok(style) = ProgressStyle::with_template("{bar:30} {pos}/{len} {elapsed} {wide_msg}") {
                bar.set_style(style);
            }
        }
        bar.set_position(progress.done);
    }
    bar.set_message(render::tasks::progress_message(task));
}

async fn until_final(
    mut client: Client,
    storage: &Path,
    id: &str,
    bar: &ProgressBar,
) -> Result<(Client, TaskView), CliError> {
    loop {
        match watch(&client, id, bar).await {
            Ok(task) => return Ok((client, task)),
            Err(ClientError::Unreachable { .. }) => {
                bar.set_message("the host went away; waiting for it to come back");
                client = host_is_back(storage, id).await?;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

async fn watch(client: &Client, id: &str, bar: &ProgressBar) -> Result<TaskView, ClientError> {
    let mut changes = client.watch(id).await?;
    let mut asked = None;
    while let Some(task) = changes.next().await? {
        show_progress(bar, &task);
        if task.state.is_final() {
            return Ok(task);
        }
        // Said once a question, above the bar.
        if let Some(question) = &task.question
            && asked.as_ref() != Some(&question.key)
        {
            bar.suspend(|| {
                tell(&render::tasks::question(&task.id, question));
            });
            asked = Some(question.key.clone());
        }
    }
    // The host ended the stream without a final state: ask once more.
    let task = client.task(id).await?;
    if task.state.is_final() {
        Ok(task)
    } else {
        Err(ClientError::Answer("the watch ended before the task".to_owned()))
    }
}

async fn host_is_back(storage: &Path, id: &str) -> Result<Client, CliError> {
    let deadline = Instant::now() + RETURN_TIME;
    loop {
        if let Ok(client) = Client::find(storage)
            && client.status().await.is_ok()
        {
            return Ok(client);
        }
        if Instant::now() >= deadline {
            let id = render::tasks::short_id(id);
            return Err(CliError::new(Exit::NoHost, "the host went away; the task keeps its place in the queue")
                .with_help(format!("start the host again, then `buddy-host task show {id}`")));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
