//! [`Failure`]: how a plugin says that a task did not succeed.

use std::time::Duration;

use crate::bindings::buddy::plugin::types;
use crate::error::HostError;

/// One fault of an input, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// JSON Pointer (RFC 6901) to the value at fault; empty for the whole input.
    pub path: String,
    /// What is wrong and what would be right, as one sentence.
    pub message: String,
}

/// Why a task did not succeed, and with that what the host does next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The input can never work: not retried. All faults at once spare the sender a round for each.
    #[error("the input is not valid: {}", describe(.0))]
    InvalidInput(Vec<Invalid>),
    /// May work later: retried while tries are left.
    #[error("{message}")]
    Retryable {
        /// What a person reads.
        message: String,
        /// Earliest moment for the next try, from now; the host's own back-off when absent.
        after: Option<Duration>,
    },
    /// Will not work: not retried.
    #[error("{0}")]
    Permanent(String),
}

fn describe(faults: &[Invalid]) -> String {
    let one = |fault: &Invalid| match fault.path.as_str() {
        "" => fault.message.clone(),
        path => format!("{path}: {}", fault.message),
    };
    faults.iter().map(one).collect::<Vec<_>>().join("; ")
}

impl Failure {
    /// One fault of the input. `path` is a JSON Pointer such as `/urls/0`; empty for the whole input.
    pub fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::InvalidInput(vec![Invalid { path: path.into(), message: message.into() }])
    }

    /// May work later.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self::Retryable { message: message.into(), after: None }
    }

    /// May work later, but not before `after` is over.
    pub fn retry_after(message: impl Into<String>, after: Duration) -> Self {
        Self::Retryable { message: message.into(), after: Some(after) }
    }

    /// Will not work.
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::Permanent(message.into())
    }
}

/// A fault that the host calls retryable stays so; any other (not granted, wrong arguments, …) is permanent.
impl From<HostError> for Failure {
    fn from(error: HostError) -> Self {
        if error.retryable {
            Self::Retryable { message: error.message, after: error.after }
        } else {
            Self::Permanent(error.message)
        }
    }
}

impl From<Failure> for types::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::InvalidInput(faults) => Self::InvalidInput(
                faults.into_iter().map(|f| types::Invalid { path: f.path, message: f.message }).collect(),
            ),
            Failure::Retryable { message, after } => {
                Self::Retryable(types::Retry { message, after_ms: after.map(crate::millis) })
            }
            Failure::Permanent(message) => Self::Permanent(message),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorCode;

    #[test]
    fn a_denied_call_is_permanent_and_a_busy_one_is_tried_again() {
        let denied = HostError::new(ErrorCode::Denied, "add `http: [example.com]`");
        assert_eq!(Failure::from(denied), Failure::permanent("add `http: [example.com]`"));
        let mut busy = HostError::new(ErrorCode::Busy, "no page is free");
        busy.retryable = true;
        busy.after = Some(Duration::from_secs(2));
        assert_eq!(Failure::from(busy), Failure::retry_after("no page is free", Duration::from_secs(2)));
    }

    #[test]
    fn an_invalid_input_names_every_fault_with_its_place() {
        let failure = Failure::InvalidInput(vec![
            Invalid { path: "/urls/0".into(), message: "is not an address".into() },
            Invalid { path: String::new(), message: "names no page".into() },
        ]);
        assert_eq!(failure.to_string(), "the input is not valid: /urls/0: is not an address; names no page");
    }
}
