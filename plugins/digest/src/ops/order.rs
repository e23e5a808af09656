//! Ordering rows by several keys, as `sort` and `top_k` do it.

use std::cmp::Ordering;

use super::select::path;
use crate::error::Problems;
use crate::input::{Direction, SortKey, TextOr};
use crate::path::Path;
use crate::value::{Record, Value};

/// An order of rows, and what was seen of the columns it looks at.
pub(crate) struct Order {
    keys: Vec<Key>,
    at: String,
}

struct Key {
    path: Path,
    falling: bool,
    /// One bit for each type seen, by its rank.
    types: u8,
}

impl Order {
    /// Reads the keys at `at`; `fallback` is the direction of those that give none.
    pub(crate) fn new(
        keys: &[TextOr<SortKey>],
        fallback: Direction,
        at: &str,
        problems: &mut Problems,
    ) -> Option<Self> {
        if keys.is_empty() {
            problems.add(at, "Name at least one field to order by.");
            return None;
        }
        let read: Vec<_> = keys
            .iter()
            .enumerate()
            .map(|(n, TextOr(key))| {
                path(&key.field, &format!("{at}/{n}"), problems).map(|path| Key {
                    path,
                    falling: key.order.unwrap_or(fallback) == Direction::Desc,
                    types: 0,
                })
            })
            .collect();
        Some(Self { keys: read.into_iter().collect::<Option<_>>()?, at: at.to_owned() })
    }

    /// Takes note of the types in a row.
    pub(crate) fn see(&mut self, row: &Record) {
        for key in &mut self.keys {
            key.types |= 1 << key.path.get_or_null(row).rank();
        }
    }

    /// Null and missing come last in both directions.
    pub(crate) fn compare(&self, a: &Record, b: &Record) -> Ordering {
        self.keys
            .iter()
            .map(|key| {
                let (a, b) = (key.path.get_or_null(a), key.path.get_or_null(b));
                if key.falling && !a.is_null() && !b.is_null() { b.cmp(a) } else { a.cmp(b) }
            })
            .find(|order| order.is_ne())
            .unwrap_or(Ordering::Equal)
    }

    /// One warning for each key whose column mixes types.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let null = 1 << Value::Null.rank();
        self.keys
            .iter()
            .filter(|key| (key.types & !null).count_ones() > 1)
            .map(|key| {
                format!(
                    "{}: `{}` has values of several types; they are ordered booleans, numbers, text, lists, objects.",
                    self.at,
                    key.path.text()
                )
            })
            .collect()
    }
}
