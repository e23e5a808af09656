//! Linear memory and tables of one store, all together, and the memory that all stores of a host share.

use std::fmt::Debug;
use std::sync::Arc;

use wasmtime::ResourceLimiter;

/// What all runs of a host may hold together, beside the bound of each. The host counts in it what else it has running.
///
/// Called on the thread that runs a plugin, at each growth of its memory: it must be quick and must not wait.
pub trait SharedMemory: Debug + Send + Sync {
    /// Takes so many bytes for a run; they are given back when its instance is gone.
    ///
    /// # Errors
    /// They are not to be had now: why, and which bound it is, as one sentence for whoever submitted the task.
    fn take(&self, bytes: usize) -> Result<(), String>;

    /// Gives back what [`take`](Self::take) gave.
    fn give_back(&self, bytes: usize);
}

/// A growth that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refused {
    /// By the run's own bound: what it would have led to, and the limit that it met, in bytes.
    Own {
        /// What the run would hold.
        wanted: usize,
        /// What it may hold.
        limit: usize,
    },
    /// By what all runs may hold together: the host's sentence.
    Shared(String),
}

/// Elements of one table, as in the pool. Each costs a pointer.
const TABLE_ELEMENTS: usize = 100_000;

/// Core instances, tables and memories of one component.
const INSTANCES: usize = 200;

/// Counts what a store's memories hold. A refused growth fails in the plugin (`memory.grow` returns −1, which most
/// languages turn into an abort), and is remembered, so that the abort can be explained.
#[derive(Debug)]
pub(crate) struct MemoryLimiter {
    limit: usize,
    held: usize,
    peak: usize,
    last_growth: usize,
    refused: Option<Refused>,
    shared: Option<Arc<dyn SharedMemory>>,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: usize, shared: Option<Arc<dyn SharedMemory>>) -> Self {
        Self { limit, held: 0, peak: 0, last_growth: 0, refused: None, shared }
    }

    /// The most that was held at once, in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// The last growth that was refused.
    pub(crate) fn refused(&self) -> Option<&Refused> {
        self.refused.as_ref()
    }

    fn refuse(&mut self, why: Refused) -> bool {
        self.refused = Some(why);
        self.last_growth = 0;
        false
    }

    fn give_back(&mut self, bytes: usize) {
        self.held = self.held.saturating_sub(bytes);
        if let Some(shared) = &self.shared {
            shared.give_back(bytes);
        }
    }
}

impl Drop for MemoryLimiter {
    fn drop(&mut self) {
        // The store's data goes with its instances: a moment before or after, the memory is free.
        self.give_back(self.held);
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let wanted = self.held.saturating_add(growth);
        if wanted > self.limit || maximum.is_some_and(|max| desired > max) {
            // The memory's own maximum, or that of the pool's slots, may be the smaller one.
            let limit = maximum.map_or(self.limit, |max| max.min(self.limit));
            return Ok(self.refuse(Refused::Own { wanted, limit }));
        }
        if let Some(Err(why)) = self.shared.as_ref().map(|shared| shared.take(growth)) {
            return Ok(self.refuse(Refused::Shared(why)));
        }
        self.held = wanted;
        self.peak = self.peak.max(wanted);
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // Also told of growth that was refused above, where nothing was added.
        self.give_back(self.last_growth);
        self.last_growth = 0;
        Ok(())
    }

    fn table_growing(&mut self, _current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(desired <= TABLE_ELEMENTS && maximum.is_none_or(|max| desired <= max))
    }

    fn instances(&self) -> usize {
        INSTANCES
    }

    fn tables(&self) -> usize {
        INSTANCES
    }

    fn memories(&self) -> usize {
        INSTANCES
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn the_limit_holds_for_all_memories_together() {
        let mut limiter = MemoryLimiter::new(100, None);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!(limiter.peak(), 100);
        assert_eq!(limiter.refused(), Some(&Refused::Own { wanted: 101, limit: 100 }));
    }

    #[test]
    fn a_smaller_maximum_of_the_memory_itself_is_the_limit_that_is_named() {
        let mut limiter = MemoryLimiter::new(100, None);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(limiter.refused(), Some(&Refused::Own { wanted: 60, limit: 50 }));
    }

    /// 100 bytes for everybody.
    #[derive(Debug, Default)]
    struct Hundred(AtomicUsize);

    impl SharedMemory for Hundred {
        fn take(&self, bytes: usize) -> Result<(), String> {
            let fits = |held: usize| Some(held + bytes).filter(|sum| *sum <= 100);
            let took = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
            took.map(drop).map_err(|held| format!("{held} of 100 are taken."))
        }

        fn give_back(&self, bytes: usize) {
            self.0.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_all_runs_hold_together_has_a_bound_of_its_own_and_comes_back() {
        let shared = Arc::new(Hundred::default());
        let limiter = || MemoryLimiter::new(80, Some(Arc::clone(&shared) as Arc<dyn SharedMemory>));
        let (mut one, mut other) = (limiter(), limiter());
        assert!(one.memory_growing(0, 60, None).unwrap());
        assert!(!other.memory_growing(0, 60, None).unwrap());
        assert_eq!(other.refused(), Some(&Refused::Shared("60 of 100 are taken.".to_owned())));
        // wasmtime tells of what was refused as well.
        other.memory_grow_failed(wasmtime::Error::msg("refused")).unwrap();
        assert_eq!(shared.0.load(Ordering::Relaxed), 60);
        assert!(!one.memory_growing(60, 81, None).unwrap(), "its own bound comes first");
        assert_eq!(one.refused(), Some(&Refused::Own { wanted: 81, limit: 80 }));
        drop(one);
        assert!(other.memory_growing(0, 60, None).unwrap());
        other.memory_grow_failed(wasmtime::Error::msg("the system refused")).unwrap();
        assert_eq!(shared.0.load(Ordering::Relaxed), 0);
        drop(other);
        assert_eq!(shared.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn growth_that_failed_after_all_is_not_counted() {
        let mut limiter = MemoryLimiter::new(100, None);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(60, 90, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(limiter.memory_growing(60, 100, None).unwrap());
    }
}
