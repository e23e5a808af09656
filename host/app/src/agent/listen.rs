//! Hearing of assignments, and bringing the buffer in line with them.

use std::collections::BTreeSet;
use std::time::Duration;

use buddy_buffer::{BufferError, StepNotes};
use buddy_router::{Event, State, Task, TaskId};
use buddy_sync::{AssignmentEvent, Versioned};

use super::{Agent, locked};

/// Events handled together: their tasks share one sync of the buffer.
const TOGETHER: usize = 512;

/// Pause before listening again after the stream ended or the disk was full.
const AGAIN: Duration = Duration::from_secs(2);

impl Agent {
    /// Listens until the agent drains; every new stream begins with a snapshot, so nothing is missed in between.
    pub async fn listen(&self) {
        let inner = &self.inner;
        loop {
            match inner.coordinator.assignments(&inner.identity.name, &inner.identity.session).await {
                Ok(mut stream) => {
                    let mut events = Vec::new();
                    loop {
                        let received = tokio::select! {
                            received = stream.recv_many(&mut events, TOGETHER) => received,
                            () = inner.shutdown.cancelled() => return,
                        };
                        if received == 0 {
                            break;
                        }
                        if let Err(error) = self.hear(events.drain(..)).await {
                            tracing::warn!(%error, "no new tasks are taken for now");
                            *locked(&inner.paused) = Some(error);
                            break;
                        }
                        *locked(&inner.paused) = None;
                    }
                }
                Err(error) => tracing::warn!(%error, "assignments cannot be heard; trying again"),
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = inner.shutdown.cancelled() => return,
            }
        }
    }

    async fn hear(&self, events: impl Iterator<Item = AssignmentEvent>) -> Result<(), BufferError> {
        let mut held = Vec::new();
        for event in events {
            match event {
                AssignmentEvent::Held(task) => held.push(*task),
                AssignmentEvent::Lost(id) => {
                    // In order: what was given before it was lost is taken first.
                    self.take_all(std::mem::take(&mut held)).await?;
                    self.lose(&id).await?;
                }
                AssignmentEvent::Snapshot(all) => {
                    held.clear();
                    self.drop_all_but(&all).await?;
                    held = all;
                }
            }
        }
        self.take_all(held).await
    }

    /// What is unfinished here and not in the snapshot has lost its lease; what is finished is the pusher's.
    async fn drop_all_but(&self, snapshot: &[Versioned<Task>]) -> Result<(), BufferError> {
        let held: BTreeSet<&TaskId> = snapshot.iter().map(|task| &task.value.id).collect();
        for state in [State::Assigned, State::Running, State::BackingOff, State::WaitingForHuman] {
            for local in self.inner.parts.buffer.tasks_in(state, usize::MAX)? {
                if !held.contains(&local.task.id) {
                    self.lose(&local.task.id).await?;
                }
            }
        }
        Ok(())
    }

    async fn take_all(&self, tasks: Vec<Versioned<Task>>) -> Result<(), BufferError> {
        let inner = &self.inner;
        if tasks.is_empty() {
            return Ok(());
        }
        // The owner's bound on the data folder pauses new work as a full disk does; what runs goes on.
        let (used, allowed) = (inner.parts.disk_used()?, inner.parts.disk_allowed);
        if used > allowed {
            return Err(BufferError::DiskFull { free: 0, floor: used - allowed });
        }
        let taken = tasks.into_iter().map(|task| async move {
            inner.versions.saw(&task.value.id, task.version);
            match inner.parts.buffer.take_task(task.value).await {
                // Stale: an older assignment that was overtaken.
                Ok(_) | Err(BufferError::StaleLease { .. }) => Ok(()),
                // These stop all work; they pass, or the host ends over them.
                Err(error @ (BufferError::DiskFull { .. } | BufferError::Degraded { .. } | BufferError::Closed)) => {
                    Err(error)
                }
                // This one task cannot be taken; the others can. Its lease stays, and the router's reason tells of it.
                Err(error) => {
                    tracing::error!(%error, "a task that is assigned to this host cannot be taken into its buffer");
                    Ok(())
                }
            }
        });
        let outcome = futures::future::try_join_all(taken).await.map(|_| ());
        inner.ready.notify_one();
        inner.parts.changed.notify_waiters();
        outcome
    }

    /// This host no longer holds the task: its run stops, its record is over.
    async fn lose(&self, id: &TaskId) -> Result<(), BufferError> {
        let inner = &self.inner;
        inner.versions.forget(id);
        if let Some(running) = locked(&inner.running).get(id) {
            running.cancel.cancel();
        }
        let Some(local) = inner.parts.buffer.task(id)? else { return Ok(()) };
        // One that was handed back keeps its record for when it comes again.
        if local.task.state.is_held() {
            let notes = StepNotes { reason: Some("no longer held by this host".to_owned()), not_before: None };
            match inner.parts.buffer.step_task(id, local.task.lease, Event::Cancel, notes).await {
                // It finished meanwhile: its result is reconciled when it is pushed.
                Ok(_) | Err(BufferError::Transition { .. } | BufferError::StaleLease { .. }) => {}
                Err(error) => return Err(error),
            }
            inner.parts.buffer.retire_task(id).await?;
        }
        inner.parts.changed.notify_waiters();
        Ok(())
    }
}
