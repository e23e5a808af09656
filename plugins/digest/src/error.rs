//! How a digest fails: by its input, by its data, or by the host.

/// One fault of the input, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// JSON Pointer (RFC 6901) to the value at fault.
    pub path: String,
    /// What is wrong and what would be right, as one sentence.
    pub message: String,
}

/// Why a digest ended without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// The input can never work; every fault that was found, in the order of the input.
    #[error("{}", one_line(.0))]
    Invalid(Vec<Invalid>),
    /// The input is sound, the data it leads to is not, or there is too much of it. Not worth a retry.
    #[error("{0}")]
    Data(String),
    /// A call to the host failed.
    #[error("{message}")]
    Host {
        /// What the host said.
        message: String,
        /// Whether the same call may work later.
        retryable: bool,
        /// The host's wish for the next try, in milliseconds from now.
        after_ms: Option<u64>,
    },
}

impl Fault {
    /// One fault of the input at `path`.
    pub(crate) fn invalid(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![Invalid { path: path.into(), message: message.into() }])
    }
}

fn one_line(list: &[Invalid]) -> String {
    list.iter().map(|one| format!("{}: {}", one.path, one.message)).collect::<Vec<_>>().join(" ")
}

/// As many faults as one answer tells; a hostile input must not make a long one.
const MOST_PROBLEMS: usize = 20;

/// Gathers the faults of an input, so that its author sees all of them at once.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Invalid>,
}

impl Problems {
    /// Notes a fault; those beyond the bound are dropped, the first ones are enough to go on with.
    pub(crate) fn add(&mut self, path: impl Into<String>, message: impl Into<String>) {
        if self.list.len() < MOST_PROBLEMS {
            self.list.push(Invalid { path: path.into(), message: message.into() });
        }
    }

    /// `value` if nothing was noted, else all that was.
    pub(crate) fn into_result<T>(self, value: T) -> Result<T, Fault> {
        if self.list.is_empty() { Ok(value) } else { Err(Fault::Invalid(self.list)) }
    }
}
