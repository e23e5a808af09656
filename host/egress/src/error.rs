//! What can go wrong with an outgoing connection, in the words of the plugin contract.

use std::time::Duration;

use crate::policy::Denied;

/// Why a connection or request did not succeed.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum EgressError {
    /// The granted hosts do not cover it. Nothing was sent.
    #[error(transparent)]
    Denied(#[from] Box<Denied>),
    /// The name has no address, or the name server did not answer.
    #[error("The name {host} could not be resolved: {problem}.")]
    Dns {
        /// The name.
        host: String,
        /// What the resolver said.
        problem: String,
    },
    /// No address of the host took the connection, or it broke before an answer.
    #[error("No connection to {target}: {problem}.")]
    Connect {
        /// Host and port.
        target: String,
        /// What the system said, of the last address tried.
        problem: String,
    },
    /// The TLS handshake failed.
    #[error("No secure connection to {target}: {problem}.")]
    Tls {
        /// Host and port.
        target: String,
        /// What is wrong, for example with the certificate.
        problem: String,
    },
    /// It took longer than allowed.
    #[error("{what} took longer than {} ms.", limit.as_millis())]
    TimedOut {
        /// What was under way, with its host.
        what: String,
        /// The limit that was reached.
        limit: Duration,
    },
    /// A redirect that is not followed: a loop, one too many, or one to nowhere.
    #[error("The redirects from {url} were given up: {problem}.")]
    Redirects {
        /// The address that was asked for first.
        url: String,
        /// What is wrong with them.
        problem: String,
    },
    /// More than the caller's bound.
    #[error("{what} is larger than its limit of {limit} bytes; raise the limit or ask for less.")]
    Limit {
        /// What was too large.
        what: String,
        /// The bound, in bytes.
        limit: u64,
    },
    /// The request makes no sense as it stands.
    #[error("{0}")]
    Invalid(String),
    /// The request makes sense, but this host does not do such a thing for anybody.
    #[error("{0}")]
    Policy(String),
    /// The host asked to be left alone for longer than this request may wait, or all connections are in use.
    #[error("{target} is not to be reached before {} ms from now: {problem}.", after.as_millis())]
    Busy {
        /// Host and port.
        target: String,
        /// Why.
        problem: String,
        /// When to come back, from now.
        after: Duration,
    },
    /// The other side broke the protocol, or the body could not be read or written.
    #[error("The exchange with {target} failed: {problem}.")]
    Failed {
        /// Host and port.
        target: String,
        /// What went wrong.
        problem: String,
        /// Whether the same request may succeed later.
        retryable: bool,
    },
}

impl From<Denied> for EgressError {
    fn from(denied: Denied) -> Self {
        Self::Denied(Box::new(denied))
    }
}

impl EgressError {
    /// The word of `buddy:plugin/types.error.code`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Denied(_) => "denied",
            Self::Dns { .. } => "dns",
            Self::Connect { .. } => "connect",
            Self::Tls { .. } => "tls",
            Self::TimedOut { .. } => "timed-out",
            Self::Redirects { .. } => "redirects",
            Self::Limit { .. } => "limit",
            Self::Invalid(_) => "invalid",
            Self::Policy(_) => "policy",
            Self::Busy { .. } => "busy",
            Self::Failed { .. } => "failed",
        }
    }

    /// Whether the same call may work later.
    pub fn retryable(&self) -> bool {
        match self {
            Self::Dns { .. } | Self::Connect { .. } | Self::TimedOut { .. } | Self::Busy { .. } => true,
            Self::Failed { retryable, .. } => *retryable,
            // A certificate that is wrong now is wrong in a minute.
            Self::Tls { .. }
            | Self::Denied(_)
            | Self::Redirects { .. }
            | Self::Limit { .. }
            | Self::Invalid(_)
            | Self::Policy(_) => false,
        }
    }

    /// The earliest moment for another try, in milliseconds from now, when it is known.
    pub fn after_ms(&self) -> Option<u64> {
        match self {
            Self::Busy { after, .. } => Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX)),
            _ => None,
        }
    }

    /// The denial, when that is what it is: it holds the rule that would allow the connection.
    pub fn denied(&self) -> Option<&Denied> {
        match self {
            Self::Denied(denied) => Some(denied),
            _ => None,
        }
    }
}

/// The innermost cause of an error: what the system said, without the layers that passed it on.
pub(crate) fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string().trim_end_matches('.').to_owned()
}
