//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// Asks `condition` again and again until it gives something; after `deadline` the test fails with `what`.
pub fn until<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "after {deadline:?} still not so: {what}");
        // The pace of asking, not a wait for the thing itself.
        std::thread::sleep(Duration::from_millis(20));
    }
}
