//! The tasks of this host: pulled, run, finished, kept for a while, gone.
//!
//! A task's record, its index entries and what belongs to the same step (the outbox entry of a result) are written in
//! one transaction. Every change names the lease it acts under and goes through the state table of `buddy-router`, so
//! that a run whose lease is over cannot write over the next one. A large payload is kept apart, so that a change of
//! state does not write it again.

use buddy_router::{Event, Lease, State, Task, TaskId, TaskResult, UnixMs};
use serde::{Deserialize, Serialize};

use crate::{
    Buffer,
    error::{BufferError, Result},
    key::{self, Space},
    read::Read,
    tx::Tx,
    value::{self, corrupt},
};

/// A payload above this many bytes is kept apart from the record.
const PAYLOAD_IN_RECORD: usize = 1024;

/// A task in this host's buffer. `task.state`, `task.tries` and `task.not_before` are this host's own truth, which the
/// coordinator learns with the heartbeat and the result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalTask {
    /// The task.
    pub task: Task,
    /// When it was taken into the buffer.
    pub received: UnixMs,
    /// When its last try began.
    pub started: Option<UnixMs>,
    /// When it reached a final state here.
    pub finished: Option<UnixMs>,
    /// When this record goes, once the result was pushed.
    pub goes_at: Option<UnixMs>,
}

/// What taking in a task came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was not here.
    New,
    /// It was here under an older lease, and begins anew under this one; its tries and checkpoints stay.
    NewLease,
    /// It was here under this lease, handed back in a write that never landed: it may start again, not before the
    /// moment that the hand-back named.
    Resumed,
    /// It was here under this lease: nothing was written.
    Same,
}

/// What a step writes besides the state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepNotes {
    /// Why, as one sentence for people; `None`: as it was.
    pub reason: Option<String>,
    /// Not to be started before; `None`: at once.
    pub not_before: Option<UnixMs>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    local: LocalTask,
    /// The payload lies apart.
    apart: bool,
}

#[derive(Serialize, Deserialize)]
struct Payload {
    payload: String,
    digest: Option<String>,
}

const WHAT: &str = "task record";

/// Reads a record without the payload that lies apart.
pub(crate) fn decode(bytes: &[u8]) -> Result<LocalTask> {
    value::from_json::<Record>(WHAT, bytes).map(|record| record.local)
}

fn load(from: &dyn Read, id: &TaskId) -> Result<Option<LocalTask>> {
    // The task can go between the two reads.
    const READS: usize = 3;
    for _ in 0..READS {
        let Some(bytes) = from.value(&key::of_task(Space::Tasks, id))? else { return Ok(None) };
        let Record { mut local, apart } = value::from_json(WHAT, &bytes)?;
        if !apart {
            return Ok(Some(local));
        }
        if let Some(bytes) = from.value(&key::of_task(Space::Payloads, id))? {
            let payload: Payload = value::from_json("task payload", &bytes)?;
            local.task.payload = payload.payload;
            if let (Some(digest), Some(input)) = (&mut local.task.digest, payload.digest) {
                digest.input = input;
            }
            return Ok(Some(local));
        }
    }
    Err(corrupt("task payload", "it is missing"))
}

fn load_all(from: &dyn Read, keys: &[Vec<u8>]) -> Result<Vec<LocalTask>> {
    let mut tasks = Vec::with_capacity(keys.len());
    for key in keys {
        let id = key::trailing_task(key).ok_or_else(|| corrupt("task index", "a key names no task"))?;
        tasks.extend(load(from, &id)?);
    }
    Ok(tasks)
}

fn next_runnable(from: &dyn Read, now: UnixMs, limit: usize) -> Result<Vec<LocalTask>> {
    let timed = key::of(Space::Next, &[b"t"]);
    let due = key::of(Space::Next, &[b"t", &now.saturating_add(1).to_be_bytes()]);
    let ready = key::of(Space::Next, &[b"r"]);
    let mut keys = from.keys(&timed, Some(&due), limit)?;
    keys.extend(from.keys(&ready, key::after_prefix(&ready).as_deref(), limit)?);
    let mut tasks = load_all(from, &keys)?;
    tasks.sort_by(|a, b| {
        (b.task.priority, a.task.created, &a.task.id).cmp(&(a.task.priority, b.task.created, &b.task.id))
    });
    tasks.truncate(limit);
    Ok(tasks)
}

fn indexes(local: &LocalTask) -> Vec<Vec<u8>> {
    let task = &local.task;
    let mut keys = vec![key::by_state(task.state, task.created, &task.id)];
    if matches!(task.state, State::Assigned | State::BackingOff) {
        keys.push(match task.not_before {
            Some(moment) => key::next_timed(moment, &task.id),
            None => key::next_ready(task.priority, task.created, &task.id),
        });
    }
    if let Some(at) = local.goes_at {
        keys.push(key::expiry(&key::of_task(Space::Tasks, &task.id), at));
    }
    keys
}

impl Tx<'_> {
    /// A task of this host.
    pub fn task(&self, id: &TaskId) -> Result<Option<LocalTask>> {
        load(self, id)
    }

    /// The tasks that may start now, most urgent first, at most `limit`.
    pub fn next_runnable(&self, now: UnixMs, limit: usize) -> Result<Vec<LocalTask>> {
        next_runnable(self, now, limit)
    }

    fn held(&self, id: &TaskId, lease: Lease) -> Result<LocalTask> {
        let local = self.task(id)?.ok_or_else(|| BufferError::NoSuchTask { task: id.clone() })?;
        if local.task.lease != lease {
            return Err(BufferError::StaleLease { task: id.clone(), given: lease, found: local.task.lease });
        }
        Ok(local)
    }

    fn save(&mut self, old: Option<&LocalTask>, new: &LocalTask) -> Result<()> {
        let id = &new.task.id;
        let before = old.map(indexes).unwrap_or_default();
        let after = indexes(new);
        for key in before.iter().filter(|key| !after.contains(key)) {
            self.remove(key)?;
        }
        for key in after.iter().filter(|key| !before.contains(key)) {
            self.mark(key.clone())?;
        }
        if let Some(old) = old {
            self.counters().task_left(old.task.state);
        }
        self.counters().task_entered(new.task.state);

        let digest = new.task.digest.as_ref().map(|digest| digest.input.clone());
        let apart = new.task.payload.len() + digest.as_ref().map_or(0, String::len) > PAYLOAD_IN_RECORD;
        let mut record = Record { local: new.clone(), apart };
        if apart {
            let unchanged = old.is_some_and(|old| {
                old.task.payload == new.task.payload
                    && old.task.digest.as_ref().map(|digest| &digest.input) == digest.as_ref()
            });
            if let Some(digest) = &mut record.local.task.digest {
                digest.input = String::new();
            }
            let payload = Payload { payload: std::mem::take(&mut record.local.task.payload), digest };
            if !unchanged {
                let bytes = value::to_json("task payload", &payload)?;
                self.put("task payload", key::of_task(Space::Payloads, id), &bytes)?;
            }
        } else if old.is_some() {
            self.remove(&key::of_task(Space::Payloads, id))?;
        }
        let bytes = value::to_json(WHAT, &record)?;
        self.put(WHAT, key::of_task(Space::Tasks, id), &bytes)
    }

    /// Takes in a task that was assigned to this host. Refused when the disk is nearly full.
    pub fn take_task(&mut self, mut task: Task) -> Result<Taken> {
        if !task.state.is_held() {
            return Err(BufferError::NotHeld { task: task.id, state: task.state });
        }
        let old = self.task(&task.id)?;
        let taken = match &old {
            None => Taken::New,
            Some(old) if old.task.lease == task.lease => return self.take_again(old),
            Some(old) if old.task.lease > task.lease => {
                return Err(BufferError::StaleLease { task: task.id, given: task.lease, found: old.task.lease });
            }
            Some(_) => Taken::NewLease,
        };
        self.require_space()?;
        task.state = State::Assigned;
        // Tries begun here count even when the coordinator has not heard of them.
        // Not those of a life that ended: a person who retries a dead letter gives it fresh ones.
        let begun = old.as_ref().filter(|old| !old.task.state.is_final()).map_or(0, |old| old.task.tries);
        task.tries = task.tries.max(begun);
        let local = LocalTask { task, received: self.now(), started: None, finished: None, goes_at: None };
        self.save(old.as_ref(), &local)?;
        Ok(taken)
    }

    /// Takes in a task once more under the lease that it is here under. A hand-back is written here first and then at
    /// the coordinator; when the host ends in between, the coordinator still counts on this host. Needs no space: the
    /// record is here already.
    fn take_again(&mut self, old: &LocalTask) -> Result<Taken> {
        // Held: it waits or runs. Final: its result is on the way, or the loss of its lease is.
        if old.task.state.is_held() || old.task.state.is_final() {
            return Ok(Taken::Same);
        }
        let mut new = old.clone();
        new.task.state = step(&old.task, Event::Assign)?;
        new.goes_at = None;
        self.save(Some(old), &new)?;
        Ok(Taken::Resumed)
    }

    /// Counts a try and sets the task running. The count is on the disk when the transaction is, that is before the
    /// try begins, so that a task which kills its host each time runs out of tries.
    pub fn start_try(&mut self, id: &TaskId, lease: Lease) -> Result<LocalTask> {
        let old = self.held(id, lease)?;
        if !old.task.has_tries_left() {
            return Err(BufferError::NoTriesLeft { task: id.clone(), tries: old.task.tries });
        }
        let mut new = old.clone();
        new.task.state = step(&old.task, Event::Start)?;
        new.task.tries = old.task.tries.saturating_add(1);
        new.task.not_before = None;
        // It told of a wait, which is over.
        new.task.reason.clear();
        new.started = Some(self.now());
        self.begin_checkpoints(id)?;
        self.save(Some(&old), &new)?;
        Ok(new)
    }

    /// Ends a try that has come further: one that has kept checkpoints under new keys since it began is taken back, as by
    /// [`Event::Interrupt`]. For any other nothing is written, and there is no answer. A task can come further only as
    /// often as it may keep checkpoints.
    pub fn spare_try(&mut self, id: &TaskId, lease: Lease, notes: StepNotes) -> Result<Option<LocalTask>> {
        if !self.has_new_checkpoints(id)? {
            return Ok(None);
        }
        self.step_task(id, lease, Event::Interrupt, notes).map(Some)
    }

    /// Any other step of the state table. [`Event::Interrupt`] takes the try back that was counted: a drain is not a try,
    /// nor is one that found no memory.
    /// [`Event::HandBack`] keeps the record and its checkpoints for when the task comes again, and for so long after its
    /// moment as a finished one is kept: it may go to another host for good.
    pub fn step_task(&mut self, id: &TaskId, lease: Lease, event: Event, notes: StepNotes) -> Result<LocalTask> {
        let old = self.held(id, lease)?;
        let mut new = old.clone();
        new.task.state = step(&old.task, event)?;
        if event == Event::Interrupt {
            new.task.tries = old.task.tries.saturating_sub(1);
        }
        new.task.not_before = notes.not_before;
        if let Some(reason) = notes.reason {
            new.task.reason = reason;
        }
        if new.task.state.is_final() {
            new.finished = Some(self.now());
        }
        if event == Event::HandBack {
            let starts = notes.not_before.unwrap_or_default().max(self.now());
            new.goes_at = Some(starts.saturating_add(self.limits.keep_finished_ms));
        } else if new.task.state.is_held() {
            new.goes_at = None;
        }
        self.save(Some(&old), &new)?;
        Ok(new)
    }

    /// The task is no longer this host's: it is cancelled under the lease that it is here under, and retired, in one
    /// transaction. A newer lease that was taken meanwhile keeps its record and its checkpoints.
    pub fn give_up_task(&mut self, id: &TaskId, lease: Lease, reason: &str) -> Result<()> {
        let notes = StepNotes { reason: Some(reason.to_owned()), not_before: None };
        self.step_task(id, lease, Event::Cancel, notes)?;
        self.retire_task(id)
    }

    /// Ends a task and puts its result into the outbox; the entry's number.
    pub fn finish_task(&mut self, result: &TaskResult) -> Result<u64> {
        let old = self.held(&result.task, result.lease)?;
        let event = if result.is_success() { Event::Succeed } else { Event::Fail };
        let mut new = old.clone();
        new.task.state = step(&old.task, event)?;
        new.task.not_before = None;
        new.task.result_hash = Some(result.hash());
        new.finished = Some(self.now());
        if let buddy_router::Outcome::Failed { reason } = &result.outcome {
            new.task.reason.clone_from(reason);
        }
        self.save(Some(&old), &new)?;
        self.enqueue_result(result, old.task.urgent)
    }

    /// After a restart: tasks that were running or waiting for a person are assigned again; their tries stay counted.
    pub fn interrupt_all(&mut self) -> Result<Vec<LocalTask>> {
        let mut interrupted = Vec::new();
        for state in [State::Running, State::WaitingForHuman] {
            let prefix = key::of(Space::ByState, &[&[key::state_code(state)]]);
            let keys = self.keys(&prefix, key::after_prefix(&prefix).as_deref(), usize::MAX)?;
            for old in load_all(self, &keys)? {
                let mut new = old.clone();
                new.task.state = step(&old.task, Event::Interrupt)?;
                new.task.not_before = None;
                self.save(Some(&old), &new)?;
                interrupted.push(new);
            }
        }
        Ok(interrupted)
    }

    /// The task's work here is over (its result was pushed, or it was cancelled): its checkpoints go now, its record, log
    /// and progress after the time that the limits say. The checkpoints of a dead letter go with its record: until then a
    /// person's retry goes on from them. Unknown tasks are none to retire.
    pub fn retire_task(&mut self, id: &TaskId) -> Result<()> {
        let old = self.task(id)?;
        if old.as_ref().is_none_or(|old| old.task.state != State::Failed) {
            self.clear_checkpoints(id)?;
        }
        let keep = self.limits.keep_finished_ms;
        let Some(old) = old else { return Ok(()) };
        if keep == 0 {
            return self.clear_task(id);
        }
        let mut new = old.clone();
        new.goes_at = Some(self.now().saturating_add(keep));
        self.save(Some(&old), &new)
    }

    /// Removes a task with everything that belongs to it, except results in the outbox.
    pub fn clear_task(&mut self, id: &TaskId) -> Result<()> {
        self.clear_checkpoints(id)?;
        self.clear_log(id)?;
        self.remove(&key::of_task(Space::Progress, id))?;
        let Some(old) = self.task(id)? else { return Ok(()) };
        for key in indexes(&old) {
            self.remove(&key)?;
        }
        self.counters().task_left(old.task.state);
        self.remove(&key::of_task(Space::Payloads, id))?;
        self.remove(&key::of_task(Space::Tasks, id))?;
        Ok(())
    }
}

fn step(task: &Task, event: Event) -> Result<State> {
    task.state.after(event).map_err(|step| BufferError::Transition { task: task.id.clone(), step })
}

impl Buffer {
    /// A task of this host.
    pub fn task(&self, id: &TaskId) -> Result<Option<LocalTask>> {
        load(self.store(), id)
    }

    /// Tasks in a state, oldest first, at most `limit`.
    pub fn tasks_in(&self, state: State, limit: usize) -> Result<Vec<LocalTask>> {
        let prefix = key::of(Space::ByState, &[&[key::state_code(state)]]);
        load_all(self.store(), &self.store().keys(&prefix, key::after_prefix(&prefix).as_deref(), limit)?)
    }

    /// Tasks by id, after a given one, at most `limit`.
    pub fn tasks_after(&self, after: Option<&TaskId>, limit: usize) -> Result<Vec<LocalTask>> {
        let mut from = after.map_or_else(|| vec![Space::Tasks as u8], |id| key::of_task(Space::Tasks, id));
        from.extend(after.map(|_| 0));
        load_all(self.store(), &self.store().keys(&from, Some(&Space::Tasks.end()), limit)?)
    }

    /// Ids of tasks that begin with `prefix`, at most `limit`.
    pub fn task_ids(&self, prefix: &str, limit: usize) -> Result<Vec<TaskId>> {
        let from = key::of(Space::Tasks, &[prefix.as_bytes()]);
        let keys = self.store().keys(&from, key::after_prefix(&from).as_deref(), limit)?;
        Ok(keys.iter().filter_map(|key| key::trailing_task(key)).collect())
    }

    /// The tasks that may start at `now`, most urgent first: priority, then age. At most `limit`.
    pub fn next_runnable(&self, now: UnixMs, limit: usize) -> Result<Vec<LocalTask>> {
        next_runnable(self.store(), now, limit)
    }

    /// The earliest moment at which a task that waits for its time may start; it may have passed.
    pub fn next_due(&self) -> Result<Option<UnixMs>> {
        let prefix = key::of(Space::Next, &[b"t"]);
        let first = self.store().keys(&prefix, key::after_prefix(&prefix).as_deref(), 1)?;
        Ok(first.first().and_then(|key| Some(u64::from_be_bytes(key.get(2..10)?.try_into().ok()?))))
    }

    /// Tasks in a state.
    pub fn count_tasks(&self, state: State) -> u64 {
        self.store().counters().tasks(state)
    }

    /// See [`Tx::take_task`].
    pub async fn take_task(&self, task: Task) -> Result<Taken> {
        self.transact(move |tx| tx.take_task(task)).await
    }

    /// See [`Tx::start_try`].
    pub async fn start_try(&self, id: &TaskId, lease: Lease) -> Result<LocalTask> {
        let id = id.clone();
        self.transact(move |tx| tx.start_try(&id, lease)).await
    }

    /// See [`Tx::spare_try`].
    pub async fn spare_try(&self, id: &TaskId, lease: Lease, notes: StepNotes) -> Result<Option<LocalTask>> {
        let id = id.clone();
        self.transact(move |tx| tx.spare_try(&id, lease, notes)).await
    }

    /// See [`Tx::step_task`].
    pub async fn step_task(&self, id: &TaskId, lease: Lease, event: Event, notes: StepNotes) -> Result<LocalTask> {
        let id = id.clone();
        self.transact(move |tx| tx.step_task(&id, lease, event, notes)).await
    }

    /// See [`Tx::give_up_task`].
    pub async fn give_up_task(&self, id: &TaskId, lease: Lease, reason: &'static str) -> Result<()> {
        let id = id.clone();
        self.transact(move |tx| tx.give_up_task(&id, lease, reason)).await
    }

    /// See [`Tx::finish_task`].
    pub async fn finish_task(&self, result: TaskResult) -> Result<u64> {
        self.transact(move |tx| tx.finish_task(&result)).await
    }

    /// See [`Tx::interrupt_all`].
    pub async fn interrupt_all(&self) -> Result<Vec<LocalTask>> {
        // Not the method's path: its lifetime is not general enough.
        self.transact(move |tx: &mut Tx<'_>| Tx::interrupt_all(tx)).await
    }

    /// See [`Tx::retire_task`].
    pub async fn retire_task(&self, id: &TaskId) -> Result<()> {
        let id = id.clone();
        self.transact(move |tx| tx.retire_task(&id)).await
    }

    /// See [`Tx::clear_task`].
    pub async fn clear_task(&self, id: &TaskId) -> Result<()> {
        let id = id.clone();
        self.transact(move |tx| tx.clear_task(&id)).await
    }
}
