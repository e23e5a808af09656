//! How a step names a field: `price`, `fields.price`, `tags.0`, or a JSON Pointer such as `/fields/price`.
//!
//! A dotted path first looks for a field that is called exactly like the whole path (a CSV column `price.usd`, the
//! column that `select` made), then walks its parts. A part that is a number picks from a list, counted from 0. A
//! pointer (RFC 6901, `~1` for `/`, `~0` for `~`) only walks.

use std::sync::Arc;

use crate::value::{Key, NULL, Record, Value, intern};

/// Longer names and deeper paths have no honest use.
const MOST_BYTES: usize = 1024;
const MOST_PARTS: usize = 64;

/// One part of a path.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) key: Key,
    /// The part read as a place in a list.
    pub(crate) index: Option<usize>,
}

/// A field of a record, or a place in a document.
#[derive(Clone, Debug)]
pub(crate) struct Path {
    /// As the author wrote it.
    text: Key,
    /// Set for a dotted path of several parts: the name that is tried first.
    whole: bool,
    /// At least one.
    parts: Vec<Part>,
}

impl Path {
    /// Reads a path; the error says what is wrong with it.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("The name of a field cannot be empty.".into());
        }
        if text.len() > MOST_BYTES {
            return Err(format!("A field's path is at most {MOST_BYTES} bytes long; this one has {}.", text.len()));
        }
        let parts: Vec<Part> = if let Some(pointer) = text.strip_prefix('/') {
            pointer.split('/').map(|part| Part::new(&part.replace("~1", "/").replace("~0", "~"))).collect()
        } else {
            if text.split('.').any(str::is_empty) {
                return Err(format!(
                    "`{text}` has an empty part; write `a.b`, or a JSON Pointer such as `/a/b` for names with dots."
                ));
            }
            text.split('.').map(Part::new).collect()
        };
        if parts.len() > MOST_PARTS {
            return Err(format!("A field's path has at most {MOST_PARTS} parts; this one has {}.", parts.len()));
        }
        Ok(Self { text: intern(text), whole: parts.len() > 1 && !text.starts_with('/'), parts })
    }

    /// As the author wrote it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// The column this field becomes when no other name is given: its dotted form, so that later steps find it.
    pub(crate) fn column(&self) -> Key {
        if self.text.starts_with('/') {
            let names: Vec<&str> = self.parts.iter().map(|part| &*part.key).collect();
            intern(&names.join("."))
        } else {
            Arc::clone(&self.text)
        }
    }

    /// The value, or `None` if the field is missing.
    pub(crate) fn get<'a>(&self, record: &'a Record) -> Option<&'a Value> {
        if self.whole
            && let Some(value) = record.get(&self.text)
        {
            return Some(value);
        }
        let (first, rest) = self.parts.split_first()?;
        rest.iter().try_fold(record.get(&first.key)?, |value, part| part.of(value))
    }

    /// The value; a missing field reads as null.
    pub(crate) fn get_or_null<'a>(&self, record: &'a Record) -> &'a Value {
        self.get(record).unwrap_or(&NULL)
    }

    /// The place of the value, to change it.
    pub(crate) fn get_mut<'a>(&self, record: &'a mut Record) -> Option<&'a mut Value> {
        if self.whole && record.get(&self.text).is_some() {
            return record.get_mut(&self.text);
        }
        let (first, rest) = self.parts.split_first()?;
        rest.iter().try_fold(record.get_mut(&first.key)?, |value, part| part.of_mut(value))
    }

    /// Takes the value out; in a list it leaves null in its place, so that its neighbours keep theirs.
    pub(crate) fn take(&self, record: &mut Record) -> Option<Value> {
        if self.whole && record.get(&self.text).is_some() {
            return record.remove(&self.text);
        }
        let (last, before) = self.parts.split_last()?;
        let Some((first, middle)) = before.split_first() else {
            return record.remove(&last.key);
        };
        let holder = middle.iter().try_fold(record.get_mut(&first.key)?, |value, part| part.of_mut(value))?;
        match holder {
            Value::Map(inner) => inner.remove(&last.key),
            Value::List(list) => list.get_mut(last.index?).map(|slot| std::mem::replace(slot, Value::Null)),
            _ => None,
        }
    }
}

impl Part {
    fn new(text: &str) -> Self {
        // "01" and "+1" are names, not places.
        let is_place = text == "0" || (!text.starts_with(['0', '+']) && !text.is_empty());
        Self { key: intern(text), index: is_place.then(|| text.parse().ok()).flatten() }
    }

    fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match value {
            Value::Map(record) => record.get(&self.key),
            Value::List(list) => list.get(self.index?),
            _ => None,
        }
    }

    fn of_mut<'a>(&self, value: &'a mut Value) -> Option<&'a mut Value> {
        match value {
            Value::Map(record) => record.get_mut(&self.key),
            Value::List(list) => list.get_mut(self.index?),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(json: &str) -> Record {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn a_field_is_found_by_name_by_dots_and_by_pointer() {
        let row = record(r#"{"a":{"b":[10,{"c.d":20}]},"x.y":1,"x":{"y":2},"":3,"0":4}"#);
        let cases = [
            ("a.b.0", "10"),
            ("/a/b/1/c.d", "20"),
            ("x.y", "1"),
            ("/x/y", "2"),
            ("/x.y", "1"),
            ("/", "3"),
            ("0", "4"),
            ("a.b.2", "missing"),
            ("a.b.01", "missing"),
            ("a.b.0.z", "missing"),
        ];
        for (path, expected) in cases {
            let found =
                Path::parse(path).unwrap().get(&row).map_or("missing".into(), |v| serde_json::to_string(v).unwrap());
            assert_eq!(found, expected, "{path}");
        }
    }

    #[test]
    fn taking_a_field_out_leaves_the_rest_where_it_was() {
        let mut row = record(r#"{"a":{"b":[10,20],"c":1},"d":2}"#);
        assert_eq!(Path::parse("a.b.0").unwrap().take(&mut row), Some(Value::int(10)));
        assert_eq!(Path::parse("a.c").unwrap().take(&mut row), Some(Value::int(1)));
        assert_eq!(Path::parse("q.c").unwrap().take(&mut row), None);
        assert_eq!(serde_json::to_string(&row).unwrap(), r#"{"a":{"b":[null,20]},"d":2}"#);
    }

    #[test]
    fn a_bad_path_is_refused_with_what_would_be_right() {
        let long = "x".repeat(MOST_BYTES + 1);
        let deep = "a.".repeat(MOST_PARTS) + "a";
        for bad in ["", "a..b", ".a", "a.", &long, &deep] {
            assert!(Path::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_column_made_from_a_path_is_found_by_that_path() {
        assert_eq!(&*Path::parse("/a/b").unwrap().column(), "a.b");
        assert_eq!(&*Path::parse("a.b").unwrap().column(), "a.b");
    }
}
