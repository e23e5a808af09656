//! What can go wrong, typed: one error for opening the buffer, one for using it.

use std::{io, path::PathBuf, sync::Arc};

use buddy_router::{IllegalTransition, Lease, State, TaskId};

/// Why a buffer did not open. A corrupt folder is no error: it is set aside and said in the
/// [`OpenReport`](crate::OpenReport).
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A living process has the folder.
    #[error("another host{} uses the buffer folder {}: stop it, or give this host its own folder", with_pid(*pid), folder.display())]
    InUse {
        /// The folder.
        folder: PathBuf,
        /// Its process, when that could be read.
        pid: Option<u32>,
    },
    /// The path names something else than a folder, for example a database file of another program.
    #[error("the buffer needs a folder, and {} is a file: move it away or name another path", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Written by a later version of this program.
    #[error("the buffer folder {} was written by a newer buddy-host (its schema is {found}, this program knows up to {supported}): update this program, or name another folder", folder.display())]
    NewerSchema {
        /// The folder.
        folder: PathBuf,
        /// What the folder has.
        found: u32,
        /// What this program knows.
        supported: u32,
    },
    /// The system refused something that has nothing to do with the folder's content.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Even a fresh folder does not open.
    #[error("a fresh buffer in {} cannot be opened ({reason}): check the disk", folder.display())]
    Unusable {
        /// The folder.
        folder: PathBuf,
        /// What the store said.
        reason: String,
    },
}

fn with_pid(pid: Option<u32>) -> String {
    pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
}

/// Why the buffer did not do what it was asked. Cheap to clone: one failed group tells all its callers.
#[derive(Debug, Clone, thiserror::Error)]
pub enum BufferError {
    /// An earlier write failed: what is on disk is no longer known, so nothing more is accepted.
    #[error(
        "the buffer takes no more writes since one failed ({reason}): free the disk or repair it, then restart the host"
    )]
    Degraded {
        /// What the store said then.
        reason: Arc<str>,
    },
    /// The buffer was closed.
    #[error("the buffer is closed: the host is shutting down")]
    Closed,
    /// Free space is below the floor: nothing new is taken in until there is more.
    #[error(
        "the disk of the buffer has {free} bytes free and the floor is {floor}: free some space, work goes on by itself"
    )]
    DiskFull {
        /// Bytes free.
        free: u64,
        /// Bytes that must stay free.
        floor: u64,
    },
    /// What the owner lets the host keep is used up: nothing new is taken in until there is room. Not found out by the
    /// buffer, which knows only a part of what is kept: the host says it, in its own words.
    #[error("{why}")]
    OverBound {
        /// What is used by what, and which setting bounds it, as one sentence.
        why: Arc<str>,
    },
    /// The store failed to read.
    #[error("the buffer cannot read its store ({reason}): restart the host, which checks the folder when it opens it")]
    Storage {
        /// What the store said.
        reason: Arc<str>,
    },
    /// A record is there but makes no sense.
    #[error(
        "a {what} of the buffer cannot be read ({reason}): restart the host, which checks the folder when it opens it"
    )]
    Corrupt {
        /// What kind of record.
        what: &'static str,
        /// Why.
        reason: Arc<str>,
    },
    /// A closure handed to [`Buffer::transact`](crate::Buffer::transact) panicked; its writes were dropped.
    #[error("a write of the buffer panicked and was dropped: {message}")]
    Panicked {
        /// The panic's message.
        message: Arc<str>,
    },
    /// No such task here.
    #[error("task {task} is not in this host's buffer")]
    NoSuchTask {
        /// Which.
        task: TaskId,
    },
    /// A task that nobody holds was to be stored as work of this host.
    #[error("task {task} is {state}: only a task that is assigned can be taken into the buffer")]
    NotHeld {
        /// Which.
        task: TaskId,
        /// Its state.
        state: State,
    },
    /// The caller acts under a lease that is not the task's present one.
    #[error("task {task} is held under lease {}, not {}: the caller's lease is over", found.0, given.0)]
    StaleLease {
        /// Which.
        task: TaskId,
        /// The caller's lease.
        given: Lease,
        /// The lease in the buffer.
        found: Lease,
    },
    /// The task's state does not allow the step.
    #[error("task {task}: {step}")]
    Transition {
        /// Which.
        task: TaskId,
        /// The step that does not exist.
        step: IllegalTransition,
    },
    /// All tries are used up.
    #[error("task {task} has used up its {tries} tries")]
    NoTriesLeft {
        /// Which.
        task: TaskId,
        /// Tries begun.
        tries: u32,
    },
    /// A precondition of a document commit did not hold; nothing of the commit was written.
    #[error("document write {index} found {}: read it again and decide anew", version(*found))]
    DocConflict {
        /// Position of the write in the commit.
        index: usize,
        /// The version that is there; `None`: no such document.
        found: Option<u64>,
    },
    /// A key is empty, too long or holds a zero byte where none may be.
    #[error("a {what} must have 1 to {max} bytes and no zero byte")]
    BadKey {
        /// What kind of key.
        what: &'static str,
        /// Bytes at most.
        max: usize,
    },
    /// A value is larger than the bound.
    #[error("a {what} of {len} bytes is over the bound of {max}: keep it as an artifact")]
    TooLarge {
        /// What kind of value.
        what: &'static str,
        /// Its bytes.
        len: usize,
        /// Bytes at most.
        max: usize,
    },
    /// The owner's quota would be exceeded.
    #[error("{owner} would keep {wanted} of {unit} and its quota is {quota}: remove something first")]
    Quota {
        /// Whose quota: a plugin or a task.
        owner: Arc<str>,
        /// What is counted.
        unit: &'static str,
        /// What it would be.
        wanted: u64,
        /// The quota.
        quota: u64,
    },
}

fn version(found: Option<u64>) -> String {
    found.map_or_else(|| "no document".to_owned(), |version| format!("version {version}"))
}

/// Shorthand.
pub(crate) type Result<T, E = BufferError> = std::result::Result<T, E>;
