//! The one writer: a thread that takes what waits, runs it, and makes it durable together (group commit).
//!
//! Each job is a closure over a [`Tx`]. Jobs run one after the other, so a condition that a job checks holds when it
//! writes. A group is one atomic write, one flush and one sync; only then are its callers told. If that fails, all of
//! them are told, and the buffer takes no more writes (see [`BufferError::Degraded`]).

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use buddy_router::SessionId;
use tokio::sync::{mpsc, oneshot};

use crate::{
    Limits,
    error::{BufferError, Result},
    key::{self, Space},
    options::Clock,
    store::{Store, panic_message},
    tx::{Group, Tx},
    value,
};

/// Jobs that wait at most; beyond it callers wait for room.
pub(crate) const QUEUE: usize = 4096;

/// Jobs in a group at most: at 500 the sync no longer dominates (measured), and a larger group only makes its first
/// caller wait longer.
const GROUP_JOBS: usize = 512;

/// Bytes after which a group takes no further job.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// Where the counts are kept.
pub(crate) fn counters_key() -> Vec<u8> {
    key::of(Space::Meta, &[b"counters"])
}

pub(crate) enum Request {
    /// Runs in the next group. One group is synced when at least one of its jobs is `durable`.
    Job { job: Box<dyn Job>, durable: bool },
    /// Ends the writer when everything before it is done.
    Close(oneshot::Sender<()>),
}

/// A transaction that waits to run, with whoever waits for it.
pub(crate) trait Job: Send {
    /// Runs the closure; whether its writes stand.
    fn run(&mut self, tx: &mut Tx<'_>) -> bool;
    /// Tells the caller. `fate` is what became of the group.
    fn finish(self: Box<Self>, fate: Result<()>);
}

pub(crate) struct Pending<F, T, E> {
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: Option<oneshot::Sender<Result<T, E>>>,
}

impl<F, T, E> Pending<F, T, E> {
    /// A job, and where its outcome arrives.
    pub(crate) fn new(work: F) -> (Self, oneshot::Receiver<Result<T, E>>) {
        let (reply, outcome) = oneshot::channel();
        (Self { work: Some(work), outcome: None, reply: Some(reply) }, outcome)
    }
}

impl<F, T, E> Job for Pending<F, T, E>
where
    F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<BufferError> + Send,
{
    fn run(&mut self, tx: &mut Tx<'_>) -> bool {
        let Some(work) = self.work.take() else { return false };
        // The transaction is rolled back after a panic, so nothing half-done is seen by anybody.
        let outcome = catch_unwind(AssertUnwindSafe(|| work(tx)))
            .unwrap_or_else(|panic| Err(BufferError::Panicked { message: panic_message(&*panic).into() }.into()));
        let stands = outcome.is_ok();
        self.outcome = Some(outcome);
        stands
    }

    fn finish(mut self: Box<Self>, fate: Result<()>) {
        let outcome = match (fate, self.outcome.take()) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(BufferError::Closed.into()),
            // Also for a job that was refused: what refused it may have been a write of the same group.
            (Err(error), _) => Err(error.into()),
        };
        if let Some(reply) = self.reply.take() {
            // Nobody there any more: the caller gave up waiting, which undoes nothing.
            let _ = reply.send(outcome);
        }
    }
}

pub(crate) struct Writer {
    pub(crate) store: Arc<Store>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) clock: Clock,
    pub(crate) session: SessionId,
    pub(crate) requests: mpsc::Receiver<Request>,
}

impl Writer {
    /// Runs until it is closed or nobody can send any more.
    pub(crate) fn run(mut self) {
        while let Some(first) = self.requests.blocking_recv() {
            if let Some(closed) = self.group(first) {
                self.requests.close();
                while let Some(request) = self.requests.blocking_recv() {
                    match request {
                        Request::Job { job, .. } => job.finish(Err(BufferError::Closed)),
                        Request::Close(also) => drop(also.send(())),
                    }
                }
                self.settle();
                // Nobody waits any more: the caller gave up.
                let _ = closed.send(());
                return;
            }
        }
        self.settle();
    }

    fn settle(&self) {
        if let Err(error) = self.store.settle(&self.session) {
            tracing::warn!(%error, "the buffer was not closed cleanly");
        }
    }

    /// Runs one group. Returns who asked to close, if somebody did.
    fn group(&mut self, first: Request) -> Option<oneshot::Sender<()>> {
        let mut group = Group { counters: self.store.counters(), ..Group::default() };
        let now = (self.clock)();
        let mut done: Vec<Box<dyn Job>> = Vec::new();
        let mut durable = false;
        let mut closing = None;
        let mut next = Some(first);
        while let Some(request) = next.take() {
            match request {
                Request::Job { mut job, durable: wanted } => {
                    // After a failed write nothing runs any more.
                    if let Err(error) = self.store.check() {
                        job.finish(Err(error));
                    } else {
                        let mut tx = Tx::new(&self.store, &mut group, &self.limits, now);
                        if job.run(&mut tx) {
                            durable |= wanted;
                        } else {
                            tx.roll_back();
                        }
                        done.push(job);
                    }
                }
                Request::Close(closed) => {
                    closing = Some(closed);
                    break;
                }
            }
            if done.len() < GROUP_JOBS && group.bytes < GROUP_BYTES {
                next = self.requests.try_recv().ok();
            }
        }
        let fate = self.commit(group, durable);
        for job in done {
            job.finish(fate.clone());
        }
        closing
    }

    fn commit(&self, mut group: Group, durable: bool) -> Result<()> {
        if group.writes.is_empty() {
            return Ok(());
        }
        group.counters.groups += 1;
        group.writes.insert(counters_key(), Some(value::inline(&group.counters.encode()).into()));
        self.store.write(group.writes, durable)?;
        self.store.set_counters(group.counters);
        Ok(())
    }
}
