//! A counted door with a bounded queue before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::BrowserError;

/// Lets `places` callers in, makes at most `max_waiting` wait, each at most `wait`, and turns the rest away.
#[derive(Debug)]
pub(crate) struct Gate {
    /// What is given out, in the plural, for messages.
    what: &'static str,
    semaphore: Arc<Semaphore>,
    places: usize,
    waiting: AtomicUsize,
    max_waiting: usize,
    wait: Duration,
}

/// Counts one caller as waiting while it exists, whether it is served, times out or is dropped.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Gate {
    pub(crate) fn new(what: &'static str, places: usize, max_waiting: usize, wait: Duration) -> Self {
        let places = places.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            what,
            semaphore: Arc::new(Semaphore::new(places)),
            places,
            waiting: AtomicUsize::new(0),
            max_waiting,
            wait,
        }
    }

    /// Places taken at the moment.
    pub(crate) fn taken(&self) -> usize {
        self.places - self.semaphore.available_permits().min(self.places)
    }

    /// Callers in the queue.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Acquire)
    }

    /// A place if one is free now and nobody waits for it.
    pub(crate) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        self.semaphore.clone().try_acquire_owned().ok()
    }

    /// A place, first come, first served. `admit` is asked once the place is there and may take its time too; the
    /// whole is bounded by the gate's wait.
    pub(crate) async fn enter<F>(&self, admit: F) -> Result<OwnedSemaphorePermit, BrowserError>
    where
        F: Future<Output = ()>,
    {
        let before = self.waiting.fetch_add(1, Ordering::AcqRel);
        let _waiting = Waiting(&self.waiting);
        if before >= self.max_waiting && self.semaphore.available_permits() == 0 {
            return Err(BrowserError::Busy(format!(
                "all {} {} are taken and {before} callers wait already; try again later",
                self.places, self.what
            )));
        }
        let entered = async {
            let permit = self.semaphore.clone().acquire_owned().await;
            if permit.is_ok() {
                admit.await;
            }
            permit
        };
        match tokio::time::timeout(self.wait, entered).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(BrowserError::Unavailable("the browser pool is closed".to_owned())),
            Err(_) => Err(BrowserError::Busy(format!(
                "none of the {} {} could be had within {} s; try again later",
                self.places,
                self.what,
                self.wait.as_secs()
            ))),
        }
    }

    /// Turns every waiting and future caller away.
    pub(crate) fn close(&self) {
        self.semaphore.close();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn b26_a_burst_is_queued_then_told_busy() {
        let gate = Arc::new(Gate::new("pages", 1, 1, Duration::from_secs(5)));
        let first = gate.enter(async {}).await.unwrap();
        let queued = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(async {}).await }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        let turned_away = gate.enter(async {}).await.unwrap_err();
        assert_eq!(turned_away.code(), "busy");
        assert!(turned_away.retryable());
        drop(first);
        let second = queued.await.unwrap().unwrap();
        assert_eq!((gate.taken(), gate.waiting()), (1, 0));
        let too_long = gate.enter(async {}).await.unwrap_err();
        assert_eq!(too_long.code(), "busy");
        drop(second);
        assert_eq!((gate.taken(), gate.waiting()), (0, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_given_back_when_admission_takes_too_long() {
        let gate = Gate::new("pages", 1, 1, Duration::from_secs(5));
        let error = gate.enter(std::future::pending()).await.unwrap_err();
        assert_eq!(error.code(), "busy");
        assert_eq!(gate.taken(), 0);
    }

    #[tokio::test]
    async fn a_closed_gate_is_unavailable() {
        let gate = Gate::new("pages", 1, 1, Duration::from_secs(5));
        gate.close();
        assert_eq!(gate.enter(async {}).await.unwrap_err().code(), "unavailable");
        assert!(gate.try_enter().is_none());
    }
}
