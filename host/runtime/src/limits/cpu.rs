//! How long a run has computed.
//!
//! A plugin runs only while its future is polled, so the time inside polls is its computing time, the host's own work
//! for its calls included. The epoch callback looks at it in the middle of a poll, ten milliseconds apart at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Time inside polls. Written by the thread that polls, readable from anywhere.
#[derive(Debug)]
pub(crate) struct CpuMeter {
    origin: Instant,
    budget: Duration,
    /// Nanoseconds of finished polls.
    spent: AtomicU64,
    /// When the present poll began, in nanoseconds since `origin`, plus one; 0: no poll.
    entered: AtomicU64,
}

/// The run has computed for longer than it may.
#[derive(Debug, thiserror::Error)]
#[error("the CPU budget is spent")]
pub(crate) struct CpuBudgetSpent;

impl CpuMeter {
    pub(crate) fn new(budget: Duration) -> Self {
        Self { origin: Instant::now(), budget, spent: AtomicU64::new(0), entered: AtomicU64::new(0) }
    }

    /// When the run began.
    pub(crate) fn origin(&self) -> Instant {
        self.origin
    }

    /// Runs one poll.
    pub(crate) fn poll<R>(&self, poll: impl FnOnce() -> R) -> R {
        let start = self.now();
        self.entered.store(start + 1, Ordering::Relaxed);
        let result = poll();
        self.entered.store(0, Ordering::Relaxed);
        self.spent.fetch_add(self.now() - start, Ordering::Relaxed);
        result
    }

    /// Time computed so far.
    pub(crate) fn spent(&self) -> Duration {
        let present = self.entered.load(Ordering::Relaxed).checked_sub(1).map_or(0, |start| self.now() - start);
        Duration::from_nanos(self.spent.load(Ordering::Relaxed) + present)
    }

    /// # Errors
    /// The budget is spent.
    pub(crate) fn check(&self) -> Result<(), CpuBudgetSpent> {
        if self.spent() > self.budget { Err(CpuBudgetSpent) } else { Ok(()) }
    }

    fn now(&self) -> u64 {
        // 584 years fit.
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_time_inside_polls_counts_and_a_poll_counts_while_it_lasts() {
        let meter = CpuMeter::new(Duration::from_micros(1));
        assert!(meter.check().is_ok());
        meter.poll(|| {
            while meter.check().is_ok() {
                std::hint::spin_loop();
            }
        });
        let spent = meter.spent();
        assert!(spent > Duration::from_micros(1));
        assert_eq!(meter.spent(), spent, "the time between polls is free");
    }
}
