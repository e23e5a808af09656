//! What the pusher does next: a state machine without I/O.
//!
//! It is given the items of one round; [`Machine::action`] says what to do (commit a batch, read a task), the answer is
//! told to it, and out come [`Effect`]s on the outbox. A batch is applied whole or not at all. A batch refused for
//! good is halved until the item at fault stands alone (case Q13). An item whose outcome is unknown, or whose
//! precondition fails, is read once and reconciled (cases Q3, Q5, Q6).

use std::collections::VecDeque;

use buddy_router::batch::{AfterRefusal, after_refusal};
use buddy_router::reconcile::{Reconciled, reconcile};
use buddy_router::{Task, TaskId, TaskResult};

use crate::{PushError, PushItem, Version, Versioned};

/// Reads of one item in one round: more means that somebody keeps writing its task; the next round goes on.
const MAX_READS: u32 = 5;

/// An item of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Its place in the outbox.
    pub seq: u64,
    /// The result.
    pub result: TaskResult,
    /// The version of the task document, if the agent knows it.
    pub expected: Option<Version>,
}

/// What to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Push these as one batch, then tell [`Machine::committed`].
    Commit(Vec<PushItem>),
    /// Read this task, then tell [`Machine::was_read`].
    Read(TaskId),
    /// The round is over.
    Done,
}

/// What happens to an entry of the outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// It is applied: remove it.
    Clear {
        /// Its place.
        seq: u64,
        /// Its task.
        task: TaskId,
    },
    /// Another finish was applied first: keep it apart for a while.
    Supersede {
        /// Its place.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// It can never be applied: keep it apart with the reason.
    SetAside {
        /// Its place.
        seq: u64,
        /// Its task.
        task: TaskId,
        /// Why.
        reason: String,
    },
}

#[derive(Debug)]
enum Work {
    Batch(Vec<Known>),
    Read(Item, u32),
}

#[derive(Debug)]
struct Known {
    item: Item,
    expected: Version,
    reads: u32,
}

/// One round of pushing.
#[derive(Debug)]
pub struct Machine {
    work: VecDeque<Work>,
    /// Reconciled items that go out together once nothing is left to read: not each as a commit of its own.
    again: Vec<Known>,
    stopped: Option<String>,
}

impl Machine {
    /// A round over `items`, in the outbox's order; one task at most once, as a batch must not name a document twice.
    pub fn new(items: Vec<Item>) -> Self {
        let mut batch = Vec::new();
        let mut work = VecDeque::new();
        for item in items {
            match item.expected {
                Some(expected) => batch.push(Known { item, expected, reads: 0 }),
                None => work.push_back(Work::Read(item, 0)),
            }
        }
        if !batch.is_empty() {
            work.push_front(Work::Batch(batch));
        }
        Self { work, again: Vec::new(), stopped: None }
    }

    /// What to do now. Asked again before an answer was told, it says the same.
    pub fn action(&mut self) -> Action {
        if self.stopped.is_some() {
            return Action::Done;
        }
        if self.work.is_empty() && !self.again.is_empty() {
            let again = std::mem::take(&mut self.again);
            self.work.push_back(Work::Batch(again));
        }
        match self.work.front() {
            None => Action::Done,
            Some(Work::Read(item, _)) => Action::Read(item.result.task.clone()),
            Some(Work::Batch(batch)) => Action::Commit(
                batch
                    .iter()
                    .map(|known| PushItem { result: known.item.result.clone(), expected: known.expected })
                    .collect(),
            ),
        }
    }

    /// Why the round ended early: the coordinator cannot be reached. What is left stays in the outbox.
    pub fn stopped(&self) -> Option<&str> {
        self.stopped.as_deref()
    }

    /// Ends the round: the coordinator cannot be read.
    pub fn stop(&mut self, reason: String) {
        self.stopped = Some(reason);
    }

    /// The commit's answer.
    pub fn committed(&mut self, answer: Result<(), PushError>) -> Vec<Effect> {
        let batch = match self.work.pop_front() {
            Some(Work::Batch(batch)) => batch,
            Some(other) => {
                // An answer to something that was not asked changes nothing.
                self.work.push_front(other);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        match answer {
            Ok(()) => batch
                .into_iter()
                .map(|known| Effect::Clear { seq: known.item.seq, task: known.item.result.task })
                .collect(),
            Err(PushError::Later { reason }) => {
                self.stopped = Some(reason);
                Vec::new()
            }
            Err(PushError::Unknown { reason: _ }) => {
                for known in batch {
                    self.work.push_back(Work::Read(known.item, known.reads));
                }
                Vec::new()
            }
            Err(PushError::Changed { index }) if index < batch.len() => {
                let mut batch = batch;
                let changed = batch.remove(index);
                self.work.push_front(Work::Read(changed.item, changed.reads));
                if !batch.is_empty() {
                    self.work.push_front(Work::Batch(batch));
                }
                Vec::new()
            }
            Err(PushError::Changed { .. } | PushError::SomeChanged) => match after_refusal(batch.len()) {
                AfterRefusal::Alone => {
                    for known in batch {
                        self.work.push_front(Work::Read(known.item, known.reads));
                    }
                    Vec::new()
                }
                AfterRefusal::Halve(first) => self.halve(batch, first),
            },
            Err(PushError::Refused { reason }) => match after_refusal(batch.len()) {
                AfterRefusal::Alone => batch
                    .into_iter()
                    .map(|Known { item, .. }| Effect::SetAside {
                        seq: item.seq,
                        task: item.result.task,
                        reason: reason.clone(),
                    })
                    .collect(),
                AfterRefusal::Halve(first) => self.halve(batch, first),
            },
        }
    }

    fn halve(&mut self, mut batch: Vec<Known>, first: usize) -> Vec<Effect> {
        let second = batch.split_off(first);
        self.work.push_front(Work::Batch(second));
        self.work.push_front(Work::Batch(batch));
        Vec::new()
    }

    /// The task as it was just read.
    pub fn was_read(&mut self, present: Option<&Versioned<Task>>) -> Vec<Effect> {
        let (item, reads) = match self.work.pop_front() {
            Some(Work::Read(item, reads)) => (item, reads + 1),
            Some(other) => {
                self.work.push_front(other);
                return Vec::new();
            }
            None => return Vec::new(),
        };
        let seq = item.seq;
        let effect = match reconcile(&item.result, present.map(|task| &task.value)) {
            Reconciled::Landed => Effect::Clear { seq, task: item.result.task },
            Reconciled::Superseded => Effect::Supersede { seq, reason: "another finish was applied first".to_owned() },
            Reconciled::Stale => {
                Effect::Supersede { seq, reason: "a failure under a lease that another agent has now".to_owned() }
            }
            Reconciled::Deleted => Effect::SetAside { seq, task: item.result.task, reason: "task deleted".to_owned() },
            Reconciled::PushAgain { .. } => {
                // Reconciled from a read, so there is one; a changed task is read again, but not for ever.
                if let Some(present) = present
                    && reads < MAX_READS
                {
                    self.again.push(Known { item, expected: present.version, reads });
                }
                return Vec::new();
            }
        };
        vec![effect]
    }
}
