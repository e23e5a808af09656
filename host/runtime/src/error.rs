//! How the host says to a plugin that a call did not succeed.

use crate::wit::types;
use std::time::Duration;
use wasmtime::component::ResourceTableError;

/// A refused or failed host call. It becomes the contract's `error` record; it never traps the plugin.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
#[non_exhaustive]
pub struct HostError {
    /// One of the contract's documented codes; see the constants in [`code`].
    pub code: &'static str,
    /// What went wrong and what to do about it, as one sentence; a denial's has lines to paste below it.
    pub message: String,
    /// Whether the same call may work later.
    pub retryable: bool,
    /// When it is worth trying again, from now, in milliseconds.
    pub after_ms: Option<u64>,
}

/// The codes of `wit/types.wit`.
pub mod code {
    /// Not granted; the message ends with the lines of `buddy.yaml` that would grant it.
    pub const DENIED: &str = "denied";
    /// This host has nothing behind the call.
    pub const UNAVAILABLE: &str = "unavailable";
    /// A queue of the host is full.
    pub const BUSY: &str = "busy";
    /// The call's own time was over.
    pub const TIMED_OUT: &str = "timed-out";
    /// A bound on size or count was reached.
    pub const LIMIT: &str = "limit";
    /// An argument can never work.
    pub const INVALID: &str = "invalid";
    /// What the call names is not there.
    pub const NOT_FOUND: &str = "not-found";
    /// The run is being stopped.
    pub const CANCELLED: &str = "cancelled";
    /// The name did not resolve.
    pub const DNS: &str = "dns";
    /// The connection was refused or lost.
    pub const CONNECT: &str = "connect";
    /// The TLS handshake failed.
    pub const TLS: &str = "tls";
    /// Too many redirects.
    pub const REDIRECTS: &str = "redirects";
    /// The address that was really reached is forbidden.
    pub const POLICY: &str = "policy";
    /// The page's renderer is gone.
    pub const PAGE_CRASHED: &str = "page-crashed";
    /// The page's browser is gone.
    pub const BROWSER_LOST: &str = "browser-lost";
    /// Anything else.
    pub const FAILED: &str = "failed";
}

impl HostError {
    /// An error that will not pass by itself.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false, after_ms: None }
    }

    /// An error that may pass.
    pub fn retryable(code: &'static str, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(code, message) }
    }

    /// Says when it is worth trying again. Makes the error retryable.
    #[must_use]
    pub fn after(mut self, delay: Duration) -> Self {
        self.retryable = true;
        self.after_ms = Some(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX));
        self
    }

    /// The answer of a host that has nothing behind `what`.
    pub fn unavailable(what: &str) -> Self {
        Self::new(code::UNAVAILABLE, format!("This host does not offer {what} yet; leave it out or update the host."))
    }
}

impl From<ResourceTableError> for HostError {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => Self::new(
                code::LIMIT,
                "This run holds as many handles as it may; drop contexts, pages or writers that are no longer needed.",
            ),
            other => Self::new(code::FAILED, format!("The host lost track of a handle: {other}.")),
        }
    }
}

impl From<HostError> for types::Error {
    fn from(error: HostError) -> Self {
        Self { code: error.code.into(), message: error.message, retryable: error.retryable, after_ms: error.after_ms }
    }
}
