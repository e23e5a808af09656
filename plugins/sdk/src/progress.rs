//! What people watch while the task runs, and whether it should stop.

use crate::bindings::buddy::plugin::progress as raw;

/// Says how far the task is. The latest report is what counts; report as often as there is news.
pub fn report(done: u64, total: Option<u64>, message: &str) {
    if cfg!(target_arch = "wasm32") {
        raw::report(done, total, message);
    }
}

/// True once the task is being cancelled or the host drains: start nothing new and return soon, a
/// [`Failure::retryable`](crate::Failure::retryable) will do.
pub fn is_cancelled() -> bool {
    cfg!(target_arch = "wasm32") && raw::is_cancelled()
}
