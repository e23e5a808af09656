//! The one place that talks to sled.
//!
//! Everything is one tree, so that a group of writes is one `Batch`: sled logs a batch behind a manifest that names
//! its last log position, and recovery drops a batch whose end is missing. After a `flush`, which on Linux survives a
//! crash of the process but not a power cut, the files are synced through descriptors of ours.
//!
//! sled panics on some corrupt pages. Every call is contained: a panic inside it becomes an error here.

use std::{
    any::Any,
    collections::HashSet,
    ffi::OsString,
    fs::File,
    io,
    ops::Bound,
    panic::{AssertUnwindSafe, catch_unwind},
    path::PathBuf,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use buddy_router::SessionId;
use sled::IVec;

use crate::{
    counters::Counters,
    error::{BufferError, Result},
    lock::Lock,
    mark::{self, Mark},
    platform,
    read::{Read, Visit},
    space::SpaceGuard,
};

pub(crate) struct Store {
    /// `None` only while dropping.
    db: Option<sled::Db>,
    file: File,
    folder: PathBuf,
    files: PathBuf,
    synced: Mutex<HashSet<OsString>>,
    counters: Mutex<Counters>,
    degraded: OnceLock<Arc<str>>,
    pub(crate) space: SpaceGuard,
    /// Last, so that the folder is free only when everything else is closed.
    _lock: Lock,
}

/// The text of a panic.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

fn contain<T>(work: impl FnOnce() -> sled::Result<T>) -> Result<T, Arc<str>> {
    // Unwind-safe in effect: sled's locks release on unwinding, and after a failed write nothing is written any more.
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.to_string().into()),
        Err(panic) => Err(panic_message(&*panic).into()),
    }
}

impl Store {
    pub(crate) fn new(db: sled::Db, folder: &std::path::Path, space: SpaceGuard, lock: Lock) -> io::Result<Self> {
        // Writable, because Windows flushes only through such a handle.
        let file = File::options().read(true).write(true).open(folder.join("db"))?;
        file.sync_all()?;
        platform::sync_folder(folder)?;
        Ok(Self {
            db: Some(db),
            file,
            folder: folder.to_owned(),
            files: folder.join("blobs"),
            synced: Mutex::default(),
            counters: Mutex::default(),
            degraded: OnceLock::new(),
            space,
            _lock: lock,
        })
    }

    fn db(&self) -> Result<&sled::Db> {
        self.db.as_ref().ok_or(BufferError::Closed)
    }

    /// What is counted, as of the last group.
    pub(crate) fn counters(&self) -> Counters {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_counters(&self, counters: Counters) {
        *self.counters.lock().unwrap_or_else(PoisonError::into_inner) = counters;
    }

    /// Refuses once a write has failed.
    pub(crate) fn check(&self) -> Result<()> {
        match self.degraded.get() {
            Some(reason) => Err(BufferError::Degraded { reason: reason.clone() }),
            None => Ok(()),
        }
    }

    fn degrade(&self, reason: Arc<str>) -> BufferError {
        tracing::error!(%reason, "a write of the buffer failed: it takes no more until it is opened again");
        BufferError::Degraded { reason: self.degraded.get_or_init(|| reason).clone() }
    }

    /// Writes all or nothing. With `durable` it is on the disk when this returns.
    pub(crate) fn write(&self, writes: impl IntoIterator<Item = (Vec<u8>, Option<IVec>)>, durable: bool) -> Result<()> {
        self.check()?;
        let db = self.db()?;
        let mut batch = sled::Batch::default();
        for (key, value) in writes {
            match value {
                Some(value) => batch.insert(key, value),
                None => batch.remove(key),
            }
        }
        contain(|| {
            db.apply_batch(batch)?;
            if durable {
                db.flush()?;
                self.sync()?;
            }
            Ok(())
        })
        .map_err(|reason| self.degrade(reason))
    }

    /// Makes everything durable that is written, and says so in the mark. After a failed write neither.
    pub(crate) fn settle(&self, session: &SessionId) -> Result<()> {
        self.check()?;
        let db = self.db()?;
        let mark = Mark { session: session.clone(), groups: self.counters().groups };
        contain(|| {
            db.flush()?;
            self.sync()?;
            Ok(mark::write(&self.folder, &mark)?)
        })
        .map_err(|reason| BufferError::Storage { reason })
    }

    fn sync(&self) -> io::Result<()> {
        // Data, not all: the length of the file is synced with it, its times are not needed.
        self.file.sync_data()?;
        // A tree node above an eighth of a megabyte is a file of its own, which sled does not sync. Our records are
        // bounded so that this is rare (see `value`); where it happens it is made durable here.
        let mut synced = self.synced.lock().unwrap_or_else(PoisonError::into_inner);
        let mut present = HashSet::new();
        let mut added = false;
        for entry in std::fs::read_dir(&self.files)? {
            let entry = entry?;
            let name = entry.file_name();
            if !synced.contains(&name) {
                match File::options().read(true).write(true).open(entry.path()) {
                    Ok(file) => file.sync_all()?,
                    // Already replaced by sled's own cleaning.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(error),
                }
                added = true;
            }
            present.insert(name);
        }
        if added {
            platform::sync_folder(&self.files)?;
        }
        *synced = present;
        Ok(())
    }

    /// Bytes that the folder takes on the disk.
    pub(crate) fn size_on_disk(&self) -> Result<u64> {
        let db = self.db()?;
        contain(|| db.size_on_disk()).map_err(|reason| BufferError::Storage { reason })
    }

    /// Records in order, not contained: for use inside [`Store::contained`] or a transaction, which is contained whole.
    pub(crate) fn range(&self, from: &[u8], to: Option<&[u8]>) -> Result<impl Iterator<Item = Result<(IVec, IVec)>>> {
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let records = self.db()?.range::<&[u8], _>((Bound::Included(from), end));
        Ok(records.map(|item| item.map_err(|error| BufferError::Storage { reason: error.to_string().into() })))
    }
}

impl Read for Store {
    fn raw(&self, key: &[u8]) -> Result<Option<IVec>> {
        let db = self.db()?;
        contain(|| db.get(key)).map_err(|reason| BufferError::Storage { reason })
    }

    fn each(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<()> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let scan = || {
            for item in self.range(from, to)? {
                let (key, value) = item?;
                if visit(&key, &value)?.is_break() {
                    break;
                }
            }
            Ok(())
        };
        catch_unwind(AssertUnwindSafe(scan))
            .unwrap_or_else(|panic| Err(BufferError::Storage { reason: panic_message(&*panic).into() }))
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        let db = self.db.take();
        // sled unwraps a failed sync while closing; after a failed write that is to be expected.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| drop(db))) {
            tracing::warn!(reason = panic_message(&*panic), "the store did not close cleanly");
        }
    }
}
