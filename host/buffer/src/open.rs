//! Opening (case Q18): a locked folder is waited for and then refused by name, a corrupt one is set aside.
//!
//! Order: our lock file, sled's lock, sled's recovery, schema and mark, then one read of every task, result and
//! document, because sled finds most damage only when it reads a page. Recovery and check run on a thread of their
//! own, where a panic of sled ends nothing else. What is damaged moves, whole, to `NAME.broken-TIME`; the host goes on
//! with a fresh folder and a new session, so the coordinator gives its tasks out again; nothing is ever deleted.

use std::{
    io,
    ops::ControlFlow,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use buddy_router::SessionId;

use crate::{
    error::{BufferError, OpenError},
    key::Space,
    lock::Lock,
    mark::{self, Mark},
    options::Options,
    outbox,
    read::Read,
    schema::{self, Prepared, STEPS},
    space::SpaceGuard,
    store::{Store, panic_message},
    tasks, value,
};

/// How often sled's own thread writes out what nobody waited for (progress, log lines) and cleans old segments, in
/// milliseconds. Everything that is waited for is flushed by the writer.
const BACKGROUND_FLUSH_MS: u64 = 1000;

/// What opening found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReport {
    /// Born with the folder.
    pub session: SessionId,
    /// The folder is new: there was none, or the old one was set aside.
    pub fresh: bool,
    /// The folder that could not be read, if there was one.
    pub set_aside: Option<SetAsideFolder>,
}

/// A folder that could not be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAsideFolder {
    /// Where it lies now.
    pub path: PathBuf,
    /// What was wrong with it.
    pub reason: String,
}

/// Waits a little longer each time, until a deadline.
pub(crate) struct BackOff {
    next: Duration,
    deadline: Instant,
}

impl BackOff {
    pub(crate) fn until(deadline: Instant) -> Self {
        // A dying process needs milliseconds.
        Self { next: Duration::from_millis(5), deadline }
    }

    /// Waits; `false` when the time is over.
    pub(crate) fn pause(&mut self) -> bool {
        // No need to ask less often than this: asking is one system call.
        const LONGEST: Duration = Duration::from_millis(200);
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        thread::sleep(self.next.min(left));
        self.next = (self.next * 2).min(LONGEST);
        true
    }
}

enum Failure {
    Locked,
    Newer(u32),
    System(io::Error),
    Broken(String),
}

/// Opens the store. Blocks: for `lock_wait` at most, and for the recovery.
pub(crate) fn open(options: &Options) -> Result<(Store, OpenReport), OpenError> {
    let folder = &options.folder;
    let failed = |action, path: &Path, source| OpenError::Io { action, path: path.to_owned(), source };
    if folder.is_file() {
        return Err(OpenError::NotAFolder { path: folder.clone() });
    }
    if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(|error| failed("create", parent, error))?;
    }
    let deadline = Instant::now() + options.lock_wait;
    let mut lock = Some(Lock::take(folder, deadline)?);
    let mut set_aside = None;
    loop {
        let fresh = !folder.join("db").exists();
        // The folder around it may be anybody's; what is kept here is its owner's alone.
        crate::platform::private_folder(folder).map_err(|error| failed("create", folder, error))?;
        let reason = match recover(options, deadline) {
            Ok(db) => match check(options, db, &mut lock) {
                Ok((store, session)) => return Ok((store, OpenReport { session, fresh, set_aside })),
                Err(Failure::Broken(reason)) => reason,
                Err(other) => return Err(refuse(options, other)),
            },
            Err(Failure::Broken(reason)) => reason,
            Err(other) => return Err(refuse(options, other)),
        };
        // A check that failed has closed its store, and the lock with it.
        if lock.is_none() {
            lock = Some(Lock::take(folder, deadline.max(Instant::now() + Duration::from_secs(1)))?);
        }
        if set_aside.is_some() {
            return Err(OpenError::Unusable { folder: folder.clone(), reason });
        }
        let path = move_aside(folder, (options.clock)()).map_err(|error| failed("set aside", folder, error))?;
        tracing::error!(folder = %folder.display(), moved_to = %path.display(), %reason, "the buffer cannot be read: it was set aside and a fresh one is used");
        set_aside = Some(SetAsideFolder { path, reason });
    }
}

fn refuse(options: &Options, failure: Failure) -> OpenError {
    let folder = options.folder.clone();
    match failure {
        Failure::Locked => OpenError::InUse { folder, pid: None },
        Failure::Newer(found) => OpenError::NewerSchema { folder, found, supported: schema::SCHEMA },
        Failure::System(source) => OpenError::Io { action: "open the buffer in", path: folder, source },
        Failure::Broken(reason) => OpenError::Unusable { folder, reason },
    }
}

/// Runs sled's recovery on a thread of its own, again while its lock is still held.
fn recover(options: &Options, deadline: Instant) -> Result<sled::Db, Failure> {
    let mut wait = BackOff::until(deadline);
    loop {
        let config = sled::Config::new()
            .path(&options.folder)
            .cache_capacity(options.cache_bytes)
            .flush_every_ms(Some(BACKGROUND_FLUSH_MS));
        match contained("buddy-buffer-open", move || config.open())? {
            Ok(db) => return Ok(db),
            Err(sled::Error::Io(error)) if is_lock(&error) => {
                if !wait.pause() {
                    return Err(Failure::Locked);
                }
            }
            Err(sled::Error::Io(error)) if is_systems_fault(&error) => return Err(Failure::System(error)),
            Err(error) => return Err(Failure::Broken(error.to_string())),
        }
    }
}

/// Prepares the schema and reads what must not be lost.
fn check(options: &Options, db: sled::Db, lock: &mut Option<Lock>) -> Result<(Store, SessionId), Failure> {
    let Some(lock) = lock.take() else { return Err(Failure::Locked) };
    let folder = options.folder.clone();
    let space = SpaceGuard::new(folder.clone(), options.free_floor, options.free_every, options.probe.clone());
    let limits = options.limits.clone();
    let now = (options.clock)();
    contained("buddy-buffer-check", move || {
        let store = Store::new(db, &folder, space, lock).map_err(Failure::System)?;
        let mark = mark::read(&folder);
        match schema::prepare(&store, &limits, now, STEPS, mark.is_some()) {
            Ok(Prepared::Ready(session)) => {
                complete(mark.as_ref(), &store, &session)?;
                verify(&store).map_err(broken)?;
                // The mark is a check for later; without it the buffer works as well.
                if let Err(error) = store.settle(&session) {
                    tracing::warn!(%error, "the buffer's mark could not be written: lost writes may go unnoticed");
                }
                Ok((store, session))
            }
            Ok(Prepared::Newer(found)) => Err(Failure::Newer(found)),
            Err(error) => Err(broken(error)),
        }
    })?
}

fn broken(error: BufferError) -> Failure {
    Failure::Broken(match error {
        BufferError::Degraded { reason } | BufferError::Storage { reason } => reason.to_string(),
        BufferError::Corrupt { what, reason } => format!("{what}: {reason}"),
        other => other.to_string(),
    })
}

/// Compares with the mark, which an earlier process left.
fn complete(mark: Option<&Mark>, store: &Store, session: &SessionId) -> Result<(), Failure> {
    let Some(mark) = mark else { return Ok(()) };
    let groups = store.counters().groups;
    if mark.session != *session {
        return Err(Failure::Broken(format!(
            "it is of session {session}, and its mark is of session {}",
            mark.session
        )));
    }
    if groups < mark.groups {
        return Err(Failure::Broken(format!(
            "its log ends after {groups} of at least {} groups of writes",
            mark.groups
        )));
    }
    Ok(())
}

fn verify(store: &Store) -> Result<(), BufferError> {
    let mut keys = Vec::new();
    for space in [Space::Meta, Space::Tasks, Space::Outbox, Space::Aside] {
        store.each(&[space as u8], Some(&space.end()), &mut |key, _| {
            keys.push(key.to_vec());
            Ok(ControlFlow::Continue(()))
        })?;
    }
    // Documents are the coordinator's to understand; that their pages can be read is ours.
    store.each(&[Space::Docs as u8], Some(&Space::Docs.end()), &mut |_, stored| {
        value::len(stored)?;
        Ok(ControlFlow::Continue(()))
    })?;
    for key in keys {
        let Some(bytes) = store.value(&key)? else { continue };
        match key[0] {
            tag if tag == Space::Tasks as u8 => drop(tasks::decode(&bytes)?),
            tag if tag == Space::Outbox as u8 => drop(outbox::decode(&bytes)?),
            tag if tag == Space::Aside as u8 => drop(outbox::decode_aside(&bytes)?),
            _ => {}
        }
    }
    Ok(())
}

/// Runs on a thread of its own; a panic there is damage found.
fn contained<T: Send + 'static>(name: &str, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Failure> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(work).map_err(Failure::System)?;
    thread.join().map_err(|panic| Failure::Broken(panic_message(&*panic)))
}

/// sled says that its lock is held only in the text of an error.
fn is_lock(error: &io::Error) -> bool {
    error.to_string().starts_with("could not acquire lock")
}

/// Faults of the surroundings, which say nothing about the folder's content.
fn is_systems_fault(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::PermissionDenied
            | Kind::StorageFull
            | Kind::QuotaExceeded
            | Kind::ReadOnlyFilesystem
            | Kind::FileTooLarge
            | Kind::OutOfMemory
    ) || is_out_of_files(error)
}

fn is_out_of_files(error: &io::Error) -> bool {
    // EMFILE and ENFILE have the same numbers on Linux, macOS and the BSDs; Windows says 4.
    matches!(error.raw_os_error(), Some(23 | 24)) && cfg!(unix)
        || matches!(error.raw_os_error(), Some(4)) && cfg!(windows)
}

/// How the names of the folders begin that were set aside in the place of this one.
fn broken_name(folder: &Path) -> String {
    format!("{}.broken-", folder.file_name().unwrap_or_default().to_string_lossy())
}

/// The folders that were set aside because they could not be read and still lie beside `folder`, in the order of their
/// names. Empty when that cannot be looked at.
pub fn set_aside_folders(folder: &Path) -> Vec<PathBuf> {
    let Some(Ok(entries)) = folder.parent().map(std::fs::read_dir) else { return Vec::new() };
    let begin = broken_name(folder);
    let named = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&begin));
    let mut found: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(named)
        .filter(|path| path.is_dir())
        .collect();
    found.sort();
    found
}

/// Moves the folder to `NAME.broken-SECONDS`, or that with a number behind it.
fn move_aside(folder: &Path, now: u64) -> io::Result<PathBuf> {
    // Two in one second happen only by hand; more than this, never.
    const NAMES: u32 = 100;
    let begin = broken_name(folder);
    let seconds = now / 1000;
    let free = (0..NAMES)
        .map(|number| match number {
            0 => folder.with_file_name(format!("{begin}{seconds}")),
            number => folder.with_file_name(format!("{begin}{seconds}-{number}")),
        })
        .find(|path| !path.exists())
        .ok_or_else(|| {
            io::Error::new(io::ErrorKind::AlreadyExists, "too many folders were set aside within a second")
        })?;
    // Windows moves a folder only when the last handle into it is closed, which sled's threads may delay.
    let mut wait = BackOff::until(Instant::now() + Duration::from_secs(2));
    loop {
        match std::fs::rename(folder, &free) {
            Ok(()) => return Ok(free),
            Err(error) if cfg!(unix) => return Err(error),
            Err(error) => {
                if !wait.pause() {
                    return Err(error);
                }
            }
        }
    }
}
