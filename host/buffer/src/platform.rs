//! What differs between systems.

use std::{io, path::Path};

/// Makes the names in a folder durable: a new file survives a power cut only when its folder was synced too.
#[cfg(unix)]
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    std::fs::File::open(folder)?.sync_all()
}

/// NTFS journals names by itself, and Windows cannot flush a folder's handle.
#[cfg(windows)]
#[allow(clippy::unnecessary_wraps)] // the same signature as on Unix
pub(crate) fn sync_folder(_folder: &Path) -> io::Result<()> {
    Ok(())
}
