//! Linear memory and tables of one store, all together.

use wasmtime::ResourceLimiter;

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
    refused: Option<(usize, usize)>,
}

impl MemoryLimiter {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, held: 0, peak: 0, last_growth: 0, refused: None }
    }

    /// The most that was held at once, in bytes.
    pub(crate) fn peak(&self) -> usize {
        self.peak
    }

    /// What the last refused growth would have led to, and the limit that it met, in bytes.
    pub(crate) fn refused(&self) -> Option<(usize, usize)> {
        self.refused
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let wanted = self.held.saturating_add(growth);
        if wanted > self.limit || maximum.is_some_and(|max| desired > max) {
            // The memory's own maximum, or that of the pool's slots, may be the smaller one.
            self.refused = Some((wanted, maximum.map_or(self.limit, |max| max.min(self.limit))));
            self.last_growth = 0;
            return Ok(false);
        }
        self.held = wanted;
        self.peak = self.peak.max(wanted);
        self.last_growth = growth;
        Ok(true)
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        // Also told of growth that was refused above, where nothing was added.
        self.held = self.held.saturating_sub(self.last_growth);
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

    #[test]
    fn the_limit_holds_for_all_memories_together() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(40, 41, None).unwrap());
        assert_eq!((limiter.peak(), limiter.refused()), (100, Some((101, 100))));
    }

    #[test]
    fn a_smaller_maximum_of_the_memory_itself_is_the_limit_that_is_named() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(!limiter.memory_growing(0, 60, Some(50)).unwrap());
        assert_eq!(limiter.refused(), Some((60, 50)));
    }

    #[test]
    fn growth_that_failed_after_all_is_not_counted() {
        let mut limiter = MemoryLimiter::new(100);
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(limiter.memory_growing(60, 90, None).unwrap());
        limiter.memory_grow_failed(wasmtime::Error::msg("no memory")).unwrap();
        assert!(limiter.memory_growing(60, 100, None).unwrap());
    }
}
