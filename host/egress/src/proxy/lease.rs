//! One listener, the grant it stands for, and what went wrong through it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::connect::Grant;
use crate::counters::Traffic;
use crate::error::EgressError;
use crate::policy::{Denied, Target};

/// Most failures kept; a page refers to some tens of hosts. The oldest go first.
const MAX_FAILURES: usize = 128;

/// A target that could not be reached through a lease.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Where the browser wanted to go.
    pub target: Target,
    /// Why it could not, the last time.
    pub error: EgressError,
    /// How often.
    pub count: u64,
}

/// What the listener's tasks share with the lease.
#[derive(Debug, Default)]
pub(super) struct Failures {
    kept: Mutex<VecDeque<Failure>>,
}

impl Failures {
    pub(super) fn record(&self, target: &Target, error: &EgressError) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let before =
            kept.iter().position(|f| f.target == *target).and_then(|at| kept.remove(at)).map_or(0, |f| f.count);
        if kept.len() == MAX_FAILURES {
            kept.pop_front();
        }
        kept.push_back(Failure { target: target.clone(), error: error.clone(), count: before + 1 });
    }

    /// It can be reached now: what is kept would mislead.
    pub(super) fn clear(&self, target: &Target) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).retain(|f| f.target != *target);
    }
}

/// A listener for one browser context. Dropping it closes the listener and every connection through it.
#[derive(Debug)]
pub struct ProxyLease {
    addr: SocketAddr,
    grant: Arc<Grant>,
    failures: Arc<Failures>,
    closed: CancellationToken,
}

impl ProxyLease {
    pub(super) fn new(addr: SocketAddr, grant: Arc<Grant>) -> Self {
        Self { addr, grant, failures: Arc::default(), closed: CancellationToken::new() }
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// As `--proxy-server` and `proxyServer` want it: `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The part of the grant that it stands for.
    pub fn grant(&self) -> &Arc<Grant> {
        &self.grant
    }

    /// What went through it.
    pub fn traffic(&self) -> Traffic {
        self.grant.traffic()
    }

    /// Targets that could not be reached, oldest first, at most 128. One that was reached later is not among them.
    pub fn failures(&self) -> Vec<Failure> {
        self.failures.kept.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    /// Those of them that the granted hosts do not cover.
    pub fn refused(&self) -> Vec<Denied> {
        self.failures().iter().filter_map(|f| f.error.denied().cloned()).collect()
    }

    /// Why `target` could not be reached the last time.
    pub fn failure_for(&self, target: &Target) -> Option<EgressError> {
        self.failures().into_iter().find(|f| f.target == *target).map(|f| f.error)
    }

    pub(super) fn shared_failures(&self) -> Arc<Failures> {
        Arc::clone(&self.failures)
    }

    pub(super) fn closed(&self) -> CancellationToken {
        self.closed.clone()
    }
}

impl Drop for ProxyLease {
    fn drop(&mut self) {
        self.closed.cancel();
    }
}
