//! Which task this is, and a wait that holds nobody up.

use std::time::Duration;

use crate::bindings::buddy::plugin::context as raw;

/// The task of this run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Info {
    /// Stable across tries: fit for an idempotency key towards others.
    pub task_id: String,
    /// The mission that the task is part of.
    pub mission: Option<String>,
    /// 1 for the first try.
    pub attempt: u32,
    /// Time left for this run when it started.
    pub deadline: Duration,
}

/// The task of this run; it never changes while it runs.
pub fn get() -> Info {
    if cfg!(target_arch = "wasm32") {
        let raw::Info { task_id, mission, attempt, deadline_ms, more: _ } = raw::get();
        Info { task_id, mission, attempt, deadline: Duration::from_millis(deadline_ms) }
    } else {
        Info { task_id: "no-host".to_owned(), mission: None, attempt: 1, deadline: Duration::MAX }
    }
}

/// Waits. Everything else that is under way in this instance goes on meanwhile. It ends early when the run is to stop:
/// [`progress::is_cancelled`](crate::progress::is_cancelled) is true then.
pub async fn sleep(duration: Duration) {
    if cfg!(target_arch = "wasm32") && !duration.is_zero() {
        raw::sleep(crate::millis(duration)).await;
    }
}
