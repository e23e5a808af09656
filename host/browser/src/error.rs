//! What can go wrong, in the words of the plugin contract.
//!
//! Every failure of this crate is a [`BrowserError`]. Its [`code`](BrowserError::code) is one of the codes that the
//! contract documents for its `error` record and its message is one sentence that a person can act on. Nothing of
//! the DevTools protocol shows through: an answer that no rule maps becomes `failed` with Chromium's own words.

use std::time::Duration;

/// A failed call, with the sentence that its caller sees.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrowserError {
    /// There is no browser to work with: Chromium is not installed, does not start, or the pool is closed.
    #[error("{0}")]
    Unavailable(String),
    /// All pages are taken and the queue of waiting callers is full, or the wait for a page was too long.
    #[error("{0}")]
    Busy(String),
    /// The deadline of the call is over.
    #[error("{0}")]
    TimedOut(String),
    /// A bound on size or count was reached.
    #[error("{0}")]
    Limit(String),
    /// The caller asked for something that can never work: a malformed address, selector or option.
    #[error("{0}")]
    Invalid(String),
    /// What was named is not there.
    #[error("{0}")]
    NotFound(String),
    /// The page or context was closed while the call was waiting.
    #[error("{0}")]
    Cancelled(String),
    /// The host's name could not be resolved.
    #[error("{0}")]
    Dns(String),
    /// No connection to the host came about, or it broke.
    #[error("{0}")]
    Connect(String),
    /// The encrypted connection failed: certificate or protocol.
    #[error("{0}")]
    Tls(String),
    /// A redirect loop, by the server or by script.
    #[error("{0}")]
    Redirects(String),
    /// Refused by a rule: the proxy, the blocked kinds, or Chromium itself.
    #[error("{0}")]
    Policy(String),
    /// The renderer of this page died; other pages go on.
    #[error("{0}")]
    PageCrashed(String),
    /// The Chromium process died and every page of it with it.
    #[error("{0}")]
    BrowserLost(String),
    /// The document in which the script ran was replaced by a navigation before the script had answered.
    #[error("{0}")]
    ContextLost(String),
    /// Anything else, with Chromium's own words.
    #[error("{0}")]
    Failed(String),
}

impl BrowserError {
    /// The code of the plugin contract's `error` record.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable(_) => "unavailable",
            Self::Busy(_) => "busy",
            Self::TimedOut(_) => "timed-out",
            Self::Limit(_) => "limit",
            Self::Invalid(_) => "invalid",
            Self::NotFound(_) => "not-found",
            Self::Cancelled(_) => "cancelled",
            Self::Dns(_) => "dns",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Redirects(_) => "redirects",
            Self::Policy(_) => "policy",
            Self::PageCrashed(_) => "page-crashed",
            Self::BrowserLost(_) => "browser-lost",
            Self::ContextLost(_) | Self::Failed(_) => "failed",
        }
    }

    /// Whether the same call, on a fresh page where this one is gone, may work later.
    pub fn retryable(&self) -> bool {
        matches!(
            self,
            Self::Busy(_)
                | Self::TimedOut(_)
                | Self::Dns(_)
                | Self::Connect(_)
                | Self::PageCrashed(_)
                | Self::BrowserLost(_)
                | Self::ContextLost(_)
        )
    }

    /// The deadline of `what` passed after `waited`.
    pub(crate) fn timed_out(what: &str, waited: Duration) -> Self {
        Self::TimedOut(format!("{what} did not finish within {} ms", waited.as_millis()))
    }
}
