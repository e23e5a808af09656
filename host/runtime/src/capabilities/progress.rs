//! `progress`: what people watch. Always there.

use crate::state::HostState;
use crate::text::cut;
use crate::wit::progress;

/// Where progress reports go.
pub trait Progress: Send + Sync {
    /// Takes the latest report; it replaces the one before. Called on the run's own thread, possibly in a tight loop: it
    /// must not wait, and should pass on only as much as somebody looks at.
    fn report(&self, done: u64, total: Option<u64>, message: &str);
}

/// Bytes of a message that are passed on: it is one line on a screen.
const MAX_MESSAGE: usize = 500;

impl progress::Host for HostState {
    fn report(&mut self, done: u64, total: Option<u64>, message: String) -> wasmtime::Result<()> {
        self.session.calls.count();
        if let Some(progress) = &self.session.providers.progress {
            progress.report(done, total, cut(&message, MAX_MESSAGE));
        }
        Ok(())
    }

    fn is_cancelled(&mut self) -> wasmtime::Result<bool> {
        self.session.calls.count();
        let stopping = self.session.is_stopping();
        if stopping {
            self.session.tell();
        }
        Ok(stopping)
    }
}
