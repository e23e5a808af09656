//! Chromium processes and folders that outlived their owner.
//!
//! Every process has a folder of its own under the pool's root: its profile, its downloads, its temporary files and a
//! record of who owns it. A host that was killed leaves all of them behind. [`reap`] runs at the next start: a record whose owner
//! is dead names a tree to kill and a folder to delete; a record whose owner lives is not touched. "Dead" means
//! that no process has that number, or that the one that has it started at another time.
//!
//! Chromium keeps a socket among its temporary files, and ends at once when the socket's path is too long for the
//! operating system. Below a root that is too deep for it the temporary files lie in a short folder of the system's
//! own place for them, which the record names and which goes with the process's folder.
//!
//! Chromium itself leaves a lock in a profile when it is killed; [`clear_stale_lock`] takes that away, and only
//! when the process it names is dead on this very machine.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::BrowserError;
use crate::platform;

const RECORD: &str = "process.json";

/// What the names of temporary folders begin with that lie apart: nothing else outside of the root is ever deleted.
const APART: &str = "buddy-chromium-";

/// The name of a temporary folder that does not.
const TEMPORARY: &str = "tmp";

/// Start times come from two readings of a clock with a resolution of a second.
const START_TIME_SLACK_S: u64 = 2;

#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
struct Process {
    pid: u32,
    /// Seconds since 1970.
    started: u64,
}

impl Process {
    fn lives(self) -> bool {
        platform::start_time(self.pid).is_some_and(|started| started.abs_diff(self.started) <= START_TIME_SLACK_S)
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    owner: Process,
    /// Leader of the browser's process group; absent until it is started.
    browser: Option<Process>,
    /// Its temporary folder, where that lies apart.
    #[serde(default)]
    apart: Option<PathBuf>,
}

/// The folder of one Chromium process: recorded while it exists, deleted when dropped.
#[derive(Debug)]
pub(crate) struct ProcessFolder {
    path: PathBuf,
    /// Its temporary folder, where that lies apart.
    apart: Option<PathBuf>,
}

/// A folder apart from a process's own, when a socket below that one would have too long a path.
fn apart(own: &Path) -> Option<PathBuf> {
    if platform::fits_socket(own) {
        return None;
    }
    let name = format!("{APART}{:016x}", rand::random::<u64>());
    let places = [std::env::temp_dir(), PathBuf::from("/tmp")];
    // The record is text.
    places
        .into_iter()
        .map(|place| place.join(&name))
        .find(|path| path.to_str().is_some() && platform::fits_socket(path))
}

impl ProcessFolder {
    /// Makes a folder below `root` and records this process as its owner, before anything is started in it.
    pub(crate) fn create(root: &Path) -> io::Result<Self> {
        // Short, so that the temporary files seldom lie apart.
        let path = std::path::absolute(root)?.join(format!("chromium-{:08x}", rand::random::<u32>()));
        let folder = Self { apart: apart(&path.join(TEMPORARY)), path };
        platform::create_private_folder(&folder.profile())?;
        platform::create_private_folder(&folder.downloads())?;
        folder.write(None)?;
        // Last: what lies apart is found by the record only.
        platform::create_new_private_folder(&folder.temporary())?;
        Ok(folder)
    }

    /// Where Chromium puts its temporary files.
    pub(crate) fn temporary(&self) -> PathBuf {
        self.apart.clone().unwrap_or_else(|| self.path.join(TEMPORARY))
    }

    /// The folder for `--user-data-dir`.
    pub(crate) fn profile(&self) -> PathBuf {
        self.path.join("profile")
    }

    /// Where downloads go, one folder a context below it.
    pub(crate) fn downloads(&self) -> PathBuf {
        self.path.join("downloads")
    }

    /// Adds the started browser to the record.
    pub(crate) fn started(&self, pid: u32) -> io::Result<()> {
        let started = platform::start_time(pid).unwrap_or_default();
        self.write(Some(Process { pid, started }))
    }

    fn write(&self, browser: Option<Process>) -> io::Result<()> {
        let pid = std::process::id();
        let owner = Process { pid, started: platform::start_time(pid).unwrap_or_default() };
        let text = serde_json::to_vec(&Record { owner, browser, apart: self.apart.clone() })?;
        // By rename, so that a kill in between never leaves half a record.
        let draft = self.path.join("process.json.new");
        fs::write(&draft, text)?;
        fs::rename(draft, self.path.join(RECORD))
    }
}

impl Drop for ProcessFolder {
    fn drop(&mut self) {
        remove(&self.path, self.apart.as_deref());
    }
}

/// What [`reap`] found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reaped {
    /// Browsers that were still running.
    pub(crate) killed: usize,
    /// Folders that were deleted.
    pub(crate) folders: usize,
}

/// Kills the browsers and deletes the folders under `root` whose owner is dead.
pub(crate) fn reap(root: &Path) -> Reaped {
    let mut reaped = Reaped::default();
    // As command lines name it.
    let entries = match std::path::absolute(root).and_then(fs::read_dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return reaped,
        Err(error) => {
            tracing::warn!(folder = %root.display(), %error, "the browsers' folder could not be read for leftovers");
            return reaped;
        }
    };
    for entry in entries.flatten() {
        let path = entry.path();
        let Ok(text) = fs::read(path.join(RECORD)) else { continue };
        let Ok(record) = serde_json::from_slice::<Record>(&text) else {
            tracing::warn!(folder = %path.display(), "a browser's record is damaged; delete the folder by hand");
            continue;
        };
        if record.owner.lives() {
            continue;
        }
        reaped.killed += kill_tree(record.browser, &path);
        remove(&path, record.apart.as_deref());
        reaped.folders += 1;
    }
    if reaped.folders > 0 {
        tracing::info!(killed = reaped.killed, folders = reaped.folders, "browsers of a dead host were cleaned up");
    }
    reaped
}

/// Kills the recorded group, and every process that was started on the folder: one may have been started in the
/// moment between a spawn and its record.
fn kill_tree(browser: Option<Process>, folder: &Path) -> usize {
    let mut killed = 0;
    if let Some(browser) = browser.filter(|browser| browser.lives()) {
        platform::kill_group(browser.pid);
        killed += 1;
    }
    let folder = folder.to_string_lossy();
    let system = platform::snapshot();
    for process in system.processes().values() {
        let ours = process.cmd().iter().any(|argument| {
            let argument = argument.to_string_lossy();
            argument.strip_prefix("--user-data-dir=").is_some_and(|path| path.starts_with(&*folder))
        });
        if ours && process.kill() && browser.is_none_or(|browser| browser.pid != process.pid().as_u32()) {
            killed += 1;
        }
    }
    killed
}

/// Deletes the folder of a process, and before it, as its record is the only trace of it, what lies apart.
fn remove(path: &Path, apart: Option<&Path>) {
    if let Some(apart) = apart {
        // A record that is damaged must not delete what is not ours.
        if apart.file_name().is_some_and(|name| name.to_string_lossy().starts_with(APART)) {
            remove_folder(apart);
        } else {
            tracing::warn!(folder = %apart.display(), "a browser's record names a folder that is no browser's");
        }
    }
    remove_folder(path);
}

/// Deletes a folder that a dying browser may still be writing into.
fn remove_folder(path: &Path) {
    // A process that was killed can take a moment to let go, and files appear behind the deletion.
    for attempt in 0..20 {
        match fs::remove_dir_all(path) {
            Ok(()) => return,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) if attempt == 19 => {
                tracing::warn!(folder = %path.display(), %error, "a browser's folder could not be deleted");
            }
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(25)),
        }
    }
}

/// Takes Chromium's lock out of a profile when the browser that set it is dead on this machine.
///
/// A living owner is `busy`, an owner on another machine `unavailable`: both would be corrupted by a second browser.
pub(crate) fn clear_stale_lock(profile: &Path) -> Result<(), BrowserError> {
    let lock = profile.join("SingletonLock");
    // The lock is a symbolic link to `HOST-PID`; no such link, no lock.
    let Ok(target) = fs::read_link(&lock) else { return Ok(()) };
    let target = target.to_string_lossy().into_owned();
    let owner = target.rsplit_once('-').and_then(|(host, pid)| Some((host, pid.parse::<u32>().ok()?)));
    let Some((host, pid)) = owner else {
        return Err(BrowserError::Unavailable(format!(
            "the profile {} is locked by something that is no Chromium ({target}); delete {} if nothing uses it",
            profile.display(),
            lock.display()
        )));
    };
    if platform::host_name().as_deref() != Some(host) {
        return Err(BrowserError::Unavailable(format!(
            "the profile {} is in use on the machine {host}; close it there first",
            profile.display()
        )));
    }
    if platform::start_time(pid).is_some() {
        return Err(BrowserError::Busy(format!(
            "the profile {} is in use by process {pid}; close that browser first",
            profile.display()
        )));
    }
    for name in ["SingletonLock", "SingletonCookie", "SingletonSocket"] {
        match fs::remove_file(profile.join(name)) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(BrowserError::Unavailable(format!(
                    "the stale lock of the profile {} could not be removed: {error}",
                    profile.display()
                )));
            }
        }
    }
    tracing::info!(profile = %profile.display(), pid, "a lock left by a dead browser was removed");
    Ok(())
}
