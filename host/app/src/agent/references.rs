//! References inside a task's input: which strings of it name an artifact or another task's result, by its schema.
//!
//! The formats `artifact-id` and `task-result` mark them. The host checks the caller's right to each, and puts an
//! artifact's id in the place of a `task-result` before the plugin sees the input; `self` there means the raw result
//! that a digest works on.

use std::collections::{BTreeSet, HashSet};

use serde_json::Value;

/// Deepest schema that is walked: `$ref` may loop.
const MAX_DEPTH: usize = 64;

/// What a string of the input refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// An artifact, by its id.
    Artifact,
    /// The result of a task, by the task's id, or `self`.
    TaskResult,
}

/// One reference.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reference {
    /// JSON Pointer to the string.
    pub pointer: String,
    /// What it is.
    pub kind: Kind,
    /// The string.
    pub value: String,
}

/// All references of `input`, which is valid by `schema`, in the order of their pointers.
pub fn find(schema: &Value, input: &Value) -> Vec<Reference> {
    let mut walk = Walk { root: schema, pointer: String::new(), seen: HashSet::new(), found: BTreeSet::new() };
    walk.at(schema, input, 0);
    walk.found.into_iter().collect()
}

struct Walk<'a> {
    root: &'a Value,
    /// Where in the input it is.
    pointer: String,
    /// Pairs of schema (by its place in memory) and place in the input: branches that lead to the same pair again are
    /// not followed again, so that a schema that refers to itself costs its size and not a power of it.
    seen: HashSet<(usize, String)>,
    found: BTreeSet<Reference>,
}

impl<'a> Walk<'a> {
    fn at(&mut self, schema: &'a Value, value: &Value, depth: usize) {
        let here = (std::ptr::from_ref(schema) as usize, self.pointer.clone());
        if depth > MAX_DEPTH || !self.seen.insert(here) {
            return;
        }
        let Some(schema) = schema.as_object() else { return };
        if let Some(target) = schema.get("$ref").and_then(Value::as_str)
            && let Some(target) = target.strip_prefix('#').and_then(|path| self.root.pointer(path))
        {
            self.at(target, value, depth + 1);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            for branch in schema.get(key).and_then(Value::as_array).into_iter().flatten() {
                self.at(branch, value, depth + 1);
            }
        }
        for key in ["if", "then", "else"] {
            if let Some(branch) = schema.get(key) {
                self.at(branch, value, depth + 1);
            }
        }
        match value {
            Value::String(text) => {
                let kind = match schema.get("format").and_then(Value::as_str) {
                    Some("artifact-id") => Kind::Artifact,
                    Some("task-result") => Kind::TaskResult,
                    _ => return,
                };
                self.found.insert(Reference { pointer: self.pointer.clone(), kind, value: text.clone() });
            }
            Value::Array(items) => {
                let prefix = schema.get("prefixItems").and_then(Value::as_array);
                for (index, item) in items.iter().enumerate() {
                    let of_item = prefix.and_then(|prefix| prefix.get(index)).or_else(|| schema.get("items"));
                    if let Some(of_item) = of_item {
                        self.step(of_item, item, &index.to_string(), depth);
                    }
                }
            }
            Value::Object(fields) => {
                let properties = schema.get("properties").and_then(Value::as_object);
                for (name, field) in fields {
                    let of_field =
                        properties.and_then(|known| known.get(name)).or_else(|| schema.get("additionalProperties"));
                    if let Some(of_field) = of_field {
                        self.step(of_field, field, &name.replace('~', "~0").replace('/', "~1"), depth);
                    }
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, schema: &'a Value, value: &Value, token: &str, depth: usize) {
        let length = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(token);
        self.at(schema, value, depth + 1);
        self.pointer.truncate(length);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn references_are_found_through_refs_branches_arrays_and_maps() {
        let schema = json!({
            "type": "object",
            "properties": {
                "source": { "$ref": "#/$defs/source" },
                "files": { "type": "array", "items": { "type": "string", "format": "artifact-id" } },
                "named/odd": { "additionalProperties": { "format": "task-result" } },
                "plain": { "type": "string" }
            },
            "$defs": { "source": { "oneOf": [
                { "properties": { "result_of": { "type": "string", "format": "task-result" } } },
                { "properties": { "next": { "$ref": "#/$defs/source" } } }
            ] } }
        });
        let input = json!({
            "source": { "next": { "result_of": "self" } },
            "files": ["a", "b"],
            "named/odd": { "x~y": "t1" },
            "plain": "self"
        });
        let found: Vec<String> = find(&schema, &input)
            .into_iter()
            .map(|one| format!("{} {:?} {}", one.pointer, one.kind, one.value))
            .collect();
        assert_eq!(
            found,
            [
                "/files/0 Artifact a",
                "/files/1 Artifact b",
                "/named~1odd/x~0y TaskResult t1",
                "/source/next/result_of TaskResult self"
            ]
        );
        for reference in find(&schema, &input) {
            assert_eq!(input.pointer(&reference.pointer).unwrap(), &json!(reference.value));
        }
    }

    #[test]
    fn a_schema_that_branches_into_itself_costs_its_size_and_not_a_power_of_it() {
        let schema = json!({ "properties": { "x": { "anyOf": [{ "$ref": "#" }, { "$ref": "#" }] } } });
        let input = (0..30).fold(json!("end"), |inner, _| json!({ "x": inner }));
        assert!(find(&schema, &input).is_empty());
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({ "$ref": "#" });
        assert!(find(&schema, &json!("x")).is_empty());
    }
}
