//! `log`: structured lines of one run. Always there, bounded in bytes for the whole run.

use crate::state::HostState;
use crate::wit::log;
use std::sync::atomic::Ordering;

pub use log::Level;

/// Where log lines go.
pub trait Log: Send + Sync {
    /// Keeps one line. Called on the run's own thread: it must not wait.
    fn write(&self, level: Level, message: &str, fields: &[(String, String)]);
}

impl log::Host for HostState {
    fn write(&mut self, level: Level, message: String, fields: Vec<(String, String)>) -> wasmtime::Result<()> {
        let session = &self.session;
        session.calls.count();
        let bytes =
            fields.iter().fold(message.len(), |sum, (k, v)| sum.saturating_add(k.len()).saturating_add(v.len()));
        // One thread at a time runs an instance, so there is no race between the load and the store.
        let left = session.log_bytes_left.load(Ordering::Relaxed);
        if let Some(rest) = left.checked_sub(bytes) {
            session.log_bytes_left.store(rest, Ordering::Relaxed);
            if let Some(log) = &session.providers.log {
                log.write(level, &message, &fields);
            }
        } else {
            session.log_lines_dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    }
}
