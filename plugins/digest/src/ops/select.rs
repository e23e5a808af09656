//! `select`: keeps named fields as the row's columns; and the reading of lists of fields that other steps share.
//!
//! A column may name the type that its values are read as. That never fails a row: a value that cannot be read so becomes
//! null, and a warning counts these for each column.

use super::cast::{cast, noun};
use super::{Flow, Next, Stage, counted};
use crate::error::{Fault, Problems};
use crate::input::{Column, ColumnType, SelectColumn, TextOr};
use crate::path::Path;
use crate::value::{Key, Record, Value, intern};

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

/// A column's field and the name given to it, if any.
pub(crate) fn named(TextOr(column): &TextOr<Column>) -> (&str, Option<&str>) {
    (&column.field, column.name.as_deref())
}

/// Reads a list of columns, each a field and the name given to it; no two may have one name.
pub(crate) fn picks<'a>(
    columns: impl IntoIterator<Item = (&'a str, Option<&'a str>)>,
    at: &str,
    problems: &mut Problems,
) -> Option<Vec<Pick>> {
    let mut picks: Vec<Pick> = Vec::new();
    let mut sound = true;
    for (n, (field, name)) in columns.into_iter().enumerate() {
        let at = format!("{at}/{n}");
        let Some(path) = path(field, &at, problems) else {
            sound = false;
            continue;
        };
        let name = name.map_or_else(|| path.column(), intern);
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
    columns: Vec<Typed>,
    at: String,
}

/// A column, and what its values are read as.
struct Typed {
    pick: Pick,
    kind: Option<ColumnType>,
    /// Values that could not be read so.
    unread: u64,
}

impl Select {
    pub(crate) fn new(columns: &[TextOr<SelectColumn>], at: &str, problems: &mut Problems) -> Option<Self> {
        if columns.is_empty() {
            problems.add(at, "Name at least one field.");
            return None;
        }
        let picks = picks(columns.iter().map(|TextOr(one)| (&*one.field, one.name.as_deref())), at, problems)?;
        let columns =
            picks.into_iter().zip(columns).map(|(pick, TextOr(one))| Typed { pick, kind: one.kind, unread: 0 });
        Some(Self { columns: columns.collect(), at: at.to_owned() })
    }

    pub(crate) fn columns(&self) -> Vec<Key> {
        self.columns.iter().map(|column| column.pick.name.clone()).collect()
    }
}

impl Stage for Select {
    fn push(&mut self, row: Record, next: &mut Next<'_>) -> Result<Flow, Fault> {
        let mut kept = Record::with_capacity(self.columns.len());
        for Typed { pick, kind, unread } in &mut self.columns {
            let value = pick.path.get_or_null(&row);
            let value = match kind {
                None => value.clone(),
                Some(kind) => cast(value, *kind).unwrap_or_else(|| {
                    *unread += 1;
                    Value::Null
                }),
            };
            kept.push(&pick.name, value);
        }
        next.push(kept)
    }

    fn finish(&mut self, next: &mut Next<'_>) -> Result<(), Fault> {
        for (n, column) in self.columns.iter().enumerate() {
            if let (Some(kind), 1..) = (column.kind, column.unread) {
                next.warn(format!(
                    "{}/{n}: {} not readable as {} in column `{}`, and became null.",
                    self.at,
                    counted(column.unread, "value"),
                    noun(kind),
                    column.pick.name
                ));
            }
        }
        Ok(())
    }
}
