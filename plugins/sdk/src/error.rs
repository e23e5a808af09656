//! [`HostError`]: how the host says that a call did not succeed.

use std::time::Duration;

use crate::bindings::buddy::plugin::types;

/// Why a call to the host failed, in the words of the contract.
///
/// The list grows with the host, so a plugin built today may meet a code that it does not know: [`ErrorCode::Other`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// Not granted. The message ends with the lines of `buddy.yaml` that would grant it.
    Denied,
    /// This host does not have what the call needs.
    Unavailable,
    /// Every place is taken and the queue is full.
    Busy,
    /// The time given was over.
    TimedOut,
    /// A bound of the plugin's was reached.
    Limit,
    /// The call's own arguments are wrong.
    Invalid,
    /// There is nothing of that name.
    NotFound,
    /// The task is being cancelled.
    Cancelled,
    /// The name of the server could not be resolved.
    Dns,
    /// No connection to the server.
    Connect,
    /// The server's certificate or handshake was refused.
    Tls,
    /// Too many redirects, or a circle of them.
    Redirects,
    /// The address is one that plugins may not reach.
    Policy,
    /// The page's process died.
    PageCrashed,
    /// The browser died with all its pages; a new context opens on a new one.
    BrowserLost,
    /// None of the others.
    Failed,
    /// A code that this version of the crate does not know.
    Other(String),
}

impl ErrorCode {
    /// The code as the contract writes it, for example `timed-out`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Denied => "denied",
            Self::Unavailable => "unavailable",
            Self::Busy => "busy",
            Self::TimedOut => "timed-out",
            Self::Limit => "limit",
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Cancelled => "cancelled",
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Redirects => "redirects",
            Self::Policy => "policy",
            Self::PageCrashed => "page-crashed",
            Self::BrowserLost => "browser-lost",
            Self::Failed => "failed",
            Self::Other(code) => code,
        }
    }
}

impl From<String> for ErrorCode {
    fn from(code: String) -> Self {
        match code.as_str() {
            "denied" => Self::Denied,
            "unavailable" => Self::Unavailable,
            "busy" => Self::Busy,
            "timed-out" => Self::TimedOut,
            "limit" => Self::Limit,
            "invalid" => Self::Invalid,
            "not-found" => Self::NotFound,
            "cancelled" => Self::Cancelled,
            "dns" => Self::Dns,
            "connect" => Self::Connect,
            "tls" => Self::Tls,
            "redirects" => Self::Redirects,
            "policy" => Self::Policy,
            "page-crashed" => Self::PageCrashed,
            "browser-lost" => Self::BrowserLost,
            "failed" => Self::Failed,
            _ => Self::Other(code),
        }
    }
}

impl std::fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A call to the host that did not succeed.
///
/// With `?` in a task's `run` it becomes a [`Failure`](crate::Failure): retryable if this is, permanent otherwise.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct HostError {
    /// What kind of fault it is: what a plugin decides by.
    pub code: ErrorCode,
    /// What a person reads.
    pub message: String,
    /// Whether the same call may work later.
    pub retryable: bool,
    /// Earliest moment for the next try, from now, when the host knows one.
    pub after: Option<Duration>,
}

impl HostError {
    /// An error that no later try can mend.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, after: None }
    }

    /// The answer of every capability where there is no host: in native builds and tests.
    pub(crate) fn no_host(call: &str) -> Self {
        Self::new(ErrorCode::Unavailable, format!("`{call}` needs a host: this code runs outside of a sandbox"))
    }

    /// A value that could not be written as JSON, or not be read back.
    pub(crate) fn json(what: &str, error: &serde_json::Error) -> Self {
        Self::new(ErrorCode::Invalid, format!("{what}: {error}"))
    }
}

impl From<types::Error> for HostError {
    fn from(error: types::Error) -> Self {
        Self {
            code: error.code.into(),
            message: error.message,
            retryable: error.retryable,
            after: error.after_ms.map(Duration::from_millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_code_survives_the_round_trip() {
        for code in [
            "denied",
            "unavailable",
            "busy",
            "timed-out",
            "limit",
            "invalid",
            "not-found",
            "cancelled",
            "dns",
            "connect",
            "tls",
            "redirects",
            "policy",
            "page-crashed",
            "browser-lost",
            "failed",
        ] {
            let parsed = ErrorCode::from(code.to_owned());
            assert_eq!(parsed.as_str(), code);
            assert!(!matches!(parsed, ErrorCode::Other(_)), "{code} has no variant of its own");
        }
    }

    #[test]
    fn a_code_of_a_newer_host_is_kept_as_it_is() {
        assert_eq!(ErrorCode::from("quota".to_owned()), ErrorCode::Other("quota".to_owned()));
    }
}
