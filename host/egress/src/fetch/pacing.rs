//! How fast one host is asked, by all callers together.
//!
//! Each host (with its port) has a number of places, a least distance between two requests, and a moment before
//! which nothing is sent to it, set by a `Retry-After`. Other hosts are not affected. A request that would have to
//! wait beyond its own deadline is told so at once, as `busy` with the time to wait.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use crate::error::EgressError;
use crate::policy::Target;

/// Most hosts remembered. Beyond it those that nobody uses are forgotten, waits and all: a bound on memory comes
/// before politeness.
const MAX_HOSTS: usize = 4096;

/// How one host is treated.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct PacingOptions {
    /// Most requests under way at one host. Six is what browsers allow themselves, so servers expect it.
    pub max_concurrent: usize,
    /// Least time between the starts of two requests to one host.
    pub min_delay: Duration,
    /// Longest wait that a `Retry-After` can bring about; a server that says "in a year" is asked again after it.
    pub max_hold: Duration,
}

impl Default for PacingOptions {
    fn default() -> Self {
        Self { max_concurrent: 6, min_delay: Duration::ZERO, max_hold: Duration::from_mins(15) }
    }
}

#[derive(Debug)]
pub(super) struct Pacing {
    options: PacingOptions,
    hosts: Mutex<HashMap<Target, Arc<Gate>>>,
}

#[derive(Debug)]
struct Gate {
    places: Arc<Semaphore>,
    times: Mutex<Times>,
}

#[derive(Debug, Clone, Copy)]
struct Times {
    /// Start of the next request by `min_delay`.
    next: Instant,
    /// Nothing before it, by `Retry-After`.
    held_until: Instant,
}

/// A place at a host; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    _gate: Arc<Gate>,
}

impl Pacing {
    pub(super) fn new(options: PacingOptions) -> Self {
        Self { options, hosts: Mutex::default() }
    }

    fn gate(&self, target: &Target) -> Arc<Gate> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(gate) = hosts.get(target) {
            return Arc::clone(gate);
        }
        let now = Instant::now();
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, gate| Arc::strong_count(gate) > 1 || gate.times().held_until > now);
        }
        if hosts.len() >= MAX_HOSTS {
            hosts.retain(|_, gate| Arc::strong_count(gate) > 1);
        }
        let places = Arc::new(Semaphore::new(self.options.max_concurrent.clamp(1, Semaphore::MAX_PERMITS)));
        let gate = Arc::new(Gate { places, times: Mutex::new(Times { next: now, held_until: now }) });
        hosts.insert(target.clone(), Arc::clone(&gate));
        gate
    }

    /// Waits for a place and for the host's moment.
    pub(super) async fn enter(&self, target: &Target, deadline: Instant) -> Result<Place, EgressError> {
        let gate = self.gate(target);
        gate.check(target, deadline)?;
        // Closed never: the semaphore lives in the gate, which we hold.
        let permit = Arc::clone(&gate.places).acquire_owned().await.map_err(|e| EgressError::Failed {
            target: target.to_string(),
            problem: e.to_string(),
            retryable: true,
        })?;
        let mut reserved = None;
        loop {
            gate.check(target, deadline)?;
            let start = {
                let mut times = gate.times.lock().unwrap_or_else(PoisonError::into_inner);
                let turn = *reserved.get_or_insert_with(|| {
                    let turn = times.next.max(Instant::now());
                    times.next = turn + self.options.min_delay;
                    turn
                });
                turn.max(times.held_until)
            };
            if start <= Instant::now() {
                return Ok(Place { _permit: permit, _gate: gate });
            }
            // Looked at again afterwards: another's answer may have moved the moment meanwhile.
            sleep_until(start.min(deadline)).await;
        }
    }

    /// Leaves `target` alone for `delay`, within the bound.
    pub(super) fn hold(&self, target: &Target, delay: Duration) {
        let until = Instant::now() + delay.min(self.options.max_hold);
        let gate = self.gate(target);
        let mut times = gate.times.lock().unwrap_or_else(PoisonError::into_inner);
        times.held_until = times.held_until.max(until);
    }
}

impl Gate {
    fn times(&self) -> Times {
        *self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn check(&self, target: &Target, deadline: Instant) -> Result<(), EgressError> {
        let until = self.times().held_until;
        if until > deadline {
            let after = until.saturating_duration_since(Instant::now());
            return Err(EgressError::Busy {
                target: target.to_string(),
                problem: "its server asked to be left alone (Retry-After)".to_owned(),
                after,
            });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn target(port: u16) -> Target {
        Target::new("host.example", port).unwrap()
    }

    fn in_secs(secs: u64) -> Instant {
        Instant::now() + Duration::from_secs(secs)
    }

    #[tokio::test(start_paused = true)]
    async fn b15_only_the_host_that_asked_for_it_waits() {
        let pacing = Pacing::new(PacingOptions::default());
        pacing.hold(&target(1), Duration::from_secs(20));
        let start = Instant::now();
        pacing.enter(&target(2), in_secs(60)).await.unwrap();
        assert_eq!(start.elapsed(), Duration::ZERO);
        pacing.enter(&target(1), in_secs(60)).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn b15_a_wait_beyond_the_deadline_is_busy_at_once_and_says_how_long() {
        let pacing = Pacing::new(PacingOptions::default());
        pacing.hold(&target(1), Duration::from_mins(2));
        let error = pacing.enter(&target(1), in_secs(60)).await.unwrap_err();
        assert_eq!((error.code(), error.retryable(), error.after_ms()), ("busy", true, Some(120_000)));
    }

    #[tokio::test(start_paused = true)]
    async fn b15_the_longest_wait_is_bounded() {
        let pacing = Pacing::new(PacingOptions::default());
        pacing.hold(&target(1), Duration::from_secs(u64::MAX));
        let error = pacing.enter(&target(1), in_secs(1)).await.unwrap_err();
        assert_eq!(error.after_ms(), Some(15 * 60 * 1000));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_to_one_host_keep_their_distance_and_their_number() {
        let pacing = Arc::new(Pacing::new(PacingOptions {
            max_concurrent: 2,
            min_delay: Duration::from_secs(1),
            ..PacingOptions::default()
        }));
        let start = Instant::now();
        let first = pacing.enter(&target(1), in_secs(60)).await.unwrap();
        let _second = pacing.enter(&target(1), in_secs(60)).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 1);
        let third = tokio::spawn({
            let pacing = Arc::clone(&pacing);
            async move { pacing.enter(&target(1), in_secs(60)).await.map(|_| ()) }
        });
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(!third.is_finished());
        drop(first);
        third.await.unwrap().unwrap();
        assert_eq!(start.elapsed().as_secs(), 11);
    }

    #[tokio::test(start_paused = true)]
    async fn a_hold_that_arrives_while_others_wait_moves_them_too() {
        let pacing = Arc::new(Pacing::new(PacingOptions::default()));
        pacing.hold(&target(1), Duration::from_secs(5));
        let start = Instant::now();
        let waiting = tokio::spawn({
            let pacing = Arc::clone(&pacing);
            async move { pacing.enter(&target(1), in_secs(60)).await.map(|_| ()) }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        pacing.hold(&target(1), Duration::from_secs(10));
        waiting.await.unwrap().unwrap();
        assert_eq!(start.elapsed().as_secs(), 12);
    }

    #[tokio::test]
    async fn the_number_of_hosts_is_bounded() {
        let pacing = Pacing::new(PacingOptions::default());
        for n in 0..=u16::try_from(MAX_HOSTS).unwrap() {
            pacing.hold(&Target::new(&format!("h{n}.example"), 80).unwrap(), Duration::from_mins(1));
        }
        assert!(pacing.hosts.lock().unwrap().len() <= MAX_HOSTS);
    }
}
