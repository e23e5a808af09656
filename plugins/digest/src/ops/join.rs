//! `join`: adds columns from other records that have the same key.
//!
//! The other records are read first, into a hash table; the rows then stream past it.

use super::keys::{KeyTable, Place};
use super::select::{Pick, named, path, picks};
use super::{Budget, Flow, Next, Stage};
use crate::error::{Fault, Problems};
use crate::input::{self, JoinKind, TextOr};
use crate::path::Path;
use crate::value::{Key, Record, Value};

/// The step: empty at first, filled by [`Join::add`], at work after that.
pub(crate) struct Join {
    left: Vec<Path>,
    right: Vec<Path>,
    /// `None`: all of the other side's fields but its keys.
    take: Option<Vec<Pick>>,
    kind: JoinKind,
    at: String,
    table: KeyTable,
    /// The rows of each key of `table`.
    rows: Vec<Vec<Record>>,
    /// The columns that are added, in order.
    columns: Vec<Key>,
    known: std::collections::HashSet<Key>,
}

impl Join {
    pub(crate) fn new(step: &input::Join, at: &str, problems: &mut Problems) -> Option<Self> {
        if step.on.is_empty() {
            problems.add(format!("{at}/on"), "Name at least one field that must be equal.");
            return None;
        }
        let (mut left, mut right) = (Vec::new(), Vec::new());
        for (n, TextOr(key)) in step.on.iter().enumerate() {
            let at = format!("{at}/on/{n}");
            left.extend(path(&key.left, &at, problems));
            right.extend(path(&key.right, &at, problems));
        }
        let take = match &step.take {
            Some(columns) => Some(picks(columns.iter().map(named), &format!("{at}/take"), problems)?),
            None => None,
        };
        if left.len() != step.on.len() || right.len() != step.on.len() {
            return None;
        }
        let columns: Vec<Key> = take.iter().flatten().map(|pick| pick.name.clone()).collect();
        Some(Self {
            left,
            right,
            take,
            kind: step.kind,
            at: at.to_owned(),
            table: KeyTable::default(),
            rows: Vec::new(),
            known: columns.iter().cloned().collect(),
            columns,
        })
    }

    /// Takes one record of the other side.
    pub(crate) fn add(&mut self, mut record: Record, budget: &mut Budget) -> Result<(), Fault> {
        let key: Vec<&Value> = self.right.iter().map(|path| path.get_or_null(&record)).collect();
        // A column exists even where its rows can never match: a left join shows it as null.
        let matchable = key.iter().all(|part| !part.is_null());
        let at = if matchable {
            match self.table.place(&key) {
                Place::Known(at) => Some(at),
                Place::New { at, weight } => {
                    budget.hold(weight)?;
                    self.rows.push(Vec::new());
                    Some(at)
                }
            }
        } else {
            None
        };
        let kept = if let Some(take) = &self.take {
            let mut kept = Record::with_capacity(take.len());
            for pick in take {
                kept.push(&pick.name, pick.path.get_or_null(&record).clone());
            }
            kept
        } else {
            for path in &self.right {
                path.take(&mut record);
            }
            for (name, _) in record.iter() {
                if !self.known.contains(name) {
                    self.known.insert(name.clone());
                    self.columns.push(name.clone());
                }
            }
            record
        };
        if let Some(at) = at {
            budget.hold(size_of::<Record>() + kept.weight())?;
            self.rows[at].push(kept);
        }
        Ok(())
    }

    /// `row` with the columns of `other`, or with nulls.
    fn joined(&self, mut row: Record, other: Option<&Record>) -> Result<Record, Fault> {
        for name in &self.columns {
            if row.get(name).is_some() {
                return Err(Fault::Data(format!(
                    "{}: both sides have a field `{name}`; list what the join adds in `take`, and give this one \
                     another name there with `as`.",
                    self.at
                )));
            }
        }
        for name in &self.columns {
            let value = other.and_then(|other| other.get(name)).cloned().unwrap_or(Value::Null);
            row.push(name, value);
        }
        Ok(row)
    }
}

impl Stage for Join {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        let key: Vec<&Value> = self.left.iter().map(|path| path.get_or_null(&row)).collect();
        let found = if key.iter().any(|part| part.is_null()) { None } else { self.table.find(&key) };
        let Some(at) = found else {
            return match self.kind {
                JoinKind::Inner => Ok(Flow::More),
                JoinKind::Left => next.push(self.joined(row, None)?),
            };
        };
        for other in &self.rows[at] {
            if next.push(self.joined(row.clone(), Some(other))?)? == Flow::Enough {
                return Ok(Flow::Enough);
            }
        }
        Ok(Flow::More)
    }
}
