//! Free space on the disk of the buffer (case Q17).
//!
//! Below the floor nothing new is taken in: no tasks, no cached pages. Results and checkpoints of work that is under
//! way still go in, that is what the floor keeps room for. Nothing has to be reset: the next look at the disk decides.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::error::{BufferError, Result};

/// How free space is found out: the bytes free to this process on the disk of a path.
pub type Probe = Arc<dyn Fn(&Path) -> io::Result<u64> + Send + Sync>;

/// Free space, as last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FreeSpace {
    /// Bytes free; `None` when the system does not say, which counts as enough.
    pub free: Option<u64>,
    /// Bytes that must stay free.
    pub floor: u64,
}

impl FreeSpace {
    /// Whether nothing new is taken in.
    pub fn is_low(&self) -> bool {
        self.free.is_some_and(|free| free < self.floor)
    }
}

pub(crate) struct SpaceGuard {
    folder: PathBuf,
    floor: u64,
    every: Duration,
    probe: Probe,
    last: Mutex<Option<(Instant, Option<u64>)>>,
}

impl SpaceGuard {
    pub(crate) fn new(folder: PathBuf, floor: u64, every: Duration, probe: Probe) -> Self {
        Self { folder, floor, every, probe, last: Mutex::new(None) }
    }

    pub(crate) fn look(&self) -> FreeSpace {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let free = match *last {
            Some((at, free)) if at.elapsed() < self.every => free,
            _ => {
                let free = (self.probe)(&self.folder)
                    .inspect_err(
                        |error| tracing::warn!(folder = %self.folder.display(), %error, "free disk space is unknown"),
                    )
                    .ok();
                *last = Some((Instant::now(), free));
                free
            }
        };
        FreeSpace { free, floor: self.floor }
    }

    pub(crate) fn require(&self) -> Result<()> {
        match self.look() {
            FreeSpace { free: Some(free), floor } if free < floor => Err(BufferError::DiskFull { free, floor }),
            _ => Ok(()),
        }
    }
}

/// What the file system has available to this user.
pub(crate) fn system_probe() -> Probe {
    Arc::new(|folder| fs4::available_space(folder))
}
