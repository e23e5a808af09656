//! A digest for people: its rows as a table, then what is to be known of them.
//!
//! Any result is taken that has the digest's shape: `columns`, a list of names, and `rows`, a list of objects. A field
//! beside these that is not known here is shown too, by name: nothing of a result is hidden.

use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Screen;
use super::json::{MAX_COLUMNS, Row, grid, shown};
use super::table::printable;

/// What a digest could not read; the list of the first ones is left to `--json`.
#[derive(Deserialize)]
struct Skipped {
    count: u64,
}

/// The table and the lines below it; `None` when the text has another shape, or more columns than fit.
pub(super) fn digest(json: &str, screen: Screen) -> Option<String> {
    let result: Row<'_> = serde_json::from_str(json).ok()?;
    let columns: Vec<String> = read(result.get("columns")?)?;
    let rows: Vec<Row<'_>> = read(result.get("rows")?)?;
    // Without columns there is nothing to show of a row that has fields.
    if columns.len() > MAX_COLUMNS || (columns.is_empty() && rows.iter().any(|row| !row.0.is_empty())) {
        return None;
    }
    let mut row_count = rows.len() as u64;
    let mut from = String::new();
    let mut below = String::new();
    for (name, value) in &result.0 {
        // Writing to a String cannot fail.
        let _ = match name.as_str() {
            "columns" | "rows" => Ok(()),
            "row_count" if let Some(count) = read(value) => {
                row_count = count;
                Ok(())
            }
            _ => writeln!(below, "{}: {}", printable(name), shown(value)),
        };
    }
    todo!()
}
