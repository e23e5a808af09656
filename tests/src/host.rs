//! A real `buddy-host` process in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::{process, until};

/// Chromium's first start on a loaded machine with two cores takes seconds, a page of documentation at most one.
const LONG: Duration = Duration::from_secs(120);

/// The folder that cargo builds this profile to: the test itself lies in its `deps`.
fn target_folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.ancestors().find(|folder| folder.ends_with("deps")).and_then(Path::parent).unwrap().to_owned()
}

/// The host's program.
pub fn binary() -> PathBuf {
    let path = target_folder().join(format!("buddy-host{}", std::env::consts::EXE_SUFFIX));
    assert!(path.is_file(), "{} is missing: run `cargo build -p buddy-host`", path.display());
    path
}

/// A built plugin.
pub fn plugin(name: &str) -> PathBuf {
    let path = target_folder().parent().unwrap().join("plugins").join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run `scripts/build-plugins`", path.display());
    path
}

/// How a host is set up.
#[derive(Debug, Default)]
pub struct HostBuilder {
    plugins: Vec<PathBuf>,
    yaml: String,
    environment: Vec<(String, String)>,
}

impl HostBuilder {
    /// With this plugin.
    #[must_use]
    pub fn plugin(mut self, name: &str) -> Self {
        self.plugins.push(plugin(name));
        self
    }

    /// With these lines in `buddy.yaml`.
    #[must_use]
    pub fn yaml(mut self, yaml: &str) -> Self {
        self.yaml.push_str(yaml);
        self.yaml.push('\n');
        self
    }

    /// With this in the environment of every command.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Makes the folder; starts nothing.
    pub fn prepare(self) -> Host {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        for plugin in &self.plugins {
            std::fs::copy(plugin, folder.path().join("plugins").join(plugin.file_name().unwrap())).unwrap();
        }
        std::fs::write(folder.path().join("buddy.yaml"), &self.yaml).unwrap();
        Host { folder, environment: self.environment, child: None }
    }

    /// Makes the folder and starts the host.
    pub fn start(self) -> Host {
        let mut host = self.prepare();
        host.start();
        host
    }
}

/// A host's folder, and its process while it runs.
#[derive(Debug)]
pub struct Host {
    folder: tempfile::TempDir,
    environment: Vec<(String, String)>,
    child: Option<Child>,
}

/// What a command printed, and how it ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; nothing after a signal.
    pub code: Option<i32>,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl Finished {
    /// Standard output as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("no JSON ({error}): {self:?}"))
    }

    /// Fails the test unless the command succeeded.
    #[must_use]
    pub fn ok(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }
}

impl From<Output> for Finished {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

impl Host {
    /// The host's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file into the host's folder; its path.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.folder().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn command(&self) -> Command {
        let mut command = Command::new(binary());
        command.current_dir(self.folder()).envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Starts the process and waits until it answers.
    pub fn start(&mut self) {
        self.spawn();
        until("the host answers `status`", LONG, || {
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("the host ended with {status} before it was ready:\n{}", self.log());
            }
            (self.run(&["status", "--json"]).code == Some(0)).then_some(())
        });
    }

    /// Starts the process and waits for nothing.
    pub fn spawn(&mut self) {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.folder().join("host.log")).unwrap();
        let child = self.command().arg("run").stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        self.child = Some(child);
    }

    /// What the host wrote to its log.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder().join("host.log")).unwrap_or_default()
    }

    /// Runs a command of the same program and folder.
    pub fn run(&self, arguments: &[&str]) -> Finished {
        self.command().args(arguments).stdin(Stdio::null()).output().unwrap().into()
    }

    /// Submits a task; its id.
    pub fn submit(&self, task_type: &str, input: &Value, more: &[&str]) -> String {
        let input = input.to_string();
        let arguments: Vec<&str> =
            ["submit", task_type, &input, "--json"].into_iter().chain(more.iter().copied()).collect();
        let submitted = self.run(&arguments).ok().json();
        submitted["id"].as_str().unwrap_or_else(|| panic!("no id: {submitted}")).to_owned()
    }

    /// The task as `task show` has it.
    pub fn task(&self, id: &str) -> Value {
        self.run(&["task", "show", id, "--json"]).ok().json()
    }

    /// Waits until the task is final; what `task show` has then.
    pub fn finished(&self, id: &str, deadline: Duration) -> Value {
        until(&format!("task {id} is final"), deadline, || {
            let task = self.task(id);
            let is_final = matches!(task["state"].as_str(), Some("succeeded" | "failed" | "cancelled" | "rejected"));
            is_final.then_some(task)
        })
    }

    /// The result of a task that succeeded.
    pub fn result(&self, id: &str) -> Value {
        self.run(&["task", "result", id, "--json"]).ok().json()["data"].clone()
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("the host runs").id()
    }

    /// SIGKILL: no warning, no clean-up.
    pub fn kill(&mut self) {
        let mut child = self.child.take().expect("the host runs");
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// SIGKILL to the host's browser, and to nothing that it started; how many there were.
    pub fn kill_browsers(&self) -> usize {
        process::kill_browsers(self.folder())
    }

    /// The processes that were started on something in this host's folder: its browsers and what belongs to them.
    pub fn processes(&self) -> Vec<u32> {
        process::of_folder(self.folder())
    }

    /// Stands still for so long, as in a computer that sleeps.
    #[cfg(unix)]
    pub fn sleep(&self, time: Duration) {
        process::signal(self.pid(), sysinfo::Signal::Stop);
        let fell_asleep = std::time::Instant::now();
        // Here the time itself is what is waited for: it is how long nobody hears of the host.
        until("the host has slept enough", time * 2, || (fell_asleep.elapsed() >= time).then_some(()));
        process::signal(self.pid(), sysinfo::Signal::Continue);
    }

    /// A signal to the process.
    #[cfg(unix)]
    pub fn signal(&self, signal: sysinfo::Signal) {
        process::signal(self.pid(), signal);
    }

    /// Waits until the process has ended by itself; the exit code.
    pub fn ended(&mut self, deadline: Duration) -> Option<i32> {
        let child = self.child.as_mut().expect("the host runs");
        let status = until("the host ends", deadline, || child.try_wait().unwrap());
        self.child = None;
        status.code()
    }

    /// `stop`, and waits for the end; the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let _ = self.run(&["stop"]).ok();
        let mut child = self.child.take().expect("the host runs");
        until("the host ends after `stop`", LONG, || child.try_wait().unwrap()).code()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // Asked to end first: a host that is killed leaves its browsers' folders to the next one, and there is none.
        let _ = self.run(&["stop", "--now"]);
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        // That browsers end with their host may be the very thing that failed.
        if std::thread::panicking() {
            process::kill_all(self.folder());
        }
    }
}
