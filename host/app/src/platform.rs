//! All that differs between operating systems: folders, private files, processes.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use process_wrap::std::{ChildWrapper, CommandWrap};
use sysinfo::{Pid, ProcessRefreshKind, ProcessStatus, ProcessesToUpdate, System};

/// The user's folder for settings of programs, found by the variables that `get` gives.
pub fn config_dir(get: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let folder = |name: &str| get(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if cfg!(windows) {
        folder("APPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        // The XDG base directory specification says that a relative path here is to be ignored.
        folder("XDG_CONFIG_HOME")
            .filter(|path| path.is_absolute())
            .or_else(|| folder("HOME").map(|home| home.join(".config")))
    }
}

/// Creates a file that only its owner can read, which must not exist yet.
///
/// On Windows a new file takes the access list of its folder; below the user's own folders that is the user and the
/// administrators.
pub fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Opens a file to write at its end; one that is new only its owner can read, as with [`create_private`].
pub fn append_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    options.open(path)
}

/// Creates a folder, and those above it that are missing, that only its owner can enter. One that exists stays as it
/// is: it may be anybody's.
///
/// On Windows a new folder takes the access list of the one it is in.
pub fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(path)
}

/// Starts a program that outlives this one and its terminal.
pub fn spawn_detached(command: Command) -> io::Result<Box<dyn ChildWrapper>> {
    #[cfg(windows)]
    let command = {
        use std::os::windows::process::CommandExt as _;
        let mut command = command;
        // Named in the Windows SDK's winbase.h: no console of its own, and no Ctrl-C from this one.
        const DETACHED_PROCESS: u32 = 0x0000_0008;
        const CREATE_NEW_PROCESS_GROUP: u32 = 0x0000_0200;
        command.creation_flags(DETACHED_PROCESS | CREATE_NEW_PROCESS_GROUP);
        command
    };
    let mut wrapped = CommandWrap::from(command);
    // A session of its own, so that the end of the terminal's session is not its end.
    #[cfg(unix)]
    wrapped.wrap(process_wrap::std::ProcessSession);
    wrapped.spawn()
}

fn with_process<T>(pid: u32, look: impl FnOnce(&sysinfo::Process) -> T) -> Option<T> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    system.process(pid).map(look)
}

/// Whether a process of this number runs. One that has ended and was not yet collected by its parent does not.
pub fn is_alive(pid: u32) -> bool {
    with_process(pid, |process| !matches!(process.status(), ProcessStatus::Zombie | ProcessStatus::Dead))
        .unwrap_or(false)
}

/// When a process started, in seconds since 1970, as the system tells it: tells a process from a later one of the
/// same number.
pub fn started_at(pid: u32) -> Option<u64> {
    with_process(pid, sysinfo::Process::start_time)
}

/// Whether the process that a locked lock file names really is the one that has it, before it is ended by force.
#[cfg(target_os = "linux")]
pub fn holds(pid: u32, lock: &Path) -> bool {
    let Ok(lock) = lock.canonicalize() else { return false };
    let Ok(open) = std::fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.filter_map(Result::ok).any(|file| std::fs::read_link(file.path()).is_ok_and(|path| path == lock))
}

/// Whether the process that a locked lock file names can be the one that has it, before it is ended by force: it wrote
/// its number there, so it had started by then.
#[cfg(not(target_os = "linux"))]
pub fn holds(pid: u32, lock: &Path) -> bool {
    let written = std::fs::metadata(lock).and_then(|lock| lock.modified()).ok();
    let written = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
    // The system computes a start from its boot time, which moves by a second when the clock is set.
    written.zip(started_at(pid)).is_some_and(|(written, started)| started <= written.as_secs() + 2)
}

/// Ends a process at once, without a chance to tidy up. `false` when there is none or it is not ours.
pub fn terminate(pid: u32) -> bool {
    with_process(pid, sysinfo::Process::kill).unwrap_or(false)
}

/// Makes the names in a folder durable: what was renamed into it is there after a power cut.
///
/// Windows does not open folders for that; NTFS journals names by itself.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(windows) { Ok(()) } else { File::open(folder)?.sync_all() }
}

/// Completes when the process is asked to end: Ctrl-C, and on Unix SIGTERM.
#[cfg(unix)]
pub async fn asked_to_end() -> io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt,
        _ = terminate.recv() => Ok(()),
    }
}

/// Completes when the process is asked to end: Ctrl-C.
#[cfg(windows)]
pub async fn asked_to_end() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_impossible_one_is_not() {
        assert!(is_alive(std::process::id()));
        assert!(started_at(std::process::id()).is_some());
        // Above the largest number a kernel gives out.
        assert!(!is_alive(u32::MAX - 1));
        assert!(!terminate(u32::MAX - 1));
    }

    #[cfg(unix)]
    #[test]
    fn a_private_file_is_readable_by_its_owner_only_and_never_replaces_another() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let file = create_private(&path).unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(create_private(&path).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
    }

    #[cfg(unix)]
    #[test]
    fn a_private_folder_is_its_owners_only_and_one_that_exists_is_left_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let above = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let folder = above.path().join("data/artifacts");
        private_folder(&folder).unwrap();
        assert_eq!((mode(&folder), mode(folder.parent().unwrap())), (0o700, 0o700));
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o750)).unwrap();
        private_folder(&folder).unwrap();
        assert_eq!(mode(&folder), 0o750);
    }
}
