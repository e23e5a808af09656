//! `select`: keeps named fields as the row's columns; and the reading of lists of fields that other steps share.

use super::{Flow, Next, Stage};
use crate::error::{Fault, Problems};
use crate::input::{Column, TextOr};
use crate::path::Path;
use crate::value::{Key, Record, intern};

/// A field and its column.
#[derive(Clone, Debug)]
pub(crate) struct Pick {
    pub(crate) path: Path,
    pub(crate) name: Key,
}

/// Reads a list of fields, noting every bad one with its place. An empty list is bad too.
pub(crate) fn paths(fields: &[String], at: &str, problems: &mut Problems) -> Option<Vec<Path>> {
    if fields.is_empty() {
        problems.add(at, "Name at least one field.");
        return None;
    }
    let read: Vec<_> = fields.iter().enumerate().map(|(n, text)| path(text, &format!("{at}/{n}"), problems)).collect();
    read.into_iter().collect()
}

/// Reads one field.
pub(crate) fn path(text: &str, at: &str, problems: &mut Problems) -> Option<Path> {
    Path::parse(text).map_err(|why| problems.add(at, why)).ok()
}

/// Reads a list of columns; no two may have one name.
pub(crate) fn picks(columns: &[TextOr<Column>], at: &str, problems: &mut Problems) -> Option<Vec<Pick>> {
    let mut picks: Vec<Pick> = Vec::with_capacity(columns.len());
    let mut sound = true;
    for (n, TextOr(column)) in columns.iter().enumerate() {
        let at = format!("{at}/{n}");
        let Some(path) = path(&column.field, &at, problems) else {
            sound = false;
            continue;
        };
        let name = column.name.as_deref().map_or_else(|| path.column(), intern);
        if name.is_empty() || picks.iter().any(|other| other.name == name) {
            problems.add(at, unfit(&name));
            sound = false;
            continue;
        }
        picks.push(Pick { path, name });
    }
    sound.then_some(picks)
}

/// What to say of a column name that cannot be used.
pub(crate) fn unfit(name: &str) -> String {
    if name.is_empty() {
        "A column needs a name; give one with `as`.".into()
    } else {
        format!("There is a column `{name}` already; give this one another name with `as`.")
    }
}

/// The step at work.
pub(crate) struct Select {
    picks: Vec<Pick>,
}

impl Select {
    pub(crate) fn new(columns: &[TextOr<Column>], at: &str, problems: &mut Problems) -> Option<Self> {
        if columns.is_empty() {
            problems.add(at, "Name at least one field.");
            return None;
        }
        picks(columns, at, problems).map(|picks| Self { picks })
    }

    pub(crate) fn columns(&self) -> Vec<Key> {
        self.picks.iter().map(|pick| pick.name.clone()).collect()
    }
}

impl Stage for Select {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        let mut kept = Record::with_capacity(self.picks.len());
        for pick in &self.picks {
            kept.push(&pick.name, pick.path.get_or_null(&row).clone());
        }
        next.push(kept)
    }
}
