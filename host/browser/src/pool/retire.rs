//! When a process has served enough.
//!
//! Browsers grow over hours whatever the pages do, so a process ends after a number of pages or above a size. All
//! rules are here and pure; the supervisor measures and obeys.

/// The bounds of one process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RetireLimits {
    /// Pages loaded in its life: one with each page that is opened, and one with each further navigation of it. 500
    /// pages are minutes to hours of scraping, so that the 0.4 s of a launch weigh nothing.
    pub pages: u64,
    /// Memory of its tree in bytes. Ten heavy pages take about 1.5 GiB; twice that is growth, not use.
    pub memory: u64,
}

impl Default for RetireLimits {
    fn default() -> Self {
        Self { pages: 500, memory: 3 << 30 }
    }
}

/// What a process has used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) pages: u64,
    pub(crate) memory: u64,
    pub(crate) contexts: usize,
}

/// Why a process was retired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum RetireReason {
    /// It loaded its number of pages.
    Pages,
    /// Its tree grew above its bound.
    Memory,
    /// It had nothing to do for the idle time.
    Idle,
    /// The pool as a whole is above its memory bound and this process has nothing to do.
    PoolMemory,
}

/// Whether a process takes no more contexts from now on.
pub(crate) fn verdict(limits: &RetireLimits, usage: Usage) -> Option<RetireReason> {
    if usage.pages >= limits.pages {
        Some(RetireReason::Pages)
    } else if usage.memory > limits.memory {
        Some(RetireReason::Memory)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: RetireLimits = RetireLimits { pages: 10, memory: 100 };

    #[test]
    fn a_process_is_retired_by_pages_or_memory() {
        let usage = |pages, memory| Usage { pages, memory, contexts: 1 };
        assert_eq!(verdict(&LIMITS, usage(9, 100)), None);
        assert_eq!(verdict(&LIMITS, usage(10, 0)), Some(RetireReason::Pages));
        assert_eq!(verdict(&LIMITS, usage(0, 101)), Some(RetireReason::Memory));
    }
}
