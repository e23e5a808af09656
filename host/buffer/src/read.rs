//! Reading, the same from what is committed ([`Store`](crate::store::Store)) and from inside a transaction
//! ([`Tx`](crate::Tx)), which sees its own group's writes too.

use std::ops::ControlFlow;

use sled::IVec;

use crate::{
    error::Result,
    key::{self, Space},
    value::{self, Kept, corrupt},
};

/// A key and its value.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// What a scan calls for each stored record.
pub(crate) type Visit<'a> = &'a mut dyn FnMut(&[u8], &IVec) -> Result<ControlFlow<()>>;

pub(crate) trait Read {
    /// The stored bytes behind a key.
    fn raw(&self, key: &[u8]) -> Result<Option<IVec>>;

    /// Visits stored records from `from` on and below `to`, in key order, until the visitor breaks.
    fn each(&self, from: &[u8], to: Option<&[u8]>, visit: Visit<'_>) -> Result<()>;

    /// The whole value behind a key, its pieces put together.
    fn value(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        // Pieces can be replaced between two reads; then the record names the new ones. A value that is replaced
        // faster than this many reads is not one of ours.
        const READS: usize = 64;
        for _ in 0..READS {
            let Some(stored) = self.raw(key)? else { return Ok(None) };
            let (id, len) = match value::parse(&stored)? {
                Kept::Inline(bytes) => return Ok(Some(bytes.to_vec())),
                Kept::Pieces { id, len } => (id, len),
            };
            let prefix = key::of(Space::Pieces, &[&id.to_be_bytes()]);
            let mut bytes = Vec::with_capacity(len);
            self.each(&prefix, key::after_prefix(&prefix).as_deref(), &mut |_, piece| {
                bytes.extend_from_slice(piece);
                Ok(ControlFlow::Continue(()))
            })?;
            if bytes.len() == len {
                return Ok(Some(bytes));
            }
        }
        Err(corrupt("value", "pieces of it are missing"))
    }

    /// At most `limit` keys.
    fn keys(&self, from: &[u8], to: Option<&[u8]>, limit: usize) -> Result<Vec<Vec<u8>>> {
        let mut keys = Vec::new();
        if limit == 0 {
            return Ok(keys);
        }
        self.each(from, to, &mut |key, _| {
            keys.push(key.to_vec());
            Ok(if keys.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(keys)
    }

    /// At most `limit` records with whole values, and no further one once `bytes` of values are read. The flag says
    /// whether more may follow.
    fn page(&self, from: &[u8], to: Option<&[u8]>, limit: usize, bytes: usize) -> Result<(Vec<Pair>, bool)> {
        let mut stored: Vec<(Vec<u8>, IVec)> = Vec::new();
        let mut total = 0_usize;
        let mut more = false;
        self.each(from, to, &mut |key, found| {
            if stored.len() == limit || total >= bytes {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            total = total.saturating_add(value::len(found)?);
            stored.push((key.to_vec(), found.clone()));
            Ok(ControlFlow::Continue(()))
        })?;
        let mut records = Vec::with_capacity(stored.len());
        for (key, found) in stored {
            let whole = match value::parse(&found)? {
                Kept::Inline(inline) => Some(inline.to_vec()),
                Kept::Pieces { .. } => self.value(&key)?,
            };
            // Gone since the scan: as if it had never been in it.
            if let Some(whole) = whole {
                records.push((key, whole));
            }
        }
        Ok((records, more))
    }
}
