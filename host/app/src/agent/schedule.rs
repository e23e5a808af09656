//! Starting tries when slots are free, and what follows each end.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use buddy_buffer::{BufferError, LocalTask, StepNotes};
use buddy_router::retry::{AfterFailure, Backoff, after_failure};
use buddy_router::{Event, Outcome, TaskId, TaskResult};
use buddy_sync::{WriteError, change};
use futures::FutureExt as _;
use tokio_util::sync::CancellationToken;

use super::attempt::{TryEnd, attempt};
use super::{Agent, Running, locked};

/// Longest time between two looks at the buffer: only a safety net, as everything that brings work wakes the loop.
const LOOK: Duration = Duration::from_secs(30);

/// Pause after the buffer refused: it is degraded or full, and both are said elsewhere.
const REFUSED: Duration = Duration::from_secs(1);

impl Agent {
    /// Starts what may start, until the agent drains.
    pub async fn schedule(&self) {
        let inner = &self.inner;
        while !inner.drain.is_cancelled() {
            let wait = match self.start_ready().await {
                Ok(()) => self.until_next(),
                Err(error) => {
                    tracing::error!(%error, "no task could be started");
                    REFUSED
                }
            };
            tokio::select! {
                () = inner.ready.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = inner.drain.cancelled() => {}
            }
        }
    }

    fn until_next(&self) -> Duration {
        let buffer = &self.inner.parts.buffer;
        match buffer.next_due() {
            Ok(Some(moment)) => {
                let wait = Duration::from_millis(moment.saturating_sub(buffer.now()));
                // One that is due already waits for a slot, whose end wakes the loop.
                if wait.is_zero() { LOOK } else { wait.min(LOOK) }
            }
            _ => LOOK,
        }
    }

    async fn start_ready(&self) -> Result<(), BufferError> {
        let inner = &self.inner;
        let free = inner.options.max_tasks.saturating_sub(self.running());
        if free == 0 {
            return Ok(());
        }
        let now = inner.parts.buffer.now();
        let ready = inner.parts.buffer.next_runnable(now, free)?;
        let starts = ready.into_iter().map(|local| self.start(local));
        // All to their end, also when one fails: a start that is dropped half-way would have counted a try.
        futures::future::join_all(starts).await.into_iter().collect()
    }

    async fn start(&self, local: LocalTask) -> Result<(), BufferError> {
        let inner = &self.inner;
        let (id, lease) = (local.task.id.clone(), local.task.lease);
        let cancel = CancellationToken::new();
        let Some(slot) = Slot::take(self, &id, Running { lease, cancel: cancel.clone() }) else { return Ok(()) };
        // The try is counted on disk before it begins.
        match inner.parts.buffer.start_try(&id, lease).await {
            Ok(local) => {
                let agent = self.clone();
                tokio::spawn(async move { agent.run(local, cancel, slot).await });
                Ok(())
            }
            Err(error) => {
                drop(slot);
                match error {
                    // A task that ended its host each time gets here without having failed by itself.
                    BufferError::NoTriesLeft { tries, .. } => {
                        let reason = format!(
                            "given up after {tries} tries: the host ended in the middle of each, the last time too"
                        );
                        self.finish(&local, Outcome::Failed { reason }, None).await
                    }
                    // It was cancelled or given to another between the look and the start.
                    BufferError::StaleLease { .. }
                    | BufferError::Transition { .. }
                    | BufferError::NoSuchTask { .. } => Ok(()),
                    other => Err(other),
                }
            }
        }
    }

    async fn run(&self, local: LocalTask, cancel: CancellationToken, slot: Slot) {
        let inner = &self.inner;
        inner.parts.changed.notify_waiters();
        let task = &local.task;
        tracing::debug!(task = task.id.short(), task_type = task.task_type, attempt = task.tries, "try begins");
        let tried = attempt(&inner.parts, &*inner.coordinator, task, &cancel, &inner.shutdown);
        // A fault of the host's own must not lose the task with its slot.
        let end = AssertUnwindSafe(tried).catch_unwind().await.unwrap_or_else(|_| TryEnd::Retry {
            reason: "the host met a fault of its own in the middle of the try; its log has the place".to_owned(),
            after: None,
        });
        let written = match end {
            TryEnd::Over { outcome, raw_artifact } => self.finish(&local, outcome, raw_artifact).await,
            TryEnd::Retry { reason, after } => self.again(&local, reason, after).await,
            TryEnd::Cancelled => Ok(()),
            TryEnd::Interrupted => {
                let notes = StepNotes {
                    reason: Some("the host stopped; it goes on at the next start".to_owned()),
                    not_before: None,
                };
                let stepped = inner.parts.buffer.step_task(&task.id, task.lease, Event::Interrupt, notes).await;
                stepped.map(|_| ())
            }
        };
        match written {
            // Its lease ended while it ran: what it did is the present holder's to do.
            Ok(()) | Err(BufferError::StaleLease { .. } | BufferError::Transition { .. }) => {}
            Err(error) => tracing::error!(task = task.id.short(), %error, "the end of a try could not be written"),
        }
        drop(slot);
    }

    async fn finish(
        &self,
        local: &LocalTask,
        outcome: Outcome,
        raw_artifact: Option<String>,
    ) -> Result<(), BufferError> {
        let inner = &self.inner;
        let task = &local.task;
        let now = inner.parts.buffer.now();
        match &outcome {
            Outcome::Succeeded { .. } => {
                tracing::info!(task = task.id.short(), task_type = task.task_type, "succeeded");
            }
            Outcome::Failed { reason } => {
                tracing::warn!(task = task.id.short(), task_type = task.task_type, reason, "failed");
            }
        }
        let result = TaskResult {
            task: task.id.clone(),
            payload_hash: task.payload_hash.clone(),
            outcome,
            lease: task.lease,
            agent: inner.identity.name.clone(),
            session: inner.identity.session.clone(),
            tries: task.tries,
            started: local.started.unwrap_or(now),
            finished: now,
            raw_artifact,
        };
        inner.parts.buffer.finish_task(result).await?;
        inner.pusher.wake();
        Ok(())
    }

    async fn again(&self, local: &LocalTask, reason: String, asked: Option<Duration>) -> Result<(), BufferError> {
        let inner = &self.inner;
        let task = &local.task;
        match after_failure(&Backoff::default(), task.tries, task.max_attempts, asked, rand::random()) {
            AfterFailure::GiveUp => {
                let reason = format!("given up after {} tries, the last one: {reason}", task.tries);
                self.finish(local, Outcome::Failed { reason }, None).await
            }
            AfterFailure::TryAgain(wait) => {
                let not_before = inner.parts.buffer.now().saturating_add(millis(wait));
                let notes = StepNotes { reason: Some(reason), not_before: Some(not_before) };
                inner.parts.buffer.step_task(&task.id, task.lease, Event::BackOff, notes).await?;
                Ok(())
            }
            AfterFailure::HandBack(wait) => self.hand_back(local, reason, wait).await,
        }
    }

    /// One fenced write gives the task back with the moment before which nobody starts it. Its checkpoints stay, in case
    /// it comes back to this host.
    async fn hand_back(&self, local: &LocalTask, reason: String, wait: Duration) -> Result<(), BufferError> {
        let inner = &self.inner;
        let task = &local.task;
        let not_before = inner.parts.buffer.now().saturating_add(millis(wait));
        let notes = StepNotes { reason: Some(reason.clone()), not_before: Some(not_before) };
        // Here first: once the write has landed the listener hears that the task is lost.
        inner.parts.buffer.step_task(&task.id, task.lease, Event::HandBack, notes.clone()).await?;
        let handed = async {
            let present = inner.coordinator.task(&task.id).await?.ok_or(WriteError::Changed)?;
            let held = present.value.assigned.as_ref().is_some_and(|holder| holder.lease == task.lease);
            if !held {
                return Err(WriteError::Changed);
            }
            let next = change::hand_back(&present.value, task.tries, Some(not_before), reason)
                .map_err(|_| WriteError::Changed)?;
            inner.coordinator.write(next, present.version, None).await
        };
        match handed.await {
            Ok(_) => {}
            // It is another's already, or ended: nothing of it is this host's.
            Err(WriteError::Changed) => {
                inner.parts.buffer.step_task(&task.id, task.lease, Event::Cancel, StepNotes::default()).await?;
                inner.parts.buffer.retire_task(&task.id).await?;
            }
            Err(WriteError::Other(error)) => {
                tracing::warn!(task = task.id.short(), %error, "a task could not be handed back and waits here");
                inner.parts.buffer.step_task(&task.id, task.lease, Event::Assign, notes).await?;
            }
        }
        Ok(())
    }
}

/// The place of a run. Given back when it is dropped, whatever happened.
struct Slot {
    agent: Agent,
    id: TaskId,
}

impl Slot {
    /// `None` when the task runs already.
    fn take(agent: &Agent, id: &TaskId, run: Running) -> Option<Self> {
        let mut running = locked(&agent.inner.running);
        if running.contains_key(id) {
            return None;
        }
        running.insert(id.clone(), run);
        Some(Self { agent: agent.clone(), id: id.clone() })
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        locked(&self.agent.inner.running).remove(&self.id);
        self.agent.inner.ready.notify_one();
        self.agent.inner.parts.changed.notify_waiters();
    }
}

fn millis(wait: Duration) -> u64 {
    u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)
}
