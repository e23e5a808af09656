//! The schema version and the session, both born with the folder.
//!
//! The schema is the meaning of keys and records. A folder of an older schema is brought forward step by step, each
//! step one atomic group together with its new version number; a folder of a newer one is refused.

use buddy_router::SessionId;

use crate::{
    Limits,
    counters::Counters,
    error::Result,
    key::{self, Space},
    read::Read,
    store::Store,
    tx::{Group, Tx},
    value::{self, corrupt},
    writer::counters_key,
};

/// The schema that this program writes.
pub const SCHEMA: u32 = 1;

/// A step from one schema to the next, inside a transaction.
pub(crate) type Step = fn(&mut Tx<'_>) -> Result<()>;

/// The steps, oldest first: `STEPS[n]` leads from schema `n + 1` to `n + 2`.
pub(crate) const STEPS: &[Step] = &[];

const _: () = assert!(STEPS.len() + 1 == SCHEMA as usize, "every schema but the first has a step that leads to it");

/// What preparing a folder came to.
pub(crate) enum Prepared {
    /// Ready, with its session.
    Ready(SessionId),
    /// Of a schema that this program does not know.
    Newer(u32),
}

fn schema_key() -> Vec<u8> {
    key::of(Space::Meta, &[b"schema"])
}

fn session_key() -> Vec<u8> {
    key::of(Space::Meta, &[b"session"])
}

/// Checks, creates or brings forward. With `used` the folder is known to have been in use: an empty store is a loss.
pub(crate) fn prepare(store: &Store, limits: &Limits, now: u64, steps: &[Step], used: bool) -> Result<Prepared> {
    // In bounds: the list of steps is a constant of this file, or a short one of a test.
    let current = u32::try_from(steps.len() + 1).map_err(|error| corrupt("schema", error))?;
    let Some(bytes) = store.value(&schema_key())? else {
        if !store.keys(&[], None, 1)?.is_empty() {
            return Err(corrupt("schema version", "it is missing though there are records"));
        }
        if used {
            return Err(corrupt("store", "it is empty though there were writes"));
        }
        let session = SessionId::from_random(rand::random());
        one_group(store, limits, now, |tx| {
            tx.put("session", session_key(), session.as_str().as_bytes())?;
            tx.put("schema version", schema_key(), &value::to_json("schema version", &current)?)
        })?;
        return Ok(Prepared::Ready(session));
    };
    let found: u32 = value::from_json("schema version", &bytes)?;
    if found > current {
        return Ok(Prepared::Newer(found));
    }
    let counted = store.value(&counters_key())?.ok_or_else(|| corrupt("count", "it is missing"))?;
    store.set_counters(Counters::decode(&counted)?);
    if found == 0 {
        return Err(corrupt("schema version", "there is no version 0"));
    }
    for (step, reached) in steps.iter().zip(2..).skip(found as usize - 1) {
        one_group(store, limits, now, |tx| {
            step(tx)?;
            tx.put("schema version", schema_key(), &value::to_json("schema version", &reached)?)
        })?;
        tracing::info!(schema = reached, "the buffer was brought to a newer schema");
    }
    let session = store.value(&session_key())?.ok_or_else(|| corrupt("session", "it is missing"))?;
    let session = String::from_utf8(session).map_err(|error| corrupt("session", error))?;
    Ok(Prepared::Ready(SessionId::try_from(session).map_err(|error| corrupt("session", error))?))
}

/// One transaction as one durable group, before there is a writer.
fn one_group(store: &Store, limits: &Limits, now: u64, work: impl FnOnce(&mut Tx<'_>) -> Result<()>) -> Result<()> {
    let mut group = Group { counters: store.counters(), ..Group::default() };
    work(&mut Tx::new(store, &mut group, limits, now))?;
    group.counters.groups += 1;
    group.writes.insert(counters_key(), Some(value::inline(&group.counters.encode()).into()));
    store.write(group.writes, true)?;
    store.set_counters(group.counters);
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{
        Buffer, OpenError, Options,
        docs::{DocWrite, Precondition},
    };

    const OLDER: Step = |tx| {
        let write =
            DocWrite { key: b"moved".to_vec(), precondition: Precondition::Exists(false), value: Some(vec![1]) };
        tx.commit_docs(vec![write]).map(drop)
    };

    fn opened(folder: &std::path::Path) -> Buffer {
        Buffer::open(&Options { free_floor: 0, ..Options::new(folder) }).unwrap().0
    }

    #[test]
    fn an_older_schema_is_brought_forward_once_and_keeps_its_session() {
        let root = tempfile::tempdir().unwrap();
        let buffer = opened(&root.path().join("buffer"));
        let limits = Limits::default();
        for _ in 0..2 {
            let prepared = prepare(buffer.store(), &limits, 0, &[OLDER, |_| Ok(())], true).unwrap();
            assert!(matches!(prepared, Prepared::Ready(session) if session == *buffer.session()));
        }
        assert_eq!(buffer.doc(b"moved").unwrap().unwrap().value, [1]);
        assert_eq!(buffer.store().value(&schema_key()).unwrap().unwrap(), b"3");
    }

    #[test]
    fn a_step_that_fails_leaves_the_schema_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        let buffer = opened(&root.path().join("buffer"));
        let failing: Step = |tx| {
            OLDER(tx)?;
            Err(corrupt("test", "on purpose"))
        };
        assert!(prepare(buffer.store(), &Limits::default(), 0, &[failing], true).is_err());
        assert_eq!(buffer.doc(b"moved").unwrap(), None);
        assert_eq!(buffer.store().value(&schema_key()).unwrap().unwrap(), b"1");
    }

    #[test]
    fn a_newer_schema_is_refused_with_a_sentence_and_the_folder_is_left_alone() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("buffer");
        let newer = opened(&folder);
        newer.transact_blocking(|tx| tx.put("schema version", schema_key(), b"7")).unwrap();
        drop(newer);
        let error = Buffer::open(&Options::new(&folder)).unwrap_err();
        assert!(matches!(error, OpenError::NewerSchema { found: 7, supported: 1, .. }));
        let text = error.to_string().replace(&folder.display().to_string(), "FOLDER");
        assert_eq!(
            text,
            "the buffer folder FOLDER was written by a newer buddy-host (its schema is 7, this program knows up to 1): \
             update this program, or name another folder"
        );
        assert!(folder.join("db").is_file());
    }
}
