//! `dedupe`: keeps one row for each key, the first or the last, at the place of the first.

use super::keys::{KeyTable, Place};
use super::{Flow, Next, Stage};
use crate::error::{Fault, Problems};
use crate::input::{self, Keep};
use crate::path::Path;
use crate::value::{Record, Value};

/// The step at work.
pub(crate) struct Dedupe {
    /// `None`: the whole row is the key.
    by: Option<Vec<Path>>,
    keep: Keep,
    seen: KeyTable,
    /// The rows held back when the last one stays.
    rows: Vec<Record>,
}

impl Dedupe {
    pub(crate) fn new(step: &input::Dedupe, at: &str, problems: &mut Problems) -> Option<Self> {
        let by = match &step.by {
            Some(fields) => Some(super::select::paths(fields, &format!("{at}/by"), problems)?),
            None => None,
        };
        Some(Self { by, keep: step.keep, seen: KeyTable::default(), rows: Vec::new() })
    }

    fn place(&mut self, row: Record) -> (Place, Record) {
        if let Some(by) = &self.by {
            let key: Vec<&Value> = by.iter().map(|path| path.get_or_null(&row)).collect();
            (self.seen.place(&key), row)
        } else {
            let whole = Value::Map(row);
            (self.seen.place(&[&whole]), Record::from_value(whole))
        }
    }
}

impl Stage for Dedupe {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        let (place, row) = self.place(row);
        match (place, self.keep) {
            (Place::Known(_), Keep::First) => Ok(Flow::More),
            (Place::New { weight, .. }, Keep::First) => {
                next.hold(weight)?;
                next.push(row)
            }
            (Place::Known(at), Keep::Last) => {
                next.hold(row.weight())?;
                next.release(self.rows[at].weight());
                self.rows[at] = row;
                Ok(Flow::More)
            }
            (Place::New { weight, .. }, Keep::Last) => {
                next.hold(weight + row.weight())?;
                self.rows.push(row);
                Ok(Flow::More)
            }
        }
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), Fault> {
        next.push_all(std::mem::take(&mut self.rows))
    }
}
