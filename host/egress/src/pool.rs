//! Idle connections, kept for the next request.
//!
//! Bounded three ways: in all, for each key, and by age. An entry that ages while nobody asks is closed by a sweeper
//! task, which lives only while there is something to sweep.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Something that can be kept for later.
pub(crate) trait Reusable: Send + 'static {
    /// Whether it is still open. That it takes a request at once is not asked: a connection whose last answer was
    /// read a moment ago is ready a moment later.
    fn is_open(&self) -> bool;
    /// A second handle, for what can serve several requests at once: then it stays in the pool while in use.
    fn share(&self) -> Option<Self>
    where
        Self: Sized;
}

/// A pool of `V` by `K`; clones share it.
pub(crate) struct IdlePool<K, V> {
    shared: Arc<Shared<K, V>>,
}

struct Shared<K, V> {
    most: usize,
    most_each: usize,
    keep: Duration,
    state: Mutex<State<K, V>>,
}

struct State<K, V> {
    idle: HashMap<K, VecDeque<(V, Instant)>>,
    count: usize,
    swept: bool,
}

impl<K, V> Clone for IdlePool<K, V> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<K, V> Shared<K, V> {
    fn lock(&self) -> MutexGuard<'_, State<K, V>> {
        // The map stays sound when a holder panics: each change below is complete in itself.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash + Clone + Send + 'static, V: Reusable> IdlePool<K, V> {
    /// Keeps `most` in all and `most_each` for one key, each for at most `keep`.
    pub(crate) fn new(most: usize, most_each: usize, keep: Duration) -> Self {
        let state = Mutex::new(State { idle: HashMap::new(), count: 0, swept: false });
        Self { shared: Arc::new(Shared { most, most_each, keep, state }) }
    }

    /// The entry for `key` that was used last and is still open.
    pub(crate) fn take(&self, key: &K) -> Option<V> {
        let mut state = self.shared.lock();
        let now = Instant::now();
        let mut found = None;
        let mut gone = 0;
        if let Some(queue) = state.idle.get_mut(key) {
            while let Some((value, until)) = queue.pop_back() {
                gone += 1;
                if until <= now || !value.is_open() {
                    continue;
                }
                if let Some(second) = value.share() {
                    queue.push_back((value, now + self.shared.keep));
                    gone -= 1;
                    found = Some(second);
                } else {
                    found = Some(value);
                }
                break;
            }
            if queue.is_empty() {
                state.idle.remove(key);
            }
        }
        state.count -= gone;
        found
    }

    /// Keeps `value` for `key`. When there is no room it is dropped, which closes it.
    pub(crate) fn put(&self, key: K, value: V) {
        let mut state = self.shared.lock();
        if state.count >= self.shared.most {
            return;
        }
        let queue = state.idle.entry(key).or_default();
        if queue.len() >= self.shared.most_each {
            return;
        }
        queue.push_back((value, Instant::now() + self.shared.keep));
        state.count += 1;
        if !state.swept {
            state.swept = true;
            tokio::spawn(sweep(Arc::downgrade(&self.shared), self.shared.keep));
        }
    }
}

/// Drops what is too old, until nothing is left or the pool is gone.
async fn sweep<K: Eq + Hash, V: Reusable>(shared: Weak<Shared<K, V>>, keep: Duration) {
    loop {
        sleep(keep).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut state = shared.lock();
        let now = Instant::now();
        state.idle.retain(|_, queue| {
            queue.retain(|(value, until)| *until > now && value.is_open());
            !queue.is_empty()
        });
        state.count = state.idle.values().map(VecDeque::len).sum();
        if state.count == 0 {
            state.swept = false;
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[derive(Debug, PartialEq)]
    struct Thing(u32, bool);

    impl Reusable for Thing {
        fn is_open(&self) -> bool {
            self.1
        }
        fn share(&self) -> Option<Self> {
            None
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_entry_is_handed_out_once_within_its_time_and_its_bounds() {
        let pool = IdlePool::new(3, 2, Duration::from_secs(10));
        for n in 0..3 {
            pool.put("a", Thing(n, true)); // the third is one too many for its key
        }
        pool.put("b", Thing(10, false)); // closed by its server meanwhile
        pool.put("c", Thing(20, true)); // one too many in all
        assert_eq!(pool.take(&"a"), Some(Thing(1, true)));
        assert_eq!(pool.take(&"b"), None);
        assert_eq!(pool.take(&"c"), None);
        tokio::time::advance(Duration::from_secs(11)).await;
        assert_eq!(pool.take(&"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_asks_for_is_closed_by_itself() {
        let pool = IdlePool::new(3, 2, Duration::from_secs(10));
        pool.put("a", Thing(1, true));
        sleep(Duration::from_secs(25)).await;
        assert_eq!(pool.shared.lock().count, 0);
        assert!(!pool.shared.lock().swept);
    }
}
