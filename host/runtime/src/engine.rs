//! The wasmtime engine: one for a process, configured for many short, hostile, concurrent instances.
//!
//! Instances come out of a pool: their memory is reserved once and reset by copy-on-write, which is what makes a fresh
//! instance for every try cheap. The pool reserves terabytes of address space (not memory); where the operating system
//! refuses that, because of an address-space limit for example, the engine falls back to allocating each instance by
//! itself and says so once in the log. Plugins behave the same either way, only slower.

use std::fmt;
use wasmtime::{Config, Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

/// How the engine is set up.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EngineConfig {
    /// Plugin instances alive at once. A run beyond it waits for another to end. Each costs 4 GiB of address space and,
    /// while unused, at most the kept-warm bytes of a pool slot.
    pub max_instances: u32,
    /// The most linear memory that any run may be given, in bytes. At most 4 GiB, the reach of a 32-bit plugin.
    pub max_memory: usize,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            // Far more than a machine runs at once: tasks have slots of their own. It is also the number of instances at
            // once that the memory target is set for.
            max_instances: 1_000,
            // A digest of a large file needs a few hundred MiB; more than 2 GiB in one plugin is a mistake.
            max_memory: 2 << 30,
        }
    }
}

/// How instances get their memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Allocation {
    /// From the pool.
    Pooling,
    /// One by one, because the pool could not be reserved.
    OnDemand {
        /// What the operating system said.
        reason: String,
    },
}

impl fmt::Display for Allocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pooling => f.write_str("pooled"),
            Self::OnDemand { reason } => write!(f, "on demand ({reason})"),
        }
    }
}

/// Core instances and tables that the pool holds for each component, on average. A Rust component is its module and the
/// few that adapt its imports; an interpreter's is linked from many. A plugin that finds the pool empty waits, it does
/// not fail.
const CORE_INSTANCES_EACH: u32 = 8;

/// Builds the engine.
///
/// # Errors
/// This build of wasmtime does not support the machine.
pub(crate) fn build(config: &EngineConfig) -> wasmtime::Result<(Engine, Allocation)> {
    let mut pooled = base();
    pooled.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(config)));
    let reason = match Engine::new(&pooled) {
        Ok(engine) => return Ok((engine, Allocation::Pooling)),
        Err(error) => format!("{error:#}"),
    };
    let engine = Engine::new(&base())?;
    tracing::warn!(
        reason,
        "The pool for plugin instances could not be reserved, so each instance is allocated by itself: tasks start \
         slower. Raise the address-space limit (`ulimit -v`) or lower the number of instances."
    );
    Ok((engine, Allocation::OnDemand { reason }))
}

fn base() -> Config {
    let mut config = Config::new();
    config
        .wasm_component_model(true)
        .wasm_component_model_async(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        // A guest's stack overflow is a trap of the guest. The fiber beneath has room for the host's own frames.
        .max_wasm_stack(512 << 10)
        .async_stack_size(2 << 20);
    config
}

fn pool(config: &EngineConfig) -> PoolingAllocationConfig {
    let instances = config.max_instances.max(1);
    let core = instances.saturating_mul(CORE_INSTANCES_EACH);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_core_instances(core)
        // One memory is what every toolchain produces; the second half is for components composed of several.
        .total_memories(instances.saturating_mul(2))
        .total_tables(core)
        // A run is one fiber most of the time, a second one while a resource is dropped or a call is blocked.
        .total_stacks(instances.saturating_mul(2))
        .max_memory_size(config.max_memory)
        // Five times wasmtime's default: an interpreter has a table entry for each of its functions.
        .table_elements(100_000)
        // What a small plugin touches in a run stays mapped in its slot, so that the next one takes no page faults.
        .linear_memory_keep_resident(256 << 10)
        .table_keep_resident(16 << 10)
        // Reset only the pages that were touched, where the kernel can tell (Linux 6.7).
        .pagemap_scan(Enabled::Auto)
        // At most 64 idle slots keep their warm pages: 16 MiB.
        .max_unused_warm_slots(64);
    pool
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_pool_that_cannot_be_reserved_falls_back_and_says_why() {
        // More address space than any machine has.
        let config = EngineConfig { max_instances: 400_000_000, ..EngineConfig::default() };
        let (_, allocation) = build(&config).unwrap();
        assert!(matches!(&allocation, Allocation::OnDemand { reason } if !reason.is_empty()), "{allocation}");
    }
}
