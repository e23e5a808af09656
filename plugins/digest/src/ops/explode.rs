//! `explode`: one row for each element of a list.

use super::select::path;
use super::{Flow, Next, Stage};
use crate::error::{Fault, Problems};
use crate::input;
use crate::path::Path;
use crate::value::{Key, Record, Value, intern};

/// The step at work.
pub(crate) struct Explode {
    field: Path,
    name: Option<Key>,
    keep_empty: bool,
}

impl Explode {
    pub(crate) fn new(step: &input::Explode, at: &str, problems: &mut Problems) -> Option<Self> {
        let field = path(&step.field, &format!("{at}/field"), problems)?;
        if step.name.as_deref() == Some("") {
            problems.add(format!("{at}/as"), "A column needs a name.");
            return None;
        }
        Some(Self { field, name: step.name.as_deref().map(intern), keep_empty: step.keep_empty })
    }

    /// Puts the element where it belongs.
    fn put(&self, row: &mut Record, element: Value) {
        if let Some(name) = &self.name {
            row.set(name, element);
        } else if let Some(slot) = self.field.get_mut(row) {
            *slot = element;
        } else {
            // Only a row kept although the field is missing comes here.
            row.set(&self.field.column(), element);
        }
    }
}

impl Stage for Explode {
    fn push(&mut self, mut row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        let list = match (&self.name, self.field.get_mut(&mut row)) {
            (_, None) => None,
            (None, Some(slot)) => Some(std::mem::replace(slot, Value::Null)),
            (Some(_), Some(_)) => self.field.take(&mut row),
        };
        let mut elements = match list {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::List(list)) => list,
            Some(one) => vec![one],
        };
        if elements.is_empty() && self.keep_empty {
            elements.push(Value::Null);
        }
        let Some(last) = elements.pop() else {
            return Ok(Flow::More);
        };
        for element in elements {
            let mut copy = row.clone();
            self.put(&mut copy, element);
            if next.push(copy)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        self.put(&mut row, last);
        next.push(row)
    }
}
