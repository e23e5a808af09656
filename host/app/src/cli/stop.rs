//! `stop`: asks the host to end, and waits until it has.

use std::path::Path;
use std::time::Duration;

use tokio::time::Instant;

use super::{CliError, Context, tell};
use crate::control::client::lock_file;
use crate::control::file::ControlFile;
use crate::control::{Client, ClientError};
use crate::failure::Exit;
use crate::platform;

/// Time for tasks to finish; a host goes on draining beyond it, only this command ends.
const DRAIN_TIME: Duration = Duration::from_mins(2);
/// Time for a host that interrupts its tasks; it hands back and flushes within 8 seconds.
const NOW_TIME: Duration = Duration::from_secs(15);
/// Time for a host that has told that it ends: it closes the queue and is gone.
const END_TIME: Duration = Duration::from_secs(2);
/// Pause between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// Does not wait for running tasks; they go on at the next start. A host that does not answer is ended by force.
    #[arg(long)]
    now: bool,
}

pub(super) async fn command(context: &Context, arguments: &Arguments) -> Result<Exit, CliError> {
    let storage = context.storage()?;
    let client = match Client::find(&storage) {
        Ok(client) => client,
        Err(ClientError::Hidden { pid: Some(pid), .. }) if arguments.now => {
            return end_holder(context, pid, &lock_file(&storage)).await;
        }
        Err(error) => return Err(error.into()),
    };
    let file = client.file().clone();
    match client.stop(arguments.now).await {
        Ok(()) => {}
        Err(error @ ClientError::Unreachable { .. }) => {
            // Between finding it and asking it, it may have ended by itself.
            if platform::is_alive(file.pid) {
                if !arguments.now {
                    return Err(error.into());
                }
                end_by_force(&file)?;
            }
        }
        Err(error) => return Err(error.into()),
    }
    let time = if arguments.now { NOW_TIME } else { DRAIN_TIME };
    if !ended_within(file.pid, time).await {
        if !arguments.now {
            return Err(CliError::new(
                Exit::Failed,
                format!("the host (process {}) still finishes its tasks after 2 minutes", file.pid),
            )
            .with_help("`buddy-host stop --now` ends it by force; its tasks go on at the next start"));
        }
        end_by_force(&file)?;
        surely_ended(file.pid).await?;
    }
    stopped(context, file.pid)
}

fn stopped(context: &Context, pid: u32) -> Result<Exit, CliError> {
    context.print(&serde_json::json!({ "stopped": true, "pid": pid }), || "stopped\n".to_owned())?;
    Ok(Exit::Ok)
}

/// Ends the host that has the data folder's lock and cannot be asked, because `control.json` does not lead to it.
async fn end_holder(context: &Context, pid: u32, lock: &Path) -> Result<Exit, CliError> {
    if !platform::holds(pid, lock) {
        let message = format!("{} names process {pid}, which is not the one that holds it", lock.display());
        return Err(CliError::new(Exit::Failed, message)
            .with_help("it was changed by hand; end the process that has this file open"));
    }
    // One that is about to end has removed `control.json` already.
    if ended_within(pid, END_TIME).await {
        return stopped(context, pid);
    }
    tell(&format!("process {pid} cannot be asked and is ended by force; nothing acknowledged is lost"));
    terminate(pid)?;
    surely_ended(pid).await?;
    stopped(context, pid)
}

async fn surely_ended(pid: u32) -> Result<(), CliError> {
    if ended_within(pid, NOW_TIME).await {
        return Ok(());
    }
    Err(CliError::new(Exit::Failed, format!("process {pid} does not end")))
}

fn end_by_force(file: &ControlFile) -> Result<(), CliError> {
    if !file.is_same_process() {
        return Err(CliError::new(
            Exit::NoHost,
            format!("process {} is another program by now; no host is running", file.pid),
        )
        .with_help("start one with `buddy-host run`"));
    }
    tell(&format!("process {} does not answer and is ended by force; nothing acknowledged is lost", file.pid));
    terminate(file.pid)
}

fn terminate(pid: u32) -> Result<(), CliError> {
    if platform::terminate(pid) || !platform::is_alive(pid) {
        Ok(())
    } else {
        Err(CliError::new(Exit::Missing, format!("process {pid} cannot be ended: it belongs to another user")))
    }
}

async fn ended_within(pid: u32, time: Duration) -> bool {
    let deadline = Instant::now() + time;
    while platform::is_alive(pid) {
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    true
}
