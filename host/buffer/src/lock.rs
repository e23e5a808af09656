//! One process a folder: a lock file of ours beside the folder, which also says who has it.
//!
//! sled locks its own file, but says nothing of the owner, and its lock goes away with the folder when that is set
//! aside. Ours lies beside the folder, is taken first and released last.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    time::Instant,
};

use crate::error::OpenError;

/// Held as long as it lives; the system releases it when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// The process that has a buffer's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holder {
    /// Its number, when the lock file says it. On Windows a locked file cannot be read.
    pub pid: Option<u32>,
}

/// Who has this buffer's folder now; nobody, or nobody that can be seen, is `None`. It changes nothing, and does not wait.
pub fn holder(folder: &Path) -> Option<Holder> {
    let mut file = File::open(path(folder)).ok()?;
    match file.try_lock_shared() {
        Err(TryLockError::WouldBlock) => Some(Holder { pid: owner(&mut file) }),
        // Released at once: who opens the folder this very moment waits longer than that.
        Ok(()) | Err(TryLockError::Error(_)) => None,
    }
}

/// The lock file of a buffer's folder: `NAME.lock` beside it.
pub fn path(folder: &Path) -> PathBuf {
    let mut name = folder.file_name().unwrap_or_default().to_os_string();
    name.push(".lock");
    folder.with_file_name(name)
}

impl Lock {
    /// Takes the lock, waiting for a dying process until `deadline`.
    pub(crate) fn take(folder: &Path, deadline: Instant) -> Result<Self, OpenError> {
        let path = path(folder);
        let failed = |action, source| OpenError::Io { action, path: path.clone(), source };
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|error| failed("open", error))?;
        let mut wait = super::open::BackOff::until(deadline);
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if wait.pause() => {}
                Err(TryLockError::WouldBlock) => {
                    return Err(OpenError::InUse { folder: folder.to_owned(), pid: owner(&mut file) });
                }
                Err(TryLockError::Error(error)) => return Err(failed("lock", error)),
            }
        }
        let write = |file: &mut File| -> io::Result<()> {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(|error| failed("write", error))?;
        Ok(Self { _file: file })
    }
}

/// The process that the file names. On Windows a locked file cannot be read: then nobody knows.
fn owner(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    // Bounded: a process number has at most ten digits.
    file.rewind().ok()?;
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}
