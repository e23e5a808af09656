//! `start`: `run` in the background. It returns when the host answers, or tells why it did not come up.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{CliError, Context, tell};
use crate::control::views::StatusView;
use crate::control::{Client, ClientError};
use crate::failure::Exit;
use crate::host::checks::missing_browser;
use crate::platform;
use crate::render::printable;

/// The log of a host in the background, in its data folder.
const LOG_FILE: &str = "host.log";
/// At this size the log is set aside at a start, so that at most twice as much is kept.
const LOG_BYTES: u64 = 16 << 20;
/// Time for a host to come up. It needs under a second; the first compile of many plugins on a slow disk takes longer.
const READY_TIME: Duration = Duration::from_mins(1);
/// Pause between two looks; a person does not notice it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Serialize)]
struct Started {
    pid: u32,
    port: u16,
    log: String,
    already_running: bool,
}

pub(super) async fn command(context: &Context) -> Result<Exit, CliError> {
    let loaded = context.load()?;
    let storage = &loaded.config.storage.path;
    platform::private_folder(storage).map_err(|error| {
        CliError::new(Exit::Missing, format!("the data folder {} cannot be made: {error}", storage.display()))
            .with_help("choose another in `storage.path`")
    })?;
    let log_path = storage.join(LOG_FILE);
    if let Some((client, status)) = answering(storage).await? {
        return report(context, &client, &status, &log_path, true);
    }
    // The host says so too, in its log, which nobody sees here.
    if let Some(warning) = missing_browser(&loaded.config) {
        tell(&printable(&format!("warning: {warning}")));
    }

    let mut log = open_log(&log_path)
        .map_err(|error| CliError::new(Exit::Missing, format!("{} cannot be written: {error}", log_path.display())))
        .map_err(|error| {
            error.with_help("make it writable by this user, or choose another folder in `storage.path`")
        })?;
    let begin = log.seek(SeekFrom::End(0)).unwrap_or_default();
    let mut child = spawn(context, &log)
        .map_err(|error| CliError::new(Exit::Failed, format!("the host cannot be started: {error}")))?;
    drop(log);

    let deadline = Instant::now() + READY_TIME;
    loop {
        if let Ok(Some((client, status))) = answering(storage).await
            && client.file().pid == child.id()
        {
            return report(context, &client, &status, &log_path, false);
        }
        match child.try_wait() {
            Ok(Some(status)) => return Err(why_it_ended(status, &log_path, begin)),
            Ok(None) => {}
            Err(error) => {
                return Err(CliError::new(Exit::Failed, format!("the host cannot be watched: {error}")));
            }
        }
        if Instant::now() >= deadline {
            return Err(CliError::new(
                Exit::Failed,
                format!("the host (process {}) is not ready after 60 seconds; it goes on starting", child.id()),
            )
            .with_help(format!("look at {}", log_path.display())));
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The running host, when there is one that answers.
async fn answering(storage: &Path) -> Result<Option<(Client, StatusView)>, ClientError> {
    let client = match Client::find(storage) {
        Ok(client) => client,
        // One that holds the folder may be about to end; starting will tell.
        Err(ClientError::NoHost { .. } | ClientError::Damaged { .. } | ClientError::Hidden { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    match client.status().await {
        Ok(status) => Ok(Some((client, status))),
        // Its number belongs to another process now, or it is about to end; starting will tell.
        Err(ClientError::Unreachable { .. } | ClientError::Refused(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn report(
    context: &Context,
    client: &Client,
    status: &StatusView,
    log: &Path,
    already_running: bool,
) -> Result<Exit, CliError> {
    // Anything more is for a person to know: it is paused, or began with an empty queue.
    if status.status != "ONLINE" {
        tell(&printable(&format!("warning: the host is {}", status.status)));
    }
    let file = client.file();
    let started = Started { pid: file.pid, port: file.port, log: log.display().to_string(), already_running };
    context.print(&started, || {
        let what = if already_running { "already running" } else { "ready" };
        format!("{what}: process {}, log {}\n", started.pid, started.log)
    })?;
    Ok(Exit::Ok)
}

fn open_log(path: &Path) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|log| log.len() > LOG_BYTES) {
        fs::rename(path, path.with_extension("log.1"))?;
    }
    platform::append_private(path)
}

fn spawn(context: &Context, log: &File) -> io::Result<Box<dyn process_wrap::std::ChildWrapper>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("run").stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log.try_clone()?);
    let overrides = &context.overrides;
    if let Some(file) = &overrides.file {
        command.arg("--config").arg(file);
    }
    if let Some(mode) = &overrides.mode {
        command.arg("--mode").arg(mode);
    }
    for option in &overrides.set {
        command.arg("--set").arg(option);
    }
    platform::spawn_detached(command)
}

/// The host's own last words, from what it wrote since `begin`.
fn why_it_ended(status: ExitStatus, log: &Path, begin: u64) -> CliError {
    const LAST_BYTES: u64 = 64 << 10;
    let words = File::open(log).and_then(|mut file| {
        let end = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(begin.max(end.saturating_sub(LAST_BYTES))))?;
        let mut bytes = Vec::new();
        file.take(LAST_BYTES).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    });
    let last = |start: &str| {
        let words = words.as_deref().unwrap_or_default();
        words.lines().rev().find_map(|line| line.strip_prefix(start)).map(str::to_owned)
    };
    let exit = match status.code() {
        Some(3) => Exit::Input,
        Some(5) => Exit::Missing,
        Some(6) => Exit::Conflict,
        _ => Exit::Failed,
    };
    match last("error: ") {
        Some(message) => CliError { exit, message, help: last("help: ") },
        None => CliError::new(exit, format!("the host ended at once ({status})"))
            .with_help(format!("look at {}", log.display())),
    }
}
