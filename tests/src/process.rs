//! Processes of the machine, found by what their command lines say.

use std::path::Path;

use sysinfo::{Process, ProcessRefreshKind, ProcessesToUpdate, System, UpdateKind};

/// All processes with their command lines. One that is over and was not waited for has none.
fn all() -> System {
    let mut system = System::new();
    let what = ProcessRefreshKind::nothing().with_cmd(UpdateKind::Always).without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::All, true, what);
    system
}

/// Whether the command line names something in the folder. By the folder's own name, which is random: the system may
/// spell the path to it in two ways.
fn names(process: &Process, folder: &Path) -> bool {
    let name = folder.file_name().unwrap().to_str().unwrap();
    process.cmd().iter().any(|argument| argument.to_string_lossy().contains(name))
}

/// The first process of each browser whose profile lies in the folder: not those that it starts for itself.
fn is_browser(process: &Process) -> bool {
    let has = |begin: &str| process.cmd().iter().any(|argument| argument.to_string_lossy().starts_with(begin));
    has("--user-data-dir=") && !has("--type=")
}

/// The processes whose command line names something in the folder.
pub(crate) fn of_folder(folder: &Path) -> Vec<u32> {
    all().processes().values().filter(|process| names(process, folder)).map(|process| process.pid().as_u32()).collect()
}

/// SIGKILL to the browsers whose profile lies in the folder, and to nothing that they started; how many there were.
pub(crate) fn kill_browsers(folder: &Path) -> usize {
    let system = all();
    let browsers = system.processes().values().filter(|process| names(process, folder) && is_browser(process));
    browsers.filter(|process| process.kill()).count()
}

/// SIGKILL to everything whose command line names something in the folder.
pub(crate) fn kill_all(folder: &Path) {
    for process in all().processes().values().filter(|process| names(process, folder)) {
        process.kill();
    }
}

/// A signal to one process.
#[cfg(unix)]
pub(crate) fn signal(pid: u32, signal: sysinfo::Signal) {
    let pid = sysinfo::Pid::from_u32(pid);
    let mut system = System::new();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), true, ProcessRefreshKind::nothing());
    let process = system.process(pid).expect("the process runs");
    assert_eq!(process.kill_with(signal), Some(true), "{signal} to {pid}");
}
