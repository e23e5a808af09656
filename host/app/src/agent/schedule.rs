//! Starting tries when slots are free and there is memory, and what follows each end.
//!
//! Which tries count against the task: those that fail, those in which the plugin crashes, computes for too long or ends
//! its host. Not those that the host's stop cuts off, that found no memory, or that end unfinished (the plugin says
//! "later", or its time is over) and have kept something new: a long crawl takes as many of these as it needs.

use std::time::Duration;

use buddy_buffer::{BufferError, LocalTask, StepNotes};
use buddy_router::retry::{AfterFailure, Backoff, after_failure};
use buddy_router::{Event, Outcome, TaskId, TaskResult};
use tokio_util::sync::CancellationToken;

use super::attempt::{TryEnd, attempt, kept_raw_result};
use super::{Agent, Running, copies, locked, millis};

/// Longest time between two looks at the buffer: only a safety net, as everything that brings work wakes the loop.
const LOOK: Duration = Duration::from_secs(30);

/// Pause after the buffer refused: it is degraded or full, and both are said elsewhere.
const REFUSED: Duration = Duration::from_secs(1);

/// Pause, at least, after a run found no memory: browsers without pages end within some seconds, and other tasks have
/// their turn.
const MEMORY_AGAIN: Duration = Duration::from_secs(15);

impl Agent {
    /// Starts what may start, until the agent drains. Nothing starts before the leases are known: see
    /// [`listen`](Self::listen).
    pub async fn schedule(&self) {
        let inner = &self.inner;
        tokio::select! {
            () = self.leases_known() => {}
            () = inner.drain.cancelled() => return,
        }
        while !inner.drain.is_cancelled() {
            let wait = match self.start_ready() {
                Ok(()) => self.until_next(),
                // Told of where it is measured.
                Err(BufferError::OverBound { .. }) => REFUSED,
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
            Ok(None) => LOOK,
            Err(error) => {
                tracing::error!(%error, "when the next task is due cannot be read");
                REFUSED
            }
        }
    }

    fn start_ready(&self) -> Result<(), BufferError> {
        let inner = &self.inner;
        let mut free = inner.options.max_tasks.saturating_sub(self.running());
        if free == 0 {
            return Ok(());
        }
        inner.parts.storage.require_room()?;
        let now = inner.parts.buffer.now();
        // Those that wait for memory have their slots and are among these still.
        let ready = inner.parts.buffer.next_runnable(now, inner.options.max_tasks)?;
        for local in ready {
            if free == 0 {
                break;
            }
            let cancel = CancellationToken::new();
            let run = Running { lease: local.task.lease, cancel: cancel.clone() };
            let Some(slot) = Slot::take(self, &local.task.id, run) else { continue };
            free -= 1;
            let agent = self.clone();
            tokio::spawn(async move {
                if let Err(error) = agent.start(local, cancel).await {
                    tracing::error!(%error, "no task could be started");
                    // With its slot, or the next look would come at once.
                    tokio::time::sleep(REFUSED).await;
                }
                drop(slot);
            });
        }
        Ok(())
    }

    /// Waits for memory, counts the try and runs it. While it waits nothing is counted: a kill, a stop and a new lease cost
    /// it nothing.
    async fn start(&self, local: LocalTask, cancel: CancellationToken) -> Result<(), BufferError> {
        let inner = &self.inner;
        let (id, lease) = (&local.task.id, local.task.lease);
        let _share = if local.task.has_tries_left() {
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Ok(()),
                () = inner.drain.cancelled() => return Ok(()),
                share = inner.parts.share_of_memory(&local.task) => Some(share),
            }
        } else {
            None
        };
        // The try is counted on disk before it begins.
        match inner.parts.buffer.start_try(id, lease).await {
            Ok(local) => {
                self.run(local, cancel).await;
                Ok(())
            }
            // A task that ended its host each time gets here without having failed by itself.
            Err(BufferError::NoTriesLeft { tries, .. }) => {
                let reason =
                    format!("given up after {tries} tries: the host ended in the middle of each, the last time too");
                copies::clear(&inner.parts, id).await;
                self.finish(&local, Outcome::Failed { reason }, None).await
            }
            // It was cancelled or given to another between the look and the start.
            Err(error) if is_over(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn run(&self, local: LocalTask, cancel: CancellationToken) {
        let inner = &self.inner;
        inner.parts.changed.notify_waiters();
        let task = &local.task;
        tracing::debug!(task = task.id.short(), task_type = task.task_type, attempt = task.tries, "try begins");
        let end = attempt(&inner.parts, &*inner.coordinator, task, &cancel, &inner.shutdown).await;
        let written = match self.follow(&local, end).await {
            // The buffer stands; it does not take this: a result over its bound, for example. The task goes on with that as
            // its trouble, as else it would look as if it ran until the next start.
            Err(error) if !is_over(&error) && !matches!(error, BufferError::Degraded { .. } | BufferError::Closed) => {
                tracing::error!(task = task.id.short(), %error, "the end of a try could not be written");
                self.again(&local, format!("the end of the try could not be written: {error}"), None).await
            }
            written => written,
        };
        match written {
            Err(error) if !is_over(&error) => {
                tracing::error!(task = task.id.short(), %error, "the end of a try could not be written");
            }
            _ => {}
        }
    }

    /// What follows the end of a try.
    pub(super) async fn follow(&self, local: &LocalTask, end: TryEnd) -> Result<(), BufferError> {
        match end {
            TryEnd::Over { outcome, raw_artifact } => self.finish(local, outcome, raw_artifact).await,
            TryEnd::Retry { reason, after } => self.again(local, reason, after).await,
            TryEnd::Unfinished { reason, after } => self.go_on(local, reason, after).await,
            TryEnd::NoMemory { reason } => {
                let (_, notes) = self.after_uncounted(reason, Some(MEMORY_AGAIN));
                let (id, lease) = (&local.task.id, local.task.lease);
                self.inner.parts.buffer.step_task(id, lease, Event::Interrupt, notes).await.map(drop)
            }
            // Who cancelled the run ends the record too.
            TryEnd::Cancelled => Ok(()),
            TryEnd::Interrupted => {
                let notes = StepNotes {
                    reason: Some("the host stopped; it goes on at the next start".to_owned()),
                    not_before: None,
                };
                let (id, lease) = (&local.task.id, local.task.lease);
                self.inner.parts.buffer.step_task(id, lease, Event::Interrupt, notes).await.map(drop)
            }
        }
    }

    async fn finish(
        &self,
        local: &LocalTask,
        mut outcome: Outcome,
        mut raw_artifact: Option<String>,
    ) -> Result<(), BufferError> {
        let inner = &self.inner;
        let task = &local.task;
        let now = inner.parts.buffer.now();
        if let (Outcome::Failed { reason }, Some(digest)) = (&mut outcome, &task.digest) {
            raw_artifact = kept_raw_result(&inner.parts, task).await?;
            if raw_artifact.is_some() {
                *reason = format!(
                    "{reason}; the raw result is kept: to digest it again, submit {} with \"{id}\" in the place of \"self\", as \
                     in {{\"from\":{{\"result_of\":\"{id}\"}}}}",
                    digest.task_type,
                    id = task.id.short()
                );
            }
        }
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

    /// After a try that ended unfinished. One that came further is not counted; any other is one that failed.
    async fn go_on(&self, local: &LocalTask, reason: String, asked: Option<Duration>) -> Result<(), BufferError> {
        let (id, lease) = (&local.task.id, local.task.lease);
        let (back, notes) = self.after_uncounted(reason.clone(), asked);
        match (self.inner.parts.buffer.spare_try(id, lease, notes).await?, back) {
            (None, _) => self.again(local, reason, asked).await,
            (Some(spared), Some(wait)) => self.hand_back(&spared, reason, wait).await,
            (Some(_), None) => Ok(()),
        }
    }

    /// When a task goes on whose try is not counted, and the wait if that is long enough to give the task back.
    fn after_uncounted(&self, reason: String, asked: Option<Duration>) -> (Option<Duration>, StepNotes) {
        // As after a first try: those before it are no measure.
        let (wait, back) = match after_failure(&Backoff::default(), 1, u32::MAX, asked, rand::random()) {
            AfterFailure::TryAgain(wait) => (wait, None),
            AfterFailure::HandBack(wait) => (wait, Some(wait)),
            AfterFailure::GiveUp => (Duration::ZERO, None),
        };
        let not_before = self.inner.parts.buffer.now().saturating_add(millis(wait));
        (back, StepNotes { reason: Some(reason), not_before: Some(not_before) })
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
}

/// Whether a write was refused because the lease ended while the task ran: what it did is the present holder's to do.
fn is_over(error: &BufferError) -> bool {
    matches!(error, BufferError::StaleLease { .. } | BufferError::Transition { .. } | BufferError::NoSuchTask { .. })
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
