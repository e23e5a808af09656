//! What a pool has done and holds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::pool::retire::RetireReason;

/// A moment's picture of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolStats {
    /// Pages open now.
    pub active_pages: usize,
    /// Contexts open now.
    pub active_contexts: usize,
    /// Callers waiting for a page or a context.
    pub waiting: usize,
    /// Each live process.
    pub processes: Vec<ProcessStats>,
    /// Memory of all process trees in bytes, as last measured.
    pub memory: u64,
    /// Processes started so far.
    pub launched: u64,
    /// Processes that died by themselves.
    pub crashed_processes: u64,
    /// Pages whose renderer died.
    pub crashed_pages: u64,
    /// Processes ended by a rule, by reason.
    pub retired: BTreeMap<RetireReason, u64>,
    /// Pages opened so far.
    pub pages: u64,
    /// Popups closed because nobody had room for them.
    pub popups_closed: u64,
    /// Navigations asked for so far.
    pub navigations: u64,
    /// Navigations that ended in an error.
    pub failed_navigations: u64,
}

/// One live process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProcessStats {
    /// Its process id, which is its group's id too.
    pub pid: u32,
    /// Contexts open in it.
    pub contexts: usize,
    /// Pages loaded in its life, as [`RetireLimits`](crate::RetireLimits) counts them.
    pub pages: u64,
    /// Memory of its tree in bytes, as last measured.
    pub memory: u64,
    /// Why it takes no more contexts, if so.
    pub retiring: Option<RetireReason>,
}

/// The counters behind [`PoolStats`].
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) launched: AtomicU64,
    pub(crate) crashed_processes: AtomicU64,
    pub(crate) crashed_pages: AtomicU64,
    pub(crate) pages: AtomicU64,
    pub(crate) popups_closed: AtomicU64,
    pub(crate) navigations: AtomicU64,
    pub(crate) failed_navigations: AtomicU64,
    retired: Mutex<BTreeMap<RetireReason, u64>>,
}

impl Counters {
    /// Adds one.
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a process ended by a rule.
    pub(crate) fn retired(&self, reason: RetireReason) {
        *self.retired.lock().unwrap_or_else(PoisonError::into_inner).entry(reason).or_default() += 1;
    }

    /// The counters' part of a picture.
    pub(crate) fn fill(&self, stats: &mut PoolStats) {
        stats.launched = self.launched.load(Ordering::Relaxed);
        stats.crashed_processes = self.crashed_processes.load(Ordering::Relaxed);
        stats.crashed_pages = self.crashed_pages.load(Ordering::Relaxed);
        stats.pages = self.pages.load(Ordering::Relaxed);
        stats.popups_closed = self.popups_closed.load(Ordering::Relaxed);
        stats.navigations = self.navigations.load(Ordering::Relaxed);
        stats.failed_navigations = self.failed_navigations.load(Ordering::Relaxed);
        stats.retired = self.retired.lock().unwrap_or_else(PoisonError::into_inner).clone();
    }
}
