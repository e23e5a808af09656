//! When a failed try is repeated.
//!
//! Exponential with *full jitter*: the wait is uniform between zero and the capped exponential bound, which spreads a
//! crowd of retries best ("Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A storm after an outage is
//! spread over the whole cap because the jitter is taken after capping.

use std::time::Duration;

/// The bound of the first wait.
pub const BASE: Duration = Duration::from_secs(2);

/// The bound that later waits never pass.
pub const CAP: Duration = Duration::from_mins(5);

/// A longer wait hands the task back instead of holding its lease (design: one fenced write with `not_before`).
pub const HOLD_AT_MOST: Duration = Duration::from_mins(10);

/// The numbers of a back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// Bound of the first wait.
    pub base: Duration,
    /// Bound of any wait.
    pub cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { base: BASE, cap: CAP }
    }
}

impl Backoff {
    /// The longest wait after `tries` tries (1 after the first).
    pub fn bound(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        self.base.saturating_mul(1 << doublings).min(self.cap)
    }

    /// The wait after `tries` tries, where `unit` is uniform in 0..1.
    pub fn wait(&self, tries: u32, unit: f64) -> Duration {
        let unit = if unit.is_finite() { unit.clamp(0.0, 1.0) } else { 1.0 };
        self.bound(tries).mul_f64(unit)
    }
}

/// What follows a retryable failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterFailure {
    /// The same agent tries again after this wait, with no word to the coordinator.
    TryAgain(Duration),
    /// The wait is long: the task goes back with `not_before` so much later.
    HandBack(Duration),
    /// No tries left: a dead letter.
    GiveUp,
}

/// Decides it. `asked` is the wait that the plugin asked for (a server's Retry-After, for example).
pub fn after_failure(
    backoff: &Backoff,
    tries: u32,
    max_attempts: u32,
    asked: Option<Duration>,
    unit: f64,
) -> AfterFailure {
    if tries >= max_attempts {
        return AfterFailure::GiveUp;
    }
    // An asked wait is a lower bound: earlier would be refused again. A little jitter above it keeps many apart.
    let wait = match asked {
        Some(asked) => asked.saturating_add(backoff.wait(1, unit)),
        None => backoff.wait(tries, unit),
    };
    if wait > HOLD_AT_MOST { AfterFailure::HandBack(wait) } else { AfterFailure::TryAgain(wait) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_task_out_of_tries_is_given_up_whatever_it_asked_for() {
        let after = after_failure(&Backoff::default(), 3, 3, Some(Duration::from_secs(1)), 0.5);
        assert_eq!(after, AfterFailure::GiveUp);
    }

    #[test]
    fn a_wait_above_ten_minutes_hands_the_task_back() {
        let hour = Duration::from_secs(3600);
        let after = after_failure(&Backoff::default(), 1, 3, Some(hour), 0.0);
        assert_eq!(after, AfterFailure::HandBack(hour));
    }

    proptest! {
        #[test]
        fn the_bound_doubles_until_the_cap(tries in 1u32..200) {
            let backoff = Backoff::default();
            let (this, next) = (backoff.bound(tries), backoff.bound(tries + 1));
            prop_assert!(this <= CAP);
            prop_assert!(next == CAP || next == this * 2);
        }

        #[test]
        fn q14_the_jitter_is_full_and_taken_after_the_cap(tries in 1u32..=u32::MAX, unit in 0.0f64..=1.0) {
            let backoff = Backoff::default();
            let wait = backoff.wait(tries, unit);
            prop_assert!(wait <= CAP);
            let share = wait.as_secs_f64() / backoff.bound(tries).as_secs_f64();
            prop_assert!((share - unit).abs() < 1e-6);
        }

        #[test]
        fn an_asked_wait_is_never_cut_short(asked in 0u64..100_000, unit in 0.0f64..=1.0) {
            let asked = Duration::from_secs(asked);
            match after_failure(&Backoff::default(), 1, 3, Some(asked), unit) {
                AfterFailure::TryAgain(wait) | AfterFailure::HandBack(wait) => prop_assert!(wait >= asked),
                AfterFailure::GiveUp => prop_assert!(false),
            }
        }
    }
}
