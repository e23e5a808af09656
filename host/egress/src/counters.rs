//! What each holder of a grant has used.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use serde::Serialize;

/// Live counters; shared by all connections of a grant. Those of a part of a grant count for the whole as well.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    whole: Option<Arc<Counters>>,
    connections: AtomicU64,
    open: AtomicU64,
    refused: AtomicU64,
    bytes_up: AtomicU64,
    bytes_down: AtomicU64,
}

/// Counters at one moment. Bytes are those on the wire: compressed, TLS and headers included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traffic {
    /// Connections made since the grant was created.
    pub connections: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections refused because the granted hosts do not cover them.
    pub refused: u64,
    /// Bytes sent.
    pub bytes_up: u64,
    /// Bytes received.
    pub bytes_down: u64,
}

impl Counters {
    pub(crate) fn part_of(whole: &Arc<Counters>) -> Self {
        Self { whole: Some(Arc::clone(whole)), ..Self::default() }
    }

    fn each(&self, change: impl Fn(&Self)) {
        let mut next = Some(self);
        while let Some(counters) = next {
            change(counters);
            next = counters.whole.as_deref();
        }
    }

    pub(crate) fn opened(&self) {
        self.each(|c| {
            c.connections.fetch_add(1, Relaxed);
            c.open.fetch_add(1, Relaxed);
        });
    }

    pub(crate) fn closed(&self) {
        self.each(|c| {
            c.open.fetch_sub(1, Relaxed);
        });
    }

    pub(crate) fn refuse(&self) {
        self.each(|c| {
            c.refused.fetch_add(1, Relaxed);
        });
    }

    pub(crate) fn sent(&self, bytes: usize) {
        self.each(|c| {
            c.bytes_up.fetch_add(bytes as u64, Relaxed);
        });
    }

    pub(crate) fn received(&self, bytes: usize) {
        self.each(|c| {
            c.bytes_down.fetch_add(bytes as u64, Relaxed);
        });
    }

    pub(crate) fn read(&self) -> Traffic {
        Traffic {
            connections: self.connections.load(Relaxed),
            open: self.open.load(Relaxed),
            refused: self.refused.load(Relaxed),
            bytes_up: self.bytes_up.load(Relaxed),
            bytes_down: self.bytes_down.load(Relaxed),
        }
    }
}
