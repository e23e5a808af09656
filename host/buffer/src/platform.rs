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

/// Makes a folder that only its owner can enter. One that exists stays as it is.
#[cfg(unix)]
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes a folder, with the access list of the one it is in. One that exists stays as it is.
#[cfg(windows)]
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}
