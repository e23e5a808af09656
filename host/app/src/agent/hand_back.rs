//! Giving back a task whose next try is far away.
//!
//! The buffer is written first and the coordinator second, in one fenced write, so that a host which ends in between
//! finds the task again: the coordinator still counts on it, and taking the task once more resumes it. While the write
//! is under way, and until the listener has heard what came of it, news of the old lease may still arrive: it must
//! neither resume the task here nor end its record, whose checkpoints are kept in case it comes back to this host.
//! [`HandBacks`] knows which tasks these are.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use buddy_buffer::{BufferError, LocalTask, StepNotes};
use buddy_router::{Event, Lease, State, Task, TaskId, UnixMs};
use buddy_sync::{CoordinatorError, WriteError, change};

use super::{Agent, locked, millis};

/// Reads of one task before its hand-back waits: more means that somebody keeps writing its document.
const READS: usize = 5;

/// One task that goes back.
#[derive(Debug, Clone, Copy)]
struct GoingBack {
    lease: Lease,
    /// The write is under way; else it has landed.
    writing: bool,
    /// The listener has heard that this host does not hold the task any more.
    lost: bool,
}

/// The tasks that this process gives back, until the listener has heard of each.
///
/// A stream tells of a task in the order of its writes: once the loss was heard, no older news comes.
#[derive(Debug, Default)]
pub(super) struct HandBacks(Mutex<HashMap<TaskId, GoingBack>>);

impl HandBacks {
    /// Before anything is written.
    fn begin(&self, id: &TaskId, lease: Lease) {
        locked(&self.0).insert(id.clone(), GoingBack { lease, writing: true, lost: false });
    }

    /// The coordinator has it back.
    fn landed(&self, id: &TaskId, lease: Lease) {
        let mut tasks = locked(&self.0);
        match tasks.get_mut(id) {
            Some(task) if task.lease == lease && task.lost => drop(tasks.remove(id)),
            Some(task) if task.lease == lease => task.writing = false,
            _ => {}
        }
    }

    /// It does not go back after all; whether the listener has heard of its loss meanwhile.
    fn end(&self, id: &TaskId, lease: Lease) -> bool {
        let mut tasks = locked(&self.0);
        let own = tasks.get(id).is_some_and(|task| task.lease == lease);
        own && tasks.remove(id).is_some_and(|task| task.lost)
    }

    /// Whether the listener takes in what it hears under this lease: nothing that is older than the hand-back.
    pub(super) fn takes(&self, id: &TaskId, lease: Lease) -> bool {
        let mut tasks = locked(&self.0);
        let Some(task) = tasks.get_mut(id) else { return true };
        if task.lease >= lease {
            return false;
        }
        // It has come again, so it went back.
        if task.writing {
            task.lost = true;
        } else {
            tasks.remove(id);
        }
        true
    }

    /// The listener hears that this host does not hold the task any more; whether its record is this module's to end.
    pub(super) fn lost(&self, id: &TaskId) -> bool {
        let mut tasks = locked(&self.0);
        let Some(task) = tasks.get_mut(id) else { return false };
        if task.writing {
            task.lost = true;
        } else {
            tasks.remove(id);
        }
        true
    }

    /// The same for all that a snapshot does not name.
    pub(super) fn lost_all_but(&self, held: &BTreeSet<&TaskId>) {
        locked(&self.0).retain(|id, task| {
            task.lost |= !held.contains(id);
            task.writing || !task.lost
        });
    }
}

/// What came of the write.
enum GivenBack {
    Landed,
    /// The task is another's, or over.
    NotOurs,
    /// The coordinator cannot be asked, or the document never stands still.
    Unknown(String),
}

impl Agent {
    /// Gives a task back with the moment before which nobody starts it. What cannot be given back waits here.
    pub(super) async fn hand_back(&self, local: &LocalTask, reason: String, wait: Duration) -> Result<(), BufferError> {
        let inner = &self.inner;
        let buffer = &inner.parts.buffer;
        let (id, lease) = (&local.task.id, local.task.lease);
        let not_before = buffer.now().saturating_add(millis(wait));
        let notes = StepNotes { reason: Some(reason.clone()), not_before: Some(not_before) };
        inner.hand_backs.begin(id, lease);
        if let Err(error) = buffer.step_task(id, lease, Event::HandBack, notes.clone()).await {
            if inner.hand_backs.end(id, lease) {
                self.lose(id).await?;
            }
            return Err(error);
        }
        match self.give_back(&local.task, not_before, reason).await {
            GivenBack::Landed => inner.hand_backs.landed(id, lease),
            GivenBack::NotOurs => {
                inner.hand_backs.end(id, lease);
                buffer.give_up_task(id, lease, "no longer held by this host").await?;
            }
            GivenBack::Unknown(error) => {
                tracing::warn!(task = id.short(), error, "a task could not be handed back and waits here");
                let waits = buffer.step_task(id, lease, Event::Assign, notes.clone()).await;
                // Only now: what is heard from here on finds the record held, and ends it. Also when that failed, as a newer
                // lease is here, whose news must be heard, or the buffer has ended, and the next start resumes the task.
                let lost = inner.hand_backs.end(id, lease);
                waits?;
                if lost {
                    // It had landed, and its answer was lost.
                    buffer.step_task(id, lease, Event::HandBack, notes).await?;
                }
            }
        }
        Ok(())
    }

    async fn give_back(&self, task: &Task, not_before: UnixMs, reason: String) -> GivenBack {
        let inner = &self.inner;
        let mut trouble = "its document keeps changing".to_owned();
        for _ in 0..READS {
            let present = match inner.coordinator.task(&task.id).await {
                Ok(Some(present)) => present,
                Ok(None) => return GivenBack::NotOurs,
                Err(error) => return GivenBack::Unknown(error.to_string()),
            };
            let holder = present.value.assigned.as_ref().filter(|_| present.value.state.is_held());
            if !holder.is_some_and(|holder| holder.lease == task.lease && holder.session == inner.identity.session) {
                // Under our lease and nobody's: an earlier round of this loop, whose answer was lost.
                let landed = present.value.lease == task.lease
                    && matches!(present.value.state, State::Submitted | State::Deferred);
                return if landed { GivenBack::Landed } else { GivenBack::NotOurs };
            }
            let Ok(next) = change::hand_back(&present.value, task.tries, Some(not_before), reason.clone()) else {
                return GivenBack::NotOurs;
            };
            match inner.coordinator.write(next, present.version, None).await {
                Ok(_) => return GivenBack::Landed,
                // Whoever wrote it: it is read again and decided anew.
                Err(WriteError::Changed) => {}
                // It may have landed: the next read tells.
                Err(WriteError::Other(error @ CoordinatorError::Unreachable(_))) => trouble = error.to_string(),
                Err(WriteError::Other(error)) => return GivenBack::Unknown(error.to_string()),
            }
        }
        GivenBack::Unknown(trouble)
    }
}
