//! What is done about a page that failed.

use std::time::Duration;

use buddy_plugin::{ErrorCode, HostError};

/// The wait after a first failed try; it doubles with each further one.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait of our own making: a page is only one of many.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest wait that a server may ask for; one that asks for more is tried again after this.
pub(crate) const LONGEST_ASKED: Duration = Duration::from_mins(1);

/// The code of a page that the server answered with a status that means failure.
pub(crate) const HTTP_STATUS: &str = "http-status";

/// A try that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) code: String,
    pub(crate) reason: String,
    pub(crate) retryable: bool,
    /// Asked for by the server or the host.
    pub(crate) after: Option<Duration>,
    pub(crate) reach: Reach,
}

/// How far a fault reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// This page.
    Page,
    /// The whole browser, and this page may be the cause.
    Browser,
    /// The host itself: other pages would fare no better.
    Run,
}

/// What is done about a fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// Try again after this wait.
    Again(Duration),
    /// The page failed.
    GiveUp,
    /// The run stops here, to go on later.
    StopRun,
}

impl Fault {
    pub(crate) fn page(code: &str, reason: impl Into<String>, retryable: bool) -> Self {
        Self { code: code.to_owned(), reason: reason.into(), retryable, after: None, reach: Reach::Page }
    }

    /// A status that means failure.
    pub(crate) fn status(status: u16, after: Option<Duration>) -> Self {
        let retryable = matches!(status, 408 | 425 | 429 | 500..=599);
        Self { after, ..Self::page(HTTP_STATUS, format!("the server answered with status {status}"), retryable) }
    }
}

impl From<HostError> for Fault {
    fn from(error: HostError) -> Self {
        let reach = match error.code {
            ErrorCode::Busy | ErrorCode::Unavailable | ErrorCode::Cancelled => Reach::Run,
            ErrorCode::BrowserLost => Reach::Browser,
            _ => Reach::Page,
        };
        Self {
            code: error.code.as_str().to_owned(),
            reason: error.message,
            // A page whose process died is worth another try whatever the host says of the call itself.
            retryable: error.retryable || matches!(error.code, ErrorCode::BrowserLost | ErrorCode::PageCrashed),
            after: error.after,
            reach,
        }
    }
}

/// Decides after a failed try. `attempt` counts from 1; `random` is anything, evenly spread.
pub(crate) fn decide(fault: &Fault, attempt: u32, retries: u32, random: u64) -> Decision {
    if fault.code == "cancelled" {
        return Decision::StopRun;
    }
    if fault.retryable && attempt <= retries {
        return Decision::Again(wait(fault.after, attempt, random));
    }
    if fault.reach == Reach::Run { Decision::StopRun } else { Decision::GiveUp }
}

/// Full jitter: anything between nothing and the exponential wait, on top of what was asked for.
fn wait(asked: Option<Duration>, attempt: u32, random: u64) -> Duration {
    let ceiling = FIRST.saturating_mul(1 << attempt.saturating_sub(1).min(8)).min(LONGEST);
    let millis = u64::try_from(ceiling.as_millis()).unwrap_or(u64::MAX);
    asked.unwrap_or_default().min(LONGEST_ASKED) + Duration::from_millis(random % (millis + 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_page_is_tried_again_as_often_as_asked_and_then_given_up() {
        let fault = Fault::status(503, None);
        assert!(matches!(decide(&fault, 1, 2, 7), Decision::Again(_)));
        assert!(matches!(decide(&fault, 2, 2, 7), Decision::Again(_)));
        assert_eq!(decide(&fault, 3, 2, 7), Decision::GiveUp);
    }

    #[test]
    fn what_can_never_work_is_not_tried_again() {
        assert_eq!(decide(&Fault::status(404, None), 1, 2, 7), Decision::GiveUp);
        assert_eq!(decide(&HostError::new(ErrorCode::Denied, "add a line").into(), 1, 2, 7), Decision::GiveUp);
    }

    #[test]
    fn a_fault_of_the_host_stops_the_run_and_one_of_a_page_never_does() {
        let host = HostError::new(ErrorCode::Unavailable, "there is no browser");
        assert_eq!(decide(&host.into(), 1, 2, 7), Decision::StopRun);
        let cancelled = HostError::new(ErrorCode::Cancelled, "the task is being cancelled");
        assert_eq!(decide(&cancelled.into(), 1, 2, 7), Decision::StopRun);
        let lost: Fault = HostError::new(ErrorCode::BrowserLost, "the browser died").into();
        assert!(matches!(decide(&lost, 1, 2, 7), Decision::Again(_)));
        assert_eq!(decide(&lost, 3, 2, 7), Decision::GiveUp, "a page that kills its browser is a failed page");
    }

    #[test]
    fn a_server_may_ask_for_a_wait_within_reason() {
        let asked = Fault::status(429, Some(Duration::from_secs(5)));
        assert!(matches!(decide(&asked, 1, 2, 0), Decision::Again(wait) if wait == Duration::from_secs(5)));
        let unreasonable = Fault::status(429, Some(Duration::from_hours(9)));
        assert!(matches!(decide(&unreasonable, 1, 2, 0), Decision::Again(wait) if wait == LONGEST_ASKED));
    }

    proptest! {
        #[test]
        fn no_wait_of_our_own_is_longer_than_the_longest(attempt in any::<u32>(), random in any::<u64>()) {
            prop_assert!(wait(None, attempt, random) <= LONGEST);
        }
    }
}
