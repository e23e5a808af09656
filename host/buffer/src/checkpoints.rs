//! Checkpoints: a task's own key-values, across its tries and restarts of the host, until the task has succeeded, is
//! cancelled or given up, or is forgotten. Those of a dead letter stay: a person's retry goes on from them.
//!
//! They also say whether a try came further: it did when it kept a key that was not there when it began. As a task may
//! keep so many and no more, it can come further only so often.

use buddy_router::TaskId;
use serde::{Deserialize, Serialize};

use crate::{
    Buffer,
    error::{BufferError, Result},
    key::{self, MAX_KEY, Space},
    read::{Pair, Read},
    tx::Tx,
    value,
};

const WHAT: &str = "checkpoint";

/// What a task's checkpoints take.
#[derive(Default, Serialize, Deserialize)]
struct Use {
    records: u64,
    bytes: u64,
    /// Of the records, those that were there when the last try began.
    #[serde(default)]
    before_try: u64,
}

fn key_of(task: &TaskId, name: &str) -> Result<Vec<u8>> {
    key::check("checkpoint key", name, MAX_KEY)?;
    Ok(key::of(Space::Checkpoints, &[task.as_str().as_bytes(), name.as_bytes()]))
}

impl Tx<'_> {
    /// Keeps a value under a key of 1 to 512 bytes.
    pub fn save_checkpoint(&mut self, task: &TaskId, name: &str, bytes: &[u8]) -> Result<()> {
        let key = key_of(task, name)?;
        let mut used = self.checkpoint_use(task)?.unwrap_or_default();
        match self.raw(&key)? {
            Some(old) => used.bytes = used.bytes.saturating_sub((name.len() + value::len(&old)?) as u64),
            None => used.records += 1,
        }
        used.bytes += (name.len() + bytes.len()) as u64;
        let quota = |unit, wanted, quota| {
            let owner = format!("task {}", task.short()).into();
            if wanted > quota { Err(BufferError::Quota { owner, unit, wanted, quota }) } else { Ok(()) }
        };
        quota("bytes", used.bytes, self.limits.checkpoint_bytes_per_task)?;
        quota("checkpoints", used.records, self.limits.checkpoints_per_task)?;
        self.put(WHAT, key, bytes)?;
        self.put_checkpoint_use(task, &used)
    }

    fn checkpoint_use(&self, task: &TaskId) -> Result<Option<Use>> {
        let bytes = self.value(&key::of_task(Space::CheckpointUse, task))?;
        bytes.map(|bytes| value::from_json(WHAT, &bytes)).transpose()
    }

    fn put_checkpoint_use(&mut self, task: &TaskId, used: &Use) -> Result<()> {
        let used = value::to_json(WHAT, used)?;
        self.put(WHAT, key::of_task(Space::CheckpointUse, task), &used)
    }

    /// A try begins: what is kept now was kept before it.
    pub(crate) fn begin_checkpoints(&mut self, task: &TaskId) -> Result<()> {
        match self.checkpoint_use(task)? {
            Some(used) if used.before_try != used.records => {
                self.put_checkpoint_use(task, &Use { before_try: used.records, ..used })
            }
            _ => Ok(()),
        }
    }

    /// Whether the last try has kept anything under a new key.
    pub(crate) fn has_new_checkpoints(&self, task: &TaskId) -> Result<bool> {
        Ok(self.checkpoint_use(task)?.is_some_and(|used| used.records > used.before_try))
    }

    /// Drops all checkpoints of a task.
    pub fn clear_checkpoints(&mut self, task: &TaskId) -> Result<()> {
        if self.remove(&key::of_task(Space::CheckpointUse, task))? {
            self.remove_all(&key::of_task(Space::Checkpoints, task))?;
        }
        Ok(())
    }
}

impl Buffer {
    /// The value under a key.
    pub fn checkpoint(&self, task: &TaskId, name: &str) -> Result<Option<Vec<u8>>> {
        self.store().value(&key_of(task, name)?)
    }

    /// All keys with this prefix and their values, in byte order. Bounded by the task's quota.
    pub fn checkpoints(&self, task: &TaskId, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let own = key::of_task(Space::Checkpoints, task);
        let from = [&own[..], prefix.as_bytes()].concat();
        let (records, _) = self.store().page(&from, key::after_prefix(&from).as_deref(), usize::MAX, usize::MAX)?;
        let named = |(key, value): Pair| {
            let name = String::from_utf8(key[own.len()..].to_vec()).map_err(|error| value::corrupt(WHAT, error))?;
            Ok((name, value))
        };
        records.into_iter().map(named).collect()
    }

    /// See [`Tx::save_checkpoint`]. On the disk when it returns.
    pub async fn save_checkpoint(&self, task: &TaskId, name: &str, bytes: Vec<u8>) -> Result<()> {
        let (task, name) = (task.clone(), name.to_owned());
        self.transact(move |tx| tx.save_checkpoint(&task, &name, &bytes)).await
    }

    /// See [`Tx::clear_checkpoints`].
    pub async fn clear_checkpoints(&self, task: &TaskId) -> Result<()> {
        let task = task.clone();
        self.transact(move |tx| tx.clear_checkpoints(&task)).await
    }
}
