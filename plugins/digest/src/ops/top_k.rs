//! `top_k`: the first `k` rows in an order, holding at most twice as many.

use super::order::Order;
use super::{Flow, Next, Stage};
use crate::error::{Fault, Problems};
use crate::input::{self, Direction};
use crate::value::Record;

/// More rows than this are no small result; and as many are held twice.
const MOST_ROWS: u32 = 100_000;

/// The step at work.
///
/// Rows gather until there are 2 `k`, then a stable sort lets the last `k` go: those that stay are before all that
/// comes later, so equal rows keep their order, and each row costs a share of one sort.
pub(crate) struct TopK {
    order: Order,
    k: usize,
    rows: Vec<Record>,
}

impl TopK {
    pub(crate) fn new(step: &input::TopK, at: &str, problems: &mut Problems) -> Option<Self> {
        let order = Order::new(&step.by, Direction::Desc, &format!("{at}/by"), problems);
        if step.k == 0 || step.k > MOST_ROWS {
            problems.add(format!("{at}/k"), format!("`k` is between 1 and {MOST_ROWS}."));
            return None;
        }
        Some(Self { order: order?, k: usize::try_from(step.k).ok()?, rows: Vec::new() })
    }

    fn shrink(&mut self, next: &mut Next<'_>) {
        self.rows.sort_by(|a, b| self.order.compare(a, b));
        for gone in self.rows.drain(self.k.min(self.rows.len())..) {
            next.release(size_of::<Record>() + gone.weight());
        }
    }
}

impl Stage for TopK {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        next.hold(size_of::<Record>() + row.weight())?;
        self.order.see(&row);
        self.rows.push(row);
        if self.rows.len() == self.k * 2 {
            self.shrink(next);
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), Fault> {
        self.shrink(next);
        for warning in self.order.warnings() {
            next.warn(warning);
        }
        next.push_all(std::mem::take(&mut self.rows))
    }
}
