//! Hearing of assignments, and bringing the buffer in line with them.

use std::collections::BTreeSet;
use std::time::Duration;

use buddy_buffer::{BufferError, Taken};
use buddy_router::{State, Task, TaskId};
use buddy_sync::{AssignmentEvent, Assignments, Versioned};
use tokio::time::Instant;

use super::{Agent, copies, locked};

/// Events handled together: their tasks share one sync of the buffer.
const TOGETHER: usize = 512;

/// How long the coordinator is tried before tasks start without its word. A network that comes up with the computer is
/// there within seconds; to wait longer would cost work on a computer that has none.
const ALONE: Duration = Duration::from_secs(10);

/// How long a new stream may take until its snapshot, with up to some thousand tasks in it.
const FIRST: Duration = Duration::from_secs(30);

/// Pause before listening again after the stream ended or the disk was full.
const AGAIN: Duration = Duration::from_secs(2);

impl Agent {
    /// Listens until the agent ends; every new stream begins with a snapshot, so nothing is missed in between.
    ///
    /// The first snapshot is also what tasks wait for before any of them starts: while this host was away, some that lie
    /// in its buffer may have become another's. Where the coordinator cannot be heard they start without it, after
    /// [`ALONE`]: a computer without a network goes on with its work as one does whose network ends in the middle of it.
    /// What that can cost is work done twice, as a result is applied once whoever brings it (`buddy_router::reconcile`).
    pub async fn listen(&self) {
        let inner = &self.inner;
        let began = Instant::now();
        loop {
            let stream = tokio::select! {
                stream = self.open_stream() => stream,
                () = inner.shutdown.cancelled() => return,
            };
            match stream {
                Ok((first, mut stream)) => {
                    let mut events = vec![first];
                    loop {
                        if let Err(error) = self.hear(events.drain(..)).await {
                            // The bound on the data folder is told of where it is measured, once and not at every try.
                            if !matches!(error, BufferError::OverBound { .. }) {
                                tracing::warn!(%error, "no new tasks are taken for now");
                            }
                            *locked(&inner.paused) = Some(error);
                            break;
                        }
                        *locked(&inner.paused) = None;
                        let received = tokio::select! {
                            received = stream.recv_many(&mut events, TOGETHER) => received,
                            () = inner.shutdown.cancelled() => return,
                        };
                        if received == 0 {
                            break;
                        }
                    }
                }
                Err(reason) => {
                    tracing::warn!(reason, "assignments cannot be heard; trying again");
                    if began.elapsed() >= ALONE && !inner.leases.send_replace(true) {
                        tracing::warn!("the work that this host holds begins without the coordinator's word");
                        inner.ready.notify_one();
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = inner.shutdown.cancelled() => return,
            }
        }
    }

    /// A new stream and its first event, or why there is none.
    async fn open_stream(&self) -> Result<(AssignmentEvent, Assignments), String> {
        let identity = &self.inner.identity;
        let opened = async {
            let opened = self.inner.coordinator.assignments(&identity.name, &identity.session).await;
            let mut stream = opened.map_err(|error| error.to_string())?;
            let first = stream.recv().await.ok_or_else(|| "the stream ended before its snapshot".to_owned())?;
            Ok((first, stream))
        };
        let late = |_| Err(format!("no snapshot came within {} s", FIRST.as_secs()));
        tokio::time::timeout(FIRST, opened).await.unwrap_or_else(late)
    }

    /// Ends when tasks may start.
    pub(super) async fn leases_known(&self) {
        let mut leases = self.inner.leases.subscribe();
        // The sender lives as long as the agent.
        let _ = leases.wait_for(|known| *known).await;
    }

    pub(super) async fn hear(&self, events: impl Iterator<Item = AssignmentEvent>) -> Result<(), BufferError> {
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
                    // It says all that was said before.
                    held.clear();
                    self.drop_all_but(&all).await?;
                    let taken = self.take_all(all).await;
                    // Also when there is no room for new ones: those that are here are known to be this host's.
                    self.inner.leases.send_replace(true);
                    self.inner.ready.notify_one();
                    taken?;
                }
            }
        }
        self.take_all(held).await
    }

    /// What is unfinished here and not in the snapshot has lost its lease; what is finished is the pusher's.
    async fn drop_all_but(&self, snapshot: &[Versioned<Task>]) -> Result<(), BufferError> {
        let held: BTreeSet<&TaskId> = snapshot.iter().map(|task| &task.value.id).collect();
        self.inner.hand_backs.lost_all_but(&held);
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
        inner.parts.storage.require_room()?;
        let taken = tasks.into_iter().map(|task| async move {
            let (id, lease) = (task.value.id.clone(), task.value.lease);
            // Old news of a task that this host gives back.
            if !inner.hand_backs.takes(&id, lease) {
                return Ok(());
            }
            inner.versions.saw(&id, task.version);
            match inner.parts.buffer.take_task(task.value).await {
                Ok(Taken::NewLease) => {
                    // A run under the old lease can bring nothing in any more; it would only hold up the new one.
                    if let Some(running) = locked(&inner.running).get(&id).filter(|running| running.lease < lease) {
                        running.cancel.cancel();
                    }
                    Ok(())
                }
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
    pub(super) async fn lose(&self, id: &TaskId) -> Result<(), BufferError> {
        let inner = &self.inner;
        inner.versions.forget(id);
        if let Some(running) = locked(&inner.running).get(id) {
            running.cancel.cancel();
        } else {
            // Of a try that a kill cut off; a run removes its own.
            copies::clear(&inner.parts, id).await;
        }
        // One that this host gives back keeps its record for when it comes again.
        if !inner.hand_backs.lost(id)
            && let Some(local) = inner.parts.buffer.task(id)?
            && local.task.state.is_held()
        {
            match inner.parts.buffer.give_up_task(id, local.task.lease, "no longer held by this host").await {
                // It finished meanwhile: its result is reconciled when it is pushed.
                Ok(()) | Err(BufferError::Transition { .. } | BufferError::StaleLease { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        inner.parts.changed.notify_waiters();
        Ok(())
    }
}
