//! Randomness for jitter.

use std::hash::{BuildHasher, Hasher, RandomState};

/// A number that differs from call to call and run to run. The standard library keys its hash maps from the host's
/// random numbers, a new key for each map: for spreading retries that is good enough, and no crate is needed.
pub(crate) fn number() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_differ() {
        let numbers: std::collections::HashSet<u64> = (0..100).map(|_| super::number()).collect();
        assert_eq!(numbers.len(), 100);
    }
}
