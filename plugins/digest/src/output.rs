//! What a digest answers with, and the bounds that keep it small.

use std::collections::HashSet;
use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Fault;
use crate::ops::Flow;
use crate::value::{Key, Record};

/// The result of a digest.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Output {
    /// The names of the columns, in order.
    pub columns: Vec<String>,
    /// The rows, each an object with its fields in the order of the columns.
    pub rows: Vec<Record>,
    /// How many rows there are.
    pub row_count: u64,
    /// How many records were read from the source, before any step. With a `limit` reading may have stopped early.
    pub input_rows: u64,
    /// What could not be read, of all sources together.
    pub skipped: Skipped,
    /// What was done otherwise than a careful reader may expect. Empty is good.
    pub warnings: Vec<String>,
}

/// Rows and lines that could not be read.
#[derive(Clone, Debug, Default, Serialize, JsonSchema)]
pub struct Skipped {
    /// How many.
    pub count: u64,
    /// The first ones, at most 20.
    pub first: Vec<SkippedRow>,
}

/// A row or line that could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SkippedRow {
    /// The source, by its place in the input, such as `/from`.
    pub source: String,
    /// The line on which the row begins, counted from 1.
    pub line: u64,
    /// What is wrong with it.
    pub reason: String,
}

/// As many as a person would look at.
const MOST_SKIPPED_SHOWN: usize = 20;

impl Skipped {
    pub(crate) fn add(&mut self, source: &str, line: u64, reason: String) {
        self.count += 1;
        if self.first.len() < MOST_SKIPPED_SHOWN {
            self.first.push(SkippedRow { source: source.to_owned(), line, reason });
        }
    }
}

/// Warnings beyond this say nothing new.
const MOST_WARNINGS: usize = 50;

/// The warnings of one digest.
#[derive(Debug, Default)]
pub(crate) struct Warnings {
    list: Vec<String>,
    more: usize,
}

impl Warnings {
    pub(crate) fn add(&mut self, warning: String) {
        if self.list.len() < MOST_WARNINGS {
            self.list.push(warning);
        } else {
            self.more += 1;
        }
    }

    pub(crate) fn into_list(mut self) -> Vec<String> {
        if self.more > 0 {
            self.list.push(format!("{} more warnings are not shown.", self.more));
        }
        self.list
    }
}

/// A digest is what is pushed in place of a large result; more than this is no digest.
const MOST_RESULT_BYTES: usize = 8 << 20;

/// Where the last step's rows end.
#[derive(Debug)]
pub(crate) struct Sink {
    rows: Vec<Record>,
    max_rows: usize,
    bytes: usize,
}

impl Sink {
    pub(crate) fn new(max_rows: u32) -> Self {
        Self { rows: Vec::new(), max_rows: usize::try_from(max_rows).unwrap_or(usize::MAX), bytes: 0 }
    }

    pub(crate) fn push(&mut self, row: Record) -> Result<Flow, Fault> {
        if self.rows.len() >= self.max_rows {
            return Err(Fault::Data(format!(
                "The result has more than {} rows; end the steps with a `limit` or `top_k`, or raise `max_rows` (at \
                 most {}).",
                self.max_rows,
                crate::pipeline::MOST_ROWS
            )));
        }
        self.bytes += row.weight();
        if self.bytes > MOST_RESULT_BYTES {
            return Err(Fault::Data(format!(
                "The result is larger than {} MiB after {} rows; keep fewer fields with `select`, or fewer rows with \
                 `limit` or `top_k`.",
                MOST_RESULT_BYTES >> 20,
                self.rows.len()
            )));
        }
        self.rows.push(row);
        Ok(Flow::More)
    }

    pub(crate) fn into_rows(self) -> Vec<Record> {
        self.rows
    }
}

/// The columns of rows that need not be alike, in the order in which they first appear.
pub(crate) fn columns_of(rows: &[Record]) -> Vec<Key> {
    let mut seen: HashSet<Key> = HashSet::new();
    let mut columns = Vec::new();
    for (name, _) in rows.iter().flat_map(Record::iter) {
        if !seen.contains(name) {
            seen.insert(Arc::clone(name));
            columns.push(Arc::clone(name));
        }
    }
    columns
}
