//! Results on their way out: in order, until the coordinator has them.
//!
//! An entry goes only by [`Tx::acknowledge`] (the commit was OK), [`Tx::supersede`] (another finish was applied) or
//! [`Tx::set_aside`] (it can never be applied). The last two keep the result, with the reason.

use std::collections::HashSet;

use buddy_router::{Body, Outcome, TaskId, TaskResult, UnixMs};
use serde::{Deserialize, Serialize};

use crate::{
    Buffer,
    error::Result,
    key::{self, Space},
    read::Read,
    tx::Tx,
    value::{self, corrupt},
};

/// JSON texts from this many bytes on are compressed: below, the frame costs more than it saves.
const COMPRESS_FROM: usize = 32 * 1024;

/// A result that waits to be pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxEntry {
    /// Its number: rises, never used twice.
    pub seq: u64,
    /// The result.
    pub result: TaskResult,
    /// When it was put in.
    pub queued: UnixMs,
    /// Somebody waits for it: it is pushed at once.
    pub urgent: bool,
    /// Bytes that it takes in a request.
    pub bytes: usize,
}

/// A result that left the outbox without having been applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsideEntry {
    /// The entry as it was.
    pub entry: OutboxEntry,
    /// Why, as one sentence.
    pub reason: String,
    /// Another finish of the task was applied; this one goes after a while.
    pub superseded: bool,
    /// When.
    pub since: UnixMs,
    /// When it goes; `None`: kept until somebody removes it.
    pub goes_at: Option<UnixMs>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    seq: u64,
    /// With the text of an inline result taken out.
    result: TaskResult,
    queued: UnixMs,
    urgent: bool,
    /// Length of the text that follows, before compression.
    text: Option<usize>,
    compressed: bool,
}

#[derive(Serialize, Deserialize)]
struct AsideHead {
    reason: String,
    superseded: bool,
    since: UnixMs,
    goes_at: Option<UnixMs>,
}

const WHAT: &str = "result in the outbox";
const ASIDE: &str = "result that was set aside";

fn key_of(space: Space, seq: u64) -> Vec<u8> {
    key::of(space, &[&seq.to_be_bytes()])
}

fn encode(seq: u64, result: &TaskResult, queued: UnixMs, urgent: bool) -> Result<Vec<u8>> {
    let mut result = result.clone();
    let text = match &mut result.outcome {
        Outcome::Succeeded { body: Body::Inline(text) } => Some(std::mem::take(text)),
        _ => None,
    };
    let len = text.as_ref().map(String::len);
    let (body, compressed) = value::compress(text.unwrap_or_default().into_bytes(), COMPRESS_FROM)?;
    value::pack(WHAT, &Head { seq, result, queued, urgent, text: len, compressed }, &body)
}

pub(crate) fn decode(bytes: &[u8]) -> Result<OutboxEntry> {
    let (Head { seq, mut result, queued, urgent, text, compressed }, body) = value::unpack(WHAT, bytes)?;
    if let (Some(len), Outcome::Succeeded { body: Body::Inline(inline) }) = (text, &mut result.outcome) {
        let bytes = value::decompress(WHAT, body, compressed, len)?;
        *inline = String::from_utf8(bytes).map_err(|error| corrupt(WHAT, error))?;
    }
    let bytes = result.encoded_len();
    Ok(OutboxEntry { seq, result, queued, urgent, bytes })
}

pub(crate) fn decode_aside(bytes: &[u8]) -> Result<AsideEntry> {
    let (AsideHead { reason, superseded, since, goes_at }, entry) = value::unpack(ASIDE, bytes)?;
    Ok(AsideEntry { entry: decode(&entry)?, reason, superseded, since, goes_at })
}

impl Tx<'_> {
    /// Puts a result into the outbox; its number. Most callers want [`Tx::finish_task`].
    pub fn enqueue_result(&mut self, result: &TaskResult, urgent: bool) -> Result<u64> {
        self.counters().seq += 1;
        let seq = self.counters().seq;
        let bytes = encode(seq, result, self.now(), urgent)?;
        self.put(WHAT, key_of(Space::Outbox, seq), &bytes)?;
        Ok(seq)
    }

    /// An entry, if it is still there.
    pub fn outbox_entry(&self, seq: u64) -> Result<Option<OutboxEntry>> {
        self.value(&key_of(Space::Outbox, seq))?.map(|bytes| decode(&bytes)).transpose()
    }

    /// The coordinator has these: they go, and their tasks are retired. Numbers that are not there are passed over;
    /// how many were.
    pub fn acknowledge(&mut self, seqs: &[u64]) -> Result<usize> {
        let mut gone = 0;
        for seq in seqs {
            if let Some(entry) = self.outbox_entry(*seq)? {
                self.remove(&key_of(Space::Outbox, *seq))?;
                self.retire_if_over(&entry)?;
                gone += 1;
            }
        }
        Ok(gone)
    }

    /// Another finish of the task was applied: kept for the time that the limits say. `false`: no such entry.
    pub fn supersede(&mut self, seq: u64, reason: &str) -> Result<bool> {
        let goes_at = self.now().saturating_add(self.limits.keep_superseded_ms);
        self.move_aside(seq, reason, true, Some(goes_at))
    }

    /// It can never be applied: kept until somebody decides. `false`: no such entry.
    pub fn set_aside(&mut self, seq: u64, reason: &str) -> Result<bool> {
        self.move_aside(seq, reason, false, None)
    }

    fn move_aside(&mut self, seq: u64, reason: &str, superseded: bool, goes_at: Option<UnixMs>) -> Result<bool> {
        let Some(bytes) = self.value(&key_of(Space::Outbox, seq))? else { return Ok(false) };
        let head = AsideHead { reason: reason.to_owned(), superseded, since: self.now(), goes_at };
        let key = key_of(Space::Aside, seq);
        if let Some(at) = goes_at {
            self.mark(key::expiry(&key, at))?;
        }
        let packed = value::pack(ASIDE, &head, &bytes)?;
        self.put(ASIDE, key, &packed)?;
        self.remove(&key_of(Space::Outbox, seq))?;
        self.retire_if_over(&decode(&bytes)?)?;
        Ok(true)
    }

    fn retire_if_over(&mut self, entry: &OutboxEntry) -> Result<()> {
        // A task that is here again under a newer lease is not over.
        let over = |task: &crate::LocalTask| task.task.state.is_final() && task.task.lease == entry.result.lease;
        if self.task(&entry.result.task)?.as_ref().is_some_and(over) {
            self.retire_task(&entry.result.task)?;
        }
        Ok(())
    }

    /// Removes a result that was set aside. `false`: no such entry.
    pub fn drop_aside(&mut self, seq: u64) -> Result<bool> {
        let key = key_of(Space::Aside, seq);
        let Some(bytes) = self.value(&key)? else { return Ok(false) };
        if let Some(at) = decode_aside(&bytes)?.goes_at {
            self.remove(&key::expiry(&key, at))?;
        }
        self.remove(&key)
    }

    /// Puts a result that was set aside back into the outbox, under its old number. `false`: no such entry.
    pub fn requeue_aside(&mut self, seq: u64) -> Result<bool> {
        let Some(bytes) = self.value(&key_of(Space::Aside, seq))? else { return Ok(false) };
        let (_, entry) = value::unpack::<AsideHead>(ASIDE, &bytes)?;
        self.drop_aside(seq)?;
        self.put(WHAT, key_of(Space::Outbox, seq), &entry)?;
        Ok(true)
    }
}

impl Buffer {
    /// Results that wait to be pushed.
    pub fn pending(&self) -> u64 {
        self.store().counters().records(Space::Outbox)
    }

    /// The oldest results with numbers above `after`: at most `count`, and `bytes` of request, but at least one if
    /// there is one. No task is in it twice: a commit must not name a document twice.
    pub fn peek_outbox(&self, after: Option<u64>, count: usize, bytes: usize) -> Result<Vec<OutboxEntry>> {
        let Some(first) = after.map_or(Some(0), |seq| seq.checked_add(1)) else { return Ok(Vec::new()) };
        let keys = self.store().keys(&key_of(Space::Outbox, first), Some(&Space::Outbox.end()), count)?;
        let mut batch = Vec::new();
        let mut total = 0_usize;
        let mut tasks: HashSet<TaskId> = HashSet::new();
        for key in keys {
            // Gone since the scan: acknowledged by somebody else.
            let Some(found) = self.store().value(&key)? else { continue };
            let entry = decode(&found)?;
            total = total.saturating_add(entry.bytes);
            if total > bytes && !batch.is_empty() {
                break;
            }
            if tasks.insert(entry.result.task.clone()) {
                batch.push(entry);
            }
        }
        Ok(batch)
    }

    /// An entry of the outbox, if it is still there.
    pub fn outbox_entry(&self, seq: u64) -> Result<Option<OutboxEntry>> {
        self.store().value(&key_of(Space::Outbox, seq))?.map(|bytes| decode(&bytes)).transpose()
    }

    /// Results that were set aside or superseded, with numbers above `after`, at most `limit`.
    pub fn aside(&self, after: Option<u64>, limit: usize) -> Result<Vec<AsideEntry>> {
        // What a person looks at; results are large.
        const BYTES: usize = 16 * 1024 * 1024;
        let Some(first) = after.map_or(Some(0), |seq| seq.checked_add(1)) else { return Ok(Vec::new()) };
        let from = key_of(Space::Aside, first);
        let (records, _) = self.store().page(&from, Some(&Space::Aside.end()), limit, BYTES)?;
        records.iter().map(|(_, bytes)| decode_aside(bytes)).collect()
    }

    /// See [`Tx::acknowledge`].
    pub async fn acknowledge(&self, seqs: Vec<u64>) -> Result<usize> {
        self.transact(move |tx| tx.acknowledge(&seqs)).await
    }

    /// See [`Tx::supersede`].
    pub async fn supersede(&self, seq: u64, reason: impl Into<String>) -> Result<bool> {
        let reason = reason.into();
        self.transact(move |tx| tx.supersede(seq, &reason)).await
    }

    /// See [`Tx::set_aside`].
    pub async fn set_aside(&self, seq: u64, reason: impl Into<String>) -> Result<bool> {
        let reason = reason.into();
        self.transact(move |tx| tx.set_aside(seq, &reason)).await
    }

    /// See [`Tx::requeue_aside`].
    pub async fn requeue_aside(&self, seq: u64) -> Result<bool> {
        self.transact(move |tx| tx.requeue_aside(seq)).await
    }

    /// See [`Tx::drop_aside`].
    pub async fn drop_aside(&self, seq: u64) -> Result<bool> {
        self.transact(move |tx| tx.drop_aside(seq)).await
    }
}
