//! All that differs between operating systems: process groups, privileges, places where Chromium lies.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use process_wrap::tokio::CommandWrap;
use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// Puts a command into its own process group (Unix) or job (Windows), so that it can be killed with all it starts.
#[cfg(unix)]
pub(crate) fn isolate(command: &mut CommandWrap) {
    command.wrap(process_wrap::tokio::ProcessGroup::leader());
}

/// Puts a command into its own process group (Unix) or job (Windows), so that it can be killed with all it starts.
#[cfg(windows)]
pub(crate) fn isolate(command: &mut CommandWrap) {
    command.wrap(process_wrap::tokio::JobObject);
}

/// The command that starts a browser so that it ends when this process is gone, however that came about.
///
/// Its input is a pipe whose other end lives in this process, and closes with it at the latest. The browser has that pipe
/// as its second line of DevTools (`--remote-debugging-pipe`: commands on 3, answers on 4), on which nothing is ever said:
/// when it comes to its end Chromium takes it that its operator is gone, and ends. The shell only puts the pipe there and
/// becomes the browser, with the same process id.
#[cfg(unix)]
pub(crate) fn browser_command(program: &Path, arguments: Vec<OsString>) -> CommandWrap {
    const BECOME: &str = r#"exec "$0" "$@" 3<&0 4>/dev/null </dev/null"#;
    CommandWrap::with_new("/bin/sh", |command| {
        command.arg("-c").arg(BECOME).arg(program).arg("--remote-debugging-pipe").args(arguments).stdin(Stdio::piped());
    })
}

/// The command that starts a browser so that it ends when this process is gone, however that came about: the job that
/// [`isolate`] puts it into ends with its owner.
#[cfg(windows)]
pub(crate) fn browser_command(program: &Path, arguments: Vec<OsString>) -> CommandWrap {
    CommandWrap::with_new(program, |command| {
        command.args(arguments).stdin(Stdio::null());
    })
}

/// Whether this process runs as root, where Chromium's sandbox cannot start.
#[cfg(unix)]
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether this process runs as root, where Chromium's sandbox cannot start.
#[cfg(windows)]
pub(crate) fn is_root() -> bool {
    false
}

/// Kills a process group whose leader is `pid`. A group that is gone already is no error.
#[cfg(unix)]
pub(crate) fn kill_group(pid: u32) {
    let group = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(group) = group
        && let Err(error) = rustix::process::kill_process_group(group, rustix::process::Signal::KILL)
        && error != rustix::io::Errno::SRCH
    {
        tracing::warn!(pid, %error, "a browser's process group could not be killed");
    }
}

/// Kills the process `pid`; on Windows the job ends with its owner, so what is left is at most this one.
#[cfg(windows)]
pub(crate) fn kill_group(pid: u32) {
    let system = snapshot();
    if let Some(process) = system.process(Pid::from_u32(pid)) {
        process.kill();
    }
}

/// The variables by which a program is told where its temporary files go.
pub(crate) const TEMPORARY_VARIABLES: &[&str] = if cfg!(windows) { &["TMP", "TEMP"] } else { &["TMPDIR"] };

/// Whether Chromium's socket in this temporary folder has a path that the operating system takes. It is
/// `org.chromium.Chromium.XXXXXX/SingletonSocket`, where the first part is another one for other brands, in some versions
/// with a dot before it.
#[cfg(unix)]
pub(crate) fn fits_socket(folder: &Path) -> bool {
    // Bytes of a path, and of what stands behind the folder in it.
    const LONGEST: usize = if cfg!(target_os = "linux") { 107 } else { 103 };
    const BEHIND: usize = if cfg!(target_os = "linux") {
        "/.org.chromium.Chromium.XXXXXX/SingletonSocket".len()
    } else {
        "/.com.google.chrome.for.testing.XXXXXX/SingletonSocket".len()
    };
    folder.as_os_str().len() + BEHIND <= LONGEST
}

/// Whether Chromium's socket in this temporary folder has a path that the operating system takes: it has none.
#[cfg(windows)]
pub(crate) fn fits_socket(_folder: &Path) -> bool {
    true
}

/// Makes a folder that must not be there yet, for this user alone.
#[cfg(unix)]
pub(crate) fn create_new_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).create(path)
}

/// Makes a folder that must not be there yet. A user's folders are closed to other users by what they inherit.
#[cfg(windows)]
pub(crate) fn create_new_private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir(path)
}

/// Makes a folder and those above it, for this user alone: profiles hold cookies.
#[cfg(unix)]
pub(crate) fn create_private_folder(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder and those above it. A user's folders are closed to other users by what they inherit.
#[cfg(windows)]
pub(crate) fn create_private_folder(path: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(path)
}

/// Names under which Chromium is looked for in `PATH`, best first.
pub(crate) const PROGRAM_NAMES: &[&str] = if cfg!(windows) {
    &["chrome.exe", "chromium.exe", "msedge.exe"]
} else {
    &["chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome"]
};

/// Where installers put it outside of `PATH`.
pub(crate) fn installed_places() -> Vec<PathBuf> {
    if cfg!(target_os = "macos") {
        return [
            "/Applications/Chromium.app/Contents/MacOS/Chromium",
            "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
        ]
        .iter()
        .map(PathBuf::from)
        .collect();
    }
    if cfg!(windows) {
        return ["ProgramFiles", "ProgramFiles(x86)", "LOCALAPPDATA"]
            .iter()
            .filter_map(std::env::var_os)
            .flat_map(|base| {
                [r"Google\Chrome\Application\chrome.exe", r"Chromium\Application\chrome.exe"]
                    .map(|rest| PathBuf::from(&base).join(rest))
            })
            .collect();
    }
    ["/usr/lib/chromium/chromium", "/snap/bin/chromium", "/opt/google/chrome/chrome"]
        .iter()
        .map(PathBuf::from)
        .collect()
}

/// The command that installs Chromium here, for the sentence that says it is missing.
pub const INSTALL_HINT: &str = if cfg!(windows) {
    "winget install Google.Chrome"
} else if cfg!(target_os = "macos") {
    "brew install --cask chromium"
} else {
    "apt-get install chromium"
};

/// The machine's name, as Chromium writes it into its profile lock.
pub(crate) fn host_name() -> Option<String> {
    System::host_name()
}

/// All processes with parent, start time, memory and command line.
pub(crate) fn snapshot() -> System {
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::All,
        true,
        // Threads are not processes: with them a tree's memory would be counted once a thread.
        ProcessRefreshKind::nothing().with_memory().with_cmd(UpdateKind::OnlyIfNotSet).without_tasks(),
    );
    system
}

/// When `pid` started, in seconds since 1970; `None` when there is no such process.
pub(crate) fn start_time(pid: u32) -> Option<u64> {
    let pid = Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(
        ProcessesToUpdate::Some(&[pid]),
        true,
        ProcessRefreshKind::nothing().without_tasks(),
    );
    let process = system.process(pid)?;
    // A zombie holds no resources; whoever started it just has not asked for its exit status.
    (process.status() != sysinfo::ProcessStatus::Zombie).then(|| process.start_time())
}

/// Memory of each process tree in bytes: private memory of all its processes plus the largest shared part, which
/// the processes of one browser have in common.
pub(crate) fn tree_memory(system: &System, root: u32) -> u64 {
    let mut private = 0;
    let mut shared = 0;
    for pid in tree(system, root) {
        let (own, common) = memory_parts(system, pid);
        private += own;
        shared = shared.max(common);
    }
    private + shared
}

/// The processes of a tree, its root included.
fn tree(system: &System, root: u32) -> Vec<Pid> {
    let root = Pid::from_u32(root);
    let mut members = vec![root];
    let mut next = 0;
    while next < members.len() {
        let parent = members[next];
        next += 1;
        for (pid, process) in system.processes() {
            if process.parent() == Some(parent) && !members.contains(pid) {
                members.push(*pid);
            }
        }
    }
    members
}

/// Private and shared resident bytes of a process.
#[cfg(target_os = "linux")]
fn memory_parts(system: &System, pid: Pid) -> (u64, u64) {
    let Some(process) = system.process(pid) else { return (0, 0) };
    let resident = process.memory();
    // Third field of statm: resident pages that are file-backed or shared.
    let shared = std::fs::read_to_string(format!("/proc/{pid}/statm"))
        .ok()
        .and_then(|line| line.split_whitespace().nth(2).and_then(|pages| pages.parse::<u64>().ok()))
        .map_or(0, |pages| pages * rustix::param::page_size() as u64);
    (resident.saturating_sub(shared), shared.min(resident))
}

/// Private and shared resident bytes of a process.
#[cfg(not(target_os = "linux"))]
fn memory_parts(system: &System, pid: Pid) -> (u64, u64) {
    (system.process(pid).map_or(0, sysinfo::Process::memory), 0)
}
