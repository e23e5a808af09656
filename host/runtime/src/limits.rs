//! The bounds of one run. Nothing that a plugin does is without one: time, computing, memory, handles, what it writes,
//! what it sends to the host, and how much of that at once.

mod calls;
mod cpu;
mod memory;

pub(crate) use calls::Calls;
pub(crate) use cpu::{CpuBudgetSpent, CpuMeter};
pub use memory::SharedMemory;
pub(crate) use memory::{MemoryLimiter, Refused};

use crate::wit::task;
use std::time::Duration;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// What one run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLimits {
    /// From start to result, waits counted. The run is stopped within 100 ms of it, whatever it does.
    pub wall: Duration,
    /// Time spent computing, waits not counted.
    pub cpu: Duration,
    /// Linear memory of all the component's memories together, in bytes.
    pub memory: usize,
    /// Length of the input, in bytes.
    pub input: usize,
    /// Length of the result, in bytes.
    pub output: usize,
    /// What one host call may hand to the host, in bytes.
    pub call_bytes: usize,
    /// What all host calls under way may have handed to the host together, in bytes.
    pub bytes_in_flight: usize,
    /// Host calls that run at once; further ones wait.
    pub concurrent_calls: usize,
    /// Host calls under way, those included that wait for a slot, a page or a person; further ones are refused.
    pub calls_under_way: usize,
    /// Handles held at once: contexts, pages, writers.
    pub handles: usize,
    /// Browser pages open at once; opening a further one waits until another is dropped.
    pub pages: usize,
    /// Log lines in all, counted in bytes; what is over is counted, not kept.
    pub log_bytes: usize,
    /// The end of standard output and error that is kept, in bytes.
    pub output_tail: usize,
    /// How long a run that is cancelled may go on, so that a plugin that asks `is-cancelled` can save its work.
    pub grace: Duration,
}

impl Default for RunLimits {
    fn default() -> Self {
        Self {
            wall: Duration::from_mins(10),
            cpu: Duration::from_mins(5),
            memory: 256 * MIB,
            input: 16 * MIB,
            // What travels further is an artifact anyway (a document holds 1 MiB); this is for results that stay local.
            output: 16 * MIB,
            call_bytes: 16 * MIB,
            bytes_in_flight: 64 * MIB,
            // Ten times what a well-behaved plugin has under way; the host's own pools are smaller still.
            concurrent_calls: 256,
            calls_under_way: 4_096,
            handles: 1_000,
            pages: 16,
            log_bytes: MIB,
            // A panic message with its place is a few hundred bytes; the lines before it often tell why.
            output_tail: 16 * KIB,
            // Enough for one checkpoint, short against the 8 s that Cloud Run leaves for a whole drain.
            grace: Duration::from_millis(500),
        }
    }
}

impl RunLimits {
    /// These limits with a plugin's own wishes in their place.
    #[must_use]
    pub fn wished(mut self, wishes: &task::Limits) -> Self {
        let millis = |wish: Option<u64>, default| wish.map_or(default, Duration::from_millis);
        let count = |n: u32| usize::try_from(n).unwrap_or(usize::MAX);
        self.memory = wishes.memory_mib.map_or(self.memory, |n| count(n).saturating_mul(MIB));
        self.cpu = millis(wishes.cpu_ms, self.cpu);
        self.wall = millis(wishes.wall_ms, self.wall);
        self.pages = wishes.pages.map_or(self.pages, count);
        self
    }

    /// The smaller of each limit: the owner's configuration has the last word.
    #[must_use]
    pub fn capped(self, cap: &Self) -> Self {
        Self {
            wall: self.wall.min(cap.wall),
            cpu: self.cpu.min(cap.cpu),
            memory: self.memory.min(cap.memory),
            input: self.input.min(cap.input),
            output: self.output.min(cap.output),
            call_bytes: self.call_bytes.min(cap.call_bytes),
            bytes_in_flight: self.bytes_in_flight.min(cap.bytes_in_flight),
            concurrent_calls: self.concurrent_calls.min(cap.concurrent_calls),
            calls_under_way: self.calls_under_way.min(cap.calls_under_way),
            handles: self.handles.min(cap.handles),
            pages: self.pages.min(cap.pages),
            log_bytes: self.log_bytes.min(cap.log_bytes),
            output_tail: self.output_tail.min(cap.output_tail),
            grace: self.grace.min(cap.grace),
        }
    }

    /// For `describe` and `estimate`, which compute a little and call nothing. The seconds are for interpreters: a
    /// Python plugin starts in 3 ms, on a machine that is busy otherwise in a hundred times that.
    pub(crate) fn quick() -> Self {
        Self {
            wall: Duration::from_secs(10),
            cpu: Duration::from_secs(2),
            // 64 task types with two schemas and an example each, at their bounds, is more than anyone writes.
            output: 16 * MIB,
            call_bytes: 64 * KIB,
            grace: Duration::ZERO,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wishes(memory_mib: Option<u32>, wall_ms: Option<u64>) -> task::Limits {
        task::Limits { memory_mib, cpu_ms: None, wall_ms, pages: None, more: Vec::new() }
    }

    #[test]
    fn a_plugin_may_wish_for_less_and_for_more_up_to_the_owners_cap() {
        let cap = RunLimits { memory: 512 * MIB, wall: Duration::from_mins(1), ..RunLimits::default() };
        let modest = RunLimits::default().wished(&wishes(Some(8), None)).capped(&cap);
        assert_eq!((modest.memory, modest.wall), (8 * MIB, Duration::from_mins(1)));
        let greedy = RunLimits::default().wished(&wishes(Some(u32::MAX), Some(u64::MAX))).capped(&cap);
        assert_eq!((greedy.memory, greedy.wall), (512 * MIB, Duration::from_mins(1)));
    }
}
