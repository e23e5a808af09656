//! A host in memory, and digests run from JSON texts as a task would bring them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs, unreachable_pub)]

use std::cell::Cell;
use std::collections::HashMap;

use buddy_digest::error::Fault;
use buddy_digest::host::{Host, Stored};
use buddy_digest::input::Input;
use futures::executor::block_on;
use serde_json::{Value, json};

/// Artifacts in memory, handed out in pieces of `piece` bytes.
#[derive(Debug)]
pub struct Memory {
    files: HashMap<String, (Stored, Vec<u8>)>,
    piece: usize,
    cancelled: bool,
    /// Bytes handed out so far.
    pub given: Cell<usize>,
}

impl Default for Memory {
    fn default() -> Self {
        Self { files: HashMap::new(), piece: 1 << 16, cancelled: false, given: Cell::new(0) }
    }
}

impl Memory {
    pub fn with(mut self, id: &str, name: &str, media_type: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        let stored = Stored { size: bytes.len() as u64, media_type: media_type.into(), name: name.into() };
        self.files.insert(id.into(), (stored, bytes));
        self
    }

    pub fn in_pieces_of(mut self, bytes: usize) -> Self {
        self.piece = bytes;
        self
    }

    pub fn cancelled(mut self) -> Self {
        self.cancelled = true;
        self
    }

    fn file(&self, id: &str) -> Result<&(Stored, Vec<u8>), Fault> {
        self.files.get(id).ok_or_else(|| Fault::Host {
            message: format!("There is no artifact `{id}`."),
            retryable: false,
            after_ms: None,
        })
    }
}

impl Host for Memory {
    async fn stat(&self, id: &str) -> Result<Stored, Fault> {
        self.file(id).map(|(stored, _)| stored.clone())
    }

    async fn read(&self, id: &str, offset: u64, len: u32) -> Result<Vec<u8>, Fault> {
        let (_, bytes) = self.file(id)?;
        let from = usize::try_from(offset).unwrap().min(bytes.len());
        let len = self.piece.min(len as usize).min(bytes.len() - from);
        self.given.set(self.given.get() + len);
        Ok(bytes[from..from + len].to_vec())
    }

    fn progress(&self, done: u64, total: u64, _message: &str) {
        assert!(done <= total);
    }

    fn is_cancelled(&self) -> bool {
        self.cancelled
    }
}

pub fn input(json: &Value) -> Input {
    serde_json::from_str(&json.to_string()).expect("an input by its types")
}

/// The result, as the text that the task would carry.
pub fn run_text(json: &Value, host: &Memory) -> Result<String, Fault> {
    block_on(buddy_digest::digest(input(json), host)).map(|output| serde_json::to_string(&output).unwrap())
}

pub fn run(json: &Value, host: &Memory) -> Value {
    let text = run_text(json, host).unwrap_or_else(|fault| panic!("{fault}"));
    serde_json::from_str(&text).unwrap()
}

pub fn fault(json: &Value, host: &Memory) -> Fault {
    run_text(json, host).expect_err("a fault")
}

/// The rows that `steps` make of `records`.
pub fn rows(records: &Value, steps: &Value) -> Value {
    output(records, steps)["rows"].clone()
}

pub fn output(records: &Value, steps: &Value) -> Value {
    run(&json!({ "from": { "records": records }, "steps": steps }), &Memory::default())
}

/// The rows read from a text.
#[allow(clippy::needless_pass_by_value)] // the callers' tables read better
pub fn read(from: Value) -> Value {
    run(&json!({ "from": from }), &Memory::default())
}
