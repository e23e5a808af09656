//! The operations, one file each, and how they hang together.
//!
//! Rows are pushed through a chain of [`Stage`]s. One that can decide row by row (filter, select, explode, join, limit,
//! `dedupe` keeping the first) passes rows on at once and holds nothing but keys; one that must see all rows first
//! (sort, `group_by`, `top_k`, `dedupe` keeping the last) holds what it needs and emits at the end. All that is held
//! counts against one [`Budget`], so that a digest fails with a sentence before its memory runs out.

pub(crate) mod aggregate;
pub(crate) mod cast;
pub(crate) mod dedupe;
pub(crate) mod explode;
pub(crate) mod filter;
pub(crate) mod group_by;
pub(crate) mod join;
pub(crate) mod keys;
pub(crate) mod limit;
pub(crate) mod order;
pub(crate) mod select;
pub(crate) mod sort;
pub(crate) mod top_k;

use crate::error::Fault;
use crate::output::{Sink, Warnings};
use crate::value::Record;

/// Whether more rows are of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    More,
    /// The result is complete; whoever produces rows may stop.
    Enough,
}

/// One step at work.
pub(crate) trait Stage {
    /// Takes a row; what comes of it goes to `next`.
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault>;

    /// There are no more rows: emits what was held back, and says what is to be warned of.
    fn finish(&mut self, _next: &mut Next<'_>) -> Result<(), Fault> {
        Ok(())
    }
}

/// What all stages share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sink: Sink,
    pub(crate) warnings: Warnings,
    pub(crate) budget: Budget,
}

/// The rest of the chain, as a stage sees it.
pub(crate) struct Next<'a> {
    pub(crate) rest: &'a mut [Box<dyn Stage>],
    pub(crate) shared: &'a mut Shared,
}

impl Next<'_> {
    /// Passes a row on.
    pub(crate) fn push(&mut self, row: Record) -> Result<Flow, Fault> {
        match self.rest.split_first_mut() {
            Some((stage, rest)) => stage.push(row, &mut Next { rest, shared: self.shared }),
            None => self.shared.sink.push(row),
        }
    }

    /// Passes rows on until there are enough.
    pub(crate) fn push_all(&mut self, rows: impl IntoIterator<Item = Record>) -> Result<(), Fault> {
        for row in rows {
            if self.push(row)? == Flow::Enough {
                break;
            }
        }
        Ok(())
    }

    /// Accounts for `bytes` that a stage keeps.
    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        self.shared.budget.hold(bytes)
    }

    /// The reverse of [`Next::hold`].
    pub(crate) fn release(&mut self, bytes: usize) {
        self.shared.budget.release(bytes);
    }

    pub(crate) fn warn(&mut self, warning: String) {
        self.shared.warnings.add(warning);
    }
}

/// Half of the memory that the plugin asks for (256 MiB): a document of the largest size may be in memory at the same
/// time, and a growing vector is twice as large for a moment.
const MOST_HELD_BYTES: usize = 128 << 20;

/// How much all stages together may hold.
#[derive(Debug)]
pub(crate) struct Budget {
    left: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(MOST_HELD_BYTES)
    }
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self { left: bytes }
    }

    pub(crate) fn hold(&mut self, bytes: usize) -> Result<(), Fault> {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => Err(Fault::Data(format!(
                "The steps would hold more than {} MiB of records at once; put a filter or a select before the first \
                 sort, group_by, dedupe or join, or use top_k in place of sort.",
                MOST_HELD_BYTES >> 20
            ))),
        }
    }

    pub(crate) fn release(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes);
    }
}

/// "3 values are", "1 value is".
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun} is") } else { format!("{count} {noun}s are") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_has_a_bound_and_what_is_let_go_is_free_again() {
        let mut budget = Budget::new(10);
        assert_eq!(budget.hold(7), Ok(()));
        assert!(matches!(budget.hold(4), Err(Fault::Data(_))));
        budget.release(2);
        assert_eq!(budget.hold(5), Ok(()));
    }
}
