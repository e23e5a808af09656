//! Running the real program in a folder of its own, with an environment that holds nothing of this machine.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

pub(crate) struct Program {
    pub(crate) folder: TempDir,
}

/// How a run of the program went, with the folder's name taken out.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    pub(crate) fn all(&self) -> String {
        format!("exit {}\n--- stdout\n{}--- stderr\n{}", self.code, self.stdout, self.stderr)
    }
}

impl Program {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path().join(name), text).unwrap();
        self
    }

    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_buddy-host"));
        command
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path().join("home"))
            .env("APPDATA", self.path().join("home"))
            .stdin(Stdio::null());
        // Windows programs cannot open sockets without it.
        if let Some(root) = std::env::var_os("SystemRoot") {
            command.env("SystemRoot", root);
        }
        command
    }

    pub(crate) fn ran(&self, output: &Output) -> Ran {
        let text = |bytes: &[u8]| {
            let folder = self.path().canonicalize().unwrap();
            String::from_utf8_lossy(bytes)
                .replace(&folder.display().to_string(), "FOLDER")
                .replace(&self.path().display().to_string(), "FOLDER")
        };
        Ran { code: output.status.code().unwrap_or(-1), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Ran {
        self.ran(&self.command(arguments).output().unwrap())
    }

    /// The same from an async test, whose server must go on meanwhile.
    pub(crate) async fn run_beside(&self, arguments: &[&str]) -> Ran {
        let output = tokio::process::Command::from(self.command(arguments)).output().await.unwrap();
        self.ran(&output)
    }
}
