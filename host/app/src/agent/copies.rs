//! Copies of other tasks' results that a try reads: artifacts for as long as the try lasts.
//!
//! A result that travels inside its document is no file, and a plugin reads what its input refers to as an artifact. So
//! the try gets a copy, under the task's own name. Which copies there are is written down in the buffer beside them, so
//! that those of a try that a kill cut off go when the next one begins, or when the task ends without another.

use buddy_buffer::BufferError;
use buddy_router::TaskId;

use super::parts::Parts;
use crate::artifacts::ArtifactError;

/// Where the ids are kept, one a line. No plugin can have this name.
const COPIES: &str = "/copies";

/// What can go wrong with a copy.
#[derive(Debug, thiserror::Error)]
pub(super) enum CopyError {
    /// The list.
    #[error(transparent)]
    Buffer(#[from] BufferError),
    /// The copy itself.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

fn listed(parts: &Parts, task: &TaskId) -> Result<Option<String>, BufferError> {
    let list = parts.buffer.kv_get(COPIES, task.as_str())?;
    Ok(list.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

/// Makes an artifact of a result; its id. It lasts until [`clear`].
pub(super) async fn make(parts: &Parts, task: &TaskId, result: &str) -> Result<String, CopyError> {
    let id = parts.artifacts.put(task.clone(), "input.json", "application/json", result.as_bytes()).await?;
    let list = listed(parts, task)?.unwrap_or_default() + &id + "\n";
    parts.buffer.kv_set(COPIES, task.as_str(), list.into_bytes(), None).await?;
    Ok(id)
}

/// Removes the copies of a task. A failure is told in the log, and what is left goes with the next try or the task.
pub(super) async fn clear(parts: &Parts, task: &TaskId) {
    if let Err(error) = remove(parts, task).await {
        tracing::warn!(task = task.short(), %error, "copies of other tasks' results could not be removed");
    }
}

async fn remove(parts: &Parts, task: &TaskId) -> Result<(), CopyError> {
    let Some(list) = listed(parts, task)? else { return Ok(()) };
    for id in list.lines() {
        match parts.artifacts.remove(id).await {
            Ok(_) | Err(ArtifactError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(parts.buffer.kv_remove(COPIES, task.as_str()).await.map(drop)?)
}
