//! JSON for people. Texts are rearranged, never parsed into numbers and maps: every number keeps its digits and every
//! object the order of its keys.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Screen;
use super::digest::digest;
use super::table::{printable, table, text};

/// Columns of a table that still fit a terminal.
pub(super) const MAX_COLUMNS: usize = 12;

/// A list of flat objects as a table; `columns` with their `rows`, as a digest gives them, as a table and what is to be
/// said of it; everything else indented.
pub fn data(data: &RawValue, screen: impl Into<Screen>) -> String {
    let (json, screen) = (data.get(), screen.into());
    as_table(json, screen.width).or_else(|| digest(json, screen)).unwrap_or_else(|| printable(&indent(json)) + "\n")
}

/// A JSON text with a line for each value, two spaces a level. Any other text comes back rearranged, but whole.
pub fn indent(json: &str) -> String {
    let mut shown = String::with_capacity(json.len() * 2);
    let mut depth = 0_usize;
    let mut characters = json.chars().peekable();
    let line = |shown: &mut String, depth: usize| {
        shown.push('\n');
        shown.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = characters.next() {
        match c {
            '"' => {
                shown.push(c);
                while let Some(inner) = characters.next() {
                    shown.push(inner);
                    match inner {
                        '"' => break,
                        '\\' => shown.extend(characters.next()),
                        _ => {}
                    }
                }
            }
            '{' | '[' => {
                shown.push(c);
                while characters.next_if(char::is_ascii_whitespace).is_some() {}
                if let Some(close) = characters.next_if(|next| matches!(next, '}' | ']')) {
                    shown.push(close);
                } else {
                    depth += 1;
                    line(&mut shown, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut shown, depth);
                shown.push(c);
            }
            ',' => {
                shown.push(c);
                line(&mut shown, depth);
            }
            ':' => shown.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => shown.push(c),
        }
    }
    shown
}

/// An object with the order of its keys.
pub(super) struct Row<'a>(pub(super) Vec<(String, &'a RawValue)>);

impl<'a> Row<'a> {
    /// A cell as its column shows it; empty where the row has none.
    fn cell(&self, column: &str) -> String {
        self.get(column).map_or_else(String::new, shown)
    }

    /// A field's value.
    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().find(|(key, _)| key == name).map(|&(_, value)| value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Row<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Row<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row<'de>, A::Error> {
                let mut fields = Vec::new();
                while let Some(field) = map.next_entry()? {
                    fields.push(field);
                }
                Ok(Row(fields))
            }
        }
        deserializer.deserialize_map(Fields)
    }
}

/// A table when the text is a non-empty list of objects whose values are no lists or objects.
fn as_table(json: &str, width: u16) -> Option<String> {
    let rows: Vec<Row<'_>> = serde_json::from_str(json).ok()?;
    let mut columns: Vec<&str> = Vec::new();
    for (name, cell) in rows.iter().flat_map(|row| &row.0) {
        if cell.get().starts_with(['{', '[']) {
            return None;
        }
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
        if columns.len() > MAX_COLUMNS {
            return None;
        }
    }
    if columns.is_empty() {
        return None;
    }
    Some(grid(&columns, &rows, width))
}

/// These columns of the rows, in this order, under their names.
pub(super) fn grid(columns: &[&str], rows: &[Row<'_>], width: u16) -> String {
    let mut table = table(width);
    table.set_header(columns.iter().map(|name| printable(name)));
    for row in rows {
        table.add_row(columns.iter().map(|column| row.cell(column)));
    }
    text(&table)
}

/// A value in a line: null is empty, text stands without quotes, lists and objects as JSON.
pub(super) fn shown(cell: &RawValue) -> String {
    match cell.get() {
        "null" => String::new(),
        text if text.starts_with('"') => {
            serde_json::from_str::<String>(text).map_or_else(|_| printable(text), |text| printable(&text))
        }
        other => printable(other),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn raw(json: &str) -> Box<RawValue> {
        RawValue::from_string(json.to_owned()).unwrap()
    }

    #[test]
    fn a_list_of_flat_objects_is_a_table_in_the_order_of_its_keys() {
        let json =
            r#"[{"title":"A\u0041","links":3},{"title":"B","links":123456789012345678901234567890,"note":null}]"#;
        insta::assert_snapshot!(data(&raw(json), 80));
    }

    #[test]
    fn everything_else_is_indented_and_keeps_every_digit() {
        let json = r#"{"z":1.10,"a":[ ],"b":{"c":["x, {y}: \"z\"",123456789012345678901234567890]},"d":{}}"#;
        insta::assert_snapshot!(data(&raw(json), 80));
        for odd in ["[]", "[[]]", "[{}]", "1", "\"a\"", "[{\"a\":[1]}]", "[1]"] {
            assert!(!data(&raw(odd), 80).is_empty(), "{odd}");
        }
    }

    proptest::proptest! {
        #[test]
        fn indenting_changes_no_value(text in "[ -~é]{0,30}", number: i64, keys in proptest::collection::vec("[a-z\"{\\\\]{0,4}", 0..5)) {
            let mut object = serde_json::Map::new();
            for key in keys {
                object.insert(key, serde_json::json!([text, number, {}, [], { "x": null }]));
            }
            let value = serde_json::Value::Object(object);
            let indented = indent(&value.to_string());
            proptest::prop_assert_eq!(&indented, &serde_json::to_string_pretty(&value).unwrap());
        }
    }
}
