//! The outbox pusher: collects finished tasks into batches and brings them to the coordinator.
//!
//! The decisions are [`machine`]'s; this shell does what it says. An entry leaves the outbox only after the commit's OK,
//! or with the reason why it can never be applied.

pub mod machine;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use buddy_buffer::{Buffer, BufferError, OutboxEntry, Tx};
use buddy_router::batch::{BatchPolicy, Waiting};
use buddy_router::retry::Backoff;
use buddy_router::{TaskId, UnixMs};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{Coordinator, Version};
use machine::{Action, Effect, Item, Machine};

/// Pause between two pushes that failed: long enough not to hammer a service that is down, short enough to be back
/// soon after it is.
const RETRY: Backoff = Backoff { base: Duration::from_secs(1), cap: Duration::from_mins(1) };

/// The versions of task documents that this agent knows from its listener: they save a read for each push.
#[derive(Debug, Clone, Default)]
pub struct Versions(Arc<Mutex<HashMap<TaskId, Version>>>);

impl Versions {
    /// The document was seen at this version.
    pub fn saw(&self, task: &TaskId, version: Version) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = known.entry(task.clone()).or_insert(version);
        *newest = version.max(*newest);
    }

    /// It is not held any more.
    pub fn forget(&self, task: &TaskId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(task);
    }

    /// What is known.
    pub fn of(&self, task: &TaskId) -> Option<Version> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(task).copied()
    }
}

/// How pushing goes, for `status`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushStatus {
    /// When a batch last landed, by this host's clock.
    pub last_success: Option<UnixMs>,
    /// Why the last one did not; nothing after a success.
    pub trouble: Option<String>,
    /// How long the last commit took.
    pub latency: Option<Duration>,
}

/// The pusher of one host.
#[derive(Clone)]
pub struct Pusher {
    buffer: Buffer,
    coordinator: Arc<dyn Coordinator>,
    policy: BatchPolicy,
    retry_failed: bool,
    versions: Versions,
    wake: Arc<Notify>,
    landed: Arc<Notify>,
    status: watch::Sender<PushStatus>,
}

impl std::fmt::Debug for Pusher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pusher").field("policy", &self.policy).finish_non_exhaustive()
    }
}

/// How a round ended.
enum Round {
    /// Nothing was left to do, or what was due is done.
    Done,
    /// The coordinator cannot be reached.
    Unreachable(String),
}

impl Pusher {
    /// For the outbox of `buffer`. Without `retry_failed` a batch that failed waits for the next start.
    pub fn new(
        buffer: Buffer,
        coordinator: Arc<dyn Coordinator>,
        policy: BatchPolicy,
        retry_failed: bool,
        versions: Versions,
    ) -> Self {
        let status = watch::Sender::new(PushStatus::default());
        let (wake, landed) = (Arc::default(), Arc::default());
        Self { buffer, coordinator, policy, retry_failed, versions, wake, landed, status }
    }

    /// Tells `landed` of each batch once its results can be read: whoever waits for a task's end looks again then.
    #[must_use]
    pub fn telling(mut self, landed: Arc<Notify>) -> Self {
        self.landed = landed;
        self
    }

    /// Something was put into the outbox.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// How it goes.
    pub fn status(&self) -> PushStatus {
        self.status.borrow().clone()
    }

    /// Pushes what is due until the token is cancelled; then everything that is left, once.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), BufferError> {
        let mut failures = 0u32;
        loop {
            let due = match self.due()? {
                Some(due) if failures > 0 => due.max(RETRY.wait(failures, rand::random())),
                Some(due) => due,
                // Only a wake-up brings something to push.
                None => Duration::MAX,
            };
            if due > Duration::ZERO {
                let wait = async {
                    if due == Duration::MAX || (failures > 0 && !self.retry_failed) {
                        std::future::pending::<()>().await;
                    }
                    tokio::time::sleep(due).await;
                };
                tokio::select! {
                    () = wait => {}
                    // New results do not shorten the pause after a failure.
                    () = self.wake.notified(), if failures == 0 => continue,
                    () = shutdown.cancelled() => break,
                }
            }
            match self.round().await? {
                Round::Done => failures = 0,
                Round::Unreachable(reason) => {
                    failures = failures.saturating_add(1);
                    tracing::warn!(reason, failures, "results could not be pushed; they stay in the buffer");
                }
            }
            if shutdown.is_cancelled() {
                break;
            }
        }
        self.flush().await
    }

    /// Pushes all that waits, whether it is due or not, until there is nothing or the coordinator cannot be reached.
    pub async fn flush(&self) -> Result<(), BufferError> {
        while self.buffer.pending() > 0 {
            let before = self.buffer.pending();
            if let Round::Unreachable(reason) = self.round().await? {
                tracing::warn!(reason, left = self.buffer.pending(), "results stay in the buffer until the next start");
                return Ok(());
            }
            if self.buffer.pending() >= before {
                // Somebody keeps writing these tasks; the next start goes on.
                return Ok(());
            }
        }
        Ok(())
    }

    fn due(&self) -> Result<Option<Duration>, BufferError> {
        let pending = self.buffer.pending();
        if pending == 0 {
            return Ok(None);
        }
        if self.coordinator.pushes_are_free() {
            return Ok(Some(Duration::ZERO));
        }
        let first = self.buffer.peek_outbox(None, self.policy.max_items, self.policy.max_bytes)?;
        let now = self.buffer.now();
        let waiting = Waiting {
            items: usize::try_from(pending).unwrap_or(usize::MAX),
            bytes: first.iter().map(|entry| entry.bytes).sum(),
            oldest: Duration::from_millis(first.first().map_or(0, |entry| now.saturating_sub(entry.queued))),
            urgent: first.iter().any(|entry| entry.urgent),
        };
        Ok(self.policy.due_in(waiting))
    }

    async fn round(&self) -> Result<Round, BufferError> {
        let entries = self.buffer.peek_outbox(None, self.policy.max_items, self.policy.max_bytes)?;
        let item = |entry: OutboxEntry| Item {
            expected: self.versions.of(&entry.result.task),
            seq: entry.seq,
            result: entry.result,
        };
        let mut machine = Machine::new(entries.into_iter().map(item).collect());
        loop {
            let effects = match machine.action() {
                Action::Done => break,
                Action::Commit(batch) => {
                    let began = std::time::Instant::now();
                    let answer = self.coordinator.push(&batch).await;
                    if answer.is_ok() {
                        let now = self.buffer.now();
                        self.status.send_replace(PushStatus {
                            last_success: Some(now),
                            trouble: None,
                            latency: Some(began.elapsed()),
                        });
                        self.landed.notify_waiters();
                    }
                    machine.committed(answer.map(|_| ()))
                }
                Action::Read(task) => match self.coordinator.task(&task).await {
                    Ok(present) => machine.was_read(present.as_ref()),
                    Err(error) => {
                        machine.stop(error.to_string());
                        Vec::new()
                    }
                },
            };
            self.apply(effects).await?;
        }
        match machine.stopped() {
            None => Ok(Round::Done),
            Some(reason) => {
                let reason = reason.to_owned();
                self.status.send_modify(|status| status.trouble = Some(reason.clone()));
                Ok(Round::Unreachable(reason))
            }
        }
    }

    /// All effects of one step in one transaction.
    async fn apply(&self, effects: Vec<Effect>) -> Result<(), BufferError> {
        if effects.is_empty() {
            return Ok(());
        }
        for effect in &effects {
            match effect {
                Effect::Clear { task, .. } => self.versions.forget(task),
                Effect::Supersede { seq, reason } => tracing::info!(seq, reason, "a result was superseded"),
                Effect::SetAside { seq, task, reason } => {
                    tracing::warn!(
                        seq,
                        task = task.short(),
                        reason,
                        "a result can never be delivered: this host's buffer keeps it, and whoever needs it submits the task again"
                    );
                }
            }
        }
        let write = move |tx: &mut Tx<'_>| -> Result<(), BufferError> {
            let cleared: Vec<u64> = effects
                .iter()
                .filter_map(|effect| if let Effect::Clear { seq, .. } = effect { Some(*seq) } else { None })
                .collect();
            tx.acknowledge(&cleared)?;
            for effect in effects {
                match effect {
                    Effect::Clear { .. } => {}
                    Effect::Supersede { seq, reason } => drop(tx.supersede(seq, &reason)?),
                    Effect::SetAside { seq, reason, .. } => drop(tx.set_aside(seq, &reason)?),
                }
            }
            Ok(())
        };
        self.buffer.transact(write).await
    }
}
