//! A transaction: what a closure sees and writes while it runs on the writer thread.

use std::{
    collections::BTreeMap,
    ops::{Bound, ControlFlow},
};

use buddy_router::UnixMs;
use sled::IVec;

use crate::{
    Limits,
    counters::Counters,
    error::{BufferError, Result},
    key::{self, Space},
    read::{Read, Visit},
    store::Store,
    value::{self, Kept, MAX_VALUE, PIECE},
};

/// A write of a key; `None` removes it.
pub(crate) type Write = Option<IVec>;

/// What the transactions of one group have written so far.
#[derive(Default)]
pub(crate) struct Group {
    /// The last write of each key.
    pub(crate) writes: BTreeMap<Vec<u8>, Write>,
    pub(crate) counters: Counters,
    /// Bytes of keys and values written, also those overwritten since: what bounds the group.
    pub(crate) bytes: usize,
}

/// One transaction. It sees everything before it, committed or in the same group, and its own writes. All of its
/// writes are durable together, or, when its closure returns an error or panics, none of them.
///
/// It runs on the one writer thread: what it reads does not change under it, and while it runs nobody else writes, so
/// it must be quick and must not wait for anything.
pub struct Tx<'g> {
    store: &'g Store,
    group: &'g mut Group,
    pub(crate) limits: &'g Limits,
    now: UnixMs,
    /// What each key was in the group before this transaction wrote it.
    undo: Vec<(Vec<u8>, Option<Write>)>,
    before: Counters,
}

impl std::fmt::Debug for Tx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tx").field("now", &self.now).field("writes", &self.undo.len()).finish_non_exhaustive()
    }
}

impl<'g> Tx<'g> {
    pub(crate) fn new(store: &'g Store, group: &'g mut Group, limits: &'g Limits, now: UnixMs) -> Self {
        let before = group.counters.clone();
        Self { store, group, limits, now, undo: Vec::new(), before }
    }

    /// The buffer's clock when the group began.
    pub fn now(&self) -> UnixMs {
        self.now
    }

    /// Refuses when the disk is nearly full: for what takes in new work.
    pub fn require_space(&self) -> Result<()> {
        self.store.space.require()
    }

    pub(crate) fn counters(&mut self) -> &mut Counters {
        &mut self.group.counters
    }

    /// Takes back everything that this transaction wrote.
    pub(crate) fn roll_back(&mut self) {
        for (key, old) in self.undo.drain(..).rev() {
            match old {
                Some(write) => self.group.writes.insert(key, write),
                None => self.group.writes.remove(&key),
            };
        }
        self.group.counters.clone_from(&self.before);
    }

    fn write(&mut self, key: Vec<u8>, write: Write) {
        self.group.bytes += key.len() + write.as_ref().map_or(0, |value| value.len());
        let old = self.group.writes.insert(key.clone(), write);
        self.undo.push((key, old));
    }

    /// Writes a record, in pieces when it is large.
    pub(crate) fn put(&mut self, what: &'static str, key: Vec<u8>, bytes: &[u8]) -> Result<()> {
        if bytes.len() > MAX_VALUE {
            return Err(BufferError::TooLarge { what, len: bytes.len(), max: MAX_VALUE });
        }
        self.forget(&key)?;
        self.group.counters.record_added(key[0], key.len() + bytes.len());
        let stored = if bytes.len() <= PIECE {
            value::inline(bytes)
        } else {
            self.group.counters.pieces += 1;
            let id = self.group.counters.pieces;
            for (number, piece) in (0_u32..).zip(bytes.chunks(PIECE)) {
                let piece_key = key::of(Space::Pieces, &[&id.to_be_bytes(), &number.to_be_bytes()]);
                self.group.counters.record_added(piece_key[0], 0);
                self.write(piece_key, Some(IVec::from(piece)));
            }
            value::pieces(id, bytes.len())
        };
        self.write(key, Some(IVec::from(stored)));
        Ok(())
    }

    /// Writes an index entry: a key without a value.
    pub(crate) fn mark(&mut self, key: Vec<u8>) -> Result<()> {
        if self.raw(&key)?.is_none() {
            self.group.counters.record_added(key[0], key.len());
            self.write(key, Some(IVec::default()));
        }
        Ok(())
    }

    /// Removes a record or an index entry; says whether it was there.
    pub(crate) fn remove(&mut self, key: &[u8]) -> Result<bool> {
        let there = self.forget(key)?;
        if there {
            self.write(key.to_vec(), None);
        }
        Ok(there)
    }

    /// Removes everything below a prefix; the number of records.
    pub(crate) fn remove_all(&mut self, prefix: &[u8]) -> Result<usize> {
        let keys = self.keys(prefix, key::after_prefix(prefix).as_deref(), usize::MAX)?;
        for key in &keys {
            self.remove(key)?;
        }
        Ok(keys.len())
    }

    /// Takes the record out of the counts and its pieces out of the store.
    fn forget(&mut self, key: &[u8]) -> Result<bool> {
        let Some(old) = self.raw(key)? else { return Ok(false) };
        let len = if old.is_empty() {
            0
        } else {
            match value::parse(&old)? {
                Kept::Inline(bytes) => bytes.len(),
                Kept::Pieces { id, len } => {
                    for number in (0_u32..).take(len.div_ceil(PIECE)) {
                        let piece_key = key::of(Space::Pieces, &[&id.to_be_bytes(), &number.to_be_bytes()]);
                        self.group.counters.record_removed(piece_key[0], 0);
                        self.write(piece_key, None);
                    }
                    len
                }
            }
        };
        self.group.counters.record_removed(key[0], key.len() + len);
        Ok(true)
    }
}

impl Read for Tx<'_> {
    fn raw(&self, key: &[u8]) -> Result<Option<IVec>> {
        match self.group.writes.get(key) {
            Some(write) => Ok(write.clone()),
            None => self.store.raw(key),
        }
    }

    fn each(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<()> {
        if to.is_some_and(|to| to <= from) {
            return Ok(());
        }
        let end = to.map_or(Bound::Unbounded, Bound::Excluded);
        let mut written = self.group.writes.range::<[u8], _>((Bound::Included(from), end)).peekable();
        let mut stored = self.store.range(from, to)?.peekable();
        loop {
            // The group's write of a key stands before the store's.
            let take_written = match (written.peek(), stored.peek()) {
                (None, None) => return Ok(()),
                (Some(_), None) => true,
                (None, Some(_)) | (Some(_), Some(Err(_))) => false,
                (Some((key, _)), Some(Ok((other, _)))) => {
                    if key.as_slice() == &other[..] {
                        stored.next();
                        true
                    } else {
                        key.as_slice() < &other[..]
                    }
                }
            };
            let flow = if take_written {
                match written.next() {
                    Some((key, Some(value))) => visit(key, value)?,
                    _ => ControlFlow::Continue(()),
                }
            } else {
                match stored.next().transpose()? {
                    Some((key, value)) => visit(&key, &value)?,
                    None => ControlFlow::Continue(()),
                }
            };
            if flow.is_break() {
                return Ok(());
            }
        }
    }
}
