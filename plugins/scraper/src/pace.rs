//! When a host may be asked next.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// The next free moment of each host.
#[derive(Debug)]
pub(crate) struct Pace {
    delay: Duration,
    free: HashMap<String, Instant>,
}

impl Pace {
    pub(crate) fn new(delay: Duration) -> Self {
        Self { delay, free: HashMap::new() }
    }

    /// Takes the host's next free moment; how long to wait for it.
    pub(crate) fn reserve(&mut self, host: &str, now: Instant) -> Duration {
        let at = self.free.get(host).copied().unwrap_or(now).max(now);
        if !self.delay.is_zero() || self.free.contains_key(host) {
            self.free.insert(host.to_owned(), at + self.delay);
        }
        at - now
    }

    /// The host asked to be left alone for so long: the others are not held up.
    pub(crate) fn hold(&mut self, host: &str, now: Instant, wait: Duration) {
        let until = now + wait;
        let free = self.free.entry(host.to_owned()).or_insert(until);
        *free = (*free).max(until);
    }
}

/// Takes turns between hosts, so that places at work are not all spent on waiting for one host. Within a host the order
/// stays.
pub(crate) fn take_turns<T>(jobs: Vec<T>, host: impl Fn(&T) -> String) -> Vec<T> {
    let total = jobs.len();
    let mut order = Vec::new();
    let mut queues: HashMap<String, VecDeque<T>> = HashMap::new();
    for job in jobs {
        let name = host(&job);
        let queue = queues.entry(name.clone()).or_insert_with(|| {
            order.push(name);
            VecDeque::new()
        });
        queue.push_back(job);
    }
    let mut turns = Vec::with_capacity(total);
    while turns.len() < total {
        turns.extend(order.iter().filter_map(|name| queues.get_mut(name)?.pop_front()));
        order.retain(|name| queues.get(name).is_some_and(|queue| !queue.is_empty()));
    }
    turns
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pages_of_one_host_are_spaced_and_other_hosts_do_not_wait() {
        let now = Instant::now();
        let mut pace = Pace::new(SECOND);
        assert_eq!(pace.reserve("a", now), Duration::ZERO);
        assert_eq!(pace.reserve("a", now), SECOND);
        assert_eq!(pace.reserve("a", now + SECOND * 5), Duration::ZERO, "time that passed is not made up for");
        assert_eq!(pace.reserve("b", now), Duration::ZERO);
    }

    #[test]
    fn b15_a_host_that_asks_to_be_left_alone_waits_by_itself() {
        let now = Instant::now();
        let mut pace = Pace::new(Duration::ZERO);
        assert_eq!(pace.reserve("a", now), Duration::ZERO);
        pace.hold("a", now, SECOND * 3);
        assert_eq!(pace.reserve("a", now + SECOND), SECOND * 2);
        assert_eq!(pace.reserve("b", now), Duration::ZERO);
        assert_eq!(pace.reserve("a", now + SECOND * 4), Duration::ZERO);
    }

    #[test]
    fn hosts_take_turns() {
        let turns = take_turns(vec!["a1", "a2", "a3", "b1", "c1", "b2"], |job| job[..1].to_owned());
        assert_eq!(turns, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_and_each_host_keeps_its_order(hosts in proptest::collection::vec(0_u8..4, 0..30)) {
            let jobs: Vec<(u8, usize)> = hosts.iter().copied().zip(0..).collect();
            let turns = take_turns(jobs.clone(), |(host, _)| host.to_string());
            prop_assert_eq!(turns.len(), jobs.len());
            for host in 0..4 {
                let of = |list: &[(u8, usize)]| list.iter().filter(|(h, _)| *h == host).copied().collect::<Vec<_>>();
                prop_assert_eq!(of(&turns), of(&jobs));
            }
        }
    }
}
