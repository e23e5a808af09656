//! How many host calls a run has under way, and with how much of the host's memory.
//!
//! wasmtime bounds what one call may hand over; a plugin can have thousands of calls waiting, so their sum is bounded
//! here. Too many is an error that the plugin sees at once: waiting would hold the very memory that is short.

use crate::error::{HostError, code};
use crate::limits::RunLimits;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tokio::sync::{Semaphore, SemaphorePermit};

/// The calls of one run.
#[derive(Debug)]
pub(crate) struct Calls {
    slots: Semaphore,
    under_way: AtomicUsize,
    bytes: AtomicUsize,
    total: AtomicU64,
    max_under_way: usize,
    max_bytes: usize,
}

/// A call that is under way.
#[derive(Debug)]
pub(crate) struct Call<'c> {
    calls: &'c Calls,
    bytes: usize,
    /// Held, never read.
    slot: Option<SemaphorePermit<'c>>,
}

impl Calls {
    pub(crate) fn new(limits: &RunLimits) -> Self {
        Self {
            slots: Semaphore::new(limits.concurrent_calls.clamp(1, Semaphore::MAX_PERMITS)),
            under_way: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            total: AtomicU64::new(0),
            max_under_way: limits.calls_under_way,
            max_bytes: limits.bytes_in_flight,
        }
    }

    /// Counts a call that does not wait.
    pub(crate) fn count(&self) {
        self.total.fetch_add(1, Ordering::Relaxed);
    }

    /// Calls so far, refused ones included.
    pub(crate) fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Admits a call that handed over `bytes` and ends by itself, and waits for its slot.
    ///
    /// # Errors
    /// `limit`.
    pub(crate) async fn enter(&self, bytes: usize) -> Result<Call<'_>, HostError> {
        let mut call = self.enter_waiting(bytes)?;
        // The semaphore is never closed.
        call.slot = self.slots.acquire().await.ok();
        Ok(call)
    }

    /// Admits a call that waits for something another call gives back (a page, a person's answer). It takes no slot:
    /// if such calls could fill them all, the calls that would free them could not run.
    ///
    /// # Errors
    /// `limit`.
    pub(crate) fn enter_waiting(&self, bytes: usize) -> Result<Call<'_>, HostError> {
        self.count();
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        let together = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        // From here on its drop gives both back.
        let call = Call { calls: self, bytes, slot: None };
        if under_way > self.max_under_way {
            return Err(HostError::retryable(
                code::LIMIT,
                format!("More than {} host calls are under way; await some of them first.", self.max_under_way),
            ));
        }
        if together > self.max_bytes {
            return Err(HostError::retryable(
                code::LIMIT,
                format!("The host calls under way carry more than {} bytes; await some of them first.", self.max_bytes),
            ));
        }
        Ok(call)
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.slot = None;
        self.calls.under_way.fetch_sub(1, Ordering::Relaxed);
        self.calls.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn calls(concurrent_calls: usize, calls_under_way: usize, bytes_in_flight: usize) -> Calls {
        Calls::new(&RunLimits { bytes_in_flight, concurrent_calls, calls_under_way, ..RunLimits::default() })
    }

    #[tokio::test]
    async fn a_call_beyond_the_slots_waits_and_one_beyond_the_queue_is_refused() {
        let calls = calls(1, 2, 100);
        let first = calls.enter(0).await.unwrap();
        let mut second = Box::pin(calls.enter(0));
        assert!(futures::poll!(&mut second).is_pending());
        assert_eq!(calls.enter(0).await.unwrap_err().code, code::LIMIT);
        drop(first);
        second.await.unwrap();
        calls.enter(0).await.unwrap();
        assert_eq!(calls.total(), 4);
    }

    #[tokio::test]
    async fn bytes_are_counted_together_and_given_back() {
        let calls = calls(10, 10, 100);
        let first = calls.enter(60).await.unwrap();
        assert_eq!(calls.enter(60).await.unwrap_err().code, code::LIMIT);
        drop(first);
        calls.enter(100).await.unwrap();
    }

    #[tokio::test]
    async fn calls_that_wait_for_others_leave_the_slots_free() {
        let calls = calls(1, 10, 100);
        let _waiting: Vec<_> = (0..5).map(|_| calls.enter_waiting(0).unwrap()).collect();
        calls.enter(0).await.unwrap();
    }
}
