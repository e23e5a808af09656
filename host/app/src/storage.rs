//! The bound on the data folder: `resources.temp_storage_gb` over everything that lies in it.
//!
//! What buffer and artifacts take is known at any moment. The rest (browser profiles and downloads under way, compiled
//! plugins, folders that were set aside) is found by looking through it, every [`LOOK`] and never on an async thread.
//!
//! The last tenth of the bound is kept for the results of what runs. When less than that is left, the page cache makes
//! room, then compiled code of plugins that are not here. If that is not enough, nothing new begins: tasks that are
//! assigned stay with the coordinator, tasks that were taken stay in the buffer, and both go on by themselves when there
//! is room. At the bound itself new submissions are refused, and so are artifacts.
//!
//! Results are never deleted to make room: they are what the owner keeps this host for, and only the owner knows which
//! of them are of no more use. They go with their tasks, 30 days after the end of those.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use buddy_buffer::{Buffer, BufferError, Space};
use buddy_runtime::{PluginSet, Runtime};

use crate::artifacts::ArtifactStore;
use crate::render::units;

/// Time between two looks at the folder. Results of the tasks of two seconds fit into what is kept for them.
pub const LOOK: Duration = Duration::from_secs(2);

/// The part of the bound, one in so many, that is kept for the results of what runs.
const KEPT: u64 = 10;

/// The part of the bound, one in so many, that the records of the page cache may take; its own bound may be lower. On
/// the disk that is a quarter.
pub const PAGE_CACHE: u64 = 8;

/// The part of the bound, one in so many, that one download may take.
pub const DOWNLOAD: u64 = 4;

/// Bytes that the buffer's file needs for each byte of records. It has whole segments, of which a part is always
/// outdated: filled with pages it takes twice its records, and up to four times when they are often replaced.
const FILE_FOR_RECORDS: u64 = 2;

/// How often cached pages are removed in one look.
const ROUNDS: u32 = 8;

/// Entries that are looked at in one look: a Chromium profile has some hundreds. What is beyond is not counted, and said
/// in the log.
const MAX_ENTRIES: usize = 200_000;

/// The folders of the data folder.
pub const BUFFER: &str = "buffer";
/// See [`BUFFER`].
pub const ARTIFACTS: &str = "artifacts";
/// Profiles and downloads. See [`BUFFER`].
pub const BROWSERS: &str = "browsers";
/// Compiled plugins. See [`BUFFER`].
pub const COMPILED: &str = "compiled";

/// Who takes how many bytes of the data folder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Tasks, results, checkpoints, documents and the page cache.
    pub buffer: u64,
    /// Results and other large bodies.
    pub artifacts: u64,
    /// Browser profiles and downloads under way.
    pub browsers: u64,
    /// Compiled plugins.
    pub compiled: u64,
    /// All else, such as a buffer that was set aside.
    pub other: u64,
    /// The part of `buffer` that no record needs. The file does not shrink when records go; it is filled again before it
    /// grows.
    pub emptied: u64,
}

impl Used {
    /// What is needed: all but the room that is left in the buffer's file.
    pub fn needed(&self) -> u64 {
        self.total().saturating_sub(self.emptied)
    }

    /// What lies on the disk.
    pub fn total(&self) -> u64 {
        [self.buffer, self.artifacts, self.browsers, self.compiled, self.other].into_iter().fold(0, u64::saturating_add)
    }
}

/// What the last look found.
#[derive(Debug, Default)]
struct Seen {
    browsers: u64,
    compiled: u64,
    other: u64,
    /// Why nothing new begins.
    paused: Option<Arc<str>>,
    /// Whether the bound itself is reached.
    full: bool,
}

struct Inner {
    data: PathBuf,
    allowed: u64,
    buffer: Buffer,
    artifacts: ArtifactStore,
    seen: Mutex<Seen>,
}

/// The data folder of one host. Cheap to clone.
#[derive(Clone)]
pub struct Storage {
    inner: Arc<Inner>,
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Storage").field("data", &self.inner.data).finish_non_exhaustive()
    }
}

impl Storage {
    /// For a data folder and what it may hold in bytes. Nothing is looked at yet.
    pub fn new(data: PathBuf, allowed: u64, buffer: Buffer, artifacts: ArtifactStore) -> Self {
        Self { inner: Arc::new(Inner { data, allowed, buffer, artifacts, seen: Mutex::default() }) }
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        // Whole between any two statements.
        self.inner.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is used: buffer and artifacts as of now, the rest as of the last look.
    ///
    /// # Errors
    /// When the buffer cannot say what it takes.
    pub fn used(&self) -> Result<Used, BufferError> {
        let stats = self.inner.buffer.stats()?;
        let records = stats.bytes.iter().fold(0u64, |sum, (_, bytes)| sum.saturating_add(*bytes));
        let seen = self.seen();
        Ok(Used {
            buffer: stats.bytes_on_disk,
            emptied: stats.bytes_on_disk.saturating_sub(records.saturating_mul(FILE_FOR_RECORDS)),
            artifacts: self.inner.artifacts.used(),
            browsers: seen.browsers,
            compiled: seen.compiled,
            other: seen.other,
        })
    }

    /// Why nothing new begins, if so.
    pub fn paused(&self) -> Option<Arc<str>> {
        self.seen().paused.clone()
    }

    /// Refuses to begin something new.
    ///
    /// # Errors
    /// [`BufferError::OverBound`] with who uses what, and what to do.
    pub fn require_room(&self) -> Result<(), BufferError> {
        self.paused().map_or(Ok(()), |why| Err(BufferError::OverBound { why }))
    }

    /// Refuses to keep something new, although nothing begins with it: at the bound itself.
    ///
    /// # Errors
    /// As of [`require_room`](Self::require_room).
    pub fn require_any_room(&self) -> Result<(), BufferError> {
        let seen = self.seen();
        match &seen.paused {
            Some(why) if seen.full => Err(BufferError::OverBound { why: Arc::clone(why) }),
            _ => Ok(()),
        }
    }

    /// Looks at the folder once, makes room where that is needed and possible, and decides whether work goes on.
    ///
    /// # Errors
    /// When the buffer fails.
    pub async fn look(&self, runtime: &Runtime, plugins: &PluginSet) -> Result<(), BufferError> {
        self.walk().await;
        // That pages are gone is written down too, so one round may not be enough; a run may keep new ones meanwhile.
        for _ in 0..ROUNDS {
            if self.short(&self.used()?) == 0 || !self.remove_pages().await? {
                break;
            }
        }
        if self.short(&self.used()?) > 0 {
            self.remove_code(runtime, plugins).await;
        }
        self.decide(&self.used()?);
        Ok(())
    }

    /// Looks at the folder from time to time.
    pub async fn watch(&self, runtime: &Runtime, plugins: &PluginSet) {
        loop {
            tokio::time::sleep(LOOK).await;
            if let Err(error) = self.look(runtime, plugins).await {
                tracing::warn!(%error, "what the data folder holds could not be found out");
            }
        }
    }

    async fn walk(&self) {
        let data = self.inner.data.clone();
        let walked = tokio::task::spawn_blocking(move || walk(&data)).await;
        match walked {
            Ok(mut sizes) => {
                let mut of = |name: &str| sizes.remove(name).unwrap_or(0);
                let (browsers, compiled) = (of(BROWSERS), of(COMPILED));
                let other = sizes.values().fold(0u64, |sum, size| sum.saturating_add(*size));
                let mut seen = self.seen();
                (seen.browsers, seen.compiled, seen.other) = (browsers, compiled, other);
            }
            Err(error) => tracing::warn!(%error, "the data folder could not be looked through"),
        }
    }

    /// Bytes that are missing to what is kept for results.
    fn short(&self, used: &Used) -> u64 {
        let pause_at = self.inner.allowed - self.inner.allowed / KEPT;
        used.needed().saturating_sub(pause_at)
    }

    /// Removes as much of the page cache as is missing; `false` when there is nothing to remove.
    async fn remove_pages(&self) -> Result<bool, BufferError> {
        let stats = self.inner.buffer.stats()?;
        let pages = stats.bytes.iter().find(|(space, _)| *space == Space::Pages).map_or(0, |(_, bytes)| *bytes);
        let missing = self.short(&self.used()?).div_ceil(FILE_FOR_RECORDS);
        let left = self.inner.buffer.shrink_pages(pages.saturating_sub(missing)).await?;
        if left < pages {
            tracing::info!(bytes = pages - left, "cached pages were removed to make room in the data folder");
        }
        Ok(left < pages)
    }

    async fn remove_code(&self, runtime: &Runtime, plugins: &PluginSet) {
        let present: Vec<String> = plugins.plugins().iter().map(|plugin| plugin.sha256().to_owned()).collect();
        let runtime = runtime.clone();
        let removed = tokio::task::spawn_blocking(move || {
            runtime.forget_compiled(&present.iter().map(String::as_str).collect::<Vec<_>>())
        });
        match removed.await {
            Ok(0) => {}
            Ok(bytes) => {
                tracing::info!(bytes, "compiled code of plugins that are gone was removed to make room");
                self.walk().await;
            }
            Err(error) => tracing::warn!(%error, "compiled code could not be removed"),
        }
    }

    fn decide(&self, used: &Used) {
        let total = used.total();
        self.inner.artifacts.others_hold(total - used.artifacts);
        // Also when it is the buffer's file that has grown too large, as then no artifact can be written.
        let full = total >= self.inner.allowed;
        let why = (full || self.short(used) > 0).then(|| Arc::from(sentence(used, self.inner.allowed)));
        let was = {
            let mut seen = self.seen();
            seen.full = full;
            std::mem::replace(&mut seen.paused, why.clone())
        };
        match (was, why) {
            (None, Some(why)) => tracing::warn!("{why}"),
            (Some(_), None) => tracing::info!("there is room in the data folder again: work goes on"),
            _ => {}
        }
    }
}

/// Why nothing new begins, and what to do.
fn sentence(used: &Used, allowed: u64) -> String {
    format!(
        "the data folder holds {} of the {} that resources.temp_storage_gb allows (buffer {}, artifacts {}, browsers {}, \
         compiled plugins {}, other files {}) and the last tenth is kept for results: raise the key; work goes on by \
         itself when there is room",
        units::bytes(used.total()),
        units::bytes(allowed),
        units::bytes(used.buffer),
        units::bytes(used.artifacts),
        units::bytes(used.browsers),
        units::bytes(used.compiled),
        units::bytes(used.other),
    )
}

/// Bytes below each entry of the data folder, without the two that keep account of themselves. Links are not followed.
/// What cannot be read, most often because it has just gone, counts as nothing.
fn walk(data: &Path) -> BTreeMap<String, u64> {
    let mut sizes = BTreeMap::new();
    let mut left = MAX_ENTRIES;
    for entry in fs::read_dir(data).into_iter().flatten().filter_map(Result::ok) {
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == BUFFER || name == ARTIFACTS {
            continue;
        }
        let mut open = vec![entry];
        let mut size = 0u64;
        while let Some(entry) = open.pop() {
            let Some(fewer) = left.checked_sub(1) else {
                tracing::warn!(folder = %data.display(), "the data folder has more files than are counted");
                sizes.insert(name, size);
                return sizes;
            };
            left = fewer;
            let Ok(known) = entry.metadata() else { continue };
            if known.is_dir() {
                open.extend(fs::read_dir(entry.path()).into_iter().flatten().filter_map(Result::ok));
            } else {
                size = size.saturating_add(known.len());
            }
        }
        sizes.insert(name, size);
    }
    sizes
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use buddy_buffer::{CachedPage, Options};
    use buddy_router::TaskId;
    use buddy_runtime::RuntimeConfig;

    use super::*;
    use crate::artifacts::ArtifactError;

    const MIB: u64 = 1 << 20;

    struct Case {
        folder: tempfile::TempDir,
        storage: Storage,
        buffer: Buffer,
        artifacts: ArtifactStore,
        runtime: Runtime,
    }

    impl Case {
        async fn new(allowed: u64) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let data = folder.path().to_owned();
            let options = Options { free_floor: 0, ..Options::new(data.join(BUFFER)) };
            let (buffer, _) = Buffer::open(&options).unwrap();
            let artifacts = ArtifactStore::open(data.join(ARTIFACTS), allowed).await.unwrap();
            let runtime = Runtime::new(&RuntimeConfig::with_cache(data.join(COMPILED))).unwrap();
            let storage = Storage::new(data, allowed, buffer.clone(), artifacts.clone());
            Self { folder, storage, buffer, artifacts, runtime }
        }

        /// A file of so many bytes, without writing them.
        fn file(&self, name: &str, bytes: u64) -> PathBuf {
            let path = self.folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(&path).unwrap().set_len(bytes).unwrap();
            path
        }

        async fn look(&self) -> Used {
            self.storage.look(&self.runtime, &PluginSet::default()).await.unwrap();
            self.storage.used().unwrap()
        }
    }

    #[tokio::test]
    async fn everything_in_the_folder_is_counted_where_it_belongs() {
        let case = Case::new(100 * MIB).await;
        case.file("browsers/chromium-1/profile/Default/Cache/data_1", 5 * MIB);
        case.file("browsers/chromium-1/downloads/a.zip", 2 * MIB);
        case.file("compiled/aa-bb.bin", MIB);
        case.file("buffer.set-aside/db", 3 * MIB);
        case.file("control.json", 100);
        let task = TaskId::from_random(1);
        case.artifacts.put(task, "a", "text/plain", &[7; 1000]).await.unwrap();
        let used = case.look().await;
        assert_eq!((used.browsers, used.compiled), (7 * MIB, MIB));
        // The buffer's lock lies beside it: a process number.
        assert!((3 * MIB + 100..3 * MIB + 120).contains(&used.other), "{used:?}");
        assert!(used.artifacts >= 1000 && used.buffer > 0, "{used:?}");
        assert_eq!(case.storage.paused(), None);
        case.buffer.close().await;
    }

    #[tokio::test]
    async fn above_the_bound_work_pauses_with_a_sentence_and_goes_on_by_itself() {
        let case = Case::new(1000 * MIB).await;
        let file = case.file("browsers/x", 0);
        case.look().await;
        let free = 1000 * MIB - case.storage.used().unwrap().total();
        case.file("browsers/x", free - 100 * MIB);
        case.look().await;
        case.storage.require_room().unwrap();

        // The last tenth: nothing begins, what is submitted is kept, results are written.
        case.file("browsers/x", free - 50 * MIB);
        case.look().await;
        let why = case.storage.require_room().unwrap_err().to_string();
        insta::with_settings!({ filters => [(r"buffer [0-9.]+ \w+", "buffer SIZE"), (r"other files [0-9]+ B", "other files SIZE")] }, {
            insta::assert_snapshot!(why, @"the data folder holds 950.0 MiB of the 1000.0 MiB that resources.temp_storage_gb allows (buffer SIZE, artifacts 0 B, browsers 950.0 MiB, compiled plugins 0 B, other files SIZE) and the last tenth is kept for results: raise the key; work goes on by itself when there is room");
        });
        case.storage.require_any_room().unwrap();
        let task = TaskId::from_random(1);
        case.artifacts.put(task.clone(), "a", "text/plain", &[7; 1000]).await.unwrap();

        // At the bound nothing new is kept at all.
        case.file("browsers/x", free + MIB);
        case.look().await;
        assert!(matches!(case.storage.require_any_room(), Err(BufferError::OverBound { .. })));
        let refused = case.artifacts.put(task, "b", "text/plain", &[7; 1000]).await;
        assert!(matches!(refused, Err(ArtifactError::Full { .. })), "{refused:?}");

        fs::remove_file(file).unwrap();
        case.look().await;
        case.storage.require_room().unwrap();
        case.buffer.close().await;
    }

    #[tokio::test]
    async fn cached_pages_make_room_first_then_code_of_plugins_that_are_gone_and_never_a_result() {
        let case = Case::new(1000 * MIB).await;
        let page = |number: u64| CachedPage {
            url: format!("https://a.test/{number}"),
            final_url: String::new(),
            status: 200,
            headers: vec![],
            body: rand::random_iter().take(1 << 20).collect(),
            cached_at: 0,
            expires_at: u64::MAX - 100 + number,
        };
        for number in 0..8 {
            case.buffer.put_page(page(number)).await.unwrap();
        }
        let id = case.artifacts.put(TaskId::from_random(1), "a", "text/plain", &[7; 1000]).await.unwrap();
        let code = case.file("compiled/aa-bb.bin", 4 * MIB);
        let used = case.look().await.needed();
        let fill = |over: u64| case.file("browsers/x", 900 * MIB + over - used);

        // Three MiB too many are two pages, as each takes twice its size: those that expire first.
        fill(3 * MIB);
        let used = case.look().await;
        assert_eq!(case.storage.paused(), None, "{used:?}");
        let here = |number: u64| case.buffer.page(&format!("https://a.test/{number}")).unwrap().is_some();
        assert_eq!((here(0), here(1), here(5), here(7)), (false, false, true, true));
        assert!(code.exists());

        // All pages make 16 MiB of room; the code of no plugin makes the rest.
        fill(18 * MIB);
        case.look().await;
        assert_eq!(case.storage.paused(), None);
        assert_eq!((here(7), code.exists()), (false, false));

        fill(30 * MIB);
        case.look().await;
        assert!(case.storage.paused().is_some());
        assert_eq!(case.artifacts.read(&id, 0, 10).await.unwrap(), [7; 10], "no result is deleted for room");
        case.buffer.close().await;
    }
}
