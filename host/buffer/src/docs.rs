//! Documents: the embedded coordinator's own records, with the guarantees that it has from Firestore elsewhere.
//!
//! A document has a version that rises with every write and is never used again, also not after the document was
//! removed and made anew: the equal of Firestore's `update_time`. A commit is all or nothing, and each of its writes
//! can ask that the document is absent, present, or of a certain version.

use crate::{
    Buffer,
    error::{BufferError, Result},
    key::{self, MAX_KEY, Space},
    read::{Pair, Read},
    tx::Tx,
    value::corrupt,
};

const WHAT: &str = "document";

/// Bytes of documents that one scan reads at most.
const SCAN_BYTES: usize = 32 * 1024 * 1024;

/// A document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doc {
    /// Its key: 1 to 512 bytes of the caller's choice. Scans are in byte order.
    pub key: Vec<u8>,
    /// Of its last write.
    pub version: u64,
    /// Its content.
    pub value: Vec<u8>,
}

/// What must hold for a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Precondition {
    /// Nothing.
    None,
    /// The document is there, or is not there.
    Exists(bool),
    /// It is there and has not been written since.
    Version(u64),
}

/// One write of a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocWrite {
    /// Which document.
    pub key: Vec<u8>,
    /// What must hold.
    pub precondition: Precondition,
    /// Its new content; `None` removes it.
    pub value: Option<Vec<u8>>,
}

/// A part of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocPage {
    /// In byte order of their keys.
    pub docs: Vec<Doc>,
    /// There may be more after the last one.
    pub more: bool,
}

fn key_of(name: &[u8]) -> Result<Vec<u8>> {
    if name.is_empty() || name.len() > MAX_KEY {
        return Err(BufferError::BadKey { what: "document key", max: MAX_KEY });
    }
    Ok(key::of(Space::Docs, &[name]))
}

fn parse((key, record): Pair) -> Result<Doc> {
    let (version, value) = record.split_first_chunk::<8>().ok_or_else(|| corrupt(WHAT, "it has no version"))?;
    Ok(Doc {
        key: key.get(1..).unwrap_or_default().to_vec(),
        version: u64::from_be_bytes(*version),
        value: value.to_vec(),
    })
}

fn get(from: &dyn Read, name: &[u8]) -> Result<Option<Doc>> {
    let key = key_of(name)?;
    from.value(&key)?.map(|record| parse((key, record))).transpose()
}

fn scan(from: &dyn Read, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<DocPage> {
    let range = key::of(Space::Docs, &[prefix]);
    let start = match after {
        Some(after) => key::of(Space::Docs, &[after, &[0]]).max(range.clone()),
        None => range.clone(),
    };
    let (records, more) = from.page(&start, key::after_prefix(&range).as_deref(), limit, SCAN_BYTES)?;
    Ok(DocPage { docs: records.into_iter().map(parse).collect::<Result<_>>()?, more })
}

impl Tx<'_> {
    /// A document.
    pub fn doc(&self, name: &[u8]) -> Result<Option<Doc>> {
        get(self, name)
    }

    /// Documents whose keys begin with `prefix`, after the key `after`, at most `limit`.
    pub fn scan_docs(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<DocPage> {
        scan(self, prefix, after, limit)
    }

    /// Writes all or, when a precondition does not hold, nothing: the new version of each. A later write of the same
    /// commit sees the earlier ones.
    pub fn commit_docs(&mut self, writes: Vec<DocWrite>) -> Result<Vec<u64>> {
        // On an error the whole transaction is rolled back, so nothing of the commit stays.
        let mut versions = Vec::with_capacity(writes.len());
        for (index, write) in writes.into_iter().enumerate() {
            let key = key_of(&write.key)?;
            let holds = match write.precondition {
                Precondition::None => true,
                Precondition::Exists(wanted) => self.raw(&key)?.is_some() == wanted,
                Precondition::Version(wanted) => self.doc(&write.key)?.is_some_and(|doc| doc.version == wanted),
            };
            if !holds {
                let found = self.doc(&write.key)?.map(|doc| doc.version);
                return Err(BufferError::DocConflict { index, found });
            }
            self.counters().version += 1;
            let version = self.counters().version;
            match write.value {
                Some(value) => {
                    let record = [&version.to_be_bytes()[..], &value].concat();
                    self.put(WHAT, key, &record)?;
                }
                None => drop(self.remove(&key)?),
            }
            versions.push(version);
        }
        Ok(versions)
    }
}

impl Buffer {
    /// A document.
    pub fn doc(&self, name: &[u8]) -> Result<Option<Doc>> {
        get(self.store(), name)
    }

    /// Documents whose keys begin with `prefix`, after the key `after`, at most `limit`. Fewer come when they are
    /// large; `more` says whether to go on.
    pub fn scan_docs(&self, prefix: &[u8], after: Option<&[u8]>, limit: usize) -> Result<DocPage> {
        scan(self.store(), prefix, after, limit)
    }

    /// See [`Tx::commit_docs`]. Commits of many callers share one sync.
    pub async fn commit_docs(&self, writes: Vec<DocWrite>) -> Result<Vec<u64>> {
        self.transact(move |tx| tx.commit_docs(writes)).await
    }
}
