//! A JSON document: the records are the elements of the list at a path, given on one by one; all else in the document
//! is passed over without being built.

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::{Intake, without_mark};
use crate::error::Fault;
use crate::ops::Flow;
use crate::path::{Part, Path};
use crate::value::{Picked, Value, read_record};

/// Names told of an object in which a part of the path was not found.
const MOST_NAMES_TOLD: usize = 8;

/// Reads the records at `path`; `None`: the document itself is the list, or the one record.
pub(super) fn read(text: &[u8], path: Option<&Path>, intake: &mut Intake<'_>) -> Result<(), Fault> {
    let mut walk = Walk { intake, found: false, missed: None, end: None };
    let mut reader = serde_json::Deserializer::from_slice(without_mark(text));
    let parts = path.map_or(&[][..], Path::parts);
    let read = At { parts, walk: &mut walk }.deserialize(&mut reader).and_then(|()| reader.end());
    let Walk { found, missed, end, intake } = walk;
    match (end, read) {
        (Some(End::Fault(fault)), _) => Err(fault),
        (Some(End::NoList(kind)), _) => Err(intake.fault(&match path {
            Some(path) => format!("At `{}` there is {kind}, where a list of records is needed.", path.text()),
            None => format!("The document is {kind}, where a list of records is needed."),
        })),
        (Some(End::Twice(name)), _) => Err(intake.fault(&format!(
            "`{name}` is there twice in one object, so it is not clear which is meant; `path` needs it once."
        ))),
        (None, Err(why)) => Err(intake.fault(&format!("The text is no JSON document: {why}."))),
        (None, Ok(())) if !found => {
            let path = path.map_or("", Path::text);
            Err(intake.fault(&match missed {
                Some(missed) => format!("The document has nothing at `{path}`: {missed}."),
                None => format!("The document has nothing at `{path}`."),
            }))
        }
        (Some(End::Enough), _) | (None, Ok(())) => Ok(()),
    }
}

/// The walk through a document.
struct Walk<'i, 'n> {
    intake: &'i mut Intake<'n>,
    found: bool,
    /// What was there where the path went on.
    missed: Option<String>,
    end: Option<End>,
}

/// Why the walk was broken off. (serde carries only texts.)
enum End {
    Enough,
    Fault(Fault),
    NoList(&'static str),
    Twice(String),
}

impl Walk<'_, '_> {
    fn stop<E: serde::de::Error>(&mut self, end: End) -> E {
        self.end = Some(end);
        E::custom("stopped")
    }

    fn give<E: serde::de::Error>(&mut self, value: Value) -> Result<(), E> {
        match self.intake.record(value) {
            Ok(Flow::More) => Ok(()),
            Ok(Flow::Enough) => Err(self.stop(End::Enough)),
            Err(fault) => Err(self.stop(End::Fault(fault))),
        }
    }
}

/// A value of the document, and what is left of the path to the records.
struct At<'p, 'w, 'i, 'n> {
    parts: &'p [Part],
    walk: &'w mut Walk<'i, 'n>,
}

impl<'de> DeserializeSeed<'de> for At<'_, '_, '_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl At<'_, '_, '_, '_> {
    fn scalar<E: serde::de::Error>(self, kind: &'static str) -> Result<(), E> {
        if self.parts.is_empty() {
            return Err(self.walk.stop(End::NoList(kind)));
        }
        self.walk.missed = Some(format!("it ends before `{}`, with {kind}", self.parts[0].key));
        Ok(())
    }
}

impl<'de> Visitor<'de> for At<'_, '_, '_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON document")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((part, rest)) = self.parts.split_first() else {
            self.walk.found = true;
            let record = read_record(map, self.walk.intake.needed)?;
            return self.walk.give(Value::Map(record));
        };
        let (mut here, mut names, mut more) = (false, Vec::new(), false);
        while let Some(name) = map.next_key::<String>()? {
            if name == *part.key {
                if here {
                    return Err(self.walk.stop(End::Twice(name)));
                }
                here = true;
                map.next_value_seed(At { parts: rest, walk: self.walk })?;
            } else {
                map.next_value::<IgnoredAny>()?;
                if names.len() < MOST_NAMES_TOLD {
                    names.push(format!("`{name}`"));
                } else {
                    more = true;
                }
            }
        }
        if !here {
            let names = if names.is_empty() { "nothing".to_owned() } else { names.join(", ") };
            let more = if more { " and more" } else { "" };
            self.walk.missed = Some(format!("in place of `{}` there is {names}{more}", part.key));
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let Some((part, rest)) = self.parts.split_first() else {
            self.walk.found = true;
            let needed = self.walk.intake.needed;
            while let Some(value) = seq.next_element_seed(Picked(needed))? {
                self.walk.give(value)?;
            }
            return Ok(());
        };
        let mut length = 0_usize;
        let mut here = false;
        loop {
            if part.index == Some(length) {
                let inner = At { parts: rest, walk: self.walk };
                if seq.next_element_seed(inner)?.is_none() {
                    break;
                }
                here = true;
            } else if seq.next_element::<IgnoredAny>()?.is_none() {
                break;
            }
            length += 1;
        }
        if !here {
            self.walk.missed = Some(format!("in place of `{}` there is a list of {length}", part.key));
        }
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        self.scalar("null")
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        self.scalar("a boolean")
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        self.scalar("a number")
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        self.scalar("a number")
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        self.scalar("a number")
    }

    fn visit_str<E: serde::de::Error>(self, _: &str) -> Result<(), E> {
        self.scalar("text")
    }
}
