//! What differs between operating systems.

use std::io;
use std::path::Path;

/// Makes `folder` (which exists) readable and writable by its owner alone.
///
/// # Errors
/// It is a symbolic link or no folder, or somebody else owns it.
#[cfg(unix)]
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    ensure_real_folder(folder)?;
    // Only the owner (or root) may change the mode, so success also proves whose folder it is.
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o700))
}

/// Checks `folder`. On Windows a folder below the user's profile is private by inheritance, which is where the host
/// keeps its data.
///
/// # Errors
/// It is a symbolic link or no folder.
#[cfg(not(unix))]
pub(crate) fn make_private(folder: &Path) -> io::Result<()> {
    ensure_real_folder(folder)
}

fn ensure_real_folder(folder: &Path) -> io::Result<()> {
    if std::fs::symlink_metadata(folder)?.is_dir() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::NotADirectory, "it is not a plain folder"))
    }
}
