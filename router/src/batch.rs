//! When a batch of results is pushed, and what is done when a batch fails for good.

use std::time::Duration;

/// The bounds of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchPolicy {
    /// Results at most (the seed's `batch_size`: 50).
    pub max_items: usize,
    /// Encoded bytes at most: below Firestore's 10 MiB a request, with room for what is around.
    pub max_bytes: usize,
    /// A result waits at most so long (the seed's `sync_interval`: 60 s).
    pub max_wait: Duration,
}

impl Default for BatchPolicy {
    fn default() -> Self {
        Self { max_items: 50, max_bytes: 8 * 1024 * 1024, max_wait: Duration::from_mins(1) }
    }
}

/// What waits to be pushed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Waiting {
    /// How many.
    pub items: usize,
    /// How many bytes.
    pub bytes: usize,
    /// Since when the oldest waits.
    pub oldest: Duration,
    /// Somebody waits for one of them.
    pub urgent: bool,
}

impl BatchPolicy {
    /// How long until a batch is due: zero means now, nothing means that there is nothing to push.
    pub fn due_in(&self, waiting: Waiting) -> Option<Duration> {
        if waiting.items == 0 {
            return None;
        }
        if waiting.urgent || waiting.items >= self.max_items || waiting.bytes >= self.max_bytes {
            return Some(Duration::ZERO);
        }
        Some(self.max_wait.saturating_sub(waiting.oldest))
    }

    /// How many of `sizes`, from the front, go into one batch: at least one, so that a large item cannot block.
    pub fn take(&self, sizes: impl IntoIterator<Item = usize>) -> usize {
        let mut bytes = 0usize;
        let mut count = 0;
        for size in sizes.into_iter().take(self.max_items) {
            bytes = bytes.saturating_add(size);
            if count > 0 && bytes > self.max_bytes {
                break;
            }
            count += 1;
        }
        count
    }
}

/// A batch that failed for good is halved until the item at fault stands alone (case Q13).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterRefusal {
    /// Push both halves, the first of this length.
    Halve(usize),
    /// This one item is at fault.
    Alone,
}

/// Decides it for a refused batch of `len` items.
pub fn after_refusal(len: usize) -> AfterRefusal {
    if len <= 1 { AfterRefusal::Alone } else { AfterRefusal::Halve(len / 2) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_batch_is_due_when_it_is_full_heavy_old_or_waited_for() {
        let policy = BatchPolicy::default();
        let some = Waiting { items: 1, bytes: 10, oldest: Duration::from_secs(20), urgent: false };
        assert_eq!(policy.due_in(Waiting::default()), None);
        assert_eq!(policy.due_in(some), Some(Duration::from_secs(40)));
        for now in [
            Waiting { items: 50, ..some },
            Waiting { bytes: 8 * 1024 * 1024, ..some },
            Waiting { oldest: Duration::from_secs(60), ..some },
            Waiting { urgent: true, ..some },
        ] {
            assert_eq!(policy.due_in(now), Some(Duration::ZERO), "{now:?}");
        }
    }

    proptest! {
        #[test]
        fn a_batch_is_never_empty_nor_above_its_bounds(sizes in proptest::collection::vec(0usize..3_000_000, 1..120)) {
            let policy = BatchPolicy::default();
            let count = policy.take(sizes.iter().copied());
            prop_assert!((1..=policy.max_items).contains(&count));
            let bytes: usize = sizes[..count].iter().sum();
            prop_assert!(count == 1 || bytes <= policy.max_bytes);
        }

        #[test]
        fn q13_halving_finds_exactly_the_items_at_fault(bad in proptest::collection::vec(any::<bool>(), 1..60)) {
            let mut work = Vec::new();
            work.push(0..bad.len());
            let (mut landed, mut aside) = (0, 0);
            while let Some(range) = work.pop() {
                if !bad[range.clone()].contains(&true) { landed += range.len(); continue; }
                match after_refusal(range.len()) {
                    AfterRefusal::Alone => aside += 1,
                    AfterRefusal::Halve(first) => {
                        let middle = range.start + first;
                        work.push(middle..range.end);
                        work.push(range.start..middle);
                    }
                }
            }
            prop_assert_eq!(aside, bad.iter().filter(|bad| **bad).count());
            prop_assert_eq!(landed + aside, bad.len());
        }
    }
}
