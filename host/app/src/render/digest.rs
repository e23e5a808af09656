//! A digest for people: its rows as a table, then what is to be known of them.
//!
//! Any result is taken that has the digest's shape: `columns`, a list of names, and `rows`, a list of objects that have
//! no other fields than these. What stands beside them and is not known here is shown too, by name.

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
    let names: Vec<String> = read(result.get("columns")?)?;
    let columns: Vec<&str> = names.iter().map(String::as_str).collect();
    let rows: Vec<Row<'_>> = read(result.get("rows")?)?;
    let fits = |row: &Row<'_>| row.0.iter().all(|(name, _)| columns.contains(&name.as_str()));
    if columns.len() > MAX_COLUMNS || !rows.iter().all(fits) {
        return None;
    }
    let (mut row_count, mut input_rows) = (rows.len() as u64, None);
    let (mut warnings, mut skipped) = (Vec::new(), 0);
    let mut others = String::new();
    for (name, value) in &result.0 {
        match name.as_str() {
            "columns" | "rows" => continue,
            "row_count" => {
                if let Some(count) = read(value) {
                    row_count = count;
                    continue;
                }
            }
            "input_rows" => {
                if let Some(count) = read(value) {
                    input_rows = Some(count);
                    continue;
                }
            }
            "warnings" => {
                if let Some(list) = read::<Vec<String>>(value) {
                    warnings = list;
                    continue;
                }
            }
            "skipped" => {
                if let Some(Skipped { count }) = read(value) {
                    skipped = count;
                    continue;
                }
            }
            _ => {}
        }
        // Writing to a String cannot fail, here and below.
        let _ = writeln!(others, "{}: {}", printable(name), shown(value));
    }
    let mut text = if columns.is_empty() { String::new() } else { grid(&columns, &rows, screen.width) };
    let mut size = count(row_count, "row");
    if let Some(records) = input_rows {
        let _ = write!(size, " from {}", count(records, "record"));
    }
    let _ = writeln!(text, "{}", screen.dim(&size));
    for warning in &warnings {
        let _ = writeln!(text, "warning: {}", printable(warning));
    }
    if skipped > 0 {
        let _ = writeln!(text, "skipped: {} (not readable; `--json` lists the first)", count(skipped, "record"));
    }
    Some(text + &others)
}

/// A part of the result, if it is what it is taken for.
fn read<'a, T: Deserialize<'a>>(value: &'a RawValue) -> Option<T> {
    serde_json::from_str(value.get()).ok()
}

fn count(number: u64, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::json::data;
    use super::*;

    fn shown_on(json: &str, screen: impl Into<Screen>) -> String {
        data(&RawValue::from_string(json.to_owned()).unwrap(), screen)
    }

    const FULL: &str = r#"{
        "columns": ["brand", "mean price", "tags"],
        "rows": [
            {"mean price": 12.50, "brand": "Alta", "tags": ["a", "b"]},
            {"brand": null, "mean price": 123456789012345678901234567890, "tags": {}}
        ],
        "row_count": 2, "input_rows": 1, "skipped": {"count": 3, "first": [{"source": "/from", "line": 7, "reason": "no"}]},
        "warnings": ["/steps/0/select/1: 1 value is not readable as number in column `price`, and became null.", "Two."]
    }"#;

    #[test]
    fn a_digest_is_a_table_of_its_columns_and_what_is_to_be_known_of_it() {
        insta::assert_snapshot!(shown_on(FULL, 100));
    }

    #[test]
    fn how_many_rows_is_dim_where_the_screen_can_show_it() {
        let shown = shown_on(FULL, Screen { width: 100, styled: true });
        assert!(shown.contains("\n\u{1b}[2m2 rows from 1 record\u{1b}[0m\nwarning: /steps/0"), "{shown}");
        assert_eq!(shown.replace("\u{1b}[2m", "").replace("\u{1b}[0m", ""), shown_on(FULL, 100));
    }

    #[test]
    fn a_digest_without_rows_still_shows_its_columns() {
        let json = r#"{"columns":["category","articles"],"rows":[],"row_count":0,"input_rows":48,"skipped":{"count":0,"first":[]},"warnings":[]}"#;
        insta::assert_snapshot!(shown_on(json, 80));
        let json =
            r#"{"columns":[],"rows":[],"row_count":0,"input_rows":0,"skipped":{"count":0,"first":[]},"warnings":[]}"#;
        assert_eq!(shown_on(json, 80), "0 rows from 0 records\n");
    }

    #[test]
    fn what_is_not_known_beside_the_rows_is_shown_by_name() {
        let json = r#"{"source":"a.csv","columns":["n"],"rows":[{"n":1},{}],"took":{"ms":5},"row_count":"two","warnings":null}"#;
        assert_eq!(shown_on(json, 80), "n\n1\n\n2 rows\nsource: a.csv\ntook: {\"ms\":5}\nrow_count: two\nwarnings: \n");
    }

    #[test]
    fn another_shape_is_indented_as_before() {
        let many: Vec<String> = (0..13).map(|n| format!("c{n}")).collect();
        let wide = serde_json::json!({ "columns": many, "rows": [] }).to_string();
        for odd in [
            r#"{"columns":["a"],"rows":[{"a":1,"b":2}]}"#,
            r#"{"columns":["a"],"rows":[[1]]}"#,
            r#"{"columns":[1],"rows":[]}"#,
            r#"{"columns":["a"]}"#,
            r#"{"rows":[{"a":1}]}"#,
            &wide,
        ] {
            let shown = shown_on(odd, 80);
            assert!(shown.starts_with("{\n  \""), "{shown}");
        }
    }

    #[test]
    fn words_of_pages_cannot_steer_the_terminal() {
        let json =
            r#"{"columns":["a\u001b"],"rows":[{"a\u001b":["x\u202e"]}],"warnings":["\u001b[2J"],"k\u001b":"\u0007"}"#;
        let shown = shown_on(json, 80);
        assert!(shown.chars().all(|c| c == '\n' || !(c.is_control() || c == '\u{202e}')), "{shown:?}");
    }
}
