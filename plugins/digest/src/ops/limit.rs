//! `limit`: keeps the first so many rows, and stops the reading there.

use super::{Flow, Next, Stage};
use crate::error::Fault;
use crate::value::Record;

/// The step at work.
pub(crate) struct Limit {
    left: u64,
}

impl Limit {
    pub(crate) fn new(rows: u64) -> Self {
        Self { left: rows }
    }
}

impl Stage for Limit {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        let Some(left) = self.left.checked_sub(1) else {
            return Ok(Flow::Enough);
        };
        self.left = left;
        let flow = next.push(row)?;
        Ok(if left == 0 { Flow::Enough } else { flow })
    }
}
