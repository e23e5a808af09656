//! What people watch while the task runs, and whether it should stop.

use crate::bindings::buddy::plugin::progress as raw;

/// Says how far the task is. The latest report is what counts; report as often as there is news.
pub fn report(done: u64, total: Option<u64>, message: &str) {
    if cfg!(target_arch = "wasm32") {
        raw::report(done, total, message);
    }
}

/// True once the run is to stop, as its task is cancelled or its host ends: start nothing new and return soon, a
/// [`Failure::retryable`](crate::Failure::retryable) will do. What is returned then is not used, as it may be a part of
/// the work; where the host ends, the run goes again at its next start.
pub fn is_cancelled() -> bool {
    cfg!(target_arch = "wasm32") && raw::is_cancelled()
}
