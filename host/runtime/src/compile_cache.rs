//! Compiled plugins on disk, so that a plugin is compiled once for each version of itself and of the engine.
//!
//! An entry's name is the SHA-256 of the plugin file and a hash of everything in the engine that its machine code
//! depends on; another wasmtime or other settings simply miss. Entries are written beside and renamed, so a crash leaves
//! either the whole entry or none. Each carries the SHA-256 of its own body: one that a failing disk has changed is
//! deleted and compiled anew.
//!
//! Compiled code is native code. It is read only from this folder, which is the user's alone (mode 0700), and never
//! taken from outside: a `.cwasm` file given as a plugin is refused (see [`crate::load`]). A cache that cannot be used
//! costs time, not function: every fault is logged and the plugin compiled.

use crate::platform;
use sha2::{Digest, Sha256};
use std::hash::{Hash, Hasher};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{fs, io};
use wasmtime::Engine;
use wasmtime::component::Component;

/// Starts every entry. The number changes when the layout does.
const MAGIC: &[u8; 16] = b"buddy-compiled-1";

/// Length of the head: the magic and the body's SHA-256.
const HEAD: usize = MAGIC.len() + 32;

/// What the folder may hold. Compiled, a component takes several times its own size, and the largest has
/// [`crate::MAX_FILE`]: room for several of those and for hundreds of common ones.
const MAX_BYTES: u64 = 2 << 30;

/// A folder of compiled plugins, bound to one engine's settings.
#[derive(Debug)]
pub(crate) struct CompileCache {
    folder: PathBuf,
    engine_hash: String,
}

impl CompileCache {
    /// Opens or creates the folder and makes it private.
    ///
    /// # Errors
    /// It cannot be created, is not a plain folder, or is somebody else's.
    pub(crate) fn open(folder: &Path, engine: &Engine) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        platform::make_private(folder)?;
        let cache = Self { folder: folder.to_owned(), engine_hash: engine_hash(engine) };
        cache.prune();
        Ok(cache)
    }

    /// The compiled form of the plugin whose file has this SHA-256, if it is here and whole.
    pub(crate) fn get(&self, engine: &Engine, sha256: &str) -> Option<Component> {
        let path = self.path(sha256);
        let entry = match fs::read(&path) {
            Ok(entry) => entry,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "A compiled plugin cannot be read; it is compiled anew.");
                return None;
            }
        };
        let found = body(&entry).ok_or_else(|| "it is damaged".to_owned()).and_then(|body| {
            // SAFETY: `deserialize` runs whatever machine code `body` holds, so `body` must be what this host compiled.
            // - It was read from a folder that only this user can write to (`open` made it so and proved the owner), and
            //   the only writer of this host is `put`, which writes what `Component::serialize` returned.
            // - It is whole and unchanged since: `body` compared the SHA-256 stored with it. The bytes checked are the
            //   bytes used, not a file that could change in between.
            // - It was made by an engine with the same settings: the name holds `precompile_compatibility_hash`, and
            //   wasmtime compares version and settings once more itself.
            // Whoever can write to the user's own private files can already run code as that user.
            #[allow(unsafe_code)]
            unsafe { Component::deserialize(engine, body) }.map_err(|e| format!("{e:#}"))
        });
        match found {
            Ok(component) => Some(component),
            Err(reason) => {
                tracing::warn!(path = %path.display(), reason, "A compiled plugin is of no use; it is compiled anew.");
                // If this fails too, the entry is replaced by `put` in a moment.
                fs::remove_file(&path).ok();
                None
            }
        }
    }

    /// Keeps a compiled plugin. A failure is logged: the next start compiles again.
    pub(crate) fn put(&self, sha256: &str, component: &Component) {
        let path = self.path(sha256);
        if let Err(error) = self.write(&path, component) {
            tracing::warn!(path = %path.display(), %error, "A compiled plugin cannot be kept; it is compiled again next time.");
        }
        self.prune();
    }

    fn write(&self, path: &Path, component: &Component) -> io::Result<()> {
        let body = component.serialize().map_err(|e| io::Error::other(format!("{e:#}")))?;
        // Mode 0600, and gone again if anything below fails.
        let mut file = tempfile::Builder::new().prefix(".writing-").tempfile_in(&self.folder)?;
        file.write_all(MAGIC)?;
        file.write_all(&Sha256::digest(&body))?;
        file.write_all(&body)?;
        // No fsync: after a power cut the checksum tells, and compiling again takes less than syncing.
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    }

    fn path(&self, sha256: &str) -> PathBuf {
        self.folder.join(format!("{sha256}-{}.bin", self.engine_hash))
    }

    /// Deletes the oldest entries until the folder is within its bound, and left-overs of a crash.
    fn prune(&self) {
        let Ok(entries) = fs::read_dir(&self.folder) else { return };
        let mut files: Vec<(SystemTime, u64, PathBuf)> = entries
            .filter_map(Result::ok)
            .filter_map(|e| {
                let meta = e.metadata().ok()?;
                Some((meta.modified().ok()?, meta.len(), e.path()))
            })
            .collect();
        files.sort();
        let mut total: u64 = files.iter().map(|(_, len, _)| len).sum();
        for (modified, len, path) in files {
            let left_over = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b".writing-"))
                // Another process may be writing it right now; an hour is longer than any write takes.
                && modified.elapsed().is_ok_and(|age| age.as_secs() > 3600);
            if (total > MAX_BYTES || left_over) && fs::remove_file(path).is_ok() {
                total -= len;
            }
        }
    }
}

impl CompileCache {
    /// Deletes what is not the code of these plugins for this engine; the bytes that were freed. What cannot be deleted
    /// stays for the next time.
    pub(crate) fn keep_only(&self, plugins: &[&str]) -> u64 {
        let Ok(entries) = fs::read_dir(&self.folder) else { return 0 };
        let kept: Vec<PathBuf> = plugins.iter().map(|sha256| self.path(sha256)).collect();
        let mut freed = 0;
        for entry in entries.filter_map(Result::ok) {
            let path = entry.path();
            // One that is being written is its writer's.
            let entry_of_ours = path.extension().is_some_and(|extension| extension == "bin");
            let Ok(known) = entry.metadata() else { continue };
            if entry_of_ours && known.is_file() && !kept.contains(&path) && fs::remove_file(&path).is_ok() {
                freed += known.len();
            }
        }
        freed
    }
}

/// The body of an entry, if the entry is whole.
fn body(entry: &[u8]) -> Option<&[u8]> {
    let (head, body) = entry.split_at_checked(HEAD)?;
    let (magic, sum) = head.split_at(MAGIC.len());
    (magic == MAGIC && sum == Sha256::digest(body).as_slice()).then_some(body)
}

/// All that compiled code depends on in `engine`, as 32 hex digits.
fn engine_hash(engine: &Engine) -> String {
    let mut hasher = StableHasher(Sha256::new());
    engine.precompile_compatibility_hash().hash(&mut hasher);
    hex::encode(&hasher.0.finalize()[..16])
}

/// Feeds `Hash` into SHA-256: unlike the standard hasher it gives the same result in every build.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |n, byte| n << 8 | u64::from(*byte))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn component(engine: &Engine) -> Component {
        Component::new(engine, wat::parse_str("(component (core module))").unwrap()).unwrap()
    }

    fn only_entry(folder: &Path) -> PathBuf {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0)
    }

    #[test]
    fn what_was_kept_is_found_again_by_the_same_engine_only() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = CompileCache::open(folder.path(), &engine).unwrap();
        assert!(cache.get(&engine, "aa").is_none());
        cache.put("aa", &component(&engine));
        assert!(cache.get(&engine, "aa").is_some());
        assert!(cache.get(&engine, "bb").is_none());

        let other = Engine::new(wasmtime::Config::new().epoch_interruption(true)).unwrap();
        assert!(CompileCache::open(folder.path(), &other).unwrap().get(&other, "aa").is_none());
    }

    #[test]
    fn a_damaged_entry_is_deleted_and_not_run() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = CompileCache::open(folder.path(), &engine).unwrap();
        cache.put("aa", &component(&engine));
        let path = only_entry(folder.path());
        let good = fs::read(&path).unwrap();
        for bad in [
            Vec::new(),
            good[..good.len() / 2].to_vec(),
            [&good[..good.len() - 1], &[good[good.len() - 1] ^ 1]].concat(),
            b"\x7fELF not from here".to_vec(),
        ] {
            fs::write(&path, bad).unwrap();
            assert!(cache.get(&engine, "aa").is_none());
            assert!(!path.exists());
        }
        cache.put("aa", &component(&engine));
        assert!(cache.get(&engine, "aa").is_some());
    }

    #[test]
    fn code_of_plugins_that_are_gone_makes_room() {
        let folder = tempfile::tempdir().unwrap();
        let engine = Engine::default();
        let cache = CompileCache::open(folder.path(), &engine).unwrap();
        for name in ["aa", "bb"] {
            cache.put(name, &component(&engine));
        }
        fs::write(folder.path().join(".writing-x"), b"half").unwrap();
        assert!(cache.keep_only(&["aa"]) > 0);
        assert!(cache.get(&engine, "aa").is_some());
        assert!(cache.get(&engine, "bb").is_none());
        assert!(folder.path().join(".writing-x").exists());
        assert_eq!(cache.keep_only(&["aa"]), 0);
    }

    #[cfg(unix)]
    #[test]
    fn the_folder_is_made_private_and_a_link_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let outer = tempfile::tempdir().unwrap();
        let folder = outer.path().join("compiled");
        fs::create_dir(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).unwrap();
        CompileCache::open(&folder, &Engine::default()).unwrap();
        assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);

        let link = outer.path().join("link");
        std::os::unix::fs::symlink(&folder, &link).unwrap();
        assert!(CompileCache::open(&link, &Engine::default()).is_err());
    }
}
