//! The pool: few Chromium processes, a context for each task, pages counted.
//!
//! - Nothing runs until the first context is opened.
//! - A context lives in one process; contexts spread over the processes, the least loaded first.
//! - Pages are counted over the whole pool. A caller that finds no place waits in a bounded queue and is told `busy`
//!   when that is full or the wait is over. Above the memory bound, which others may share, a new page waits as well.
//! - A process that dies is gone for its contexts: their calls fail with `browser-lost` at once, their places are
//!   free, and the next context gets a new process.
//! - A process that has served enough ([`retire`]) takes no more contexts and ends with its last one.
//! - Dropping the pool ends its processes; [`Pool::close`] waits until they and their folders are gone.

pub(crate) mod gate;
mod options;
pub(crate) mod process;
pub(crate) mod retire;
pub(crate) mod stats;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, watch};

use crate::context::Context;
use crate::error::BrowserError;
use crate::leftovers;
use crate::platform;
use crate::pool::gate::Gate;
use crate::pool::process::{BrowserProcess, Ending, Lease, ProcessState};
use crate::pool::stats::Counters;
use crate::types::ContextOptions;

pub use options::PoolOptions;
pub use retire::{RetireLimits, RetireReason};
pub use stats::{PoolStats, ProcessStats};

/// Time between two measurements of the processes. Memory of a page grows over seconds; reading it costs a
/// millisecond or two for each hundred processes of the machine.
const MEASURE_EVERY: Duration = Duration::from_secs(2);

/// What a page counts for from its opening until the next measurement shows its real size: an ordinary page takes 50 to
/// 150 MiB. Without it a burst of pages would all be let in before the first of them is measured.
const UNMEASURED_PAGE: u64 = 100 << 20;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) struct PoolInner {
    pub(crate) options: PoolOptions,
    pub(crate) runtime: Handle,
    pub(crate) counters: Arc<Counters>,
    pages: Arc<Gate>,
    contexts: Gate,
    processes: Mutex<Vec<Arc<BrowserProcess>>>,
    /// Held while a process starts, so that a burst of callers starts one and not ten.
    launching: tokio::sync::Mutex<()>,
    /// Memory of all trees, as last measured.
    memory: watch::Sender<u64>,
    /// Pages let in since then.
    unmeasured: Mutex<u64>,
    /// Goes up when a process is gone.
    ended: watch::Sender<u64>,
}

/// A supervised pool of browsers. Cheap to clone.
#[derive(Clone)]
pub struct Pool {
    inner: Arc<PoolInner>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Pool {
    /// Makes a pool and cleans up after hosts that died: their browsers are killed, their folders deleted. Starts
    /// no browser. To be called on the runtime that the pool shall use.
    ///
    /// # Errors
    /// `unavailable` when the root folder cannot be made.
    pub async fn new(options: PoolOptions) -> Result<Self, BrowserError> {
        let root = options.root.clone();
        tokio::task::spawn_blocking(move || {
            platform::create_private_folder(&root).map_err(|error| {
                BrowserError::Unavailable(format!(
                    "the browsers' folder {} could not be made: {error}; choose another",
                    root.display()
                ))
            })?;
            leftovers::reap(&root);
            Ok(())
        })
        .await
        .unwrap_or_else(|error| Err(BrowserError::Failed(format!("cleaning up failed: {error}"))))?;
        let inner = Arc::new(PoolInner {
            runtime: Handle::current(),
            counters: Arc::default(),
            pages: Arc::new(Gate::new("pages", options.max_pages, options.max_waiting, options.wait)),
            contexts: Gate::new("contexts", options.max_contexts, options.max_waiting, options.wait),
            processes: Mutex::default(),
            launching: tokio::sync::Mutex::new(()),
            memory: watch::Sender::new(0),
            unmeasured: Mutex::default(),
            ended: watch::Sender::new(0),
            options,
        });
        tokio::spawn(supervise(Arc::downgrade(&inner)));
        Ok(Self { inner })
    }

    /// Opens a context, starting a process where needed.
    ///
    /// # Errors
    /// `unavailable` when there is no Chromium, it does not start, or a named profile is asked for; `busy` when too
    /// many contexts are open; `invalid` for options that cannot work.
    pub async fn open(&self, options: ContextOptions) -> Result<Context, BrowserError> {
        if let Some(profile) = &options.profile {
            return Err(BrowserError::Unavailable(format!(
                "the profile {profile:?} cannot be opened: this version has no named profiles; leave `profile` out"
            )));
        }
        let place = self.inner.contexts.enter(async {}).await?;
        let inner = Arc::clone(&self.inner);
        // In a task of its own: a caller that is dropped half-way must not leave a context that nobody knows.
        let opened = self.inner.runtime.spawn(async move {
            let (process, lease) = inner.process_with_room().await?;
            Context::make(inner, process, lease, place, &options).await
        });
        opened.await.unwrap_or_else(|error| Err(BrowserError::Failed(format!("opening a context failed: {error}"))))
    }

    /// The browsers' memory in bytes, as it is measured every two seconds.
    pub fn memory(&self) -> watch::Receiver<u64> {
        self.inner.memory.subscribe()
    }

    /// What the pool holds and has done.
    pub fn stats(&self) -> PoolStats {
        let inner = &self.inner;
        let mut stats = PoolStats {
            active_pages: inner.pages.taken(),
            active_contexts: inner.contexts.taken(),
            waiting: inner.pages.waiting() + inner.contexts.waiting(),
            processes: lock(&inner.processes).iter().map(|process| process.stats()).collect(),
            memory: *inner.memory.borrow(),
            ..PoolStats::default()
        };
        inner.counters.fill(&mut stats);
        stats
    }

    /// Ends all processes, open pages or not, and returns when they and their folders are gone. Whoever waits for a
    /// place is told `unavailable`.
    pub async fn close(&self) {
        self.inner.pages.close();
        self.inner.contexts.close();
        // One that is starting now is in the list when the lock is free.
        let _launching = self.inner.launching.lock().await;
        let mut ended = self.inner.ended.subscribe();
        for process in lock(&self.inner.processes).iter() {
            process.finish(Ending::PoolClosed);
        }
        while !lock(&self.inner.processes).is_empty() {
            if ended.changed().await.is_err() {
                return;
            }
        }
    }
}

impl PoolInner {
    /// A place for a page, once one is free and memory allows it.
    pub(crate) async fn enter_page(&self) -> Result<OwnedSemaphorePermit, BrowserError> {
        let permit = self
            .pages
            .enter(async {
                let mut memory = self.memory.subscribe();
                // Looked at again after every measurement. The sender lives in `self`.
                let _ = memory.wait_for(|memory| self.let_in(*memory)).await;
            })
            .await?;
        Ok(permit)
    }

    /// Whether a page may be opened while the browsers hold so much; then it counts from here on.
    fn let_in(&self, memory: u64) -> bool {
        let Some(bound) = self.memory_bound() else { return true };
        let mut unmeasured = lock(&self.unmeasured);
        // Of many pages that came and went since the measurement only those count that are open still.
        let open = (*unmeasured).min(self.pages.taken() as u64);
        let fits = memory.saturating_add(open.saturating_mul(UNMEASURED_PAGE)) <= bound;
        *unmeasured += u64::from(fits);
        fits
    }

    /// What the browsers may hold now: the bound less what others hold of it.
    fn memory_bound(&self) -> Option<u64> {
        let others = self.options.other_memory.as_ref().map_or(0, |others| *others.borrow());
        self.options.max_memory.map(|bound| bound.saturating_sub(others))
    }

    /// Counts a page opened in `process`, and with it the first load of that page.
    pub(crate) fn page_opened(&self, process: &BrowserProcess) {
        Counters::add(&self.counters.pages);
        self.page_loads(process);
    }

    /// Counts a page loaded in `process` and retires the process when that was its last.
    pub(crate) fn page_loads(&self, process: &BrowserProcess) {
        process.page_loads();
        if let Some(reason) = retire::verdict(&self.options.retire, process.usage()) {
            process.retire(reason);
        }
    }

    /// The least loaded process with room, or a new one.
    async fn process_with_room(self: &Arc<Self>) -> Result<(Arc<BrowserProcess>, Lease), BrowserError> {
        if let Some(found) = self.lease_with_room() {
            return Ok(found);
        }
        let _launching = self.launching.lock().await;
        // Somebody else may have started one while we waited for the lock.
        if let Some(found) = self.lease_with_room() {
            return Ok(found);
        }
        let pool = Arc::downgrade(self);
        let state =
            Arc::new(ProcessState::new(Arc::clone(&self.counters), Arc::clone(&self.pages), self.options.max_download));
        let ended = move |process: Arc<BrowserProcess>, ending| {
            if let Some(pool) = pool.upgrade() {
                pool.process_ended(&process, ending);
            }
        };
        let process = BrowserProcess::start(&self.options.launch, &self.options.root, state, ended).await?;
        Counters::add(&self.counters.launched);
        lock(&self.processes).push(Arc::clone(&process));
        // It may have died before it was in the list.
        if process.root.end().is_some() {
            lock(&self.processes).retain(|other| !Arc::ptr_eq(other, &process));
        }
        let lease = process
            .lease()
            .ok_or_else(|| BrowserError::BrowserLost("the browser died right after its start; try again".to_owned()))?;
        Ok((process, lease))
    }

    fn lease_with_room(&self) -> Option<(Arc<BrowserProcess>, Lease)> {
        let processes = lock(&self.processes);
        let mut live: Vec<_> =
            processes.iter().filter(|process| process.retiring().is_none() && process.root.end().is_none()).collect();
        live.sort_by_key(|process| process.contexts());
        let full = live.len() >= self.options.max_processes.max(1);
        let process =
            live.into_iter().find(|process| full || process.contexts() < self.options.contexts_per_process)?;
        Some((Arc::clone(process), process.lease()?))
    }

    fn process_ended(&self, process: &Arc<BrowserProcess>, ending: Ending) {
        match ending {
            Ending::Died => Counters::add(&self.counters.crashed_processes),
            Ending::Retired(reason) => {
                self.counters.retired(reason);
                tracing::info!(pid = process.pid, ?reason, "a browser process was retired");
            }
            Ending::PoolClosed => {}
        }
        lock(&self.processes).retain(|other| !Arc::ptr_eq(other, process));
        self.ended.send_modify(|ended| *ended += 1);
    }

    /// Applies the rules to what was measured.
    fn judge(&self, memory: &[(Arc<BrowserProcess>, u64)]) {
        let total: u64 = memory.iter().map(|(_, memory)| memory).sum();
        let above = self.memory_bound().is_some_and(|bound| total > bound);
        for (process, memory) in memory {
            process.measured(*memory);
            if let Some(reason) = retire::verdict(&self.options.retire, process.usage()) {
                process.retire(reason);
            } else if let Some(idle) = process.idle_for() {
                if above {
                    process.retire(RetireReason::PoolMemory);
                } else if idle >= self.options.idle {
                    process.retire(RetireReason::Idle);
                }
            }
        }
        *lock(&self.unmeasured) = 0;
        self.memory.send_replace(total);
    }
}

impl Drop for PoolInner {
    fn drop(&mut self) {
        for process in lock(&self.processes).iter() {
            process.finish(Ending::PoolClosed);
        }
    }
}

/// Measures the processes and applies the rules, as long as the pool exists.
async fn supervise(pool: Weak<PoolInner>) {
    let mut tick = tokio::time::interval(MEASURE_EVERY);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let Some(pool) = pool.upgrade() else { return };
        let processes = lock(&pool.processes).clone();
        if processes.is_empty() {
            pool.judge(&[]);
            continue;
        }
        let measured = tokio::task::spawn_blocking(move || {
            let system = platform::snapshot();
            let measure = |process: Arc<BrowserProcess>| {
                let memory = platform::tree_memory(&system, process.pid);
                (process, memory)
            };
            processes.into_iter().map(measure).collect::<Vec<_>>()
        })
        .await;
        match measured {
            Ok(measured) => pool.judge(&measured),
            Err(error) => tracing::warn!(%error, "the browsers' memory could not be measured"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_of_pages_waits_until_the_first_of_them_are_measured() {
        let root = tempfile::tempdir().unwrap();
        let mut options = PoolOptions::new(root.path());
        options.max_memory = Some(2 * UNMEASURED_PAGE);
        let pool = Pool::new(options).await.unwrap();
        // Past the measurement with which the pool begins.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let mut held = Vec::new();
        for _ in 0..3 {
            held.push(pool.inner.enter_page().await.unwrap());
        }
        let next = tokio::time::timeout(MEASURE_EVERY / 2, pool.inner.enter_page()).await;
        assert!(next.is_err(), "the bound is reached by what those may take");
        // None of them has a process here, so they are measured as nothing.
        held.push(pool.inner.enter_page().await.unwrap());
        // Pages that are closed again count no longer.
        held.clear();
        for _ in 0..10 {
            drop(pool.inner.enter_page().await.unwrap());
        }
    }
}
