//! The bound on memory: what plugins and browsers hold together within `resources.max_memory_gb`.
//!
//! Three things share the bound. The host itself is given a fixed part ([`HOST_MEMORY`]). Plugins are counted by the
//! linear memory that their instances have really grown to, browsers by what the pool measures. A run begins when what
//! it may grow to still fits beside what the others may grow to ([`MemoryBudget::admit`]); until then it waits, first
//! come, first served, and its try is not counted yet. So a growth is refused only when the browsers grew meanwhile: then
//! that run ends, its try is taken back, and the task goes on later. Want of memory delays a task, it never fails one.
//! The pool, in its turn, opens no page while browsers and plugins together are above the bound, and ends browsers that
//! have nothing to do ([`PoolOptions`](buddy_browser::PoolOptions)). It counts what plugins hold and not what they were
//! promised, which is several times as much: pages would stand still for memory that nobody uses.
//!
//! One run is always let in, so that work goes on however small the bound is. What plugins take to describe themselves
//! and to estimate a task is beside the bound: a submission is queued, whatever the runs hold.

use std::sync::{Arc, OnceLock};

use buddy_runtime::SharedMemory;
use tokio::sync::watch;

use crate::render::units;

/// The part of `resources.max_memory_gb` that is the host's own: its engine, its caches and what calls have in flight.
pub const HOST_MEMORY: u64 = 192 << 20;

/// What one Chromium with one page takes at least: its main, network and graphics processes and one renderer.
pub const BROWSER_MEMORY: u64 = 256 << 20;

/// What the runs that were let in may grow to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Promised {
    runs: u32,
    bytes: u64,
}

/// The memory of one host. See the module's documentation.
#[derive(Debug)]
pub struct MemoryBudget {
    allowed: u64,
    /// What the plugins' instances hold.
    plugins: watch::Sender<u64>,
    promised: watch::Sender<Promised>,
    /// As the pool measures it, once there is a pool.
    browsers: OnceLock<watch::Receiver<u64>>,
    /// Held by the run that is the next to be let in.
    next: tokio::sync::Mutex<()>,
}

/// A run's share, given back when it is dropped.
#[derive(Debug)]
pub struct Promise {
    budget: Arc<MemoryBudget>,
    bytes: u64,
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.budget.promised.send_modify(|promised| {
            promised.runs -= 1;
            promised.bytes -= self.bytes;
        });
    }
}

impl MemoryBudget {
    /// For a bound in bytes, the host's own part included.
    pub fn new(allowed: u64) -> Arc<Self> {
        Arc::new(Self {
            allowed,
            plugins: watch::Sender::new(0),
            promised: watch::Sender::new(Promised::default()),
            browsers: OnceLock::new(),
            next: tokio::sync::Mutex::default(),
        })
    }

    /// What plugins and browsers may hold together.
    pub fn room(&self) -> u64 {
        self.allowed.saturating_sub(HOST_MEMORY)
    }

    /// What the plugins hold, now and from now on.
    pub fn plugins(&self) -> watch::Receiver<u64> {
        self.plugins.subscribe()
    }

    /// Counts the browsers in from here on. Called once; the first pool stays.
    pub fn count_browsers(&self, measured: watch::Receiver<u64>) {
        let _ = self.browsers.set(measured);
    }

    fn browsers(&self) -> u64 {
        self.browsers.get().map_or(0, |measured| *measured.borrow())
    }

    /// Lets a run begin that may grow to so many bytes, once they fit; `waits` is told, once, why they do not yet.
    ///
    /// May be dropped at any time: then the run has no share.
    pub async fn admit(self: &Arc<Self>, bytes: u64, waits: impl FnOnce(String)) -> Promise {
        if let Ok(_next) = self.next.try_lock()
            && let Some(promise) = self.promise(bytes)
        {
            return promise;
        }
        waits(format!(
            "this run may take {} of memory and waits until other runs end: resources.max_memory_gb ({}) holds {} of \
             runs, {} of browsers and {} of the host",
            units::bytes(bytes),
            units::bytes(self.allowed),
            units::bytes(self.promised.borrow().bytes),
            units::bytes(self.browsers()),
            units::bytes(HOST_MEMORY),
        ));
        let _next = self.next.lock().await;
        let mut promised = self.promised.subscribe();
        let mut browsers = self.browsers.get().cloned();
        loop {
            promised.mark_unchanged();
            if let Some(promise) = self.promise(bytes) {
                return promise;
            }
            let measured = async {
                let alive = match &mut browsers {
                    Some(browsers) => browsers.changed().await.is_ok(),
                    None => false,
                };
                // There are none, or none any more: nothing to wait for.
                if !alive {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                // The sender lives in `self`.
                _ = promised.changed() => {}
                () = measured => {}
            }
        }
    }

    fn promise(self: &Arc<Self>, bytes: u64) -> Option<Promise> {
        let room = self.room().saturating_sub(self.browsers());
        let given = self.promised.send_if_modified(|promised| {
            let sum = promised.bytes.saturating_add(bytes);
            let fits = promised.runs == 0 || sum <= room;
            if fits {
                *promised = Promised { runs: promised.runs + 1, bytes: sum };
            }
            fits
        });
        given.then(|| Promise { budget: Arc::clone(self), bytes })
    }
}

impl SharedMemory for MemoryBudget {
    fn take(&self, bytes: usize) -> Result<(), String> {
        let (bytes, browsers) = (bytes as u64, self.browsers());
        let room = self.room().saturating_sub(browsers);
        let mut held = 0;
        let taken = self.plugins.send_if_modified(|plugins| {
            held = *plugins;
            let sum = held.saturating_add(bytes);
            if sum <= room {
                *plugins = sum;
            }
            sum <= room
        });
        // Nothing was asked for, as for a memory that begins empty: nothing is modified and nothing refused.
        if taken || bytes == 0 {
            return Ok(());
        }
        Err(format!(
            "The plugin needed {} more memory than resources.max_memory_gb ({}) has left: all plugins hold {}, the \
             browsers {} and the host {}; the task goes on when there is more; if there never is, raise the key.",
            units::bytes(bytes),
            units::bytes(self.allowed),
            units::bytes(held),
            units::bytes(browsers),
            units::bytes(HOST_MEMORY),
        ))
    }

    fn give_back(&self, bytes: usize) {
        if bytes > 0 {
            self.plugins.send_modify(|plugins| *plugins = plugins.saturating_sub(bytes as u64));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    /// A budget with so many MiB beside the host's part, and a pool that measures what the test says.
    fn budget(room: u64) -> (Arc<MemoryBudget>, watch::Sender<u64>) {
        let budget = MemoryBudget::new(HOST_MEMORY + room * MIB);
        let (measured, browsers) = watch::channel(0);
        budget.count_browsers(browsers);
        (budget, measured)
    }

    fn take(budget: &MemoryBudget, mib: usize) -> Result<(), String> {
        budget.take(mib << 20)
    }

    #[test]
    fn plugins_and_browsers_share_what_the_host_leaves() {
        let (budget, browsers) = budget(100);
        take(&budget, 60).unwrap();
        take(&budget, 40).unwrap();
        let refused = take(&budget, 1).unwrap_err();
        insta::assert_snapshot!(refused, @"The plugin needed 1.0 MiB more memory than resources.max_memory_gb (292.0 MiB) has left: all plugins hold 100.0 MiB, the browsers 0 B and the host 192.0 MiB; the task goes on when there is more; if there never is, raise the key.");
        budget.give_back(50 << 20);
        browsers.send_replace(49 * MIB);
        take(&budget, 1).unwrap();
        take(&budget, 1).unwrap_err();
        assert_eq!(*budget.plugins().borrow(), 51 * MIB);
    }

    #[tokio::test]
    async fn runs_wait_for_memory_in_their_order_and_one_is_always_let_in() {
        let (budget, browsers) = budget(100);
        browsers.send_replace(200 * MIB);
        let silent = |_: String| panic!("it does not wait");
        let first = budget.admit(80 * MIB, silent).await;
        browsers.send_replace(0);
        let told = std::cell::OnceCell::new();
        let waits = |why: String| told.set(why).unwrap();
        let mut large = std::pin::pin!(budget.admit(60 * MIB, waits));
        assert!(futures::poll!(&mut large).is_pending());
        let mut small = std::pin::pin!(budget.admit(10 * MIB, |_| ()));
        assert!(futures::poll!(&mut small).is_pending(), "it would fit, and does not overtake");
        drop(first);
        let large = large.await;
        insta::assert_snapshot!(told.get().unwrap(), @"this run may take 60.0 MiB of memory and waits until other runs end: resources.max_memory_gb (292.0 MiB) holds 80.0 MiB of runs, 0 B of browsers and 192.0 MiB of the host");
        let small = small.await;
        // A browser that ends makes room as well.
        browsers.send_replace(30 * MIB);
        let mut next = std::pin::pin!(budget.admit(10 * MIB, |_| ()));
        assert!(futures::poll!(&mut next).is_pending());
        browsers.send_replace(20 * MIB);
        drop((next.await, large, small));
        assert_eq!(*budget.promised.borrow(), Promised::default());
    }

    #[tokio::test]
    async fn a_run_that_gives_up_waiting_holds_up_nobody() {
        let (budget, _browsers) = budget(100);
        let first = budget.admit(80 * MIB, |_| ()).await;
        {
            let mut gives_up = std::pin::pin!(budget.admit(60 * MIB, |_| ()));
            assert!(futures::poll!(&mut gives_up).is_pending());
        }
        let second = budget.admit(20 * MIB, |_| ()).await;
        drop((first, second));
    }

    proptest! {
        #[test]
        fn the_sum_is_never_above_the_bound_and_comes_back(steps in proptest::collection::vec((0_usize..80, any::<bool>()), 0..60)) {
            let (budget, _browsers) = budget(100);
            let mut held = Vec::new();
            for (mib, take_it) in steps {
                if take_it {
                    if take(&budget, mib).is_ok() {
                        held.push(mib);
                    }
                } else if let Some(mib) = held.pop() {
                    budget.give_back(mib << 20);
                }
                let sum: usize = held.iter().sum();
                prop_assert_eq!(*budget.plugins().borrow(), (sum as u64) * MIB);
                prop_assert!(sum <= 100);
            }
        }
    }
}
