//! One try of a task: the plugin, then its digest, then the body of the result.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use buddy_buffer::{BufferError, LogLevel};
use buddy_router::{Body, Outcome, Task};
use buddy_runtime::{Failure, Plugin, RunOutcome};
use buddy_sync::Coordinator;
use futures::FutureExt as _;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::copies;
use super::parts::{Parts, PluginRun};
use super::references::{self, Kind};

/// Largest result that travels inside a document, in bytes; more is an artifact. A Firestore document holds 1 MiB.
const MAX_INLINE: usize = 900 * 1000;

/// Where the ids of raw results are kept, so that a digest that is tried again does not run the task again. No plugin
/// can have this name.
pub(super) const RAW_RESULTS: &str = "/raw-results";

/// Pause after an artifact could not be kept.
const FULL_AGAIN: Duration = Duration::from_secs(60);

/// How long such an id is kept: far above any pause between two tries.
const RAW_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1000;

/// How a try ended.
#[derive(Debug)]
pub(super) enum TryEnd {
    /// The task is over.
    Over {
        /// How.
        outcome: Outcome,
        /// The raw result before its digest.
        raw_artifact: Option<String>,
    },
    /// It may work later.
    Retry {
        /// Why it did not now.
        reason: String,
        /// Earliest moment, from now, if the plugin said one.
        after: Option<Duration>,
    },
    /// The plugin, or the end of its time, left it for later: it counts only if nothing new was kept in it.
    Unfinished {
        /// What there is to say about it.
        reason: String,
        /// Earliest moment, from now, if the plugin said one.
        after: Option<Duration>,
    },
    /// There was no memory for it: not a try.
    NoMemory {
        /// Who holds it.
        reason: String,
    },
    /// Somebody stopped it.
    Cancelled,
    /// The host stops: not a try.
    Interrupted,
}

impl TryEnd {
    fn failed(reason: impl Into<String>) -> Self {
        Self::Over { outcome: Outcome::Failed { reason: reason.into() }, raw_artifact: None }
    }

    fn of(failure: &Failure, output: &str, of_digest: bool) -> Self {
        let mut reason = if of_digest { format!("the digest failed: {failure}") } else { failure.to_string() };
        // What a plugin wrote before it crashed is what its author needs; other failures speak for themselves.
        if matches!(failure, Failure::Trapped(_)) && !output.trim().is_empty() && !reason.contains(output.trim()) {
            reason = format!("{reason} Its last output: {}", output.trim());
        }
        match failure {
            Failure::Cancelled => Self::Cancelled,
            Failure::Shutdown => Self::Interrupted,
            Failure::Retryable { after, .. } => Self::Unfinished { reason, after: *after },
            Failure::Deadline(_) => Self::Unfinished { reason, after: None },
            Failure::NoMemory(_) => Self::NoMemory { reason },
            other if other.is_retryable() => Self::Retry { reason, after: None },
            _ => Self::failed(reason),
        }
    }
}

impl From<BufferError> for TryEnd {
    fn from(error: BufferError) -> Self {
        Self::Retry { reason: error.to_string(), after: None }
    }
}

/// Runs one try. Whatever happens in it, a fault of the host's own included, it has an end, and the copies that it
/// read are removed.
pub(super) async fn attempt(
    parts: &Parts,
    coordinator: &dyn Coordinator,
    task: &Task,
    cancel: &CancellationToken,
    shutdown: &CancellationToken,
) -> TryEnd {
    // Of a try that a kill cut off.
    copies::clear(parts, &task.id).await;
    let run = Attempt { parts, coordinator, task, cancel, shutdown };
    let end = AssertUnwindSafe(run.run()).catch_unwind().await;
    copies::clear(parts, &task.id).await;
    match end {
        Ok(end) => end.unwrap_or_else(|end| end),
        Err(_) => TryEnd::Retry {
            reason: "the host met a fault of its own in the middle of the try; its log has the place".to_owned(),
            after: None,
        },
    }
}

fn raw_name(task: &Task) -> String {
    format!("{}/{}", task.id, task.payload_hash)
}

/// The artifact of the raw result that waits for a digest of it to succeed.
pub(super) async fn kept_raw_result(parts: &Parts, task: &Task) -> Result<Option<String>, BufferError> {
    let kept = parts.buffer.kv_get(RAW_RESULTS, &raw_name(task))?;
    let Some(id) = kept.and_then(|id| String::from_utf8(id).ok()) else { return Ok(None) };
    Ok(parts.artifacts.describe(&id).await.is_ok().then_some(id))
}

struct Attempt<'a> {
    parts: &'a Parts,
    coordinator: &'a dyn Coordinator,
    task: &'a Task,
    cancel: &'a CancellationToken,
    shutdown: &'a CancellationToken,
}

impl Attempt<'_> {
    async fn run(&self) -> Result<TryEnd, TryEnd> {
        let Some(digest) = &self.task.digest else {
            let text = self.plugin(&self.task.task_type, &self.task.payload, None).await?;
            return Ok(TryEnd::Over { outcome: self.success(text).await?, raw_artifact: None });
        };
        let raw = self.raw_result().await?;
        let text = self.plugin(&digest.task_type, &digest.input, Some(&raw)).await?;
        let outcome = self.success(text).await?;
        // Only now that nothing can send the task back: a try that is repeated digests this raw result. Should the host
        // die before the result is in the outbox, the task runs once more.
        self.parts.buffer.kv_remove(RAW_RESULTS, &raw_name(self.task)).await?;
        Ok(TryEnd::Over { outcome, raw_artifact: Some(raw) })
    }

    /// The artifact of the raw result: of an earlier try whose digest failed, or of a run now.
    async fn raw_result(&self) -> Result<String, TryEnd> {
        if let Some(id) = kept_raw_result(self.parts, self.task).await? {
            return Ok(id);
        }
        let text = self.plugin(&self.task.task_type, &self.task.payload, None).await?;
        let id = self.keep("result.json", text.as_bytes()).await?;
        self.parts.buffer.kv_set(RAW_RESULTS, &raw_name(self.task), id.clone().into_bytes(), Some(RAW_KEPT_MS)).await?;
        Ok(id)
    }

    async fn success(&self, text: String) -> Result<Outcome, TryEnd> {
        if text.len() <= MAX_INLINE {
            return Ok(Outcome::Succeeded { body: Body::Inline(text) });
        }
        let size = text.len() as u64;
        let id = self.keep("result.json", text.as_bytes()).await?;
        Ok(Outcome::Succeeded { body: Body::Artifact { id, size } })
    }

    async fn keep(&self, name: &str, body: &[u8]) -> Result<String, TryEnd> {
        let put = self.parts.artifacts.put(self.task.id.clone(), name, "application/json", body).await;
        // Room on the disk does not come back within seconds.
        put.map_err(|error| TryEnd::Retry { reason: error.to_string(), after: Some(FULL_AGAIN) })
    }

    /// Runs the plugin of a task type; `raw` is what `self` stands for in a digest's input.
    async fn plugin(&self, task_type: &str, input: &str, raw: Option<&str>) -> Result<String, TryEnd> {
        let Some(plugin) = self.parts.plugins.for_task_type(task_type) else {
            return Err(TryEnd::failed(format!(
                "no plugin on this host runs {task_type} any more: put it back into the plugins folder and retry the task"
            )));
        };
        let (input, named) = self.resolved(plugin, task_type, input, raw).await?;
        let run = PluginRun {
            task: self.task,
            task_type,
            of_digest: raw.is_some(),
            input,
            named,
            cancel: self.cancel.clone(),
            shutdown: self.shutdown.clone(),
        };
        let RunOutcome { result, usage, output, told_to_stop } = self.parts.run(plugin, run).await;
        let log = self.parts.log_of(&self.task.id);
        if usage.log_lines_dropped > 0 {
            let lines = usage.log_lines_dropped;
            log.host(LogLevel::Warn, format!("{lines} log lines were over the bound of a run and are not kept"));
        }
        match result {
            // Its lease is over: what it did is nobody's.
            Ok(_) if self.cancel.is_cancelled() => Err(TryEnd::Cancelled),
            // The host stops, and the plugin knew: a wait was cut short, or it was told to save its work and return. What
            // it returns then may be a part of the work, and nothing tells a part from the whole. To do the work once
            // more costs time; to call a part the whole would be wrong for good. One that never saw the stop has
            // finished as if there were none, and its result counts.
            Ok(_) if told_to_stop => Err(TryEnd::Interrupted),
            Ok(text) => Ok(text),
            Err(failure) => {
                let failed = TryEnd::of(&failure, &output, raw.is_some());
                if let TryEnd::Over { outcome: Outcome::Failed { reason }, .. }
                | TryEnd::Retry { reason, .. }
                | TryEnd::Unfinished { reason, .. }
                | TryEnd::NoMemory { reason } = &failed
                {
                    log.host(LogLevel::Error, format!("try {}: {reason}", self.task.tries));
                }
                Err(failed)
            }
        }
    }

    /// The input with artifacts in the place of task results, and the artifacts that it names.
    async fn resolved(
        &self,
        plugin: &Arc<Plugin>,
        task_type: &str,
        input: &str,
        raw: Option<&str>,
    ) -> Result<(String, BTreeSet<String>), TryEnd> {
        let schema = plugin.task_type(task_type).map(|task_type| task_type.input.text());
        let schema: Value = schema.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        // Not JSON: the runtime says so with the place.
        let Ok(mut value) = serde_json::from_str::<Value>(input) else {
            return Ok((input.to_owned(), BTreeSet::new()));
        };
        let found = references::find(&schema, &value);
        if found.is_empty() {
            // As it was given: no number is re-encoded.
            return Ok((input.to_owned(), BTreeSet::new()));
        }
        let mut named = BTreeSet::new();
        for reference in found {
            let id = match reference.kind {
                Kind::Artifact => reference.value,
                Kind::TaskResult if reference.value == "self" => match raw {
                    Some(raw) => raw.to_owned(),
                    None => {
                        return Err(TryEnd::failed(format!(
                            "{}: `self` means the result that a digest works on, and this is no digest: name a task",
                            reference.pointer
                        )));
                    }
                },
                Kind::TaskResult => self.result_of(&reference.pointer, &reference.value).await?,
            };
            if let Some(place) = value.pointer_mut(&reference.pointer) {
                *place = Value::String(id.clone());
            }
            named.insert(id);
        }
        Ok((value.to_string(), named))
    }

    /// An artifact that holds the result of a task; the raw one of a task whose digest failed.
    async fn result_of(&self, pointer: &str, task: &str) -> Result<String, TryEnd> {
        let unreachable = |error: buddy_sync::CoordinatorError| match error {
            buddy_sync::CoordinatorError::Prefix(error) => TryEnd::failed(format!("{pointer}: {error}")),
            other => TryEnd::Retry { reason: other.to_string(), after: None },
        };
        let id = self.coordinator.find(task).await.map_err(unreachable)?;
        let result = self.coordinator.result(&id).await.map_err(unreachable)?;
        match result.map(|result| (result.outcome, result.raw_artifact)) {
            Some((Outcome::Succeeded { body: Body::Artifact { id, .. } }, _)) => Ok(id),
            Some((Outcome::Succeeded { body: Body::Inline(text) }, _)) => {
                // Room on the disk does not come back within seconds.
                let full =
                    |error: copies::CopyError| TryEnd::Retry { reason: error.to_string(), after: Some(FULL_AGAIN) };
                copies::make(self.parts, &self.task.id, &text).await.map_err(full)
            }
            Some((Outcome::Failed { .. }, Some(raw))) => Ok(raw),
            Some((Outcome::Failed { .. }, None)) => {
                Err(TryEnd::failed(format!("{pointer}: task {} failed and has no result", id.short())))
            }
            None => Err(TryEnd::failed(format!(
                "{pointer}: task {} has no result yet: submit this when it has",
                id.short()
            ))),
        }
    }
}
