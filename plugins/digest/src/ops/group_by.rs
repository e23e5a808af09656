//! `group_by`: one row for each group, in the order in which the groups were first seen.

use std::sync::Arc;

use super::aggregate::{Figure, State};
use super::keys::{KeyTable, Place};
use super::select::{Pick, named, picks, unfit};
use super::{Flow, Next, Stage};
use crate::error::{Fault, Problems};
use crate::input;
use crate::value::{Key, Record, Value};

/// The step at work.
pub(crate) struct GroupBy {
    by: Vec<Pick>,
    figures: Vec<Figure>,
    groups: KeyTable,
    /// The states of the figures, those of one group together.
    states: Vec<State>,
}

impl GroupBy {
    pub(crate) fn new(step: &input::GroupBy, at: &str, problems: &mut Problems) -> Option<Self> {
        let by = picks(step.by.iter().map(named), &format!("{at}/by"), problems);
        let figures = if step.aggregates.is_empty() {
            vec![Some(Figure::count_of_rows())]
        } else {
            step.aggregates
                .iter()
                .enumerate()
                .map(|(n, aggregate)| Figure::new(aggregate, &format!("{at}/aggregates/{n}"), problems))
                .collect()
        };
        let figures: Vec<Figure> = figures.into_iter().collect::<Option<_>>()?;
        let by = by?;
        let mut names: Vec<Key> = by.iter().map(|pick| Arc::clone(&pick.name)).collect();
        for (n, figure) in figures.iter().enumerate() {
            for column in &figure.columns {
                if column.is_empty() || names.contains(column) {
                    problems.add(format!("{at}/aggregates/{n}"), unfit(column));
                    return None;
                }
                names.push(Arc::clone(column));
            }
        }
        let mut step = Self { by, figures, groups: KeyTable::default(), states: Vec::new() };
        if step.by.is_empty() {
            // The one group of all rows is there even when no row comes.
            step.groups.place(&[]);
            step.open();
        }
        Some(step)
    }

    pub(crate) fn columns(&self) -> Vec<Key> {
        let by = self.by.iter().map(|pick| Arc::clone(&pick.name));
        by.chain(self.figures.iter().flat_map(|figure| figure.columns.iter().cloned())).collect()
    }

    fn open(&mut self) {
        self.states.extend(self.figures.iter().map(Figure::start));
    }
}

impl Stage for GroupBy {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        let key: Vec<&Value> = self.by.iter().map(|pick| pick.path.get_or_null(&row)).collect();
        let group = match self.groups.place(&key) {
            Place::Known(at) => at,
            Place::New { at, weight } => {
                next.hold(weight + self.figures.len() * size_of::<State>())?;
                self.open();
                at
            }
        };
        let first = group * self.figures.len();
        for (figure, state) in self.figures.iter_mut().zip(&mut self.states[first..]) {
            next.hold(figure.add(state, &row))?;
        }
        Ok(Flow::More)
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), Fault> {
        let keys = std::mem::take(&mut self.groups).into_keys();
        let mut states = std::mem::take(&mut self.states).into_iter();
        let mut rows = Vec::with_capacity(keys.len());
        for key in keys {
            let mut row = Record::with_capacity(self.by.len() + self.figures.len());
            for (pick, value) in self.by.iter().zip(key) {
                row.push(&pick.name, value);
            }
            for (figure, state) in self.figures.iter_mut().zip(states.by_ref()) {
                figure.finish(state, &mut row);
            }
            rows.push(row);
        }
        for warning in self.figures.iter().flat_map(Figure::warnings) {
            next.warn(warning);
        }
        next.push_all(rows)
    }
}
