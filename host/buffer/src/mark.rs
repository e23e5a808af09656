//! The high-water mark: a small file that says how far the store had come.
//!
//! sled takes a log whose beginning is damaged for an empty one, and a damaged end for a write that was never
//! finished: both open without an error, and acknowledged writes are gone. So the number of groups that are known to
//! be on the disk is kept beside the log as well, from each opening and each closing. A store that has fewer groups
//! than its mark has lost some. Between two marks a loss at the very end cannot be told from a crash.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    path::Path,
};

use buddy_router::SessionId;
use serde::{Deserialize, Serialize};

use crate::platform;

/// How far a store had come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Of which store.
    pub(crate) session: SessionId,
    /// Groups that were on the disk.
    pub(crate) groups: u64,
}

const NAME: &str = "mark.json";

/// The mark of a folder. One that cannot be read is none: it is only a check.
pub(crate) fn read(folder: &Path) -> Option<Mark> {
    let path = folder.join(NAME);
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the buffer's mark cannot be read: lost writes may go unnoticed");
            return None;
        }
    };
    serde_json::from_slice(&text)
        .inspect_err(|error| {
            tracing::warn!(path = %path.display(), %error, "the buffer's mark makes no sense: lost writes may go unnoticed");
        })
        .ok()
}

/// Replaces the mark, whole or not at all.
pub(crate) fn write(folder: &Path, mark: &Mark) -> io::Result<()> {
    let new = folder.join(format!("{NAME}.new"));
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(mark)?)?;
    file.sync_all()?;
    drop(file);
    fs::rename(&new, folder.join(NAME))?;
    platform::sync_folder(folder)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_mark_comes_back_and_one_that_makes_no_sense_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(read(folder.path()), None);
        for groups in [1, u64::MAX] {
            let mark = Mark { session: SessionId::from_random(7), groups };
            write(folder.path(), &mark).unwrap();
            assert_eq!(read(folder.path()), Some(mark));
        }
        fs::write(folder.path().join(NAME), "{").unwrap();
        assert_eq!(read(folder.path()), None);
    }
}
