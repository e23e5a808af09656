//! What a pool may use, with defaults that suit a desktop of 8 GiB.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;

use crate::launch::LaunchOptions;
use crate::pool::retire::RetireLimits;

/// Bounds of a pool. [`PoolOptions::new`] gives the defaults.
#[derive(Debug, Clone)]
pub struct PoolOptions {
    /// Folder for profiles, downloads and records. One host uses it at a time, or several of the same user.
    pub root: PathBuf,
    /// How each process is started.
    pub launch: LaunchOptions,
    /// Pages open at once, popups included.
    pub max_pages: usize,
    /// Contexts open at once. A context without a page is cheap, but not free.
    pub max_contexts: usize,
    /// Chromium processes at once, not counting those that only finish what they have.
    pub max_processes: usize,
    /// Contexts in a process before the next process is started. A crash takes all of a process's contexts with it,
    /// another process costs about 150 MiB.
    pub contexts_per_process: usize,
    /// Callers that may wait for a page or context; one more is `busy` at once.
    pub max_waiting: usize,
    /// How long a caller waits for a page or context before it is `busy`.
    pub wait: Duration,
    /// Memory of all process trees together in bytes, with what `other_memory` says. Above it new pages wait; absent:
    /// no bound.
    pub max_memory: Option<u64>,
    /// Bytes of `max_memory` that others than the browsers hold at the moment; absent: none.
    pub other_memory: Option<watch::Receiver<u64>>,
    /// When a process takes no more contexts and ends with its last one.
    pub retire: RetireLimits,
    /// A process without contexts ends after this time.
    pub idle: Duration,
    /// Popups that a context keeps for whoever waits for them; one more is closed.
    pub max_popups: usize,
    /// Largest download in bytes; a larger one is cancelled.
    pub max_download: u64,
}

impl PoolOptions {
    /// The defaults, with all files below `root`.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            launch: LaunchOptions::default(),
            max_pages: 10,
            max_contexts: 40,
            max_processes: 2,
            contexts_per_process: 10,
            max_waiting: 200,
            wait: Duration::from_mins(2),
            max_memory: None,
            other_memory: None,
            retire: RetireLimits::default(),
            idle: Duration::from_mins(5),
            max_popups: 4,
            max_download: 256 << 20,
        }
    }
}
