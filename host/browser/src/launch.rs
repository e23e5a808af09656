//! Finding Chromium and starting one process of it.
//!
//! A process gets a profile folder of its own, its own process group, a debugging port that the kernel chooses, a
//! command line without background traffic, and an end when its host is gone, also by SIGKILL. [`launch`] returns when its DevTools connection stands; whatever
//! fails before that leaves neither a process nor a folder behind, and says in one sentence what to do.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex, Once, PoisonError};
use std::time::Duration;

use process_wrap::tokio::{ChildWrapper, KillOnDrop};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::ChildStdin;
use tokio::time::Instant;

use crate::cdp::{self, LossReporter, Observer, Session};
use crate::error::BrowserError;
use crate::leftovers::{self, ProcessFolder};
use crate::platform::{self, INSTALL_HINT};

/// Time between two looks for the port file. Chromium takes 300 ms and more to write it.
const PORT_FILE_POLL: Duration = Duration::from_millis(10);

/// Lines of a process's error output kept for the message when it dies.
const STDERR_LINES: usize = 8;

/// Longest line of error output that is read as one.
const STDERR_LINE_BYTES: u64 = 4_096;

/// A proxy that does not exist: the discard port of this machine, on which nothing that speaks HTTP has listened for
/// decades. For a browser that shall reach the network through the proxies of its contexts only.
pub const NOWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9);

/// How to start Chromium.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// The program; absent: the variables `CHROMIUM` and `CHROME`, then the usual names and places.
    pub program: Option<PathBuf>,
    /// Without a window. `false` shows the browser on the screen.
    pub headless: bool,
    /// The forward proxy for all traffic, the browser's own too, unless a context names another. Loopback addresses go
    /// through it too. Absent: everything goes out directly. [`NOWHERE`]: only contexts with a proxy of their own reach
    /// anything.
    pub proxy: Option<SocketAddr>,
    /// Time from start to a working connection.
    pub timeout: Duration,
    /// Further switches, for example `--force-device-scale-factor=2`.
    pub extra_arguments: Vec<String>,
}

impl Default for LaunchOptions {
    fn default() -> Self {
        Self {
            program: None,
            headless: true,
            proxy: None,
            // A cold start on a busy machine with a slow disk takes several seconds; more than this is a hang.
            timeout: Duration::from_secs(30),
            extra_arguments: Vec::new(),
        }
    }
}

/// A started process with its connection. Dropping it kills the process group.
pub(crate) struct Launched {
    pub(crate) child: Box<dyn ChildWrapper>,
    pub(crate) pid: u32,
    /// The browser ends when this is closed: see [`platform::browser_command`].
    pub(crate) lifeline: Option<ChildStdin>,
    pub(crate) root: Session,
    pub(crate) loss: LossReporter,
    pub(crate) folder: ProcessFolder,
    pub(crate) stderr: StderrTail,
}

/// The last lines of a process's error output.
#[derive(Debug, Clone, Default)]
pub(crate) struct StderrTail(Arc<Mutex<VecDeque<String>>>);

impl StderrTail {
    fn push(&self, line: String) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == STDERR_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The lines as one text, oldest first.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" | ")
    }
}

/// Finds the Chromium to start.
///
/// # Errors
/// `unavailable` with the command that installs one, or the name of the configured file that is not there.
pub fn find_chromium(configured: Option<&Path>) -> Result<PathBuf, BrowserError> {
    if let Some(path) = configured {
        return if path.is_file() {
            Ok(path.to_owned())
        } else {
            Err(BrowserError::Unavailable(format!(
                "the configured browser {} {}; correct the path or install one with `{INSTALL_HINT}`",
                path.display(),
                no_file(path)
            )))
        };
    }
    for variable in ["CHROMIUM", "CHROME"] {
        if let Some(path) = std::env::var_os(variable).filter(|value| !value.is_empty()).map(PathBuf::from) {
            return if path.is_file() {
                Ok(path)
            } else {
                Err(BrowserError::Unavailable(format!(
                    "the browser {} that the variable {variable} names {}; correct or unset it",
                    path.display(),
                    no_file(&path)
                )))
            };
        }
    }
    search(std::env::var_os("PATH"), platform::installed_places())
}

/// What a path is that names no program.
fn no_file(path: &Path) -> &'static str {
    if path.is_dir() {
        "is a folder, not a program"
    } else if path.exists() {
        "is no program"
    } else {
        "does not exist"
    }
}

/// The first browser in the folders of `PATH` and in these places.
fn search(path: Option<OsString>, places: Vec<PathBuf>) -> Result<PathBuf, BrowserError> {
    let path = path.unwrap_or_default();
    // An empty entry stands for the working folder, which is nobody's choice of a program.
    let folders = || std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty());
    let in_path = platform::PROGRAM_NAMES.iter().flat_map(|name| folders().map(move |folder| folder.join(name)));
    in_path.chain(places).find(|file| file.is_file()).ok_or_else(|| {
        BrowserError::Unavailable(format!(
            "no Chromium was found on this machine; install one with `{INSTALL_HINT}` or configure its path"
        ))
    })
}

/// Starts a process in a new folder below `root` and connects to it.
pub(crate) async fn launch(
    options: &LaunchOptions,
    root: &Path,
    observer: Arc<dyn Observer>,
) -> Result<Launched, BrowserError> {
    let program = find_chromium(options.program.as_deref())?;
    let folder = ProcessFolder::create(root).map_err(|error| {
        BrowserError::Unavailable(format!(
            "the browser's folder below {} could not be made: {error}; check its permissions and free space",
            root.display()
        ))
    })?;
    let profile = folder.profile();
    launch_on(options, &program, folder, &profile, observer).await
}

/// Starts a process on a given profile, which may be outside of `folder`.
async fn launch_on(
    options: &LaunchOptions,
    program: &Path,
    folder: ProcessFolder,
    profile: &Path,
    observer: Arc<dyn Observer>,
) -> Result<Launched, BrowserError> {
    let deadline = Instant::now() + options.timeout;
    leftovers::clear_stale_lock(profile)?;
    let port_file = profile.join("DevToolsActivePort");
    // One of a former process would name a port that is dead, or somebody else's by now.
    if let Err(error) = std::fs::remove_file(&port_file)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(BrowserError::Unavailable(format!("{} could not be removed: {error}", port_file.display())));
    }
    let mut command = platform::browser_command(program, arguments(options, profile));
    let temporary = platform::TEMPORARY_VARIABLES.iter().map(|name| (name, folder.temporary()));
    command.command_mut().envs(temporary).stdout(Stdio::null()).stderr(Stdio::piped());
    platform::isolate(&mut command);
    command.wrap(KillOnDrop);
    let mut child = command.spawn().map_err(|error| {
        BrowserError::Unavailable(format!("the browser {} could not be started: {error}", program.display()))
    })?;
    let pid = child.id().unwrap_or_default();
    // Out of the child's hands, which close it as soon as somebody waits for the child.
    let lifeline = child.stdin().take();
    let stderr = StderrTail::default();
    if let Some(pipe) = child.stderr().take() {
        tokio::spawn(drain(pipe, stderr.clone()));
    }
    let started = async {
        folder.started(pid).map_err(|error| {
            BrowserError::Unavailable(format!("the browser's record could not be written: {error}"))
        })?;
        let address = debugging_address(&mut *child, &port_file, &stderr, deadline, options.timeout).await?;
        cdp::connect(&address, observer, deadline.saturating_duration_since(Instant::now())).await
    }
    .await;
    match started {
        Ok((root, loss)) => Ok(Launched { child, pid, lifeline, root, loss, folder, stderr }),
        Err(error) => {
            kill(&mut *child, pid).await;
            // The folder blocks for a moment when the process is slow to let go.
            drop_in_background(folder);
            Err(error)
        }
    }
}

/// Kills a process with its group and waits until it is gone, so that it leaves no zombie.
pub(crate) async fn kill(child: &mut dyn ChildWrapper, pid: u32) {
    if let Err(error) = child.start_kill() {
        tracing::debug!(pid, %error, "a browser was gone before it was killed");
    }
    // A killed process is gone as soon as the kernel has freed its memory; one stuck in the kernel must not hold us.
    if tokio::time::timeout(Duration::from_secs(5), child.wait()).await.is_err() {
        tracing::warn!(pid, "a browser did not end within 5 s of being killed");
    }
}

/// Deletes a process's folder on a thread that may block.
pub(crate) fn drop_in_background(folder: ProcessFolder) {
    tokio::task::spawn_blocking(move || drop(folder));
}

/// Waits for the file that names port and path of the DevTools address.
async fn debugging_address(
    child: &mut dyn ChildWrapper,
    port_file: &Path,
    stderr: &StderrTail,
    deadline: Instant,
    timeout: Duration,
) -> Result<String, BrowserError> {
    loop {
        if let Ok(text) = tokio::fs::read_to_string(port_file).await
            && let Some((port, path)) = text.split_once('\n')
            && let Ok(port) = port.trim().parse::<u16>()
            && path.trim().starts_with('/')
        {
            return Ok(format!("ws://127.0.0.1:{port}{}", path.trim()));
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(BrowserError::Unavailable(format!(
                "the browser ended while it was starting ({status}); its last words: {}",
                stderr.text()
            )));
        }
        if Instant::now() >= deadline {
            return Err(BrowserError::Unavailable(format!(
                "the browser did not open its debugging port within {} ms; its last words: {}",
                timeout.as_millis(),
                stderr.text()
            )));
        }
        tokio::time::sleep(PORT_FILE_POLL).await;
    }
}

/// Reads a process's error output to its end, so that it never blocks on a full pipe.
async fn drain(pipe: tokio::process::ChildStderr, tail: StderrTail) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(STDERR_LINE_BYTES).read_until(b'\n', &mut line).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {
                let text = String::from_utf8_lossy(&line).into_owned();
                tracing::trace!(target: "buddy_browser::stderr", "{}", text.trim_end());
                tail.push(text);
            }
        }
    }
}

/// The command line.
fn arguments(options: &LaunchOptions, profile: &Path) -> Vec<OsString> {
    let mut list: Vec<OsString> = SWITCHES.iter().map(OsString::from).collect();
    list.push(format!("--disable-features={}", DISABLED_FEATURES.join(",")).into());
    let mut user_data = OsString::from("--user-data-dir=");
    user_data.push(profile);
    list.push(user_data);
    if options.headless {
        list.extend(["--headless=new", "--hide-scrollbars", "--mute-audio", "--disable-gpu"].map(OsString::from));
    }
    if platform::is_root() {
        static ONCE: Once = Once::new();
        ONCE.call_once(|| {
            tracing::warn!("running as root: Chromium's own sandbox is off; run as another user to have it");
        });
        list.push("--no-sandbox".into());
    }
    if let Some(proxy) = options.proxy {
        list.push(format!("--proxy-server=http://{proxy}").into());
        list.push("--proxy-bypass-list=<-loopback>".into());
    }
    list.extend(options.extra_arguments.iter().map(OsString::from));
    list
}

/// Switches of every process, each with its reason.
const SWITCHES: &[&str] = &[
    // The kernel chooses the port; the profile's DevToolsActivePort file names it.
    "--remote-debugging-port=0",
    // No page that we did not open.
    "--no-startup-window",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-search-engine-choice-screen",
    // No traffic of the browser's own: updates, metrics, sync, safe browsing lists, field trials, crash reports.
    "--disable-background-networking",
    "--disable-component-update",
    // Components that are asked for on demand and the browser's own sign-in check have no off switch: they go to the
    // discard port, which Chromium itself refuses. Pages reach the real hosts as ever.
    "--component-updater=url-source=https://127.0.0.1:9/",
    "--gaia-url=https://127.0.0.1:9",
    "--disable-client-side-phishing-detection",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--disable-breakpad",
    "--disable-crash-reporter",
    "--disable-field-trial-config",
    "--metrics-recording-only",
    "--no-pings",
    "--no-service-autorun",
    // No way around the proxy by UDP.
    "--disable-quic",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    // Pages nobody looks at run at full speed.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-hang-monitor",
    // Automation sends more messages in a burst than a person's browser would.
    "--disable-ipc-flooding-protection",
    "--disable-prompt-on-repost",
    "--disable-extensions",
    "--disable-component-extensions-with-background-pages",
    // No prompt of the operating system's key ring.
    "--password-store=basic",
    "--use-mock-keychain",
    // Containers often have 64 MiB of /dev/shm, too little for a few pages.
    "--disable-dev-shm-usage",
];

/// Features of a person's browser that talk to servers, or that replace documents behind our back.
const DISABLED_FEATURES: &[&str] = &[
    "Translate",
    "OptimizationHints",
    "MediaRouter",
    "DialMediaRouteProvider",
    "AutofillServerCommunication",
    "CertificateTransparencyComponentUpdater",
    "InterestFeedContentSuggestions",
    "NetworkTimeServiceQuerying",
    "GlobalMediaControls",
    "ImprovedCookieControls",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    // A prerendered or restored document becomes the page without the events of a navigation.
    "Prerender2",
    "BackForwardCache",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use chromiumoxide::cdp::browser_protocol::target::TargetInfo;

    use super::*;

    #[test]
    fn a_missing_browser_names_the_command_that_installs_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = find_chromium(Some(folder.path())).unwrap_err();
        assert!(error.to_string().contains("is a folder, not a program"), "{error}");
        let error = find_chromium(Some(Path::new("/nonexistent/chromium"))).unwrap_err();
        assert_eq!(error.code(), "unavailable");
        assert!(error.to_string().contains(INSTALL_HINT), "{error}");
    }

    #[test]
    fn without_a_path_and_without_a_browser_the_sentence_is_the_same() {
        for path in [None, Some(OsString::new()), Some(OsString::from("/nonexistent"))] {
            let error = search(path, Vec::new()).unwrap_err();
            assert_eq!(error.code(), "unavailable");
            assert!(error.to_string().starts_with("no Chromium was found"), "{error}");
            assert!(error.to_string().contains(INSTALL_HINT), "{error}");
        }
    }

    #[test]
    fn traffic_goes_through_the_proxy_loopback_included() {
        let options = LaunchOptions { proxy: Some(([127, 0, 0, 1], 4711).into()), ..LaunchOptions::default() };
        let list = arguments(&options, Path::new("/p"));
        assert!(list.contains(&"--proxy-server=http://127.0.0.1:4711".into()));
        assert!(list.contains(&"--proxy-bypass-list=<-loopback>".into()));
        assert!(list.contains(&"--user-data-dir=/p".into()));
    }

    struct Nobody;

    impl Observer for Nobody {
        fn event(&self, _: &Session, _: &cdp::RawEvent) {}
        fn attached(&self, _: &Session, _: &Session, _: &TargetInfo, _: bool) {}
        fn ended(&self, _: &Session, _: &cdp::End) {}
    }

    async fn start(root: &Path, profile: Option<&Path>) -> Result<Launched, BrowserError> {
        let options = LaunchOptions::default();
        let program = find_chromium(None).unwrap_or_else(|error| panic!("this test needs a real Chromium: {error}"));
        let folder = ProcessFolder::create(root).unwrap();
        let profile = profile.map_or_else(|| folder.profile(), Path::to_owned);
        launch_on(&options, &program, folder, &profile, Arc::new(Nobody)).await
    }

    /// A number that no process has: that of one that has just ended.
    fn dead_pid() -> u32 {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap())
            .arg("--list")
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let pid = child.id();
        child.wait().unwrap();
        pid
    }

    async fn gone(pid: u32) {
        let deadline = Instant::now() + Duration::from_secs(20);
        while platform::start_time(pid).is_some() {
            assert!(Instant::now() < deadline, "process {pid} is still there");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn b24_a_lock_of_a_dead_browser_is_removed_and_one_of_a_living_browser_is_not() {
        let root = tempfile::tempdir().unwrap();
        let profile = root.path().join("kept");
        std::fs::create_dir(&profile).unwrap();
        let host = platform::host_name().unwrap();
        let lock = profile.join("SingletonLock");
        std::os::unix::fs::symlink(format!("{host}-{}", dead_pid()), &lock).unwrap();
        let mut living = start(root.path(), Some(&profile)).await.unwrap();
        assert!(std::fs::read_link(&lock).unwrap().to_string_lossy().ends_with(&format!("-{}", living.pid)));

        let busy = start(root.path(), Some(&profile)).await.err().unwrap();
        assert_eq!(busy.code(), "busy", "{busy}");
        assert!(platform::start_time(living.pid).is_some(), "the living browser was left alone");

        kill(&mut *living.child, living.pid).await;
        assert!(std::fs::symlink_metadata(&lock).is_ok(), "a killed browser leaves its lock");
        let mut again = start(root.path(), Some(&profile)).await.unwrap();
        kill(&mut *again.child, again.pid).await;

        std::fs::remove_file(&lock).unwrap();
        std::os::unix::fs::symlink("another-machine-1", &lock).unwrap();
        let elsewhere = start(root.path(), Some(&profile)).await.err().unwrap();
        assert_eq!(elsewhere.code(), "unavailable", "{elsewhere}");
        assert!(std::fs::symlink_metadata(&lock).is_ok());
    }

    #[tokio::test]
    async fn b25_a_browser_of_a_dead_host_is_killed_and_its_folder_deleted() {
        let root = tempfile::tempdir().unwrap();
        let mine = start(root.path(), None).await.unwrap();
        let orphan = start(root.path(), None).await.unwrap();
        let folder = orphan.folder.profile().parent().unwrap().to_owned();
        let record = folder.join("process.json");
        let mut owner: serde_json::Value = serde_json::from_slice(&std::fs::read(&record).unwrap()).unwrap();
        owner["owner"]["pid"] = dead_pid().into();
        std::fs::write(&record, owner.to_string()).unwrap();

        let path = root.path().to_owned();
        let reaped = tokio::task::spawn_blocking(move || leftovers::reap(&path)).await.unwrap();
        // More than one where a helper of the browser had left its group.
        assert!(reaped.killed >= 1, "{reaped:?}");
        assert_eq!(reaped.folders, 1);
        gone(orphan.pid).await;
        assert!(!folder.exists());
        assert!(platform::start_time(mine.pid).is_some(), "a browser whose host lives is left alone");
        assert!(mine.folder.profile().exists());
    }

    #[tokio::test]
    async fn b25_a_number_that_another_process_has_now_is_not_killed() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("chromium-1-0");
        std::fs::create_dir(&folder).unwrap();
        let me = std::process::id();
        // This very process, as if it had started at another time: the number was given out again.
        let record =
            serde_json::json!({"owner": {"pid": dead_pid(), "started": 1}, "browser": {"pid": me, "started": 1}});
        std::fs::write(folder.join("process.json"), record.to_string()).unwrap();
        let reaped = leftovers::reap(root.path());
        assert_eq!((reaped.killed, reaped.folders), (0, 1));
    }
}
