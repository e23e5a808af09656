//! JSON values and records, made for working through many of them.
//!
//! Unlike `serde_json::Value` a [`Record`] keeps its fields in the order of the source (they become columns), shares
//! the text of its keys with its neighbours, and values have a total order, equality and a hash:
//!
//! - booleans < numbers < text < lists < objects < null, so null comes last in rising order;
//! - numbers compare exactly ([`Number`]), text by Unicode code point, lists element by element, objects as lists of
//!   their fields sorted by name.

mod json;

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::HashSet;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

pub(crate) use self::json::{Picked, read_record};
use crate::number::Number;

/// The name of a field, shared between the records that have it.
pub(crate) type Key = Arc<str>;

/// A JSON value.
#[derive(Clone, Debug)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// Any number.
    Number(Number),
    /// A string.
    Text(Box<str>),
    /// An array.
    List(Vec<Value>),
    /// An object.
    Map(Record),
}

/// The null that a missing field reads as.
pub(crate) static NULL: Value = Value::Null;

impl Value {
    pub(crate) fn text(text: &str) -> Self {
        Self::Text(text.into())
    }

    pub(crate) fn int(value: u64) -> Self {
        Self::Number(Number::from_u64(value))
    }

    /// What a person calls this kind of value.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }

    /// The place of this kind of value in the order.
    pub(crate) fn rank(&self) -> u8 {
        match self {
            Self::Bool(_) => 0,
            Self::Number(_) => 1,
            Self::Text(_) => 2,
            Self::List(_) => 3,
            Self::Map(_) => 4,
            Self::Null => 5,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// About how many bytes this value holds, its own slot included.
    pub(crate) fn weight(&self) -> usize {
        const SLOT: usize = size_of::<Value>();
        match self {
            Self::Null | Self::Bool(_) | Self::Number(_) => SLOT,
            Self::Text(text) => SLOT + text.len(),
            Self::List(list) => SLOT + list.iter().map(Self::weight).sum::<usize>(),
            Self::Map(record) => SLOT + record.weight(),
        }
    }
}

impl Ord for Value {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => a.cmp(b),
            (Self::Number(a), Self::Number(b)) => a.cmp(b),
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            (Self::List(a), Self::List(b)) => a.cmp(b),
            (Self::Map(a), Self::Map(b)) => a.sorted().cmp(&b.sorted()),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.rank().hash(state);
        match self {
            Self::Null => {}
            Self::Bool(value) => value.hash(state),
            Self::Number(value) => value.hash(state),
            Self::Text(value) => value.hash(state),
            Self::List(value) => value.hash(state),
            Self::Map(value) => value.sorted().hash(state),
        }
    }
}

/// One row: fields in the order in which the source had them, each name once.
#[derive(Clone, Debug, Default)]
pub struct Record {
    fields: Vec<(Key, Value)>,
}

impl Record {
    pub(crate) fn with_capacity(fields: usize) -> Self {
        Self { fields: Vec::with_capacity(fields) }
    }

    /// The record for any value: an object is one, anything else becomes its field `value`.
    pub(crate) fn from_value(value: Value) -> Self {
        match value {
            Value::Map(record) => record,
            other => Self { fields: vec![(intern("value"), other)] },
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.fields.iter().find(|(key, _)| **key == *name).map(|(_, value)| value)
    }

    pub(crate) fn get_mut(&mut self, name: &str) -> Option<&mut Value> {
        self.fields.iter_mut().find(|(key, _)| **key == *name).map(|(_, value)| value)
    }

    /// Replaces the field where it stands, or adds it at the end.
    pub(crate) fn set(&mut self, name: &Key, value: Value) {
        match self.get_mut(name) {
            Some(slot) => *slot = value,
            None => self.fields.push((Arc::clone(name), value)),
        }
    }

    /// Adds a field that the caller knows not to be there.
    pub(crate) fn push(&mut self, name: &Key, value: Value) {
        self.fields.push((Arc::clone(name), value));
    }

    pub(crate) fn remove(&mut self, name: &str) -> Option<Value> {
        let at = self.fields.iter().position(|(key, _)| **key == *name)?;
        Some(self.fields.remove(at).1)
    }

    pub(crate) fn iter(&self) -> impl ExactSizeIterator<Item = (&Key, &Value)> {
        self.fields.iter().map(|(key, value)| (key, value))
    }

    pub(crate) fn weight(&self) -> usize {
        const SLOT: usize = size_of::<Key>();
        self.fields.iter().map(|(_, value)| SLOT + value.weight()).sum()
    }

    /// The fields by name: objects are equal whatever the order of their fields.
    fn sorted(&self) -> Vec<(&str, &Value)> {
        let mut fields: Vec<_> = self.fields.iter().map(|(key, value)| (&**key, value)).collect();
        fields.sort_unstable_by_key(|(key, _)| *key);
        fields
    }
}

/// Names kept for sharing: real tables have tens of columns; a document whose keys are data must not fill the memory
/// with names that never come again.
const MOST_NAMES: usize = 4096;

thread_local! {
    static NAMES: RefCell<HashSet<Key>> = RefCell::new(HashSet::new());
}

/// The shared copy of a name. A cache only: equal names are equal whether shared or not.
pub(crate) fn intern(name: &str) -> Key {
    NAMES.with_borrow_mut(|names| {
        if let Some(known) = names.get(name) {
            return Arc::clone(known);
        }
        let key: Key = name.into();
        if names.len() < MOST_NAMES {
            names.insert(Arc::clone(&key));
        }
        key
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn value(json: &str) -> Value {
        serde_json::from_str(json).unwrap()
    }

    fn hash(value: &Value) -> u64 {
        let mut state = std::hash::DefaultHasher::new();
        value.hash(&mut state);
        state.finish()
    }

    #[test]
    fn values_of_several_types_have_the_documented_order() {
        let rising = ["false", "true", "-1", "0.5", "1", r#""a""#, r#""b""#, "[]", "[1]", "{}", r#"{"a":1}"#, "null"];
        for pair in rising.windows(2) {
            assert!(value(pair[0]) < value(pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn objects_are_equal_whatever_the_order_of_their_fields() {
        let (a, b) = (value(r#"{"a":1,"b":[2.0]}"#), value(r#"{"b":[2],"a":1.0}"#));
        assert_eq!(a, b);
        assert_eq!(hash(&a), hash(&b));
        assert_ne!(a, value(r#"{"a":1}"#));
    }

    #[test]
    fn a_record_keeps_the_order_of_its_source_and_the_last_of_equal_names() {
        let text = serde_json::to_string(&value(r#"{"z":1,"a":2,"z":3}"#)).unwrap();
        assert_eq!(text, r#"{"z":3,"a":2}"#);
    }

    #[test]
    fn an_object_with_very_many_repeated_names_is_read_in_reasonable_time() {
        let fields: Vec<String> = (0..200_000).map(|n| format!("\"k{}\":{n}", n % 100_000)).collect();
        let json = format!("{{{}}}", fields.join(","));
        let Value::Map(record) = value(&json) else { panic!("an object") };
        assert_eq!(record.iter().len(), 100_000);
        assert_eq!(record.get("k7"), Some(&Value::int(100_007)));
    }

    #[test]
    fn whole_numbers_of_64_bits_are_exact() {
        for text in ["9223372036854775807", "-9223372036854775808", "18446744073709551615"] {
            assert_eq!(serde_json::to_string(&value(text)).unwrap(), text);
        }
    }
}
