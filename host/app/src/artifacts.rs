//! Large bodies, kept as files of the data folder.
//!
//! An artifact is two files, `ID` and `ID.json`: its bytes and what is known of them. Both are written under another
//! name, synced, and renamed into place, description last: so an artifact with a description is whole, and what
//! [`ArtifactFile::finish`] returned is there after a power cut. A failure on the way leaves neither file. Ids are 128
//! random bits: who does not know one cannot guess it, and a path can never be made of it. Folder and files are
//! private to the user.
//!
//! Artifacts stay until they are removed, by id or with their task; the description goes first. A removal is not
//! synced: a power cut may undo it or leave half of a pair. [`ArtifactStore::open`] removes the halves, and the host
//! removes again what belongs to tasks that are gone ([`ArtifactStore::tasks`]).
//!
//! Everything that is kept, descriptions included, counts against one budget of the data folder ([`Budget`]), together
//! with what others hold in it ([`ArtifactStore::others_hold`]); what would pass it is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use buddy_router::TaskId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, AsyncWriteExt as _};

use crate::platform;

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
    /// What lies in the folder beside artifacts.
    others: AtomicU64,
}

impl Budget {
    /// Takes so many bytes, or refuses.
    fn take(&self, bytes: u64) -> Result<(), ArtifactError> {
        let others = self.others.load(Ordering::Relaxed);
        let room = self.allowed.saturating_sub(others);
        let took = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            used.checked_add(bytes).filter(|sum| *sum <= room)
        });
        match took {
            Ok(_) => Ok(()),
            Err(used) => {
                let wanted = used.saturating_add(bytes).saturating_add(others);
                Err(ArtifactError::Full { allowed: self.allowed, wanted })
            }
        }
    }

    /// Never below nothing: somebody may have made a file larger since it was counted.
    fn give_back(&self, bytes: u64) {
        let less = |used: u64| Some(used.saturating_sub(bytes));
        // The closure never declines, so there is no error to look at.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }
}

/// The ids of each task's artifacts.
type Owners = BTreeMap<TaskId, BTreeSet<String>>;

/// The artifacts of one data folder.
#[derive(Debug, Clone)]
pub struct ArtifactStore {
    folder: PathBuf,
    budget: Arc<Budget>,
    /// Read from the descriptions when first asked for, and kept up to date from then on: a start does not wait for
    /// it, and a sweep over many tasks reads every description once.
    owners: Arc<Mutex<Option<Owners>>>,
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> ArtifactError {
    let path = path.to_owned();
    move |source| ArtifactError::Io { path, source }
}

/// Whether a text can be an id: the only texts that become part of a path.
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// Runs file system calls where they may block.
async fn blocking<T: Send + 'static>(
    folder: &Path,
    work: impl FnOnce() -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, ArtifactError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|ended| Err(io(folder)(std::io::Error::other(ended))))
}

/// Removes a file if it is there; the bytes it had.
fn remove_if_there(path: &Path) -> Result<Option<u64>, ArtifactError> {
    let removed = fs::symlink_metadata(path).and_then(|known| fs::remove_file(path).map(|()| known.len()));
    match removed {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io(path)(error)),
    }
}

/// Removes the halves of pairs, and counts the bytes of the rest.
fn tidy(folder: &Path) -> Result<u64, ArtifactError> {
    let mut used = 0u64;
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let entry = entry.map_err(io(folder))?;
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        let other_half = match name.strip_suffix(".json") {
            Some(id) if is_id(id) => Some(folder.join(id)),
            None if is_id(&name) => Some(path.with_extension("json")),
            _ => None,
        };
        let alone = match other_half {
            Some(other) => !other.try_exists().map_err(io(&other))?,
            None => false,
        };
        if name.starts_with("new-") || alone {
            remove_if_there(&path)?;
        } else {
            used = used.saturating_add(entry.metadata().map_err(io(&path))?.len());
        }
    }
    Ok(used)
}

/// Reads whose each artifact is. A description that cannot be read is left alone and told of in the log: deleting
/// what one does not understand would be worse than keeping it.
fn read_owners(folder: &Path) -> Result<Owners, ArtifactError> {
    let mut owners = Owners::new();
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let Some(id) = name.strip_suffix(".json").filter(|id| is_id(id)) else { continue };
        let text = match fs::read(&path) {
            Ok(text) => text,
            // Removed since the folder was listed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(io(&path)(error)),
        };
        match serde_json::from_slice::<Description>(&text) {
            Ok(known) => {
                owners.entry(known.task).or_default().insert(id.to_owned());
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "an artifact's description is damaged: the artifact is kept until somebody removes it");
            }
        }
    }
    Ok(owners)
}

impl ArtifactStore {
    /// Opens the folder, removes what an ended process left half written or half removed, and counts what is there.
    ///
    /// # Errors
    /// When the folder cannot be made, read or tidied.
    pub async fn open(folder: PathBuf, allowed: u64) -> Result<Self, ArtifactError> {
        let place = folder.clone();
        let used = blocking(&folder, move || {
            platform::private_folder(&place).map_err(io(&place))?;
            tidy(&place)
        })
        .await?;
        let budget = Arc::new(Budget { allowed, used: AtomicU64::new(used), others: AtomicU64::new(0) });
        Ok(Self { folder, budget, owners: Arc::default() })
    }

    /// Bytes that artifacts take now.
    pub fn used(&self) -> u64 {
        self.budget.used.load(Ordering::Relaxed)
    }

    /// Counts so many bytes of others in the data folder from here on.
    pub fn others_hold(&self, bytes: u64) {
        self.budget.others.store(bytes, Ordering::Relaxed);
    }

    /// Where the bytes of an artifact lie.
    pub fn path(&self, id: &str) -> Result<PathBuf, ArtifactError> {
        if is_id(id) { Ok(self.folder.join(id)) } else { Err(ArtifactError::NotFound(id.to_owned())) }
    }

    fn temporary(&self, id: &str) -> PathBuf {
        self.folder.join(format!("new-{id}"))
    }

    /// Begins one.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub async fn create(&self, task: TaskId, name: &str, media_type: &str) -> Result<ArtifactFile, ArtifactError> {
        let id = format!("{:032x}", rand::random::<u128>());
        let temporary = self.temporary(&id);
        let budget = Arc::clone(&self.budget);
        let (file, unfinished) = blocking(&self.folder, move || {
            let file = platform::create_private(&temporary).map_err(io(&temporary))?;
            Ok((file, Unfinished { budget, taken: 0, files: vec![temporary] }))
        })
        .await?;
        let mut kept = name.to_owned();
        while kept.len() > MAX_NAME {
            kept.pop();
        }
        Ok(ArtifactFile {
            store: self.clone(),
            file: File::from_std(file),
            unfinished,
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
            Err(error) if error.kind() == ErrorKind::NotFound => Err(ArtifactError::NotFound(id.to_owned())),
            Err(source) => Err(ArtifactError::Io { path, source }),
        }
    }

    /// At most `len` bytes from `offset`; fewer at the end.
    pub async fn read(&self, id: &str, offset: u64, len: usize) -> Result<Vec<u8>, ArtifactError> {
        let path = self.path(id)?;
        let mut file = match File::open(&path).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(ArtifactError::NotFound(id.to_owned()));
            }
            Err(source) => return Err(ArtifactError::Io { path, source }),
        };
        file.seek(std::io::SeekFrom::Start(offset)).await.map_err(io(&path))?;
        let mut bytes = Vec::new();
        file.take(len as u64).read_to_end(&mut bytes).await.map_err(io(&path))?;
        Ok(bytes)
    }

    /// Removes one, its description first; the bytes that this freed.
    ///
    /// Who has it open may read on, and sees the end of nothing.
    ///
    /// # Errors
    /// [`ArtifactError::NotFound`] when there is none; [`ArtifactError::Io`] when a file cannot be removed: the artifact
    /// may be there no more, but its bytes count until another call, or the next start, removes them.
    pub async fn remove(&self, id: &str) -> Result<u64, ArtifactError> {
        self.path(id)?;
        let (store, id) = (self.clone(), id.to_owned());
        blocking(&self.folder, move || {
            let freed = store.remove_files(&id)?;
            if let Some(owners) = store.lock_owners().as_mut() {
                owners.retain(|_, ids| {
                    ids.remove(&id);
                    !ids.is_empty()
                });
            }
            freed.ok_or(ArtifactError::NotFound(id))
        })
        .await
    }

    /// Removes all finished artifacts of a task; the bytes that this freed, 0 when it has none.
    ///
    /// One that is still being written stays: call this when the task no longer runs.
    ///
    /// # Errors
    /// As of [`remove`](Self::remove), at the first artifact that cannot be removed: another call goes on from there.
    pub async fn remove_of(&self, task: &TaskId) -> Result<u64, ArtifactError> {
        let (store, task) = (self.clone(), task.clone());
        blocking(&self.folder, move || {
            let ids = store.with_owners(|owners| owners.get(&task).cloned().unwrap_or_default())?;
            let mut freed = 0u64;
            for id in ids {
                freed = freed.saturating_add(store.remove_files(&id)?.unwrap_or(0));
                store.with_owners(|owners| {
                    if let Some(left) = owners.get_mut(&task) {
                        left.remove(&id);
                        if left.is_empty() {
                            owners.remove(&task);
                        }
                    }
                })?;
            }
            Ok(freed)
        })
        .await
    }

    /// All tasks that have finished artifacts.
    ///
    /// # Errors
    /// When the folder or a description in it cannot be read.
    pub async fn tasks(&self) -> Result<BTreeSet<TaskId>, ArtifactError> {
        let store = self.clone();
        blocking(&self.folder, move || store.with_owners(|owners| owners.keys().cloned().collect())).await
    }

    fn lock_owners(&self) -> MutexGuard<'_, Option<Owners>> {
        // Each change under the lock is one call of a map: a panic leaves none half done.
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Under the lock, which is held while the descriptions are read for the first time: an artifact that is finished
    /// meanwhile waits to be added, and is then in the map whether or not the reading saw it.
    fn with_owners<T>(&self, look: impl FnOnce(&mut Owners) -> T) -> Result<T, ArtifactError> {
        let mut owners = self.lock_owners();
        let known = match owners.take() {
            Some(known) => known,
            None => read_owners(&self.folder)?,
        };
        Ok(look(owners.insert(known)))
    }

    /// Removes both files, description first; the bytes, or nothing when neither was there.
    fn remove_files(&self, id: &str) -> Result<Option<u64>, ArtifactError> {
        let body = self.path(id)?;
        let mut freed = None;
        for path in [body.with_extension("json"), body] {
            if let Some(bytes) = remove_if_there(&path)? {
                self.budget.give_back(bytes);
                freed = Some(freed.unwrap_or(0) + bytes);
            }
        }
        Ok(freed)
    }

    /// Makes an artifact of a written body. On an error `unfinished` takes everything back.
    fn keep(
        &self,
        file: fs::File,
        mut unfinished: Unfinished,
        description: Description,
    ) -> Result<Description, ArtifactError> {
        let temporary = self.temporary(&description.id);
        file.sync_all().map_err(io(&temporary))?;
        // A write that failed, or was given up half way, and whose caller finishes nevertheless.
        let written = file.metadata().map_err(io(&temporary))?.len();
        if written != description.size {
            let cut = format!("{written} of {} bytes were written", description.size);
            return Err(io(&temporary)(std::io::Error::other(cut)));
        }
        drop(file);
        let body = self.folder.join(&description.id);
        let path = body.with_extension("json");
        // A description of strings and numbers is always JSON.
        let text = serde_json::to_vec(&description).map_err(|error| io(&path)(error.into()))?;
        unfinished.take(text.len() as u64)?;
        let half = self.folder.join(format!("new-{}.json", description.id));
        let mut file = platform::create_private(&half).map_err(io(&half))?;
        unfinished.files.push(half.clone());
        file.write_all(&text).and_then(|()| file.sync_all()).map_err(io(&half))?;
        drop(file);
        unfinished.rename(&temporary, &body)?;
        unfinished.rename(&half, &path)?;
        platform::sync_folder(&self.folder).map_err(io(&self.folder))?;
        unfinished.keep();
        if let Some(owners) = self.lock_owners().as_mut() {
            owners.entry(description.task.clone()).or_default().insert(description.id.clone());
        }
        Ok(description)
    }
}

/// The files of an artifact that is not yet one, and the bytes taken for them. Dropped, it removes and gives back.
#[derive(Debug)]
struct Unfinished {
    budget: Arc<Budget>,
    taken: u64,
    /// The body, then the description if it was begun.
    files: Vec<PathBuf>,
}

impl Unfinished {
    fn take(&mut self, bytes: u64) -> Result<(), ArtifactError> {
        self.budget.take(bytes)?;
        self.taken += bytes;
        Ok(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Result<(), ArtifactError> {
        fs::rename(from, to).map_err(io(from))?;
        for file in &mut self.files {
            if *file == from {
                to.clone_into(file);
            }
        }
        Ok(())
    }

    /// They are an artifact now.
    fn keep(mut self) {
        self.files.clear();
        self.taken = 0;
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // From the last: a description is never without its body.
        while let Some(path) = self.files.pop() {
            if let Err(error) = fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "an unfinished artifact could not be removed; the next start does");
            }
        }
        self.budget.give_back(self.taken);
    }
}

/// An artifact that is being written. Dropped before [`finish`](Self::finish), it leaves nothing behind.
#[derive(Debug)]
pub struct ArtifactFile {
    store: ArtifactStore,
    // Before `unfinished`, so that it is closed when its file is removed.
    file: File,
    unfinished: Unfinished,
    hash: Sha256,
    description: Description,
}

impl ArtifactFile {
    fn temporary(&self) -> PathBuf {
        self.store.temporary(&self.description.id)
    }

    /// Appends.
    ///
    /// # Errors
    /// [`ArtifactError::Full`]: nothing was appended, and what came before can be finished. [`ArtifactError::Io`]: how
    /// much was appended is unknown, and [`finish`](Self::finish) will fail too.
    pub async fn write(&mut self, bytes: &[u8]) -> Result<(), ArtifactError> {
        let len = bytes.len() as u64;
        self.unfinished.take(len)?;
        self.description.size += len;
        self.hash.update(bytes);
        self.file.write_all(bytes).await.map_err(|error| io(&self.temporary())(error))
    }

    /// On disk when this returns. Its description counts against the budget as well.
    ///
    /// Given up while it waits, it either leaves nothing or a whole artifact, which goes with its task.
    ///
    /// # Errors
    /// Nothing is left of the artifact then, and its bytes are given back.
    pub async fn finish(self) -> Result<Description, ArtifactError> {
        let temporary = self.temporary();
        // Dropped from the last: the file is closed before `unfinished` removes it.
        let Self { store, unfinished, mut file, hash, mut description } = self;
        file.flush().await.map_err(io(&temporary))?;
        let file = file.into_std().await;
        description.sha256 = hex::encode(hash.finalize());
        let folder = store.folder.clone();
        blocking(&folder, move || store.keep(file, unfinished, description)).await
    }
}

#[cfg(test)]
mod tests;
