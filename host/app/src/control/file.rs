//! `control.json`: how commands find the running host.
//!
//! It lies in the data folder, readable by its owner only, written aside and renamed into place, so that a reader sees
//! all of it or nothing. It is removed when the host ends; one that a killed host left behind is recognised by its
//! process being gone.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::platform;

/// Its name within the data folder.
pub const CONTROL_FILE: &str = "control.json";

/// Bytes that are read of it; it has about 150.
const MAX_BYTES: u64 = 4096;

/// What stands in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControlFile {
    /// The loopback port.
    pub port: u16,
    /// The bearer token: 32 random bytes in hexadecimal.
    pub token: String,
    /// The host's process.
    pub pid: u32,
    /// When that process started, in seconds since 1970, by the system's account.
    pub started: u64,
}

impl ControlFile {
    /// Reads the one in this data folder; `None` when there is none.
    pub fn read(storage: &Path) -> io::Result<Option<Self>> {
        let file = match fs::File::open(storage.join(CONTROL_FILE)) {
            Ok(file) => file,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let mut text = String::new();
        file.take(MAX_BYTES).read_to_string(&mut text)?;
        serde_json::from_str(&text).map(Some).map_err(io::Error::from)
    }

    /// Whether [`read`](Self::read) failed because of what stands in the file, and not of the system.
    pub fn is_damage(error: &io::Error) -> bool {
        matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
    }

    /// Whether the process that wrote it still runs. Its number may have passed to another process, which then does
    /// not answer on the port with the token; so `true` means "ask it".
    pub fn is_alive(&self) -> bool {
        platform::is_alive(self.pid)
    }

    /// Whether the process of that number is surely the one that wrote it, before it is ended by force.
    pub fn is_same_process(&self) -> bool {
        // The system computes the start from its boot time, which moves by a second when the clock is set.
        platform::started_at(self.pid).is_some_and(|started| started.abs_diff(self.started) <= 2)
    }

    /// Writes it into this data folder. The guard removes it again.
    pub(super) fn publish(&self, storage: &Path) -> io::Result<Published> {
        let path = storage.join(CONTROL_FILE);
        let aside = storage.join(format!("{CONTROL_FILE}.{}", self.pid));
        // One that an earlier process of the same number left half-written.
        match fs::remove_file(&aside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = platform::create_private(&aside)?;
        file.write_all(&serde_json::to_vec(self)?)?;
        drop(file);
        fs::rename(&aside, &path)?;
        Ok(Published { path, token: self.token.clone() })
    }
}

/// Removes the file when dropped, unless another host has replaced it meanwhile.
#[derive(Debug)]
pub(super) struct Published {
    path: PathBuf,
    token: String,
}

impl Drop for Published {
    fn drop(&mut self) {
        let Some(folder) = self.path.parent() else {
            return;
        };
        let ours = matches!(ControlFile::read(folder), Ok(Some(file)) if file.token == self.token);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the control file could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn file(token: &str) -> ControlFile {
        let pid = std::process::id();
        ControlFile { port: 1, token: token.to_owned(), pid, started: platform::started_at(pid).unwrap() }
    }

    #[test]
    fn it_is_there_while_the_guard_lives_and_only_for_its_owner() {
        let folder = tempfile::tempdir().unwrap();
        let guard = file("a").publish(folder.path()).unwrap();
        let read = ControlFile::read(folder.path()).unwrap().unwrap();
        assert_eq!(read, file("a"));
        assert!(read.is_alive() && read.is_same_process());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = fs::metadata(folder.path().join(CONTROL_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(guard);
        assert_eq!(ControlFile::read(folder.path()).unwrap(), None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left behind");
    }

    #[test]
    fn a_guard_leaves_the_file_of_a_later_host_alone() {
        let folder = tempfile::tempdir().unwrap();
        let first = file("a").publish(folder.path()).unwrap();
        let _second = file("b").publish(folder.path()).unwrap();
        drop(first);
        assert_eq!(ControlFile::read(folder.path()).unwrap().unwrap().token, "b");
    }

    #[test]
    fn a_broken_file_is_an_error_not_a_running_host() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONTROL_FILE), "{").unwrap();
        assert!(ControlFile::is_damage(&ControlFile::read(folder.path()).unwrap_err()));
        fs::write(folder.path().join(CONTROL_FILE), [0xff, 0]).unwrap();
        assert!(ControlFile::is_damage(&ControlFile::read(folder.path()).unwrap_err()));
    }
}
