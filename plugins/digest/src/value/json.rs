//! Values to and from JSON, and their schemas.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Key, Record, Value, intern};
use crate::number::Number;

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Number(Number::Int(value)) => serializer.serialize_i64(*value),
            Self::Number(Number::Big(value)) => serializer.serialize_u64(*value),
            Self::Number(Number::Float(value)) => serializer.serialize_f64(*value),
            Self::Text(value) => serializer.serialize_str(value),
            Self::List(value) => serializer.collect_seq(value),
            Self::Map(value) => value.serialize(serializer),
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.fields.len()))?;
        for (key, value) in &self.fields {
            map.serialize_entry(&**key, value)?;
        }
        map.end()
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue(None))
    }
}

impl<'de> serde::Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match Value::deserialize(deserializer)? {
            Value::Map(record) => Ok(record),
            other => Err(D::Error::custom(format!("{} where an object was expected", other.kind()))),
        }
    }
}

/// The fields to take of the outermost object; `None`: all.
struct AnyValue<'n>(Option<&'n [Key]>);

impl<'de> Visitor<'de> for AnyValue<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        serde::Deserialize::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(Number::Int(value)))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::int(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number that is not finite"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::text(value))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Value, A::Error> {
        read_record(map, self.0).map(Value::Map)
    }
}

/// Reads a value; of an object only these fields (`None`: all), the others passed over.
pub(crate) struct Picked<'n>(pub(crate) Option<&'n [Key]>);

impl<'de> DeserializeSeed<'de> for Picked<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(AnyValue(self.0))
    }
}

/// Reads an object; of its fields only `needed` ones (`None`: all). A name that comes twice keeps its first place and
/// its last value.
pub(crate) fn read_record<'de, A: MapAccess<'de>>(mut map: A, needed: Option<&[Key]>) -> Result<Record, A::Error> {
    let mut fields: Vec<(Key, Value)> = Vec::with_capacity(map.size_hint().unwrap_or(8).min(64));
    while let Some(key) = map.next_key_seed(KeySeed(needed))? {
        match key {
            Some(key) => fields.push((key, map.next_value()?)),
            None => {
                map.next_value::<IgnoredAny>()?;
            }
        }
    }
    Ok(Record { fields: without_duplicates(fields) })
}

/// Up to this many fields comparing each with each is faster than hashing them.
const FEW: usize = 16;

fn without_duplicates(fields: Vec<(Key, Value)>) -> Vec<(Key, Value)> {
    let all_differ = if fields.len() <= FEW {
        fields.iter().enumerate().all(|(at, (key, _))| fields[..at].iter().all(|(other, _)| other != key))
    } else {
        let names: HashSet<&str> = fields.iter().map(|(key, _)| &**key).collect();
        names.len() == fields.len()
    };
    if all_differ {
        return fields;
    }
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut kept: Vec<(Key, Value)> = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        if let Some(&at) = places.get(&key) {
            kept[at].1 = value;
        } else {
            places.insert(Arc::clone(&key), kept.len());
            kept.push((key, value));
        }
    }
    kept
}

/// Reads a name without owning its text first; `None` for one that is not needed.
struct KeySeed<'n>(Option<&'n [Key]>);

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Option<Key>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<Key>, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for KeySeed<'_> {
    type Value = Option<Key>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a field name")
    }

    fn visit_str<E>(self, value: &str) -> Result<Option<Key>, E> {
        Ok(match self.0 {
            // A few names: looking through them is faster than hashing.
            Some(needed) => needed.iter().find(|name| ***name == *value).map(Arc::clone),
            None => Some(intern(value)),
        })
    }
}

impl JsonSchema for Value {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!(true)
    }
}

impl JsonSchema for Record {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Record".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object" })
    }
}
