//! `sort`: orders all rows; equal ones keep their order.

use super::order::Order;
use super::{Flow, Next, Stage};
use crate::error::{Fault, Problems};
use crate::input::{Direction, SortKey, TextOr};
use crate::value::Record;

/// The step at work.
pub(crate) struct Sort {
    order: Order,
    rows: Vec<Record>,
}

impl Sort {
    pub(crate) fn new(keys: &[TextOr<SortKey>], at: &str, problems: &mut Problems) -> Option<Self> {
        Some(Self { order: Order::new(keys, Direction::Asc, at, problems)?, rows: Vec::new() })
    }
}

impl Stage for Sort {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        next.hold(size_of::<Record>() + row.weight())?;
        self.order.see(&row);
        self.rows.push(row);
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), Fault> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.sort_by(|a, b| self.order.compare(a, b));
        for warning in self.order.warnings() {
            next.warn(warning);
        }
        next.push_all(rows)
    }
}
