//! Large bodies, kept as files of the data folder.
//!
//! An artifact is two files, `ID` and `ID.json`: its bytes and what is known of them. It is written under another name,
//! synced, and renamed into place, description last: so an artifact with a description is whole. Ids are 128 random
//! bits: who does not know one cannot guess it, and a path can never be made of it.
//!
//! Everything that is kept counts against one budget of the data folder ([`Budget`]); what would pass it is refused.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use buddy_router::TaskId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

/// Longest name that is kept, in bytes; more is cut.
const MAX_NAME: usize = 200;

/// Why an artifact cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// There is none of this id.
    #[error("there is no artifact `{0}` on this computer")]
    NotFound(String),
    /// The data folder's bound would be passed.
    #[error(
        "the data folder may hold {allowed} bytes and would hold {wanted}: free some or raise resources.temp_storage_gb"
    )]
    Full {
        /// The bound.
        allowed: u64,
        /// What it would come to.
        wanted: u64,
    },
    /// The file system refuses.
    #[error("the artifact file {path} cannot be used: {source}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What is known of an artifact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its id.
    pub id: String,
    /// The task that made it.
    pub task: TaskId,
    /// A name for people.
    pub name: String,
    /// For example `image/png`.
    pub media_type: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: String,
}

/// What the data folder may hold, and what its artifacts take.
#[derive(Debug)]
pub struct Budget {
    allowed: u64,
    used: AtomicU64,
}

impl Budget {
    /// Takes so many bytes, or refuses.
    fn take(&self, bytes: u64) -> Result<(), ArtifactError> {
        let took = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= self.allowed)
        });
        match took {
            Ok(_) => Ok(()),
            Err(used) => Err(ArtifactError::Full { allowed: self.allowed, wanted: used.saturating_add(bytes) }),
        }
    }

    fn give_back(&self, bytes: u64) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The artifacts of one data folder.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    folder: PathBuf,
    budget: Arc<Budget>,
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ArtifactError {
    let path = path.to_owned();
    move |source| ArtifactError::Io { path, source }
}

/// Whether a text can be an id: the only texts that become part of a path.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

impl ArtifactStore {
    /// Opens the folder, removes what an ended process left half written, and counts what is there.
    pub async fn open(folder: PathBuf, allowed: u64) -> Result<Self, ArtifactError> {
        tokio::fs::create_dir_all(&folder).await.map_err(io(&folder))?;
        let mut used = 0u64;
        let mut entries = tokio::fs::read_dir(&folder).await.map_err(io(&folder))?;
        while let Some(entry) = entries.next_entry().await.map_err(io(&folder))? {
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let half_written = name.starts_with("new-");
            let body_alone = is_id(&name) && !folder.join(format!("{name}.json")).exists();
            if half_written || body_alone {
                tokio::fs::remove_file(&path).await.map_err(io(&path))?;
            } else {
                used = used.saturating_add(entry.metadata().await.map_err(io(&path))?.len());
            }
        }
        Ok(Self { folder, budget: Arc::new(Budget { allowed, used: AtomicU64::new(used) }) })
    }

    /// Bytes that artifacts take now.
    pub fn used(&self) -> u64 {
        self.budget.used.load(Ordering::Relaxed)
    }

    /// Where the bytes of an artifact lie.
    pub fn path(&self, id: &str) -> Result<PathBuf, ArtifactError> {
        if is_id(id) { Ok(self.folder.join(id)) } else { Err(ArtifactError::NotFound(id.to_owned())) }
    }

    /// Begins one.
    pub async fn create(&self, task: TaskId, name: &str, media_type: &str) -> Result<ArtifactFile, ArtifactError> {
        let id = format!("{:032x}", rand::random::<u128>());
        let temporary = self.folder.join(format!("new-{id}"));
        let file = File::create_new(&temporary).await.map_err(io(&temporary))?;
        let mut kept = name.to_owned();
        while kept.len() > MAX_NAME {
            kept.pop();
        }
        Ok(ArtifactFile {
            store: self.clone(),
            temporary: Some(temporary),
            file,
            hash: Sha256::new(),
            description: Description {
                id,
                task,
                name: kept,
                media_type: media_type.to_owned(),
                size: 0,
                sha256: String::new(),
            },
        })
    }

    /// Keeps a whole body at once; its id.
    pub async fn put(&self, task: TaskId, name: &str, media_type: &str, body: &[u8]) -> Result<String, ArtifactError> {
        let mut file = self.create(task, name, media_type).await?;
        file.write(body).await?;
        Ok(file.finish().await?.id)
    }

    /// What is known of one.
    pub async fn describe(&self, id: &str) -> Result<Description, ArtifactError> {
        let path = self.path(id)?.with_extension("json");
        match tokio::fs::read(&path).await {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| ArtifactError::Io { path, source: std::io::Error::other(error) }),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(ArtifactError::NotFound(id.to_owned())),
            Err(source) => Err(ArtifactError::Io { path, source }),
        }
    }

    /// At most `len` bytes from `offset`; fewer at the end.
    pub async fn read(&self, id: &str, offset: u64, len: usize) -> Result<Vec<u8>, ArtifactError> {
        let path = self.path(id)?;
        let mut file = match File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(ArtifactError::NotFound(id.to_owned()));
            }
            Err(source) => return Err(ArtifactError::Io { path, source }),
        };
        file.seek(std::io::SeekFrom::Start(offset)).await.map_err(io(&path))?;
        let mut bytes = Vec::new();
        file.take(len as u64).read_to_end(&mut bytes).await.map_err(io(&path))?;
        Ok(bytes)
    }
}

/// An artifact that is being written. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub struct ArtifactFile {
    store: ArtifactStore,
    temporary: Option<PathBuf>,
    file: File,
    hash: Sha256,
    description: Description,
}

impl ArtifactFile {
    fn temporary(&self) -> &Path {
        self.temporary.as_deref().unwrap_or(&self.store.folder)
    }

    /// Appends.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        let len = bytes.len() as u64;
        self.store.budget.take(len)?;
        self.description.size += len;
        self.hash.update(bytes);
        self.file.write_all(bytes).await.map_err(io(self.temporary()))
    }

    /// On disk when this returns.
    pub async fn finish(mut self) -> Result<Description, ArtifactError> {
        self.file.flush().await.map_err(io(self.temporary()))?;
        self.file.sync_data().await.map_err(io(self.temporary()))?;
        self.description.sha256 = hex::encode(std::mem::take(&mut self.hash).finalize());
        let body = self.store.folder.join(&self.description.id);
        tokio::fs::rename(self.temporary(), &body).await.map_err(io(self.temporary()))?;
        self.temporary = None;
        let description = self.description.clone();
        let path = body.with_extension("json");
        // A description of strings and numbers is always JSON.
        let text = serde_json::to_vec(&description)
            .map_err(|error| ArtifactError::Io { path: path.clone(), source: std::io::Error::other(error) })?;
        let half = self.store.folder.join(format!("new-{}.json", description.id));
        tokio::fs::write(&half, &text).await.map_err(io(&half))?;
        tokio::fs::rename(&half, &path).await.map_err(io(&half))?;
        crate::platform::sync_folder(&self.store.folder).await.map_err(io(&self.store.folder))?;
        Ok(description)
    }
}

impl Drop for ArtifactFile {
    fn drop(&mut self) {
        if let Some(temporary) = self.temporary.take() {
            self.store.budget.give_back(self.description.size);
            if let Err(error) = std::fs::remove_file(&temporary) {
                tracing::warn!(path = %temporary.display(), %error, "an unfinished artifact could not be removed");
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn task() -> TaskId {
        TaskId::from_random(7)
    }

    #[tokio::test]
    async fn an_artifact_is_read_back_in_pieces_and_described() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path().to_owned(), 1_000_000).await.unwrap();
        let mut file = store.create(task(), "shot.png", "image/png").await.unwrap();
        file.write(b"hello ").await.unwrap();
        file.write(b"world").await.unwrap();
        let id = file.finish().await.unwrap().id;
        assert_eq!(store.read(&id, 6, 100).await.unwrap(), b"world");
        assert_eq!(store.read(&id, 11, 100).await.unwrap(), b"");
        let known = store.describe(&id).await.unwrap();
        assert_eq!((known.size, &*known.media_type, &*known.name), (11, "image/png", "shot.png"));
        assert_eq!(known.sha256, hex::encode(Sha256::digest(b"hello world")));
    }

    #[tokio::test]
    async fn an_unfinished_one_leaves_nothing_and_gives_its_bytes_back() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path().to_owned(), 10).await.unwrap();
        let mut file = store.create(task(), "a", "text/plain").await.unwrap();
        file.write(b"0123456789").await.unwrap();
        assert!(matches!(file.write(b"x").await, Err(ArtifactError::Full { allowed: 10, wanted: 11 })));
        drop(file);
        assert_eq!(store.used(), 0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn what_a_killed_process_left_half_written_is_removed_and_the_rest_counted() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path().to_owned(), 1_000).await.unwrap();
        let id = store.put(task(), "a", "text/plain", b"kept").await.unwrap();
        std::fs::write(folder.path().join("new-0"), b"half").unwrap();
        std::fs::write(folder.path().join("0".repeat(32)), b"no description").unwrap();
        let again = ArtifactStore::open(folder.path().to_owned(), 1_000).await.unwrap();
        assert_eq!(again.read(&id, 0, 10).await.unwrap(), b"kept");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        assert!(again.used() >= 4);
    }

    #[tokio::test]
    async fn an_id_that_is_a_path_is_no_id() {
        let folder = tempfile::tempdir().unwrap();
        let store = ArtifactStore::open(folder.path().to_owned(), 1_000).await.unwrap();
        for bad in ["../secret", "", "a/b", "..", &"A".repeat(32)] {
            assert!(matches!(store.read(bad, 0, 1).await, Err(ArtifactError::NotFound(_))), "{bad}");
        }
    }
}
