//! Waiting for a condition, never for a time.

use std::time::{Duration, Instant};

/// The pace of asking at first, and the slowest: a process is started for most questions, on the cores that the thing
/// waited for needs too.
const FIRST: Duration = Duration::from_millis(10);
const SLOWEST: Duration = Duration::from_millis(250);

/// Asks `condition` again and again until it gives something; after `deadline` the test fails with `what`.
pub fn until<T>(what: &str, deadline: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    let mut pause = FIRST;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(start.elapsed() < deadline, "after {deadline:?} still not so: {what}");
        // The pace of asking, not a wait for the thing itself.
        std::thread::sleep(pause);
        pause = (pause * 3 / 2).min(SLOWEST);
    }
}
