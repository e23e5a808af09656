//! How to open a buffer, and what it keeps at most.

use std::{
    fmt,
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use buddy_router::UnixMs;

use crate::space::{Probe, system_probe};

/// Tells the time of day.
pub type Clock = Arc<dyn Fn() -> UnixMs + Send + Sync>;

/// What the buffer keeps at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of cached pages, compressed; the ones that expire first make room.
    pub page_cache_bytes: u64,
    /// Bytes of keys and values that one plugin may keep.
    pub kv_bytes_per_plugin: u64,
    /// Bytes of keys and values of one task's checkpoints.
    pub checkpoint_bytes_per_task: u64,
    /// Checkpoints of one task.
    pub checkpoints_per_task: u64,
    /// Log lines of one task; the oldest make room and are counted.
    pub log_lines_per_task: u64,
    /// How long a finished task and its log are kept after its result was pushed, in milliseconds; 0: not at all.
    pub keep_finished_ms: u64,
    /// How long a superseded result is kept, in milliseconds.
    pub keep_superseded_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: u64 = 1024 * 1024;
        const DAY: u64 = 24 * 60 * 60 * 1000;
        Self {
            // About 20,000 pages of ordinary size, compressed.
            page_cache_bytes: 512 * MIB,
            kv_bytes_per_plugin: 64 * MIB,
            // A scrape of 10,000 pages that checkpoints 6 KiB for each.
            checkpoint_bytes_per_task: 64 * MIB,
            checkpoints_per_task: 20_000,
            // What a person scrolls through at most; a line has at most a few KiB.
            log_lines_per_task: 2_000,
            keep_finished_ms: 7 * DAY,
            keep_superseded_ms: 7 * DAY,
        }
    }
}

/// How to open a buffer.
#[derive(Clone)]
pub struct Options {
    /// The folder; created when it is not there. Its parent folder must be writable too: the lock file and a folder
    /// that is set aside lie beside it.
    pub folder: PathBuf,
    /// How long to wait for a process that is just ending to let go of the folder.
    pub lock_wait: Duration,
    /// Bytes that must stay free on the disk.
    pub free_floor: u64,
    /// How often free space is looked at, at most.
    pub free_every: Duration,
    /// How free space is found out.
    pub probe: Probe,
    /// Memory for cached tree nodes, in bytes.
    pub cache_bytes: u64,
    /// What is kept at most.
    pub limits: Limits,
    /// The time of day: for expiry.
    pub clock: Clock,
}

impl Options {
    /// The defaults for a folder.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            // A killed process is gone within milliseconds; one that syncs a lot on a slow disk takes a few seconds.
            lock_wait: Duration::from_secs(5),
            // Room for the results of everything that is under way, and for sled's own cleaning.
            free_floor: 256 * 1024 * 1024,
            free_every: Duration::from_secs(1),
            probe: system_probe(),
            // The hot part of a busy buffer; a host at rest uses little of it.
            cache_bytes: 64 * 1024 * 1024,
            limits: Limits::default(),
            clock: Arc::new(system_clock),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("folder", &self.folder)
            .field("lock_wait", &self.lock_wait)
            .field("free_floor", &self.free_floor)
            .field("cache_bytes", &self.cache_bytes)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

fn system_clock() -> UnixMs {
    // A clock before 1970 counts as 1970: nothing expires then, which is the safe side.
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
